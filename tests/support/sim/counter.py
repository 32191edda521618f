"""Where clients and nodes meet: requests on their way there, answers on their way back."""

from tests.support.sim import answering
from tests.support.sim.history import Ask, Kind, Operation, Result, Wish
from tests.support.sim.observing import Observer
from tests.support.sim.queueing import Call, Told
from tests.support.sim.scheduler import Scheduler
from tests.support.sim.serving import serve
from tests.support.sim.workload import Answer, Request


class Counter(Observer):
    """Takes requests to nodes and answers to clients; knows who waits for one."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(scheduler)
        self._rng = scheduler.random("world")
        self._open: dict[int, Request | Call] = {}

    def opened(self, request: Request | Call) -> None:
        """A client waits for an answer from now on."""
        self._open[request.operation.number] = request

    def closed(self, request: Request | Call) -> None:
        """It does no longer."""
        del self._open[request.operation.number]

    def new_operation(
        self, client: str, kind: Kind, resource: str, node: str, token: str | None
    ) -> Operation:
        """Record that a client asks something."""
        operation = Operation(
            number=self._next_number(),
            client=client,
            kind=kind,
            resource=resource,
            node=node,
            invoked_at=self.scheduler.now,
            token=token,
        )
        self.history.operations.append(operation)
        return operation

    def new_ask(self, client: str, wish: Wish, node: str) -> Ask:
        """Record that a client that queues asks something."""
        number, now = self._next_number(), self.scheduler.now
        ask = Ask(number=number, client=client, wish=wish, node=node, invoked_at=now)
        self.history.asks.append(ask)
        return ask

    def _next_number(self) -> int:
        return len(self.history.operations) + len(self.history.asks)

    def client_latency(self) -> float:
        """Return how long a message between a client and a node takes (seconds)."""
        return self._rng.uniform(0.0005, 0.004)

    def arrive(self, request: Request | Call) -> None:
        """A request reaches its node; nobody listens at one that is down."""
        node = self.nodes.get(request.operation.node)
        if node is None or not node.is_up:
            self.reply(request, nothing(request, Result.DEFINITE))
            return
        request.has_arrived = True
        server = answering.serve if isinstance(request, Call) else serve
        node.post(0.0, server, node, request, self.reply)

    def hang_up(self, call: Call) -> None:
        """A caller has gone; its node hears of it, if it is there."""
        self.scheduler.after(self.client_latency(), self._hung_up, call)

    def _hung_up(self, call: Call) -> None:
        node = self.nodes.get(call.operation.node)
        if node is not None and node.is_up:
            node.post(0.0, answering.hang_up, node, call)

    def reply(self, request: Request | Call, answer: Answer | Told) -> None:
        """Send an answer on its way to the client."""
        answer.sent_at = self.scheduler.now
        self.scheduler.after(self.client_latency(), request.client.answered, request, answer)


def nothing(request: Request | Call, result: Result) -> Answer | Told:
    """Return the answer of nobody."""
    return Told(result) if isinstance(request, Call) else Answer(result)
