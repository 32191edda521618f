"""The roster changes in the same way on every node, and who was removed never counts again."""

from collections.abc import Iterator

from tests.support.sim.history import Changed, History


def check(history: History) -> Iterator[str]:
    """Yield changes that differ between nodes, and members that come back from their removal."""
    first: dict[int, Changed] = {}
    for change in history.changes:
        known = first.setdefault(change.index, change)
        one, two = ((c.kind, c.member, c.address) for c in (known, change))
        if one != two:
            yield f"index {change.index}: {known.node} applies {one}, {change.node} {two}"
    removed: dict[str, int] = {}
    for index, change in sorted(first.items()):
        if change.kind == "rem":
            removed[change.member] = index
        elif change.member in removed:
            yield (
                f"{change.member} was removed at {removed[change.member]} and counts again"
                f" from {index} on ({change.kind})"
            )
