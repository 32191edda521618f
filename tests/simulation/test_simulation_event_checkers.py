"""The checkers of events find what is wrong in small logs and streams, and nothing else."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gorilla.api.answers import encode_json
from gorilla.api.event_frames import TYPES, EventFilter, event_body
from gorilla.domain.commands import Claim, Renew
from gorilla.domain.events import Expired, Extended, MembersChanged, ReleasedEvent
from gorilla.domain.outcomes import Done, Released, Renewed
from tests.support.sim.checkers import event_effects, event_logs, event_readers, event_streams
from tests.support.sim.checkers.event_readers import SILENCE_S_MAX
from tests.support.sim.happened import Happened
from tests.support.sim.history import Asked, History, Loaded, Result, Step, Wish
from tests.support.sim.telling import objections
from tests.support.sim.telling_queues import Log, acquire, lease_of
from tests.support.sim.watch_history import Line, LogKept, Readiness, Watch

ANN, BOB = acquire("ann"), acquire("bob", "s")
LATE = 9.0
"""When everything of the small logs has happened."""


def four_events() -> Log:
    """Return a log of four entries, an event each: both are granted, and let go."""
    log = Log()
    log.grant(ANN, 1)
    log.grant(BOB, 2)
    log.release(ANN, 1)
    log.release(BOB, 2)
    return log


# What there is of what happened


def test_what_commands_did_has_its_events():
    assert not objections(event_effects.check, four_events().history)


def renewed(log: Log, *numbers: int) -> None:
    """Extend the lease of ann; of which tokens the log says so is given."""
    events = [Extended(*log.fields("r", "ann"), number, 1_000) for number in numbers]
    log.do(Renew("r", "s-ann", "t", 1_000), Renewed(lease_of(ANN, "r", 1), 1_000), *events)


@pytest.mark.parametrize(("numbers", "is_found"), [((1,), False), ((), True), ((2,), True)])
def test_an_extension_without_its_own_event_is_found(numbers, is_found: bool):
    log = Log()
    log.grant(ANN, 1)
    log.grant(BOB, 2)
    renewed(log, *numbers)

    assert bool(objections(event_effects.check, log.history)) is is_found


def test_an_end_that_is_told_twice_is_found():
    log = four_events()
    log.do(Claim(1, "s"), Released(1), ReleasedEvent(*log.fields("r", "ann"), 1))

    assert "before" in objections(event_effects.check, log.history)[0]


def test_an_event_of_somebody_elses_token_is_found():
    log = Log()
    log.grant(ANN, 1)
    log.do(Claim(1, "s"), Released(1), ReleasedEvent(*log.fields("r", "bob"), 1))

    assert objections(event_effects.check, log.history)


@pytest.mark.parametrize(("kind", "is_found"), [(Expired, False), (ReleasedEvent, True)])
def test_time_alone_lets_leases_run_out_and_does_nothing_else(kind, is_found: bool):
    log = Log()
    log.grant(ANN, 1)
    log.entry(Step(None, "", None, (kind(*log.fields("r", "ann"), 1),)))

    assert bool(objections(event_effects.check, log.history)) is is_found


def test_a_number_that_is_left_out_is_found():
    log = Log()
    log.number = 1
    log.grant(ANN, 1)

    assert "numbered 2" in objections(event_effects.check, log.history)[0]


@pytest.mark.parametrize(
    ("client", "number", "returned_at", "is_found"),
    [("ann", 1, 1.0, False), ("ann", 7, 1.0, True), ("cay", 1, 1.0, True), ("ann", 1, 0.0, True)],
)
def test_a_grant_that_somebody_was_told_of_has_its_event_by_then(
    client: str, number: int, returned_at: float, is_found: bool
):
    log = four_events()
    log.told(client, Result.GRANTED, fencing=(number,), tokens=("t",), returned_at=returned_at)

    assert bool(objections(event_effects.check, log.history)) is is_found


@pytest.mark.parametrize("is_released", [True, False])
def test_a_release_that_somebody_was_told_of_has_its_event(is_released: bool):
    log = Log()
    log.grant(ANN, 1)
    log.told("ann", Result.GRANTED, fencing=(1,), tokens=("t",))
    ask = log.told("ann", Result.RELEASED)
    ask.wish = Wish(Asked.RELEASE, ("r",), token="t")
    if is_released:
        log.release(ANN, 1)

    assert bool(objections(event_effects.check, log.history)) is not is_released


# What nodes keep


def kept(log: Log, first: int, last: int, **more: Any) -> History:
    """Note what the event log of a node holds of the log, and return the history."""
    history = log.history
    events = Happened(history).events[first - 1 : last]
    values = {"index": last, "kept_max": 100, "events": tuple(events)} | more
    history.watching.remembered_max = 2
    seen = LogKept(at=LATE, node="n0", life=1, first=first, last=last, **values)
    history.watching.logs.append(seen)
    return history


def test_a_log_that_holds_what_happened_is_fine():
    assert not objections(event_logs.check, kept(four_events(), 1, 4))


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (2, {}),
        (1, {"index": 3}),
        (1, {"events": ()}),
        (3, {"kept_max": 3}),
        (2, {"first": 0}),
    ],
)
def test_a_log_that_lacks_something_is_found(first: int, more: dict[str, Any]):
    history = kept(four_events(), first, 4)
    history.watching.logs[0] = _changed(history.watching.logs[0], more)

    assert objections(event_logs.check, history)


def _changed(log: LogKept, more: dict[str, Any]) -> LogKept:
    values = {name: getattr(log, name) for name in LogKept.__slots__}
    return LogKept(**(values | more))


def test_a_log_reaches_back_as_far_as_it_is_long():
    assert not objections(event_logs.check, kept(four_events(), 3, 4, kept_max=2))


@pytest.mark.parametrize(("first", "is_found"), [(2, False), (3, True)])
def test_behind_a_snapshot_a_log_has_what_the_state_remembers(first: int, is_found: bool):
    history = kept(four_events(), first, 4)
    history.loaded.append(Loaded(0.5, "n0", 1, 3, ""))

    assert bool(objections(event_logs.check, history)) is is_found


@pytest.mark.parametrize("wrong", [{"number": 7}, {"fencing_token": 7}, {"holder": "cay"}])
def test_an_event_that_a_node_has_otherwise_is_found(wrong: dict[str, Any]):
    history = kept(four_events(), 1, 4)
    log = history.watching.logs[0]
    events = (*log.events[:2], replace(log.events[2], **wrong), log.events[3])
    history.watching.logs[0] = _changed(log, {"events": events})

    assert objections(event_logs.check, history)


# What readers are told


def line(history: History, number: int, at: float = LATE) -> Line:
    event = Happened(history).event(number)
    assert event is not None
    body = msgspec.json.decode(encode_json(event_body(event)))
    return Line(at, TYPES[type(event)], number, body)


def position(number: int) -> Line:
    return Line(LATE, "position", number, {"number": number})


def gap(first: int, last: int, reason: str = "history") -> Line:
    number = last if reason == "history" else first - 1
    return Line(LATE, "gap", number, {"from": first, "to": last, "reason": reason})


def stream(
    log: Log,
    after: int | None,
    *told: Line | int,
    first: int = 1,
    wanted: EventFilter | None = None,
) -> list[str]:
    """Return what is objected to a stream that tells this of what happened."""
    history = log.history
    node = LogKept(at=LATE, node="n0", life=1, index=4, first=first, last=4, kept_max=100)
    watch = Watch(
        watcher="eve",
        number=1,
        node="n0",
        wanted=wanted or EventFilter(),
        after=after,
        asked_at=LATE,
        asked=node,
        opened=node,
    )
    watch.lines = [line(history, one) if isinstance(one, int) else one for one in told]
    history.watching.watches.append(watch)
    return objections(event_streams.check, history)


def test_a_stream_goes_on_after_what_was_asked_for():
    assert not stream(four_events(), 1, position(1), 2, 3, position(3), 4)
    assert not stream(four_events(), None, position(4))
    assert not stream(four_events(), None)


@pytest.mark.parametrize(
    "told",
    [
        (position(1), 2, 4),
        (position(1), 2, 2),
        (position(1), 3, 2),
        (position(1), position(2)),
        (position(1), 2, gap(3, 3), 4),
        (position(2), 3, 4),
        (position(4),),
        (2, 3),
        (gap(2, 2), 3, 4),
    ],
)
def test_a_stream_that_leaves_out_or_repeats_something_is_found(told):
    assert stream(four_events(), 1, *told)


def test_a_gap_of_what_is_gone_is_fine():
    assert not stream(four_events(), 1, gap(2, 3), 4, first=4)


@pytest.mark.parametrize("told", [gap(1, 3), gap(2, 2), gap(3, 3), gap(2, 4), position(3)])
def test_a_gap_that_is_told_otherwise_is_found(told: Line):
    assert stream(four_events(), 1, told, first=4)


@pytest.mark.parametrize(
    ("after", "told", "is_found"),
    [
        (9, gap(5, 9, "unknown_id"), False),
        (4, gap(4, 4, "unknown_id"), True),
        (3, gap(3, 3, "unknown_id"), True),
        (9, gap(5, 8, "unknown_id"), True),
        (9, gap(4, 9, "unknown_id"), True),
        (9, position(4), True),
    ],
)
def test_only_a_number_that_was_never_given_is_unknown(after: int, told: Line, is_found: bool):
    assert bool(stream(four_events(), after, told)) is is_found


@pytest.mark.parametrize(
    "wrong", [{"fencingToken": 7}, {"resource": "t"}, {"owner": "cay"}, {"number": 3}]
)
def test_an_event_that_is_told_otherwise_than_it_happened_is_found(wrong: dict[str, Any]):
    log = four_events()
    told = line(log.history, 2)
    told.body.update(wrong)

    assert stream(log, 1, position(1), told)


def test_what_is_told_before_it_has_happened_is_found():
    log = four_events()

    assert stream(log, 1, position(1), line(log.history, 2, at=0.0015))


@pytest.mark.parametrize(
    ("wanted", "told", "is_found"),
    [
        (EventFilter(owner="bob"), (2, 4), False),
        (EventFilter(owner="bob"), (4,), True),
        (EventFilter(owner="bob"), (2, 3, 4), True),
        (EventFilter(prefix="r"), (1, 3, position(4)), False),
        (EventFilter(prefix="r"), (1, position(4)), True),
        (EventFilter(types=frozenset({"released"})), (3, 4), False),
        (EventFilter(types=frozenset({"released"})), (4,), True),
    ],
)
def test_a_reader_is_told_of_what_it_wants_and_of_nothing_else(wanted, told, is_found: bool):
    assert bool(stream(four_events(), 0, position(0), *told, wanted=wanted)) is is_found


@pytest.mark.parametrize(("owner", "is_found"), [("", True), ("ann", False)])
def test_who_wants_one_owners_events_is_not_told_of_members(owner: str, is_found: bool):
    log = four_events()
    log.number += 1
    log.do(Claim(1, "s"), Done(), MembersChanged(log.number, 0, 0, ("n0",)))
    told = (position(3), 4) if not owner else (position(3),)

    found = stream(log, 3, *told, position(5), wanted=EventFilter(owner=owner))

    assert bool(found) is is_found


# Who is left in silence


def test_who_is_behind_in_the_end_is_found():
    history = History()
    history.watching.late.append("eve has had 3 of 4")

    assert objections(event_readers.check, history) == ["eve has had 3 of 4"]


@pytest.mark.parametrize(
    ("looks", "ended_at", "is_found"),
    [
        ((False, False, False), LATE, True),
        ((False, True, False), LATE, False),
        ((False, False, False), 1.0, False),
        ((True, True, True), LATE, False),
    ],
)
def test_a_stream_that_a_node_keeps_while_it_is_cut_off_is_found(looks, ended_at, is_found: bool):
    history = History()
    for number, is_ready in enumerate(looks):
        at = number * SILENCE_S_MAX * 0.6
        history.watching.looks.append(Readiness(at, "n0", 1, is_ready))
    opened = LogKept(at=0.0, node="n0", life=1, index=0, first=1, last=0, kept_max=9)
    wanted = EventFilter()
    watch = Watch(
        watcher="eve", number=1, node="n0", wanted=wanted, after=None, asked_at=0.0, life=1
    )
    watch.opened, watch.ended_at = opened, ended_at
    history.watching.watches.append(watch)

    assert bool(objections(event_readers.check, history)) is is_found


@pytest.mark.parametrize(
    ("told_at", "calm_from", "is_slow", "is_found"),
    [
        (0.1, 0.0, False, False),
        (2.0, 0.0, False, True),
        (2.0, 0.0, True, False),
        (2.0, 1.9, False, False),
        (2.0, 9.0, False, False),
    ],
)
def test_an_event_that_is_told_late_in_the_calm_is_found(
    told_at: float, calm_from: float, is_slow: bool, is_found: bool
):
    log = four_events()
    history = log.history
    history.calm_from = calm_from
    watch = Watch(
        watcher="eve", number=1, node="n0", wanted=EventFilter(), after=0, asked_at=0.0,
        is_slow=is_slow,
    )  # fmt: skip
    watch.opened = LogKept(at=0.0, node="n0", life=1, index=0, first=1, last=0, kept_max=9)
    watch.lines = [line(history, 1, at=told_at)]
    history.watching.watches.append(watch)

    assert bool(objections(event_readers.check, history)) is is_found
