"""Some time after the last fault everything works again, on every node."""

from collections.abc import Iterator

from tests.support.sim.history import History


def check(history: History) -> Iterator[str]:
    """Yield every node that is behind and every resource that nobody can acquire."""
    for node in history.standings:
        if not node.up:
            yield f"{node.node} is not up at the end"
    positions = {node.node: node.applied for node in history.standings if node.up}
    if len(set(positions.values())) > 1:
        yield f"nodes have not converged: {positions}"
    for resource in history.unavailable:
        yield f"{resource} can't be acquired any more"
