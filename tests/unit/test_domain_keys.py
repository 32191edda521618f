"""Idempotency keys: what is remembered, for how long, and what bounds it."""

import pytest
from msgspec.structs import replace

from gorilla.domain.commands import Acquire, AcquireAll, Claim, Once, OpenSession, Release
from gorilla.domain.limits import Bounds
from gorilla.domain.outcomes import (
    Full,
    Granted,
    GrantedAll,
    KeyConflict,
    Queued,
    Replayed,
    TimedOut,
)
from gorilla.domain.table import LockTable
from tests.support.domain import Caller, outcomes, reloaded

KEPT_MS = 10_000
WAIT_MS = 30_000


def wants(
    holder: str, lock: str = "db", wait_ms: int = WAIT_MS, metadata: bytes = b"[]"
) -> Acquire:
    return Acquire(lock, holder, 1_000_000, f"s-{holder}-{lock}", metadata, wait_ms=wait_ms)


class Asking:
    """A caller of a table with small bounds, and what the table remembers of its keys."""

    def __init__(self, **bounds: int) -> None:
        kept = Bounds(key_kept_ms=KEPT_MS, waiter_origin_idle_ms=1_000_000, **bounds)
        table = LockTable(bounds=kept)
        self.caller = Caller(table)
        self.now_ms = 0

    @property
    def table(self) -> LockTable:
        return self.caller.table

    def ask(self, command, key: str = "", at_ms: int = 0):
        """Let a command be applied (at a time, or the next millisecond), under a key if given."""
        self.now_ms = max(self.now_ms + 1, at_ms)
        if key:
            command = Once(key, b"f", command)
        (outcome,) = outcomes(self.caller.at(self.now_ms, command))
        return outcome


def test_one_key_is_one_effect_and_another_request_under_it_is_refused():
    asking = Asking()
    first = asking.ask(wants("ann"), "k")
    asking.ask(Release("db", first.lease.secret))

    again = asking.ask(wants("ann"), "k")

    assert again == Replayed(replace(first, remaining_ms=0))
    assert asking.table.held == 0
    assert asking.ask(Once("k", b"other", wants("ann"))) == KeyConflict()


def test_a_key_is_forgotten_by_its_age_alone():
    asking = Asking()
    asking.ask(wants("ann"), "k")

    assert isinstance(asking.ask(wants("ann"), "k", at_ms=KEPT_MS), Replayed)
    later = asking.ask(wants("ann"), "k", at_ms=2 * KEPT_MS + 10)
    assert isinstance(later, Granted)
    assert not later.is_new


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ({"keys": 2}, "idempotency_keys_max"),
        ({"keys_bytes": 2_000}, "idempotency_keys_bytes_max"),
    ],
)
def test_a_key_too_many_is_refused_and_nothing_is_done(bounds, told):
    asking = Asking(**bounds)
    metadata = b'["' + b"x" * 1_500 + b'"]'
    for lock in ("a", "b"):
        assert isinstance(asking.ask(wants("ann", lock, metadata=metadata), lock), Granted)

    assert asking.ask(wants("ann", "c"), "c") == Full(told)
    assert asking.table.held == 2
    assert isinstance(asking.ask(wants("ann", "c"), "c", at_ms=KEPT_MS + 10), Granted)


def test_who_waits_is_counted_for_what_it_may_be_given():
    asking = Asking(keys_bytes=2_000)
    asking.ask(wants("ann"))
    metadata = b'["' + b"x" * 1_500 + b'"]'
    several = AcquireAll(("db", "x"), "bob", 1_000, "g-bob", metadata, wait_ms=WAIT_MS)
    queued = asking.ask(several, "k1")
    assert isinstance(queued, Queued)
    counted = asking.table._book.keys.bytes_kept

    assert asking.ask(wants("cay", "y"), "k2") == Full("idempotency_keys_bytes_max")
    copy = reloaded(asking.table)
    assert copy._book.keys.bytes_kept == counted
    asking.ask(Release("db", "s-ann-db"))
    assert isinstance(asking.ask(Claim(queued.ticket, "g-bob")), GrantedAll)
    assert 2 * len(metadata) < asking.table._book.keys.bytes_kept <= counted


@pytest.mark.parametrize("then", ["claimed", "timed out"])
def test_a_wait_whose_key_was_forgotten_meanwhile_is_remembered_only_where_there_is_room(then: str):
    asking = Asking(keys=1)
    asking.ask(wants("ann"))
    queued = asking.ask(wants("bob"), "k1")
    late_ms = KEPT_MS + 5_000
    # The one place is taken by another by now.
    assert isinstance(asking.ask(wants("cay", "other"), "k2", at_ms=late_ms), Granted)

    if then == "claimed":
        asking.ask(Release("db", "s-ann-db"))
        assert isinstance(asking.ask(Claim(queued.ticket, "s-bob-db")), Granted)
    else:
        asking.ask(OpenSession("one", "eve", 1_000), at_ms=WAIT_MS + 10)
        assert len(asking.table.waiters) == 0

    assert asking.table.key_count == 1


def test_a_wait_does_not_speak_for_another_request_that_has_its_key_by_now():
    asking = Asking()
    asking.ask(wants("ann"))
    queued = asking.ask(wants("bob"), "k1")
    # As if by another client: the key of bob's wait is forgotten, and used anew.
    assert isinstance(asking.ask(wants("cay", "other"), "k1", at_ms=KEPT_MS + 10), Granted)
    asking.ask(Release("db", "s-ann-db"))
    assert isinstance(asking.ask(Claim(queued.ticket, "s-bob-db")), Granted)

    assert asking.ask(wants("cay", "other"), "k1").outcome.lease.holder == "cay"


def test_a_wait_that_ran_out_is_told_again_under_its_key():
    asking = Asking()
    asking.ask(wants("ann"))
    asking.ask(wants("bob", wait_ms=5_000), "k")
    asking.ask(OpenSession("one", "eve", 1_000), at_ms=5_100)

    again = asking.ask(wants("bob", wait_ms=5_000), "k")

    assert isinstance(again, Replayed)
    assert isinstance(again.outcome, TimedOut)
