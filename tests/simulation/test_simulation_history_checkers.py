"""The checkers of the history reject what is wrong of small ones, of three holds and a wait."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from gorilla.domain.events import Event
from gorilla.service.history_reading import Completeness, Told
from gorilla.service.history_records import (
    EndedBy,
    Found,
    Gap,
    HeldOnce,
    HistoryState,
    Kind,
    Question,
    WaitedOnce,
)
from tests.support.history_events import WALL_MS, EventMaker
from tests.support.sim.checkers import past, prompt, record, record_settled, record_writes
from tests.support.sim.history import Ask, Asked, Committed, Effects, History, Result, Step, Wish
from tests.support.sim.recorded import Reading, Write
from tests.support.sim.telling import objections

BEGUN = HistoryState(number=0, at_ms=WALL_MS, term=1, began_number=1, began_ms=None)


def events() -> list[Event]:
    """Return what happens: a is extended and released, b expires, c goes on, bert waits in vain."""
    maker = EventMaker()
    first = maker.acquired("a")  # 1
    second = maker.acquired("b")  # 2
    maker.extended(first)  # 3
    maker.acquired("c")  # 4
    maker.left("a")  # 5
    maker.released(first)  # 6
    maker.expired(second)  # 7
    return maker.made


def write(name: str, before: HistoryState, after: HistoryState, **more: Any) -> Write:
    values: dict[str, Any] = {"at": 1.0, "node": "n0", "term": 1, "first_kept": 1}
    values |= {"last_applied": 7, "span": (0, 0), "is_changed": True, "shown": frozenset()}
    return Write(name=name, before=before, after=after, **values | more)


def held(token: int, **more: Any) -> HeldOnce:
    at_ms = WALL_MS + 10 * {1: 1, 2: 2, 3: 4}[token]
    values: dict[str, Any] = {"cluster_id": "c", "resource": "abc"[token - 1], "owner": "anna"}
    values |= {"granted_ms": at_ms, "is_grant_known": True, "slots": 1, "session": 0}
    values |= {"waited_ms": 0, "reason": "", "until_ms": at_ms + 30_000, "extensions": 0}
    values |= dict.fromkeys(("ended_ms", "ended_by", "end_reason", "forced_by", "held_ms"))
    return HeldOnce(fencing_token=token, **values | more)


A = held(
    1,
    until_ms=WALL_MS + 60_030,
    extensions=1,
    ended_ms=WALL_MS + 60,
    ended_by=EndedBy.RELEASED,
    held_ms=50,
)
B = held(2, ended_ms=WALL_MS + 70, ended_by=EndedBy.EXPIRED, held_ms=50)
C = held(3)
BERT = WaitedOnce(
    cluster_id="c",
    number=5,
    resource="a",
    owner="bert",
    ticket=99,
    began_ms=WALL_MS + 43,
    ended_ms=WALL_MS + 50,
    waited_ms=7,
    why="timeout",
)
FOUR = replace(BEGUN, number=4, at_ms=WALL_MS + 40, hold_count=3)
SEVEN = replace(FOUR, number=7, at_ms=WALL_MS + 70, wait_count=1)
GAP = Gap(first_number=5, last_number=6, from_ms=WALL_MS + 40, to_ms=WALL_MS + 70)
SKIPPED = replace(FOUR, number=6, at_ms=WALL_MS + 70, unsettled_ms=WALL_MS + 40)


def kept() -> History:
    """Return a history that was written in two parts, as it ought to be."""
    history = History()
    history.effects = [
        Effects(one.now_ms / 1_000, one.number, one.now_ms, (), (Step(None, "", None, (one,)),))
        for one in events()
    ]
    history.commits = [Committed(0.0, "n0", one.index, 1, (), ()) for one in history.effects]
    recorded = history.recorded
    recorded.writes = [
        write("append", BEGUN, FOUR, span=(1, 4), shown=frozenset({1, 2, 3})),
        write("append", FOUR, SEVEN, span=(5, 7), shown=frozenset({3})),
    ]
    recorded.is_over, recorded.state = True, SEVEN
    recorded.holds, recorded.waits = [A, B, C], [BERT]
    return history


def gone() -> History:
    """Return one that lacks the events 5 and 6: how a ended, and that bert waited."""
    history = kept()
    recorded = history.recorded
    before = replace(SKIPPED, number=7)
    seven = replace(before, unsettled_ms=None)
    recorded.writes[1:] = [
        write("skip", FOUR, SKIPPED, span=(5, 6), first_kept=7, shown=frozenset({1, 2, 3})),
        write("append", SKIPPED, before, span=(7, 7), shown=frozenset({1, 3})),
        write("settle", before, seven, shown=frozenset({3})),
    ]
    lost = replace(
        A,
        extensions=None,
        ended_ms=WALL_MS + 70,
        ended_by=EndedBy.UNKNOWN,
        held_ms=None,
        last_seen_ms=WALL_MS + 40,
    )
    recorded.state, recorded.gaps = seven, [GAP]
    recorded.holds, recorded.waits = [lost, replace(B, extensions=None), C], []
    return history


@pytest.mark.parametrize("made", [kept, gone])
@pytest.mark.parametrize("checker", [record, record_writes])
def test_what_is_written_as_it_ought_to_be_is_fine(made: Callable[[], History], checker: Any):
    assert not objections(checker.check, made())


def replace_write(one: Write, **more: Any) -> Write:
    values = {name: getattr(one, name) for name in Write.__dataclass_fields__}
    return Write(**values | more)


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        (0, {"owner": "bert"}),
        (0, {"extensions": 2}),
        (0, {"extensions": None}),
        (0, {"until_ms": WALL_MS}),
        (0, {"granted_ms": WALL_MS}),
        (0, {"ended_by": EndedBy.EXPIRED}),
        (0, {"ended_by": EndedBy.UNKNOWN}),
        (0, {"ended_ms": None, "ended_by": None, "held_ms": None}),
        (0, {"is_grant_known": False, "slots": None}),
        (1, {"held_ms": 0}),
        (2, {"ended_ms": WALL_MS + 99, "ended_by": EndedBy.UNKNOWN}),
        (2, {"fencing_token": 9}),
    ],
)
def test_a_row_that_is_not_so_is_found(row: int, wrong: dict[str, Any]):
    history = kept()
    history.recorded.holds[row] = replace(history.recorded.holds[row], **wrong)

    assert objections(record.check, history)


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": replace(SEVEN, number=6)},
        {"state": replace(SEVEN, unsettled_ms=0)},
        {"state": replace(SEVEN, hold_count=4)},
        {"state": None},
        {"holds": [A, B]},
        {"waits": []},
        {"waits": [replace(BERT, owner="anna")]},
    ],
)
def test_a_history_that_lacks_something_is_found(wrong: dict[str, Any]):
    history = kept()
    for name, value in wrong.items():
        setattr(history.recorded, name, value)

    assert objections(record.check, history)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ended_ms": None, "ended_by": None, "last_seen_ms": None},
        {"ended_by": EndedBy.RELEASED},
        {"last_seen_ms": WALL_MS + 65},
        {"ended_ms": WALL_MS + 55},
        {"extensions": 0},
    ],
)
def test_what_a_gap_left_and_can_t_be_is_found(wrong: dict[str, Any]):
    history = gone()
    history.recorded.holds[0] = replace(history.recorded.holds[0], **wrong)

    assert objections(record.check, history)


@pytest.mark.parametrize(
    ("at", "wrong"),
    [
        (1, {"after": replace(SEVEN, number=3)}),
        (1, {"after": replace(SEVEN, term=0)}),
        (1, {"term": 0}),
        (1, {"span": (6, 7)}),
        (1, {"span": (3, 7)}),
        (1, {"span": (0, 0)}),
        (1, {"is_changed": False}),
    ],
)
def test_a_write_that_ought_to_have_done_nothing_or_else_is_found(at: int, wrong: dict[str, Any]):
    history = kept()
    history.recorded.writes[at] = replace_write(history.recorded.writes[at], **wrong)

    assert objections(record_writes.check, history)


def test_a_gap_is_of_what_its_writer_had_forgotten_and_is_told():
    still_there, untold = gone(), gone()
    still_there.recorded.writes[1] = replace_write(still_there.recorded.writes[1], first_kept=6)
    untold.recorded.gaps = []

    assert objections(record_writes.check, still_there)
    assert objections(record_writes.check, untold)


def test_a_look_through_the_holds_right_behind_a_gap_is_found():
    history = gone()
    writes = history.recorded.writes
    history.recorded.writes = [*writes[:2], writes[3], writes[2]]

    assert any("looked" in text for text in objections(record_writes.check, history))


@pytest.mark.parametrize(
    ("shown", "is_found"), [({3}, False), ({2, 3}, True), (set(), True), ({1, 3}, True)]
)
def test_whoever_is_shown_holds_and_who_holds_is_shown(shown: set[int], is_found: bool):
    for history in (kept(), gone()):
        writes = history.recorded.writes
        writes[-1] = replace_write(writes[-1], shown=frozenset(shown))

        assert bool(objections(record_settled.check, history)) is is_found


def test_before_the_holds_are_looked_through_anything_may_be_shown():
    history = gone()
    del history.recorded.writes[-1]

    assert not objections(record_settled.check, history)


def told(history: History, question: Question, *entries: Any, **more: Any) -> list[str]:
    """Return what is objected to an answer, of a node that had applied everything."""
    gaps = tuple(more.pop("gaps", ()))
    found = Found(state=SEVEN, entries=entries, has_more=False, gaps=gaps, began_ms=None)
    values: dict[str, Any] = {"number": 7, "at_ms": WALL_MS + 90, "behind": 0} | more
    answer = Told(found=found, complete=Completeness(**values))
    reading = Reading(question=question, node="n0", number=7, term=1, told=answer)
    history.recorded.readings.append(reading)
    return objections(past.check, history)


@pytest.mark.parametrize(
    ("after_ms", "shown"), [(5, ()), (10, (A,)), (59, (A,)), (60, ()), (80, ())]
)
def test_who_held_it_is_told_as_it_was(after_ms: int, shown: tuple[HeldOnce, ...]):
    asked = Question(resource="a", at_ms=WALL_MS + after_ms)

    assert not told(kept(), asked, *shown)
    assert told(kept(), asked, *(() if shown else (A,)))


def test_who_waited_in_vain_is_told_as_it_was():
    asked = Question(kind=Kind.WAIT, resource="a", at_ms=WALL_MS + 45)

    assert not told(kept(), asked, BERT)
    assert told(kept(), asked)
    assert not told(gone(), asked), "that is in a gap"


def test_where_a_gap_is_told_or_beyond_what_is_complete_an_answer_may_lack_something():
    asked = Question(resource="a", at_ms=WALL_MS + 45)

    assert not told(kept(), asked, gaps=[GAP])
    assert not told(kept(), replace(asked, at_ms=WALL_MS + 95), A)


@pytest.mark.parametrize("wrong", [{"number": 6}, {"behind": 1}])
def test_an_answer_that_is_of_another_place_than_it_says_is_found(wrong: dict[str, int]):
    assert told(kept(), Question(resource="a", at_ms=WALL_MS + 5), **wrong)


def test_an_answer_that_is_not_complete_as_far_as_it_says_is_found():
    history = kept()
    event = replace(events()[-1], number=8, wall_ms=WALL_MS + 80, fencing_token=3)
    history.effects.append(Effects(0.08, 8, 80, (), (Step(None, "", None, (event,)),)))
    history.commits.append(Committed(0.0, "n0", 8, 1, (), ()))

    assert told(history, Question(resource="c", at_ms=WALL_MS + 5))


@pytest.mark.parametrize(
    ("result", "after_s", "is_found"),
    [
        (Result.GRANTED, 0.2, False),
        (Result.GRANTED, 0.9, True),
        (Result.DEFINITE, 0.2, True),
        (Result.UNKNOWN, 9.0, True),
    ],
)
def test_who_asks_while_the_database_stands_still_is_answered_as_ever(
    result: Result, after_s: float, is_found: bool
):
    history = History()
    history.recorded.hung = (10.0, 13.0)
    for at in (8.0, 11.0):
        ask = Ask(number=1, client="ann", wish=Wish(Asked.ACQUIRE), node="n0", invoked_at=at)
        ask.result, ask.returned_at = result, at + after_s
        history.asks.append(ask)

    assert len(objections(prompt.check, history)) == is_found
