"""Each event is written once, in order, by who leads; a gap is of what its writer had forgotten.

Of every transaction, when it was committed: the place in the log that the history is at never goes
back, and what is added or skipped begins right behind it. Once a leader has written, none of an
earlier term changes anything. Behind a gap events come first, before they are forgotten, too, and
then the look through the holds. Together, what was added and what was skipped is every event once.
"""

from collections.abc import Iterator

from tests.support.sim.history import History
from tests.support.sim.recorded import Write


def check(history: History) -> Iterator[str]:
    """Yield every transaction that ought to have done nothing, or something else."""
    recorded = history.recorded
    skipping: set[tuple[str, int]] = set()
    for write in recorded.writes:
        yield from (f"at {write.at:.3f} {text}: {write}" for text in _written(write))
        yield from _in_order(write, skipping)
    if not recorded.is_over or recorded.state is None:
        return
    wanted = recorded.state.began_number
    moved = [one for one in recorded.writes if one.is_changed and one.span != (0, 0)]
    for write in moved:
        if write.span[0] != wanted:
            yield f"events {wanted} to {write.span[0]} are lost or there twice: {write}"
        wanted = write.span[1] + 1
    if wanted != recorded.state.number + 1:
        yield f"was written up to {wanted - 1} and says {recorded.state.number}"
    skipped = [one.span for one in moved if one.name == "skip"]
    if skipped != [(gap.first_number, gap.last_number) for gap in recorded.gaps]:
        yield f"{skipped} were skipped, told is {recorded.gaps}"


def _in_order(write: Write, skipping: set[tuple[str, int]]) -> Iterator[str]:
    """Object to a writer that skips, and does not write first what would be forgotten next."""
    writer = (write.node, write.term)
    if write.name == "settle" and write.is_changed and writer in skipping:
        yield f"at {write.at:.3f} looked through holds right behind a gap: {write}"
    if write.name == "skip" and write.is_changed:
        skipping.add(writer)
    elif write.name != "prune":
        skipping.discard(writer)


def _written(write: Write) -> Iterator[str]:
    before, after = write.before, write.after
    if before is None:
        return
    if after.number < before.number or after.term < before.term:
        yield "went back"
    if write.term < before.term and write.is_changed:
        yield f"changed what a leader of term {before.term} had written"
    if write.span == (0, 0):
        if after.number != before.number:
            yield "moved on without events"
    elif write.is_changed and (write.span[0], after.number) != (before.number + 1, write.span[1]):
        yield "was not written where the history is"
    if write.name == "skip" and write.is_changed and write.span[1] >= write.first_kept:
        yield f"is told to be lost, and was there from {write.first_kept} on"
