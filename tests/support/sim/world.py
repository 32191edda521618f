"""One run: builds the cluster and its surroundings, lets it go, mends it, looks at the end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gorilla.consensus import library, offers, shipping
from gorilla.service import proposals
from tests.support.sim import checkers
from tests.support.sim.faults import Fault, Nemesis, plan
from tests.support.sim.history import (
    Committed,
    Counted,
    History,
    Kind,
    LogSeen,
    Operation,
    Result,
    Standing,
    Violation,
    Voted,
)
from tests.support.sim.network import Network, Weather
from tests.support.sim.node import Claim, SimNode
from tests.support.sim.parts import make_machines
from tests.support.sim.patching import replaced
from tests.support.sim.profiles import Profile
from tests.support.sim.scheduler import RATE_PPM_MAX, NodeClock, Scheduler
from tests.support.sim.serving import serve
from tests.support.sim.workload import Answer, Client, Request

WALL_MS = 1_700_000_000_000
LOG_LOOK_S = 0.5
SETTLE_STEP_S = 0.25
ACQUIRE_S_MAX = 10.0
"""How long, beyond the longest lease, a resource may stay impossible to acquire at the end."""


@dataclass(slots=True)
class Outcome:
    """What a run gave."""

    profile: str
    seed: int
    violations: list[Violation]
    trace_digest: str
    counts: dict[str, int]
    trace: list[str] = field(default_factory=list)


class World:
    """Everything of one run."""

    def __init__(
        self,
        profile: Profile,
        seed: int,
        *,
        is_tracing: bool = False,
        faults: Sequence[Fault] | None = None,
    ) -> None:
        """Build it; with ``faults``, what goes wrong is these instead of the seed's own."""
        self.profile = profile
        self.seed = seed
        self.scheduler = Scheduler(seed, is_tracing=is_tracing)
        self.history = History()
        self._rng = self.scheduler.random("world")
        self.network = Network(self.scheduler, Weather(slow=profile.slow, slow_s=profile.slow_s))
        self.resources = [f"lock-{number}" for number in range(profile.resources)]
        self.nodes: dict[str, SimNode] = {}
        for machine in make_machines(self):
            node = SimNode(self, machine)
            self.nodes[node.id] = node
            self.network.join(node)
        self.faults = plan(profile, seed) if faults is None else faults
        self.nemesis = Nemesis(self, self.faults)
        self.clients = [
            Client(self, f"owner-{number}", self.make_clock()) for number in range(profile.clients)
        ]
        self._open: dict[int, Request] = {}
        self._applied_max = 0
        self._counted: dict[tuple[str, str], Claim] = {}

    def make_clock(self) -> NodeClock:
        """Return the clock of one more machine."""
        return NodeClock(
            self.scheduler,
            rate=1 + self._rng.uniform(-RATE_PPM_MAX, RATE_PPM_MAX) / 1_000_000,
            offset_s=self._rng.uniform(0, 1_000_000),
            wall_ms=WALL_MS + self._rng.randint(-10_000, 10_000),
        )

    # The run

    def run(self) -> Outcome:
        """Run it to the end and let the checkers look at it."""
        size, append = self.profile.chunk_bytes, self.profile.append_bytes
        with (
            replaced(shipping, CHUNK_BYTES=size, WINDOW_BYTES=4 * size),
            replaced(library, APPEND_BYTES_MAX=append),
            replaced(offers, ENTRY_BATCH_BYTES=append // 2),
            replaced(proposals, BATCH_BYTES_MAX=append // 2 - 50),
        ):
            self._run()
        without = "" if self.profile.is_searched else "linearizable"
        violations = checkers.violations(self.history, without=without)
        for violation in violations:
            self.scheduler.note("VIOLATION", violation)
        return Outcome(
            self.profile.name,
            self.seed,
            violations,
            self.scheduler.trace_digest(),
            self._counts(),
            list(self.scheduler.trace),
        )

    def _run(self) -> None:
        for node in self.nodes.values():
            self.scheduler.after(self._rng.uniform(0, 0.1), node.start)
        self.scheduler.after(LOG_LOOK_S, self._look_at_logs)
        self.nemesis.begin()
        for client in self.clients:
            client.begin()
        self.scheduler.run(self.profile.duration_s, self._is_hopeless)
        if not self._is_hopeless():
            self._settle()

    def _is_hopeless(self) -> bool:
        return bool(self.history.mishaps)

    def _settle(self) -> None:
        """End the faults, then wait until all is well, for as long as that may take."""
        self.scheduler.note("NO MORE FAULTS")
        self.nemesis.end()
        for client in self.clients:
            client.stop()
        self._converge()
        self._acquire_all()
        self._converge()
        if self._is_hopeless():
            self.history.unavailable.clear()  # what is broken has been said
            return
        self.history.standings = [self._standing(node) for node in self.nodes.values()]
        self._look_at_logs()

    def _converge(self) -> None:
        end = self.scheduler.now + self.profile.settle_s_max
        while self.scheduler.now < end and not self._is_hopeless():
            self.scheduler.run(self.scheduler.now + SETTLE_STEP_S, self._is_hopeless)
            if self._has_converged():
                return

    def _has_converged(self) -> bool:
        standings = [self._standing(node) for node in self.nodes.values()]
        return (
            len(self.leaders()) == 1
            and all(standing.up for standing in standings)
            and len({standing.applied for standing in standings}) == 1
            and not self._open
        )

    def _acquire_all(self) -> None:
        """Have a newcomer acquire every resource once: leases must end, releases must hold."""
        newcomer = Client(self, "newcomer", self.make_clock())
        newcomer.stop()
        end = self.scheduler.now + self.profile.timeouts_s[1] + ACQUIRE_S_MAX
        for resource in self.resources:
            request: Request | None = None
            while self.scheduler.now < end and not self._is_hopeless():
                if request is None or not request.is_open:
                    if request is not None and request.operation.result is Result.GRANTED:
                        break
                    node = self._rng.choice(list(self.nodes))
                    request = newcomer.ask(Kind.ACQUIRE, resource, node, None, 60_000)
                self.scheduler.run(self.scheduler.now + 0.1, self._is_hopeless)
            if request is None or request.operation.result is not Result.GRANTED:
                self.history.unavailable.append(resource)

    def _standing(self, node: SimNode) -> Standing:
        if node.process is None:
            return Standing(node.id, up=False, applied=0, digest="")
        index, digest = node.process.position()
        return Standing(node.id, up=True, applied=index, digest=digest)

    def _look_at_logs(self) -> None:
        for node in self.nodes.values():
            if node.process is not None:
                entries = node.process.log_entries()
                self.history.logs.append(LogSeen(self.scheduler.now, node.id, entries))
        self.scheduler.after(LOG_LOOK_S, self._look_at_logs)

    def _counts(self) -> dict[str, int]:
        counts = dict(self.nemesis.counts)
        counts["led"] = len(self.history.led)
        counts["loaded"] = len(self.history.loaded)
        counts["operations"] = len(self.history.operations)
        for operation in self.history.operations:
            key = f"{operation.kind} {operation.result}"
            counts[key] = counts.get(key, 0) + 1
        return counts

    # Nodes

    def leaders(self) -> list[SimNode]:
        """Return the nodes that think they lead."""
        return [
            node
            for node in self.nodes.values()
            if node.process is not None and node.process.is_leader()
        ]

    def sends(self, node: str, peer: str, message: dict[str, Any]) -> None:
        """Put a node's message on the network."""
        candidate = {"response_vote": peer, "request_vote": node}.get(message["type"])
        if candidate is not None:
            vote = Voted(self.scheduler.now, node, message["term"], candidate)
            self.history.votes.append(vote)
        self.network.send(node, peer, message)

    def counts(self, node: SimNode, peer: str, claim: Claim) -> None:
        """Compare what a leader counts as acknowledged to the log that it is about."""
        follower = self.nodes[peer]
        known = self._counted.get((node.id, peer))
        if known == claim or follower.is_beyond(claim.term):
            return
        self._counted[node.id, peer] = claim
        is_there = follower.holds(claim.index, claim.entry_term)
        self.history.counted.append(
            Counted(self.scheduler.now, node.id, peer, claim.term, claim.index, is_there)
        )

    def applies(self, node: SimNode, index: int, term: int) -> None:
        """Look who has an entry when it is applied for the first time."""
        if index <= self._applied_max:
            return
        self._applied_max = index
        self.history.commits.append(
            Committed(
                at=self.scheduler.now,
                node=node.id,
                index=index,
                term=term,
                holders=tuple(one.id for one in self.nodes.values() if one.holds(index, term)),
                members=len(self.nodes),
            )
        )

    def kill(self, node: SimNode, why: str, *, is_power_loss: bool = False) -> None:
        """End a node's process; with a power loss what the disk had not synced is lost, too."""
        node.kill(why)
        node.machine.disk.crash(is_power_loss=is_power_loss)
        self.network.lost(node.id)
        for request in self._open.values():
            if request.has_arrived and request.operation.node == node.id:
                delay_s = self._rng.uniform(0, 0.3)
                self.scheduler.after(
                    delay_s, request.client.answered, request, Answer(Result.UNKNOWN)
                )

    def died(self, node: SimNode, why: str, *, is_mishap: bool) -> None:
        """Take note that a process ended itself, or died at a disk operation."""
        if is_mishap:
            self.history.mishaps.append(f"{node.id} stopped at {self.scheduler.now:.3f}: {why}")
        self.kill(node, why, is_power_loss=node.machine.disk.dies_of_power_loss)
        self.nemesis.restart_later(node)

    # Clients

    def opened(self, request: Request) -> None:
        """A client waits for an answer from now on."""
        self._open[request.operation.number] = request

    def closed(self, request: Request) -> None:
        """It does no longer."""
        del self._open[request.operation.number]

    def new_operation(
        self, client: str, kind: Kind, resource: str, node: str, token: str | None
    ) -> Operation:
        """Record that a client asks something."""
        operation = Operation(
            number=len(self.history.operations),
            client=client,
            kind=kind,
            resource=resource,
            node=node,
            invoked_at=self.scheduler.now,
            token=token,
        )
        self.history.operations.append(operation)
        return operation

    def client_latency(self) -> float:
        """Return how long a message between a client and a node takes (seconds)."""
        return self._rng.uniform(0.0005, 0.004)

    def arrive(self, request: Request) -> None:
        """A request reaches its node; nobody listens at one that is down."""
        node = self.nodes[request.operation.node]
        if not node.is_up:
            self.reply(request, Answer(Result.DEFINITE))
            return
        request.has_arrived = True
        node.post(0.0, serve, node, request, self.reply)

    def reply(self, request: Request, answer: Answer) -> None:
        """Send an answer on its way to the client."""
        self.scheduler.after(self.client_latency(), request.client.answered, request, answer)
