"""Clients that contend for a few locks through random nodes, each on its own clock."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.sim.history import Kind, Operation, Result
from tests.support.sim.scheduler import NodeClock

if TYPE_CHECKING:
    from tests.support.sim.world import World

_WITH_TOKEN = [Kind.RELEASE, Kind.RELEASE, Kind.RELEASE, Kind.RENEW, Kind.RENEW, Kind.STATUS]


@dataclass(slots=True)
class Answer:
    """What a node tells a client."""

    result: Result
    fencing: int | None = None
    token: str | None = None
    holder: str | None = None
    remaining_ms: int | None = None
    sent_at: float = 0.0
    """When it left the node (true seconds)."""


@dataclass(slots=True)
class Request:
    """One request on its way."""

    operation: Operation
    timeout_ms: int
    wait_ms: int
    client: "Client"
    asked_at: float
    """On the client's clock."""
    is_open: bool = True
    has_arrived: bool = False


@dataclass(slots=True)
class Believed:
    """What a client thinks it has of one resource."""

    token: str | None = None
    old_tokens: list[str] = field(default_factory=list)


class Client:
    """An owner. It asks one thing at a time and goes on after every answer, also after none."""

    def __init__(self, world: "World", name: str, clock: NodeClock) -> None:
        self.name = name
        self.clock = clock
        self._world = world
        self._rng = world.scheduler.random(f"client {name}")
        self._beliefs = {resource: Believed() for resource in world.resources}
        self._stopped = False
        self.patience_s: float | None = None
        """How long it waits for every answer; None for as long as the profile says."""

    def begin(self) -> None:
        """Start asking."""
        self._pause()

    def stop(self) -> None:
        """Ask nothing more."""
        self._stopped = True

    def _pause(self) -> None:
        think_s = self._rng.expovariate(1 / self._world.profile.think_s)
        self._world.scheduler.after(think_s, self._step)

    def _step(self) -> None:
        if self._stopped:
            return
        resource = self._rng.choice(list(self._beliefs))
        belief = self._beliefs[resource]
        kind, token = self._choose(belief)
        node = self._choose_node()
        low_s, high_s = self._world.profile.timeouts_s
        self.ask(kind, resource, node, token, int(self._rng.uniform(low_s, high_s) * 1_000))

    def _choose_node(self) -> str:
        """Prefer nodes that are up, as a load balancer does; it too is wrong now and then."""
        up = [node.id for node in self._world.nodes.values() if node.is_up]
        return self._rng.choice(up if up and self._rng.random() < 0.9 else list(self._world.nodes))

    def _choose(self, belief: Believed) -> tuple[Kind, str | None]:
        draw = self._rng.random()
        if belief.old_tokens and draw < 0.08:
            token = self._rng.choice(belief.old_tokens)
            return self._rng.choice([Kind.STATUS, Kind.RELEASE, Kind.RENEW]), token
        if self._rng.random() < self._world.profile.reads:
            return Kind.LOOK, None
        if belief.token is None or draw < 0.2:
            return Kind.ACQUIRE, None
        return self._rng.choice(_WITH_TOKEN), belief.token

    def ask(
        self, kind: Kind, resource: str, node: str, token: str | None, timeout_ms: int
    ) -> Request:
        """Send one request; the answer, or none, comes to :meth:`_done`."""
        world = self._world
        operation = world.new_operation(self.name, kind, resource, node, token)
        asked_at = self.clock.at(world.scheduler.now)
        if kind in {Kind.ACQUIRE, Kind.RENEW}:
            operation.certain_until = self.clock.true(asked_at + timeout_ms / 1_000)
        wait_s = 0.0
        if kind is Kind.ACQUIRE and world.profile.waits_s is not None:
            wait_s = self._rng.uniform(*world.profile.waits_s)
        request = Request(operation, timeout_ms, int(wait_s * 1_000), self, asked_at)
        world.opened(request)
        world.scheduler.note(self.name, "asks", node, kind, resource, token or "", timeout_ms)
        world.scheduler.after(world.client_latency(), world.arrive, request)
        patience_s = self.patience_s or self._rng.uniform(*world.profile.patience_s)
        world.scheduler.after(patience_s + wait_s, self.answered, request, Answer(Result.UNKNOWN))
        return request

    def answered(self, request: Request, answer: Answer) -> None:
        """Take an answer, unless there was one (or the wait ended) before."""
        if not request.is_open:
            return
        request.is_open = False
        self._world.closed(request)
        operation = request.operation
        operation.result = answer.result
        if answer.result is not Result.UNKNOWN:
            operation.returned_at = self._world.scheduler.now
        operation.fencing = answer.fencing
        operation.given_token = answer.token
        operation.holder = answer.holder
        if answer.remaining_ms is not None and operation.certain_until < math.inf:
            # Of a wait the timeout begins with the grant: what is left, if any is, counts from the
            # answer.
            has_waited = request.wait_ms and answer.remaining_ms
            since = self.clock.at(answer.sent_at) if has_waited else request.asked_at
            shown = since + answer.remaining_ms / 1_000
            operation.certain_until = self.clock.true(shown)
        self._world.scheduler.note("answer", operation)
        self._learn(operation)
        self._pause()

    def _learn(self, operation: Operation) -> None:
        belief = self._beliefs[operation.resource]
        if operation.given_token is not None:
            if belief.token not in {None, operation.given_token}:
                belief.old_tokens.append(str(belief.token))
            belief.token = operation.given_token
        elif operation.token == belief.token and operation.result in {
            Result.RELEASED,
            Result.NOT_FOUND,
        }:
            if belief.token is not None:
                belief.old_tokens.append(belief.token)
            belief.token = None
        del belief.old_tokens[:-3]
