"""One round: a load, a fault in it, its end, and the verdict."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from tests.support.chaos.environment import Environment
from tests.support.chaos.judge import fencing_range, judge
from tests.support.chaos.nemesis import Nemesis
from tests.support.chaos.workload import BALANCED, Workload
from tests.support.real_cluster import call

SETTLED_S = 1.0
READY_S_MAX = 60.0
LONG_LOCKS = 6
LONG_S = 3_600
CUT_S = 0.1
"""A fault is in force so long after its start, for what nodes without a majority may answer."""
ASKED_S_MAX = 10.0


@dataclass
class Verdict:
    """What one round showed."""

    nemesis: str
    number: int
    proof: str | None
    operations: int = 0
    took_s: float = 0.0
    judged_s: float = 0.0
    gap_s: float = 0.0
    gap_s_max: float | None = None
    statuses: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    undecided: list[str] = field(default_factory=list)
    """Histories whose search did not end in its bound."""
    fencing: tuple[int, int] | None = None

    @property
    def is_slow(self) -> bool:
        return self.gap_s_max is not None and self.gap_s > self.gap_s_max


class Round:
    """Runs one nemesis once."""

    def __init__(self, environment: Environment, nemesis: Nemesis, number: int, seed: str) -> None:
        """Prepare; ``balanced`` clients and those of each node are made here."""
        nodes = environment.nodes
        self.environment = environment
        self.nemesis = nemesis
        self.verdict = Verdict(nemesis.name, number, None, gap_s_max=nemesis.gap_s_max)
        places = {BALANCED: environment.balancer.url} | {n: nodes.url(n) for n in nodes.names}
        self.workload = Workload(places, prefix=f"round-{number}", seed=seed, balanced=16)

    async def run(self) -> Verdict:
        """Run it to its end; the cluster is whole again afterwards, or that is the violation."""
        verdict, nemesis = self.verdict, self.nemesis
        locks = await asyncio.to_thread(self._long_locks)
        async with self.workload:
            await asyncio.sleep(SETTLED_S)
            since = time.monotonic()
            try:
                await nemesis.start()
                begun = time.monotonic()
                await asyncio.sleep(nemesis.hold_s)
                verdict.proof = await nemesis.proof()
            finally:
                healed = time.monotonic()
                await nemesis.heal()
            await self._until_ready()
            await asyncio.sleep(SETTLED_S)
        self._look_at_minority(begun, healed)
        start = healed if nemesis.gap_from_heal else since
        verdict.gap_s = self.workload.longest_gap(start, time.monotonic() - SETTLED_S / 2)
        verdict.violations += await asyncio.to_thread(self._lost, locks)
        await asyncio.to_thread(self._judge)
        return verdict

    async def _until_ready(self) -> None:
        try:
            await self.environment.nodes.until_ready(within_s=READY_S_MAX)
        except AssertionError as error:
            self.verdict.violations.append(f"not ready again: {error}")

    def _look_at_minority(self, begun: float, healed: float) -> None:
        names = self.nemesis.without_majority
        told = self.workload.answered_at(names, begun + CUT_S, healed)
        self.verdict.violations += [f"answered without a majority: {one}" for one in told]

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
        found = [
            f"lost: {lock['resource']}, acknowledged as {lock['id']}, says {name}: {told}"
            for lock in locks
            for name in nodes.names
            if (told := self._shown(name, lock)) != (200, lock["id"])
        ]
        for lock in locks:
            path = f"/api/v1/locks/{lock['resource']}/{lock['token']}"
            call(self.environment.balancer.url, "DELETE", path)
        return found

    def _shown(self, name: str, lock: dict[str, Any]) -> tuple[int, int | None]:
        """Ask until there is an answer that says something."""
        path = f"/api/v1/locks/{lock['resource']}/{lock['token']}"
        deadline = time.monotonic() + ASKED_S_MAX
        while True:
            reply = call(self.environment.nodes.url(name), "GET", path)
            if reply.status != 503 or time.monotonic() > deadline:
                return reply.status, reply.body.get("id")

    def _judge(self) -> None:
        verdict, workload = self.verdict, self.workload
        verdict.operations = len(workload.operations)
        verdict.statuses = workload.statuses
        began = time.monotonic()
        violations, verdict.undecided = judge(workload.operations)
        verdict.judged_s = round(time.monotonic() - began, 1)
        verdict.violations += [*violations, *workload.unexpected]
        verdict.fencing = fencing_range(workload.operations)
