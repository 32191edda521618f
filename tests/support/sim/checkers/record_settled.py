"""Whoever the history shows as a holder holds, and it shows everybody who does, after a gap too.

After every transaction that leaves it settled, the holds without an end are those of the log at the
event that the history is at. Only where it was settled by what a node had applied beyond that, the
events up to there have to be written first.
"""

from collections.abc import Iterator

from tests.support.sim.canon import Canon
from tests.support.sim.history import History


def check(history: History) -> Iterator[str]:
    """Yield every hold that is shown and is none, and every one that is not shown."""
    if not history.recorded.writes:
        return
    canon, settled_at, number, held = Canon(history), 0, -1, frozenset[int]()
    for write in history.recorded.writes:
        if write.name == "settle" and write.is_changed:
            settled_at = max(settled_at, write.last_applied)
        if write.after.unsettled_ms is not None or write.after.number < settled_at:
            continue
        if write.after.number != number:
            number = write.after.number
            held = canon.held_at(number)
        if write.shown - held:
            yield f"at {number} shows as held {sorted(write.shown - held)}: {write}"
        if held - write.shown:
            yield f"at {number} does not show {sorted(held - write.shown)}: {write}"
