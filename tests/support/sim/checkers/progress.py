"""Some time after the last fault everything works again, on every node of the final roster."""

from collections.abc import Iterator

from tests.support.sim.history import History


def check(history: History) -> Iterator[str]:
    """Yield every node that is behind and every resource that nobody can acquire."""
    yield from history.leftovers
    for node in history.standings:
        if not node.up:
            yield f"{node.node} is not up at the end"
    positions = {node.node: node.applied for node in history.standings if node.up}
    if len(set(positions.values())) > 1:
        yield f"nodes have not converged: {positions}"
    rosters = {node.node: node.roster for node in history.standings if node.up}
    everybody = tuple(sorted(node.node for node in history.standings))
    if any(roster not in {(), everybody} for roster in rosters.values()):
        yield f"of {everybody}, not all count the same: {rosters}"
    for resource in history.unavailable:
        yield f"{resource} can't be acquired any more"
