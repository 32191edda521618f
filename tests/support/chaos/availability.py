"""When somebody got an answer, who got none, and who answered though nobody may."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.support.chaos.workload import BALANCED, TOLD_NOTHING, Workload
from tests.support.sim.history import Operation

CUT_S = 0.1
"""A fault is in force so long after its start, for what nodes without a majority may answer."""
KNOWN_S = 3.0
"""A node that is cut off wholly knows by then, and takes nothing more that it can't do."""


def longest_gap(operations: Sequence[Operation], since: float, until: float) -> float:
    """Longest time in which nobody got an answer from the balancer that takes a majority."""
    answered = sorted(one.returned_at for one in _succeeded(operations))
    times = [since, *(at for at in answered if since < at < until), until]
    return max(two - one for one, two in itertools.pairwise(times))


def first_success(operations: Sequence[Operation], since: float) -> float | None:
    """How long after ``since`` the first request came back that was sent after it."""
    times = (one.returned_at for one in _succeeded(operations) if one.invoked_at > since)
    first = min(times, default=None)
    return None if first is None else first - since


def _succeeded(operations: Sequence[Operation]) -> Iterator[Operation]:
    for one in operations:
        if one.node == BALANCED and one.result not in TOLD_NOTHING:
            yield one


@dataclass(frozen=True)
class Minority:
    """Nodes without a majority, from when until when."""

    nodes: Sequence[str]
    since: float
    until: float
    is_cut_off: bool
    """Whether they neither hear nor reach the others."""

    def statuses(self, workload: Workload) -> dict[str, int]:
        """What they answered meanwhile, to what was asked meanwhile."""
        found: dict[str, int] = {}
        for one in self._asked(workload):
            status, ended_at = workload.ended[one.number]
            if ended_at < self.until:
                found[str(status)] = found.get(str(status), 0) + 1
        return found

    def violations(self, workload: Workload) -> Iterator[str]:
        """Yield each answer that takes a majority, and each request that was dropped."""
        for one in self._asked(workload):
            status, ended_at = workload.ended[one.number]
            if ended_at >= self.until:
                continue
            if one.result not in TOLD_NOTHING:
                yield f"answered without a majority: {one}"
            elif status not in {503, 504}:
                yield f"no answer (status {status}) instead of 503: {one}"
            elif status == 504 and self.is_cut_off and one.invoked_at > self.since + KNOWN_S:
                yield f"504 where nothing can have been under way: {one}"

    def _asked(self, workload: Workload) -> Iterator[Operation]:
        for one in workload.operations:
            if (
                one.node in self.nodes
                and self.since + CUT_S < one.invoked_at < self.until
                and one.number in workload.ended
            ):
                yield one
