"""The history that is left has every hold and wait of the log as it was, each event once.

Some time after the last fault it is complete. Row by row it is what the log says: when and to whom
a lock was granted, how often it was extended, until when, when and why it ended, and who waited in
vain. Only of what happened within a gap, which is told, it may know less; never anything else.
"""

from collections.abc import Iterator

from gorilla.domain.events import Acquired, Extended, Forced, LeftEvent, ReleasedEvent
from gorilla.service.history_records import EndedBy, HeldOnce
from tests.support.sim.canon import Canon, Ended, Missing, Story
from tests.support.sim.history import History
from tests.support.sim.recorded import Write


def check(history: History) -> Iterator[str]:
    """Yield every row that is not so, or not there."""
    recorded = history.recorded
    if not recorded.is_over:
        return
    canon, missing = Canon(history), Missing(history)
    if recorded.state is None or recorded.state.number != canon.last:
        yield f"is not complete, of {canon.last} events: {recorded.state}"
        return
    if recorded.state.unsettled_ms is not None:
        yield f"is not settled: {recorded.state}"
    counted = (recorded.state.hold_count, recorded.state.wait_count)
    if counted != (len(recorded.holds), len(recorded.waits)):
        yield f"counts {counted} of {len(recorded.holds)} holds and {len(recorded.waits)} waits"
    rows = {one.fencing_token: one for one in recorded.holds}
    yield from (f"has a hold that never was: {rows[one]}" for one in rows.keys() - canon.stories)
    for token, story in canon.stories.items():
        row = rows.get(token)
        found = _absent(story, missing) if row is None else _held(history, story, row, missing)
        if row is not None and all(missing.span_of(one.number) for one in story.events):
            yield from _seen(history, story)
        yield from (f"hold {token} {text}: {row} of {story.events}" for text in found)
        if row is not None and row.ended_by is EndedBy.UNKNOWN and story.end is not None:
            yield from _lost(canon, missing, story, row, _lost_by(history, token))
    yield from _waited(history, canon, missing)


def _absent(story: Story, missing: Missing) -> Iterator[str]:
    if story.end is None or any(missing.span_of(one.number) is None for one in story.events):
        yield "is not there"


def _held(history: History, story: Story, row: HeldOnce, missing: Missing) -> Iterator[str]:
    known = [one for one in story.events if missing.span_of(one.number) is None]
    if (row.resource, row.owner) != (story.grant.lock, story.grant.holder):
        yield "is of another lock or owner"
    yield from _granted(story, row, known)
    if row.extensions is None and not missing.touching(story) and not _is_blurred(history, story):
        yield "can't have been extended unseen"
    if row.extensions not in {None, len(story.extensions)}:
        yield f"was extended {len(story.extensions)} times"
    if (story.last_for in known or story.end is None) and row.until_ms != _until_ms(story):
        yield f"lasted until {_until_ms(story)} at most"
    yield from _ended(story, row, is_known=story.end in known)


def _seen(history: History, story: Story) -> Iterator[str]:
    """Object to a row of which the history has no event, and which nobody can have seen."""
    looks = [one.last_applied for one in history.recorded.writes if one.name == "settle"]
    if not any(map(story.is_held_at, looks)):
        yield f"is known of a hold that began and ended in gaps: {story}"


def _lost_by(history: History, token: int) -> tuple[Write, tuple[int, int]] | None:
    """Return what found out last that a hold had ended in a gap, and the last gap before that."""
    found, before, gap = None, frozenset[int](), (0, 0)
    for write in history.recorded.writes:
        if write.name == "skip" and write.is_changed:
            gap = write.span
        if token in before and token not in write.shown:
            found = write, gap
        before = write.shown
    return found


def _lost(
    canon: Canon,
    missing: Missing,
    story: Story,
    row: HeldOnce,
    lost_by: tuple[Write, tuple[int, int]] | None,
) -> Iterator[str]:
    """Compare the bounds of an end that nobody saw, if one clock gave all the times."""
    assert story.end is not None
    if lost_by is None or lost_by[0].name != "settle":
        yield f"is not known to have ended: {row}"
        return
    write, gap = lost_by
    since = min(missing.settled_before(story), missing.settled_before_span(gap))
    is_one_leader = canon.term(write.last_applied) == write.term
    if is_one_leader and canon.is_one_clock(since, write.last_applied):
        low_ms, high_ms = row.last_seen_ms or 0, row.ended_ms or 0
        if not low_ms <= story.end.wall_ms <= high_ms:
            yield f"ended at {story.end.wall_ms}, not between {low_ms} and {high_ms}: {row}"


def _is_blurred(history: History, story: Story) -> bool:
    """Whether it was held behind a gap while that was unsettled: some may have been missed."""
    for write in history.recorded.writes:
        before = write.before
        if before is not None and before.unsettled_ms is not None and write.is_changed:
            last = max(write.after.number, write.last_applied)
            if story.grant.number <= last and not (story.end and story.end.number <= before.number):
                return True
    return False


def _until_ms(story: Story) -> int | None:
    last = story.last_for
    return last.wall_ms + last.ttl_ms if last.ttl_ms else None


def _granted(
    story: Story, row: HeldOnce, known: list[Acquired | Extended | Ended]
) -> Iterator[str]:
    grant = story.grant
    got = (row.granted_ms, row.slots, row.session, row.waited_ms, row.reason)
    if row.is_grant_known:
        if got != (grant.wall_ms, grant.slots, grant.session, grant.waited_ms, grant.reason):
            yield "was granted otherwise"
    elif grant in known:
        yield "was granted, that is in no gap"
    else:
        held = [one.wall_ms - (0 if isinstance(one, Extended) else one.held_ms) for one in known]  # type: ignore[union-attr]  # the grant is not among them
        since_ms = min(held, default=None)
        if got != (since_ms, None, None, None, None):
            yield f"was held from {since_ms} on, as far as is known"


def _ended(story: Story, row: HeldOnce, *, is_known: bool) -> Iterator[str]:
    got = (row.ended_ms, row.ended_by, row.end_reason, row.forced_by, row.held_ms)
    if story.end is None:
        if got != (None,) * 5 or row.last_seen_ms is not None:
            yield "has not ended"
    elif is_known:
        if got != _end_of(story.end, row) or row.last_seen_ms is not None:
            yield "ended otherwise"
    elif row.ended_by is not EndedBy.UNKNOWN or got[2:] != (None,) * 3:
        yield "ended, nobody knows how"
    elif row.ended_ms is None or not row.granted_ms <= (row.last_seen_ms or 0) <= row.ended_ms:
        yield "was held last, and ended, at impossible times"


def _end_of(end: Ended, row: HeldOnce) -> tuple[int, EndedBy, str | None, str | None, int]:
    at_ms = max(end.wall_ms, row.granted_ms)
    is_release = isinstance(end, ReleasedEvent)
    if isinstance(end, Forced):
        return at_ms, EndedBy.FORCED, end.reason, end.by, end.held_ms
    if end.session:
        why = "its session was ended" if is_release else "its session ran out"
        return at_ms, EndedBy.SESSION, why, None, end.held_ms
    by = EndedBy.RELEASED if is_release else EndedBy.EXPIRED
    return at_ms, by, None, None, end.held_ms


def _waited(history: History, canon: Canon, missing: Missing) -> Iterator[str]:
    rows = {
        one.number: (one.resource, one.owner, one.ticket, one.began_ms, one.ended_ms, one.why)
        for one in history.recorded.waits
    }
    so = {
        number: (one.lock, one.holder, one.ticket, _began_ms(one), one.wall_ms, one.why)
        for number, one in canon.left.items()
        if missing.span_of(number) is None
    }
    for number in sorted(rows.keys() | so.keys()):
        if rows.get(number) != so.get(number):
            yield f"has {rows.get(number)} for the wait that ended so: {so.get(number)}"


def _began_ms(left: LeftEvent) -> int:
    return left.wall_ms - left.waited_ms
