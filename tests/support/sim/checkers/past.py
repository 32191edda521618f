"""What a node tells of the past is so, up to where it says that it is complete.

Who held a lock at an instant, and who waited in vain, is what the log says up to the event that the
answer is of, where no gap is told for that instant. The answer is of an event that the node may
know of, it counts what it lacks, and nothing that happened before ``completeUpTo`` is missing.
"""

from collections.abc import Iterator

from gorilla.service.history_reading import Told
from gorilla.service.history_records import EndedBy, HeldOnce, Kind, Question
from tests.support.sim.canon import Canon, Missing, Story
from tests.support.sim.history import History
from tests.support.sim.recorded import Reading


def check(history: History) -> Iterator[str]:
    """Yield every answer that is not so."""
    if not history.recorded.readings:
        return
    canon, settled, missing = Canon(history), _settled(history), Missing(history)
    for reading in history.recorded.readings:
        if reading.told is not None:
            found = _judged(canon, missing, settled, reading)
            yield from (f"{text}: {reading}: {reading.told}" for text in found)


def _settled(history: History) -> dict[int, int]:
    """Return, for places that the history stood at, up to which event it was settled by then."""
    settled, most = dict[int, int](), 0
    for write in history.recorded.writes:
        if write.name == "settle" and write.is_changed:
            most = max(most, write.last_applied)
        settled[write.after.number] = most
    return settled


def _judged(
    canon: Canon, missing: Missing, settled: dict[int, int], reading: Reading
) -> Iterator[str]:
    told = reading.told
    assert told is not None
    state, complete, asked = told.found.state, told.complete, reading.question
    if state is None or complete is None:
        if told.found.entries or (state is None) is not (complete is None):
            yield "tells something of nothing"
        return
    if (complete.number, complete.behind) != (state.number, max(0, reading.number - state.number)):
        yield f"is at {state.number} at a node that was at {reading.number}"
    yield from _too_early(canon, reading, told)
    at_ms = asked.at_ms
    assert at_ms is not None
    is_before = state.began_ms is not None and at_ms <= state.began_ms
    is_whole = state.unsettled_ms is None and state.number >= settled.get(state.number, 0)
    if is_before or told.found.gaps or not is_whole or at_ms >= complete.at_ms:
        return
    shown = {one.place()[1] for one in told.found.entries}
    so = set(_so(canon, asked, state.number))
    last = settled.get(state.number, state.number)
    unclear = _unclear(canon, missing, asked.kind, last)
    unclear |= {one.place()[1] for one in told.found.entries if _is_uncertain(one)}
    so, shown = so - unclear, shown - unclear
    if shown != so:
        yield f"tells {sorted(shown)} of {sorted(so)}"


def _unclear(canon: Canon, missing: Missing, kind: Kind, settled: int) -> set[int]:
    """Return what gaps are about, where two clocks do not agree when those were."""
    if kind is Kind.WAIT:
        # It has a row of its end, so a gap there hides it also from times before the gap.
        return {number for number in canon.left if missing.span_of(number)}
    return {
        token
        for token, story in canon.stories.items()
        if missing.touching(story)
        and not canon.is_one_clock(missing.settled_before(story), settled)
    }


def _is_uncertain(entry: object) -> bool:
    """Whether an entry itself says that nobody knows when it ended."""
    return isinstance(entry, HeldOnce) and entry.ended_by is EndedBy.UNKNOWN


def _too_early(canon: Canon, reading: Reading, told: Told) -> Iterator[str]:
    """Compare how far it says that it is with the next event, if one leader's clock gave both."""
    assert told.complete is not None
    assert told.found.state is not None
    number = told.complete.number
    following = next(canon.after(number), None)
    term = reading.term if reading.number == number else canon.term(number)
    is_clear = reading.number == number or canon.is_at(number, told.found.state.at_ms)
    is_one_clock = is_clear and following is not None and canon.term(number + 1) == term
    if following is not None and is_one_clock and following.wall_ms < told.complete.at_ms:
        yield f"is not complete until {told.complete.at_ms}: {following}"


def _so(canon: Canon, asked: Question, number: int) -> Iterator[int]:
    """Yield the fencing tokens of the holds, or the numbers of the waits, that are asked for."""
    if asked.kind is Kind.HOLD:
        yield from (t for t, story in canon.stories.items() if _was_held(story, asked, number))
        return
    at_ms = asked.at_ms or 0
    for left in canon.left.values():
        began_ms = left.wall_ms - left.waited_ms
        is_it = left.lock == asked.resource and left.number <= number
        if is_it and began_ms <= at_ms < left.wall_ms:
            yield left.number


def _was_held(story: Story, asked: Question, number: int) -> bool:
    grant, end, at_ms = story.grant, story.end, asked.at_ms or 0
    if grant.lock != asked.resource or grant.number > number or grant.wall_ms > at_ms:
        return False
    return end is None or end.number > number or max(end.wall_ms, grant.wall_ms) > at_ms
