"""One run: builds the cluster and its surroundings, lets it go, mends it, looks at the end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gorilla.consensus import library, offers, shipping
from gorilla.consensus.roster import RemovedError
from gorilla.domain.versions import FIRST_LEVEL, ClusterVersionError
from gorilla.service import proposals, replica
from gorilla.service.ports import Member
from tests.support.sim import checkers, churn, upgrades
from tests.support.sim.counter import Counter, nothing
from tests.support.sim.faults import Fault, Nemesis, plan
from tests.support.sim.history import (
    Kind,
    LogSeen,
    Result,
    Standing,
    Violation,
)
from tests.support.sim.inspecting import Inspector
from tests.support.sim.network import Network, Weather
from tests.support.sim.node import SimNode
from tests.support.sim.observed_table import ObservedTable
from tests.support.sim.operator import Operator
from tests.support.sim.parts import Machine, make_machines, make_member
from tests.support.sim.patching import replaced, without_collector
from tests.support.sim.profiles import Profile
from tests.support.sim.queueing import Queuer
from tests.support.sim.recording import Recording
from tests.support.sim.ruling import Ruler
from tests.support.sim.scheduler import RATE_PPM_MAX, NodeClock, Scheduler
from tests.support.sim.watching import Audience
from tests.support.sim.workload import Client, Request

WALL_MS = 1_700_000_000_000
LOG_LOOK_S = 0.5
SETTLE_STEP_S = 0.25
NEWCOMER_S_MAX = 2.5
"""How long whoever acquires everything at the end waits for an answer."""
WHOLE_S = 2.0
"""How long after the last fault everybody may take to notice that all is whole again."""
WAITS_S_MAX = 12.0
"""How long, at the end, a wait may stay that nobody is there for: by two bounds of the table, of
five seconds each, and two to spare."""
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


class World(Counter):
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
        super().__init__(Scheduler(seed, is_tracing=is_tracing))
        self.network = Network(self.scheduler, Weather(slow=profile.slow, slow_s=profile.slow_s))
        self.resources = [f"lock-{number}" for number in range(profile.resources)]
        self.recording = Recording(self)
        for machine in make_machines(self):
            self._add_node(machine)
        self.operators = [Operator(self), Operator(self)]
        """Two who don't know of each other: only the cluster keeps their changes apart."""
        self.sizes = list(churn.PATH)
        """How many members there are to be next, and then."""
        self.faults = plan(profile, seed) if faults is None else faults
        self.nemesis = Nemesis(self, self.faults)
        kind = Queuer if profile.calm_s else Client
        self.clients = [
            kind(self, f"owner-{number}", self.make_clock()) for number in range(profile.clients)
        ]
        self.rulers = [
            Ruler(self, f"ruler-{number}", self.make_clock()) for number in range(profile.rulers)
        ]
        self.inspectors = [
            Inspector(self, f"inspector-{number}") for number in range(profile.inspectors)
        ]
        self.audience = Audience(self)

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
            replaced(replica, LockTable=ObservedTable),
            upgrades.commands_of(is_upgraded=self.profile.is_upgraded),
            self.recording.hastened(),
            self.audience.gathered(),
            without_collector(),
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
        askers = (*self.clients, *self.rulers, *self.inspectors, *self.recording.historians)
        for one in (*askers, *self.audience.watchers):
            one.begin()
        self.scheduler.run(self.profile.duration_s, self._is_hopeless)
        if not self._is_hopeless():
            self._settle()

    def _is_hopeless(self) -> bool:
        return bool(self.history.mishaps)

    def _settle(self) -> None:
        """End the faults, then wait until all is well, for as long as that may take."""
        self.scheduler.note("NO MORE FAULTS")
        self.nemesis.end()
        if self.profile.calm_s:
            self._be_calm()
        for one in (*self.clients, *self.inspectors, *self.recording.historians):
            one.stop()
        self._converge()
        self._acquire_all()
        self.audience.catch_up()
        self._converge()
        self._end_waits()
        self.recording.finish()
        if self._is_hopeless():
            self.history.unavailable.clear()  # what is broken has been said
            return
        runs_on = sorted({one for one in self.removed() if one in self.nodes})
        self.history.leftovers += [f"{one} was removed and goes on" for one in runs_on]
        self.history.leftovers += [one.status for one in self.operators if one.is_busy]
        self.history.standings = [self._standing(node) for node in self.nodes.values()]
        self._look_at_logs()

    def _converge(self) -> None:
        end = self.scheduler.now + self.profile.settle_s_max
        while self.scheduler.now < end and not self._is_hopeless():
            self.scheduler.run(self.scheduler.now + SETTLE_STEP_S, self._is_hopeless)
            self._forget_astray()
            if self.has_converged():
                return

    def _forget_astray(self) -> None:
        for one in self.astray():
            self.happens("removed ones that can't be told")
            self.kill(self.nodes[one], "it knows nobody any more")
            self.retire(self.nodes[one], "astray")

    def has_converged(self) -> bool:
        """Return whether every node is up and has applied the same, and nobody waits."""
        applied = {self._standing(node).applied for node in self.nodes.values()}
        return self._is_whole() and len(applied) == 1 and not self._open

    def _is_whole(self) -> bool:
        return (
            len(self.leaders()) == 1
            and all(node.is_up for node in self.nodes.values())
            and not any(operator.is_busy for operator in self.operators)
            and not any(one in self.nodes for one in self.removed())
        )

    def _be_calm(self) -> None:
        """Let the clients go on for a while when all is whole again and no policy is left."""
        for ruler in self.rulers:
            ruler.rest()
        end = self.scheduler.now + self.profile.settle_s_max
        while self.scheduler.now < end and not self._is_whole():
            self.scheduler.run(self.scheduler.now + SETTLE_STEP_S, self._is_hopeless)
        self.scheduler.run(self.scheduler.now + WHOLE_S, self._is_hopeless)
        self._drop_policies()
        self.history.calm_from = self.scheduler.now
        self.recording.hang(self.profile.calm_s)
        self.scheduler.run(self.scheduler.now + self.profile.calm_s, self._is_hopeless)

    def _drop_policies(self) -> None:
        for ruler in self.rulers:
            ruler.drop_all()
        end = self.scheduler.now + self.profile.settle_s_max
        while self.scheduler.now < end and not self._is_hopeless():
            if all(ruler.has_dropped_all for ruler in self.rulers):
                break
            self.scheduler.run(self.scheduler.now + SETTLE_STEP_S, self._is_hopeless)
        for ruler in self.rulers:
            ruler.stop()
        self.history.leftovers += [
            f"{ruler.name} can't drop every policy"
            for ruler in self.rulers
            if not ruler.has_dropped_all
        ]

    def _end_waits(self) -> None:
        """Give whoever still waits, for nobody, the time after which the table lets it go."""
        end = self.scheduler.now + WAITS_S_MAX
        while self.scheduler.now < end and self._waiting() and not self._is_hopeless():
            self.scheduler.run(self.scheduler.now + SETTLE_STEP_S, self._is_hopeless)
        self.history.leftovers += self._waiting()
        self.history.leftovers += [
            f"{one.id}: still ruled by {policy}"
            for one in self.nodes.values()
            if one.process
            for policy in one.process.replica.table.policies
        ]

    def _waiting(self) -> list[str]:
        processes = [(one.id, one.process) for one in self.nodes.values() if one.process]
        return [
            f"{node}: {waiter.holder} still waits for {', '.join(waiter.locks)}"
            for node, process in processes
            for waiter in process.replica.table.waiters.copy_waiters()
        ]

    def _acquire_all(self) -> None:
        """Have a newcomer acquire every resource once: leases must end, releases must hold."""
        newcomer = Client(self, "newcomer", self.make_clock())
        newcomer.stop()
        newcomer.patience_s = NEWCOMER_S_MAX
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
        voters = node.process.voters()
        return Standing(node.id, up=True, applied=index, digest=digest, roster=voters)

    def _look_at_logs(self) -> None:
        for node in self.nodes.values():
            if node.process is not None:
                entries = node.process.log_entries()
                self.history.logs.append(LogSeen(self.scheduler.now, node.id, entries))
        self.audience.look()
        self.scheduler.after(LOG_LOOK_S, self._look_at_logs)

    def _counts(self) -> dict[str, int]:
        everybody = (*self.nodes.values(), *self.retired)
        for node in everybody:
            for kind, number in (node.machine.disk.failed | node.machine.disk.files.lost).items():
                self.happens(f"disk: {kind}", number)
        faults = {f"fault: {kind}": number for kind, number in self.nemesis.counts.items()}
        counts = faults | self.happened
        counts |= {f"network: {kind}": number for kind, number in self.network.counts.items()}
        counts["leaderships"] = len(self.history.led)
        loaded_in = {(one.node, one.life) for one in self.history.loaded}
        counts["restarts"] = sum(max(0, node.life - 1) for node in everybody)
        counts["snapshots installed"] = len(self.history.loaded) - len(loaded_in)
        counts["roster changes"] = len({change.index for change in self.history.changes})
        counts["entries applied"] = len(self.applied)
        counts["operations"] = len(self.history.operations) + len(self.history.asks)
        for ask in self.history.asks:
            key = f"ask: {ask.kind} {ask.result}"
            counts[key] = counts.get(key, 0) + 1
        for operation in self.history.operations:
            key = f"operation: {operation.kind} {operation.result}"
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
        self.says(node, peer, message)
        self.network.send(node, peer, message)

    def level_of(self, peer: str) -> int:
        """Return the feature level of the process on a node."""
        process = self.nodes[peer].process
        return FIRST_LEVEL if process is None else process.level

    def name_of(self, peer: str) -> str:
        """Return what a node is called, and found by."""
        return self.nodes[peer].machine.member.name

    def _add_node(self, machine: Machine) -> SimNode:
        node = SimNode(self, machine)
        self.nodes[node.id] = node
        self.network.join(node)
        return node

    def make_member(self, like: Member | None) -> Member:
        """Return a new member with an empty disk, in nobody's place or in that of ``like``."""
        number = len(self.nodes) + len(self.retired)
        member = make_member(self.seed, number, like)
        self._add_node(Machine(self, number, member, ()))
        return member

    def invite(self, member: Member, members: Sequence[Member]) -> None:
        """Let an empty node join the cluster of ``members``, unless it does already."""
        self.scheduler.after(self._rng.uniform(0.0, 0.1), self._invited, member, tuple(members))

    def _invited(self, member: Member, members: Sequence[Member]) -> None:
        node = self.nodes.get(member.id)
        if node is not None and node.machine.is_waiting:
            machine = node.machine
            machine.is_waiting, machine.joining, machine.members = False, member, members
            node.start()

    def retire(self, node: SimNode, why: str) -> None:
        """Take a node away for good, with its disk."""
        self.scheduler.note("RETIRED", node.id, why)
        del self.nodes[node.id]
        self.retired.append(node)
        self.network.leave(node.id)

    def kill(self, node: SimNode, why: str, *, is_power_loss: bool = False) -> None:
        """End a node's process; with a power loss what the disk had not synced is lost, too."""
        node.kill(why)
        node.machine.disk.crash(is_power_loss=is_power_loss)
        self.network.lost(node.id)
        for request in self._open.values():
            if request.has_arrived and request.operation.node == node.id:
                delay_s = self._rng.uniform(0, 0.3)
                answer = nothing(request, Result.UNKNOWN)
                self.scheduler.after(delay_s, request.client.answered, request, answer)

    def died(self, node: SimNode, why: str, error: Exception | None) -> None:
        """Take note that a process ended itself, or died at a disk operation."""
        is_removed = isinstance(error, RemovedError) and node.id in self.removed()
        is_too_old = isinstance(error, ClusterVersionError) and node.machine.was_upgraded
        if not (error is None or is_removed or is_too_old or node.machine.disk.is_faulty):
            self.history.mishaps.append(f"{node.id} stopped at {self.scheduler.now:.3f}: {why}")
        is_power_loss = error is None and node.machine.disk.dies_of_power_loss
        self.happens(_ending(error, is_power_loss=is_power_loss))
        self.kill(node, why, is_power_loss=is_power_loss)
        if is_removed:
            self.retire(node, "removed")
        elif node.id in self.nodes:
            if is_too_old:
                node.machine.level = upgrades.NEW_LEVEL
            self.nemesis.restart_later(node)


def _ending(error: Exception | None, *, is_power_loss: bool) -> str:
    """Say how a process ended by itself, for the counts."""
    if error is not None:
        return f"stopped itself: {type(error).__name__}"
    return "power lost at a disk operation" if is_power_loss else "killed at a disk operation"
