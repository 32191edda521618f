"""Nodes that have applied the same index have the same table."""

from collections.abc import Iterator

from tests.support.sim.history import History


def check(history: History) -> Iterator[str]:
    """Yield every index after which two nodes' tables differ."""
    first: dict[int, tuple[str, str]] = {}
    reported: dict[int, None] = {}
    points = [(event.index, event.node, event.digest) for event in history.applied]
    points += [(event.index, event.node, event.digest) for event in history.loaded]
    points += [(node.applied, node.node, node.digest) for node in history.standings if node.up]
    for index, node, digest in points:
        other, expected = first.setdefault(index, (node, digest))
        if digest != expected and index not in reported:
            reported[index] = None
            yield f"after index {index} {other} has {expected} and {node} has {digest}"
