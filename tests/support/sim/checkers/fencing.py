"""Fencing numbers rise with every new grant, cluster-wide and in real-time order, and never twice.

Of two grants with different numbers, one answered before the other was asked for, the later has
the greater number. One number belongs to one owner and one resource for ever.
"""

from collections.abc import Iterator

from tests.support.sim.history import History, Kind, Operation, Result


def check(history: History) -> Iterator[str]:
    """Yield numbers given twice, and numbers that don't rise."""
    acquires = [one for one in history.operations if one.kind is Kind.ACQUIRE]
    grants = sorted(
        (one for one in acquires if one.result is Result.GRANTED), key=lambda one: one.returned_at
    )
    yield from _given_twice(grants)
    yield from _not_rising(grants, acquires)


def _given_twice(grants: list[Operation]) -> Iterator[str]:
    given: dict[int, Operation] = {}
    for grant in grants:
        if grant.fencing is None or grant.fencing <= 0:
            yield f"a grant without a number: {grant}"
            continue
        first = given.setdefault(grant.fencing, grant)
        if (first.client, first.resource) != (grant.client, grant.resource):
            yield f"one number, two grants: {first} and {grant}"


def _not_rising(grants: list[Operation], acquires: list[Operation]) -> Iterator[str]:
    """Compare each first answer with a number to all that were answered before it was asked."""
    firsts: dict[int, Operation] = {}
    for grant in grants:
        firsts.setdefault(grant.fencing or 0, grant)
    for number, grant in firsts.items():
        asked_at = _asked_at(grant, acquires)
        before = [one for one in grants if one.returned_at < asked_at]
        largest = max(before, key=lambda one: one.fencing or 0, default=None)
        if largest is not None and number < (largest.fencing or 0):
            yield f"number does not rise: {grant} after {largest}"


def _asked_at(grant: Operation, acquires: list[Operation]) -> float:
    """An owner whose first answer was lost is told later which number it had got then."""
    return min(
        one.invoked_at
        for one in acquires
        if one is grant
        or (
            one.result is Result.UNKNOWN
            and (one.client, one.resource) == (grant.client, grant.resource)
        )
    )
