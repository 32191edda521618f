"""One round: a load, a fault in it, its end, and the verdict."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from tests.support.chaos.availability import Minority, first_success, longest_gap
from tests.support.chaos.environment import Environment, NoLeaderError
from tests.support.chaos.judge import fencing_range, judge
from tests.support.chaos.machine import Business
from tests.support.chaos.nemesis import Nemesis
from tests.support.chaos.queue_judge import figures, grants, judge_queues
from tests.support.chaos.queueing import Queuers
from tests.support.chaos.workload import BALANCED, CALL_S_MAX, Workload
from tests.support.real_cluster import call, until_equal

SETTLED_S = 1.0
READY_S_MAX = 60.0
LONG_LOCKS = 6
LONG_S = 3_600
ASKED_S_MAX = 20.0


@dataclass
class Verdict:
    """What one round showed."""

    nemesis: str
    number: int
    proof: str | None = None
    faults: int = 0
    operations: int = 0
    took_s: float = 0.0
    judged_s: float = 0.0
    gap_s: float = 0.0
    gap_s_max: float | None = None
    first_s: float | None = None
    """From the fault (or its end, where it left no majority) to the first success."""
    first_s_max: float | None = None
    statuses: dict[str, int] = field(default_factory=dict)
    waited: int = 0
    """Grants that were queued for."""
    minority: dict[str, int] = field(default_factory=dict)
    """What nodes without a majority answered."""
    business: Business | None = None
    is_overloaded: bool = False
    """Whether others had more of the machine than lets the bounds be judged."""
    violations: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    """Bounds that were broken on a machine that was overloaded: nothing follows from that."""
    undecided: list[str] = field(default_factory=list)
    """What could not be decided: a fault that did not act, a search that did not end."""
    fencing: tuple[int, int] | None = None
    queue: dict[str, int] = field(default_factory=dict)
    """What those who queued did."""

    def judge_bounds(self) -> None:
        """Compare times with their bounds; they are promised where the fault acted."""
        if self.proof is None:
            return
        found = []
        if self.gap_s_max is not None and self.gap_s > self.gap_s_max:
            found.append(f"bound: no answer for {self.gap_s:.2f} s (bound {self.gap_s_max} s)")
        if self.first_s_max is not None and (self.first_s or 1e9) > self.first_s_max:
            told = "never" if self.first_s is None else f"after {self.first_s:.2f} s"
            found.append(f"bound: first success {told} (bound {self.first_s_max} s)")
        (self.late if self.is_overloaded else self.violations).extend(found)


class Round:
    """Runs one nemesis once."""

    def __init__(self, environment: Environment, nemesis: Nemesis, number: int, seed: str) -> None:
        """Prepare; ``balanced`` clients and those of each node are made here."""
        nodes = environment.nodes
        self.environment = environment
        self.nemesis = nemesis
        self.verdict = Verdict(nemesis.name, number)
        self._begun = 0.0
        places = {BALANCED: environment.balancer.url} | {n: nodes.url(n) for n in nodes.names}
        self.workload = Workload(places, prefix=f"round-{number}", seed=seed, balanced=16)
        self.queuers = Queuers(places, prefix=f"round-{number}", seed=seed, balanced=6)

    async def run(self) -> Verdict:
        """Run it to its end; the cluster is whole again afterwards, or that is the violation."""
        verdict, began = self.verdict, time.monotonic()
        measured = self.environment.machine.begin()
        locks = await asyncio.to_thread(self._long_locks)
        before = self._processes()
        async with self.queuers, self.workload:
            await asyncio.sleep(SETTLED_S)
            since = time.monotonic()
            await self._act()
            await self._until_ready()
            await asyncio.sleep(SETTLED_S)
            until = time.monotonic() - SETTLED_S / 2
        verdict.business = measured.business()
        verdict.is_overloaded = verdict.business.is_overload(self.nemesis.foreign_max)
        self._measure(since, until)
        self._look_at_minority()
        verdict.violations += await asyncio.to_thread(self._lost, locks)
        after = self._processes()
        restarted = [name for name in before if before[name] != after[name]]
        verdict.violations += await self.queuers.left_over(restarted)
        await self._until_equal()
        await asyncio.to_thread(self._judge)
        verdict.took_s = round(time.monotonic() - began, 1)
        return verdict

    def _processes(self) -> dict[str, int]:
        nodes = self.environment.nodes
        return {name: nodes.processes[name].pid for name in nodes.names}

    async def _act(self) -> None:
        """Let the fault come, prove itself, and go."""
        nemesis, verdict = self.nemesis, self.verdict
        try:
            await nemesis.start()
            self._begun = time.monotonic()
            await asyncio.sleep(nemesis.hold_s)
            verdict.proof = await nemesis.proof()
        except NoLeaderError as error:
            verdict.violations.append(f"bound: {error}, before or under the fault")
        except AssertionError as error:
            verdict.violations.append(f"not to be done: {error}")
        finally:
            nemesis.healed_at = time.monotonic()
            if nemesis.acted_at:
                await nemesis.heal()
        if verdict.proof is None:
            verdict.undecided.append("the fault did not act")
        verdict.faults = nemesis.faults if verdict.proof else 0

    async def _until_ready(self) -> None:
        try:
            await self.environment.nodes.until_ready(within_s=READY_S_MAX)
        except AssertionError as error:
            self.verdict.violations.append(f"not ready again: {error}")

    async def _until_equal(self) -> None:
        """With nobody asking, all nodes come to the same entry; their tables are the same then."""
        try:
            await until_equal(self.environment.nodes)
        except AssertionError as error:
            self.verdict.violations.append(f"tables differ: {error}")

    def _measure(self, since: float, until: float) -> None:
        verdict, nemesis, operations = self.verdict, self.nemesis, self.workload.operations
        start = nemesis.healed_at if nemesis.counts_from_heal else since
        acted_at = nemesis.healed_at if nemesis.counts_from_heal else nemesis.acted_at
        verdict.gap_s, verdict.gap_s_max = longest_gap(operations, start, until), nemesis.gap_s_max
        verdict.first_s = first_success(operations, acted_at)
        verdict.first_s_max = nemesis.first_s_max
        verdict.judge_bounds()

    def _look_at_minority(self) -> None:
        nemesis = self.nemesis
        if not nemesis.without_majority:
            return
        minority = Minority(
            nemesis.without_majority, self._begun, nemesis.healed_at, nemesis.is_cut_off
        )
        self.verdict.minority = minority.statuses(self.workload)
        self.verdict.violations += minority.violations(self.workload)
        if not self.verdict.minority and self.nemesis.hold_s > CALL_S_MAX / 2:
            self.verdict.undecided.append("nobody asked the minority")

    def _long_locks(self) -> list[dict[str, Any]]:
        """Locks that nobody touches in this round: they must outlive it."""
        body = {"owner": "long", "timeout": LONG_S}
        url, number = self.environment.balancer.url, self.verdict.number
        replies = [
            call(url, "POST", f"/api/v1/locks/long-{number}-{at}", body) for at in range(LONG_LOCKS)
        ]
        return [reply.body for reply in replies if reply.status == 200]

    def _lost(self, locks: list[dict[str, Any]]) -> list[str]:
        nodes = self.environment.nodes
        deadline = time.monotonic() + ASKED_S_MAX
        found = [
            f"lost: {lock['resource']}, acknowledged as {lock['id']}, says {name}: {told}"
            for lock in locks
            for name in nodes.names
            if (told := self._shown(name, lock, deadline)) != (200, lock["id"])
        ]
        for lock in locks:
            path = f"/api/v1/locks/{lock['resource']}/{lock['token']}"
            call(self.environment.balancer.url, "DELETE", path)
        return found

    def _shown(self, name: str, lock: dict[str, Any], deadline: float) -> tuple[int, int | None]:
        """Ask until there is an answer that says something."""
        path = f"/api/v1/locks/{lock['resource']}/{lock['token']}"
        while True:
            try:
                reply = call(self.environment.nodes.url(name), "GET", path)
            except OSError:
                reply = None
            if reply is not None and reply.status not in {503, 504}:
                return reply.status, reply.body.get("id")
            if time.monotonic() > deadline:
                return (0 if reply is None else reply.status), None
            time.sleep(0.05)

    def _judge(self) -> None:
        verdict, workload = self.verdict, self.workload
        verdict.operations = len(workload.operations)
        verdict.statuses, verdict.waited = workload.statuses, workload.waited
        began = time.monotonic()
        calls = self.queuers.calls
        queued = grants(calls)
        violations, undecided = judge(workload.operations, queued)
        violations += judge_queues(calls, self.nemesis.healed_at)
        verdict.judged_s = round(time.monotonic() - began, 1)
        verdict.queue = figures(calls)
        verdict.violations += [*violations, *workload.unexpected, *self.queuers.unexpected]
        verdict.undecided += undecided
        verdict.fencing = fencing_range([*workload.operations, *queued])
