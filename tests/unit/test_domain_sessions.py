"""Locks that live in a session: how long, and how many."""

import pytest
from msgspec.structs import replace

from gorilla.domain.commands import Acquire, Claim, OpenSession
from gorilla.domain.limits import Bounds
from gorilla.domain.outcomes import Full, Granted, Queued
from gorilla.domain.table import LockTable
from tests.support.domain import Caller, reloaded
from tests.support.line import Line, let_go, wants, wants_all


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
