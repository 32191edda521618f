"""The verdict on one round: what the answers prove, and how long nobody got one."""

from collections.abc import Iterator, Sequence

from tests.support.chaos.workload import CALL_S_MAX
from tests.support.sim.checkers import acknowledged, fencing, linearizable, overlap
from tests.support.sim.history import History, Kind, Operation, Result

CHECKERS = {
    "overlap": overlap.check,
    "acknowledged": acknowledged.check,
    "linearizable": linearizable.check,
}


def judge(
    operations: list[Operation], queued: Sequence[Operation] = ()
) -> tuple[list[str], list[str]]:
    """Check a history; returns (violations, what could not be decided).

    ``queued`` are the grants of those who queued: all numbers come from one row.
    """
    together = History(operations=[*operations, *queued])
    found = [f"fencing: {text}" for text in fencing.check(together)]
    by_resource: dict[str, list[Operation]] = {}
    for one in operations:
        by_resource.setdefault(one.resource, []).append(one)
    for own in by_resource.values():
        found += list(_of_one_resource(own))
    undecided = [text for text in found if ": undecided after " in text]
    return [text for text in found if text not in undecided], undecided


def _of_one_resource(operations: list[Operation]) -> Iterator[str]:
    for name, check in CHECKERS.items():
        looked_at = narrowed(operations) if name == "linearizable" else operations
        yield from (f"{name}: {text}" for text in check(History(operations=looked_at)))


def narrowed(operations: list[Operation]) -> list[Operation]:
    """Leave out or bound what has no answer, where that takes no explanation away.

    An owner asks for one lock once and, after an unknown outcome, nothing more. So an acquire whose
    owner nobody ever saw can be left out; one that was seen had happened by then. A renewal only
    ever makes a lease last longer, which the model allows anyway. A release after the lease's end
    is the same as its end.
    """
    seen: dict[str, float] = {}
    ends: dict[str, float] = {}
    for one in operations:
        if one.result is Result.HELD and one.holder is not None:
            seen[one.holder] = max(seen.get(one.holder, 0.0), one.returned_at)
        if one.result in {Result.GRANTED, Result.RENEWED}:
            ends[one.client] = max(ends.get(one.client, 0.0), one.certain_until)
    kept = []
    for one in operations:
        if one.result is Result.UNKNOWN:
            if one.kind is Kind.RELEASE:
                one.effect_by = ends.get(one.client, 0.0) + CALL_S_MAX
            elif one.kind is Kind.ACQUIRE and one.client in seen:
                one.effect_by = seen[one.client]
            else:
                continue
        kept.append(one)
    return kept


def fencing_range(operations: Sequence[Operation]) -> tuple[int, int] | None:
    """Smallest and largest number that a grant of this round was told."""
    numbers = [
        one.fencing
        for one in operations
        if one.kind is Kind.ACQUIRE and one.result is Result.GRANTED and one.fencing is not None
    ]
    return (min(numbers), max(numbers)) if numbers else None
