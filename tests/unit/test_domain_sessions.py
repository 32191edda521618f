"""Sessions, and the locks and waits that live in them: how long, how many, and what ends them."""

import pytest
from msgspec.structs import replace

from gorilla.domain.commands import (
    SHARED,
    Acquire,
    Claim,
    EndSession,
    Force,
    KeepSession,
    OpenSession,
    Release,
    Renew,
)
from gorilla.domain.events import Expired, Left, LeftEvent, ReleasedEvent
from gorilla.domain.limits import Bounds
from gorilla.domain.outcomes import (
    Full,
    Gone,
    Granted,
    Held,
    NotFound,
    NotHolder,
    Queued,
    SessionAlive,
    SessionEnded,
    SessionNotFound,
)
from gorilla.domain.table import LockTable
from tests.support.domain import Caller, reloaded
from tests.support.line import Line, let_go, ready, wants, wants_all


@pytest.fixture
def line() -> Line:
    return Line()


def test_a_lock_asked_for_again_without_a_timeout_lasts_as_long_as_its_session(line: Line):
    line.do(OpenSession("one", "ann", 60_000))
    asked = Acquire("db", "ann", 1_000, "s1", session="one")
    first = line.ask(asked)

    again = line.ask(replace(asked, ttl_ms=0, secret="s2"))

    assert (first.remaining_ms, again.is_new, again.lease.secret) == (1_000, False, "s1")
    assert 59_000 < again.remaining_ms <= 60_000
    line.do(Claim(9, "none"), after_ms=30_000)
    assert line.table.held == 1
    copy = Caller(reloaded(line.table), "n2")
    line.do(Claim(9, "none"), after_ms=31_000)
    copy.at(line.now_ms, Claim(9, "none"))
    assert line.table.held == copy.table.held == 0


def test_a_session_has_room_for_so_many_locks_and_no_more():
    line = Line(LockTable(bounds=Bounds(session_leases=2)))
    line.do(OpenSession("one", "ann", 60_000))
    line.ask(replace(wants("bob", "c"), session=""))
    inside = replace(wants("ann", "a"), session="one")
    assert isinstance(line.ask(inside), Granted)
    assert line.ask(replace(wants_all("ann", "b", "d"), session="one")) == Full(
        "session_leases_max"
    )
    assert isinstance(line.ask(replace(wants("ann", "c"), session="one")), Queued)
    assert isinstance(line.ask(replace(wants("ann", "b"), session="one")), Granted)

    line.ask(let_go("bob", "c"))
    assert line.claim("s-ann-c") == Full("session_leases_max")
    assert isinstance(line.ask(replace(wants("ann", "c"), session="")), Granted)


def inside(holder: str, lock: str, session: str = "one", **fields) -> Acquire:
    return replace(wants(holder, lock), session=session, **fields)


def test_a_session_opened_twice_is_one_and_lives_as_long_as_it_did(line: Line):
    first = line.ask(OpenSession("one", "ann", 60_000))

    again = line.ask(OpenSession("one", "ann", 60_000), after_ms=10_000)

    assert isinstance(again, SessionAlive)
    assert again.session == first.session
    assert 49_990 < again.remaining_ms <= 50_050


def test_numbers_of_sessions_are_never_used_twice(line: Line):
    numbers = []
    for session in ("one", "two", "one"):
        numbers.append(line.ask(OpenSession(session, "ann", 60_000)).session.number)
        line.ask(EndSession(session))
        line.caller.table = reloaded(line.table)

    assert numbers == [1, 2, 3]


def test_one_session_too_many_is_refused_until_another_ends():
    line = Line(LockTable(bounds=Bounds(sessions=1)))
    line.ask(OpenSession("one", "ann", 2_000))

    assert line.ask(OpenSession("two", "bob", 2_000)) == Full("sessions_max")
    assert isinstance(line.ask(OpenSession("one", "ann", 2_000)), SessionAlive)
    assert isinstance(line.ask(OpenSession("two", "bob", 2_000), after_ms=2_100), SessionAlive)


def test_a_session_lives_for_its_ttl_after_each_sign_of_life_and_no_lease_is_touched(line: Line):
    line.ask(OpenSession("one", "ann", 2_000))
    line.ask(inside("ann", "a", ttl_ms=0))
    for _ in range(5):
        kept = line.do(KeepSession("one"), after_ms=1_900)
        assert kept.events == []

    assert line.table.held == 1
    # It is kept two milliseconds longer than promised: clocks may differ.
    assert line.do(wants("eve", "z"), after_ms=2_001).events[0].lock == "z"
    assert isinstance(line.do(wants("eve", "y")).events[0], Expired)


@pytest.mark.parametrize(
    ("how", "after_ms", "kind"),
    [(EndSession("one"), 1, ReleasedEvent), (wants("eve", "z"), 60_100, Expired)],
    ids=["ended", "ran out"],
)
def test_with_a_session_all_that_lives_in_it_ends_and_nothing_else(
    line: Line, how, after_ms: int, kind: type
):
    number = line.ask(OpenSession("one", "ann", 60_000)).session.number
    line.ask(replace(wants("ann", "outside"), ttl_ms=600_000))
    line.ask(replace(wants("bob", "b"), ttl_ms=600_000))
    line.ask(inside("ann", "x", ttl_ms=600_000))
    line.ask(inside("ann", "y", ttl_ms=0))
    line.ask(replace(wants_all("ann", "v", "w"), ttl_ms=600_000, session="one"))
    line.ask(inside("ann", "b", wait_ms=600_000))
    line.caller.table = reloaded(line.table)

    applied = line.do(how, after_ms=after_ms)

    ended = [event for event in applied.events if isinstance(event, kind)]
    assert [(event.lock, event.session) for event in ended] == [
        (lock, number) for lock in ("x", "y", "v", "w")
    ]
    left = [event for event in applied.events if isinstance(event, LeftEvent)]
    assert [(event.lock, event.why) for event in left] == [("b", Left.SESSION_ENDED)]
    assert [turn.left for turn in applied.turns] == [Left.SESSION_ENDED]
    held = {lease.lock for lease in line.table.leases("", "", 9)}
    assert held - {"z"} == {"outside", "b"}
    assert len(line.table.waiters) == 0
    assert line.ask(KeepSession("one")) == SessionNotFound()


def test_who_waited_for_what_lived_in_a_session_comes_next_when_it_ends(line: Line):
    line.ask(OpenSession("one", "ann", 60_000))
    line.ask(inside("ann", "db"))
    line.ask(wants("bob"))

    ended = line.do(EndSession("one"))

    assert ended.outcomes[0][2] == SessionEnded(1)
    assert ready(ended) == ["s-bob-db"]


def test_a_turn_of_one_whose_session_ended_is_gone_and_passes_on(line: Line):
    line.ask(wants("bob"))
    line.ask(OpenSession("one", "ann", 60_000))
    line.ask(inside("ann", "db"))
    line.ask(wants("cay"))
    assert ready(line.do(let_go("bob"))) == ["s-ann-db"]

    assert ready(line.do(EndSession("one"))) == ["s-cay-db"]
    assert line.claim("s-ann-db") == Gone()


def test_a_session_that_is_gone_or_of_another_owner_gives_no_lock(line: Line):
    line.ask(OpenSession("one", "ann", 60_000))

    assert line.ask(inside("bob", "db")) == NotHolder("ann")
    assert line.ask(inside("ann", "db", session="two")) == SessionNotFound()
    assert line.ask(EndSession("two")) == SessionNotFound()
    assert line.table.held == 0


def test_a_lock_in_a_session_ends_by_its_own_timeout_if_that_comes_first(line: Line):
    line.ask(OpenSession("one", "ann", 60_000))
    granted = line.ask(inside("ann", "db", ttl_ms=2_000))
    assert granted.remaining_ms == 2_000

    assert isinstance(line.ask(wants("bob"), after_ms=2_002), Granted)
    assert line.ask(EndSession("one")) == SessionEnded(0)


def test_a_lock_promises_no_more_than_its_session_does(line: Line):
    line.ask(OpenSession("one", "ann", 5_000))

    granted = line.ask(inside("ann", "db", ttl_ms=60_000), after_ms=1_000)
    refused = line.ask(wants("bob", wait_ms=0))

    assert granted.remaining_ms <= 4_005
    assert isinstance(refused, Held)
    assert refused.remaining_ms <= 4_005
    line.ask(KeepSession("one"))
    renewed = line.ask(Renew("db", "s-ann-db", "new", 60_000))
    assert 4_990 <= renewed.remaining_ms <= 5_005


def test_a_lock_as_long_as_its_session_can_be_extended_released_and_forced_away(line: Line):
    line.ask(OpenSession("one", "ann", 5_000))
    for lock in ("a", "b"):
        line.ask(inside("ann", lock, ttl_ms=0))

    renewed = line.ask(Renew("a", "s-ann-a", "new", 1))
    assert (renewed.lease.ttl_ms, renewed.lease.secret) == (0, "new")
    assert 4_990 <= renewed.remaining_ms <= 5_000
    assert line.ask(Release("a", "s-ann-a")) == NotFound()
    line.ask(Release("a", "new"))
    line.ask(Force("b", "why"))

    assert line.ask(EndSession("one")) == SessionEnded(0)


def test_two_sessions_of_one_owner_exclude_each_other_and_may_share(line: Line):
    for session in ("one", "two"):
        line.ask(OpenSession(session, "ann", 60_000))
    line.ask(inside("ann", "a"))
    line.ask(inside("ann", "s", slots=SHARED))

    assert isinstance(line.ask(inside("ann", "a", session="two", wait_ms=0)), Held)
    assert isinstance(line.ask(inside("ann", "a", session="", wait_ms=0)), Held)
    shared = line.ask(inside("ann", "s", session="two", slots=SHARED))
    assert isinstance(shared, Granted)
    assert shared.is_new
    line.ask(EndSession("one"))
    assert [lease.lock for lease in line.table.leases("", "", 9)] == ["s"]


def test_an_acquire_without_a_timeout_and_without_a_session_stops_no_node(line: Line):
    asked = replace(wants("ann"), ttl_ms=0)
    first = line.ask(asked)

    again = line.ask(replace(asked, secret="s2"), after_ms=0)

    assert (again.is_new, again.lease.secret) == (False, first.lease.secret)
    assert again.remaining_ms == 1
