"""The rules of a lease, one by one."""

import pytest
from msgspec.structs import replace

from gorilla.domain.events import Acquired, Expired, Extended, ReleasedEvent
from gorilla.domain.lease_clock import deadline_ms, remaining_ms
from gorilla.domain.limits import TTL_MS_MAX, Bounds
from gorilla.domain.outcomes import (
    Full,
    Granted,
    Held,
    NotFound,
    NotHolder,
    Released,
    Renewed,
    TtlTooShort,
)
from gorilla.domain.table import LockTable
from tests.support.domain import (
    WALL_MS,
    Caller,
    acquire,
    entry,
    outcomes,
    pulse,
    release,
    renew,
)


@pytest.fixture
def table() -> LockTable:
    return LockTable()


@pytest.fixture
def caller(table: LockTable) -> Caller:
    return Caller(table)


@pytest.mark.parametrize("ttl_ms", [1, 2, 999, 1_000, 1_001, 59_999, 86_400_000, TTL_MS_MAX])
def test_a_fresh_lease_shows_exactly_its_ttl_and_is_kept_a_thousandth_longer(ttl_ms: int):
    expires_at_ms = deadline_ms(7, ttl_ms)

    assert remaining_ms(7, expires_at_ms) == ttl_ms
    assert expires_at_ms - 7 - ttl_ms == -(-ttl_ms // 1_000)
    assert remaining_ms(expires_at_ms, expires_at_ms) == 0
    assert remaining_ms(expires_at_ms + 1, expires_at_ms) == 0


def test_a_free_lock_is_granted_with_everything_the_command_brought(caller: Caller):
    outcome = caller.ask(500, acquire("db", "ann", 10_000, "s1", b'["why"]'))

    assert isinstance(outcome, Granted)
    assert (outcome.is_new, outcome.remaining_ms) == (True, 10_000)
    lease = outcome.lease
    assert (lease.lock, lease.holder, lease.secret) == ("db", "ann", "s1")
    assert (lease.fencing_token, lease.ttl_ms, lease.metadata) == (1, 10_000, b'["why"]')
    assert lease.expires_at_ms == 500 + 10_010
    assert lease.created_wall_ms == lease.updated_wall_ms == WALL_MS + 500
    assert lease.expires_wall_ms == WALL_MS + 10_500
    assert not lease.restored
    assert caller.table.lease("db") == caller.table.find("db", "s1") == lease


def test_another_holder_is_told_who_has_the_lock_and_for_how_long(caller: Caller):
    caller.granted(0, acquire(holder="ann", ttl_ms=10_000))

    refused = caller.ask(1_000, acquire(holder="bob", secret="b"))

    assert refused == Held("ann", 1, WALL_MS + 10_000, 9_000)
    assert caller.table.find("db", "b") is None


def test_the_holder_that_asks_again_gets_its_own_lease_with_the_same_secret(caller: Caller):
    first = caller.granted(0, acquire(ttl_ms=10_000, secret="s1", metadata=b"[1]"))

    again = caller.ask(4_000, acquire(ttl_ms=10_000, secret="other", metadata=b"[2]"))

    assert isinstance(again, Granted)
    assert (again.is_new, again.remaining_ms) == (False, 10_000)
    assert (again.lease.secret, again.lease.fencing_token) == ("s1", first.fencing_token)
    assert again.lease.metadata == b"[1]"
    assert again.lease.created_wall_ms == WALL_MS
    assert again.lease.updated_wall_ms == WALL_MS + 4_000
    assert again.lease.expires_wall_ms == WALL_MS + 14_000


def test_asking_again_for_less_than_remains_changes_nothing_and_says_what_remains(caller: Caller):
    first = caller.granted(0, acquire(ttl_ms=10_000))

    applied = caller.at(1_000, acquire(ttl_ms=500))

    again = replace(first, is_known=True)
    assert outcomes(applied) == [Granted(again, 9_000, is_new=False)]
    assert applied.events == []


def test_a_renewal_changes_the_secret_and_keeps_number_and_creation(caller: Caller):
    first = caller.granted(0, acquire(ttl_ms=10_000))

    renewed = caller.ask(9_000, renew(new_secret="s2", ttl_ms=20_000))

    assert isinstance(renewed, Renewed)
    assert renewed.remaining_ms == 20_000
    assert renewed.lease.secret == "s2"
    assert renewed.lease.fencing_token == first.fencing_token
    assert renewed.lease.created_wall_ms == first.created_wall_ms
    assert renewed.lease.updated_wall_ms == WALL_MS + 9_000
    assert renewed.lease.expires_wall_ms == WALL_MS + 29_000


def test_the_secret_that_a_renewal_replaced_is_dead(caller: Caller):
    caller.granted(0, acquire())
    caller.ask(1, renew(secret="s1", new_secret="s2"))

    assert caller.ask(2, renew(secret="s1", new_secret="s3")) == NotFound()
    assert caller.ask(3, release(secret="s1")) == NotFound()
    assert caller.table.find("db", "s1") is None
    assert caller.ask(4, release(secret="s2")) == Released(1)


def test_a_renewal_that_names_another_holder_is_refused(caller: Caller):
    lease = caller.granted(0, acquire(holder="ann"))

    assert caller.ask(1, renew(holder="bob")) == NotHolder("ann")
    assert caller.table.lease("db") == lease
    assert isinstance(caller.ask(2, renew(holder="ann")), Renewed)


def test_a_renewal_may_not_shorten_the_lease(caller: Caller):
    caller.granted(0, acquire(ttl_ms=10_000))

    assert caller.ask(1_000, renew(ttl_ms=8_999)) == TtlTooShort(9_000)
    assert isinstance(caller.ask(1_000, renew(ttl_ms=9_000)), Renewed)


def test_a_renewal_with_exactly_the_remaining_time_never_ends_earlier(caller: Caller):
    lease = caller.granted(0, acquire(ttl_ms=1_001))
    left_ms = remaining_ms(1, lease.expires_at_ms)
    assert deadline_ms(1, left_ms) < lease.expires_at_ms

    renewed = caller.ask(1, renew(ttl_ms=left_ms))

    assert isinstance(renewed, Renewed)
    assert renewed.lease.expires_at_ms == lease.expires_at_ms


@pytest.mark.parametrize("command", [release(), renew(), release(lock="other")])
def test_a_secret_that_belongs_to_no_lease_is_not_found(caller: Caller, command):
    caller.granted(0, acquire(secret="another"))

    assert caller.ask(1, command) == NotFound()


def test_a_released_lock_is_free_at_once_and_its_next_number_is_larger(caller: Caller):
    caller.granted(0, acquire())

    assert caller.ask(1, release()) == Released(1)
    assert caller.table.lease("db") is None
    assert caller.table.next_expiry_ms() is None
    assert caller.granted(1, acquire(holder="bob")).fencing_token == 2


def test_a_lease_is_kept_until_its_deadline_and_gone_when_it_comes(caller: Caller):
    deadline = caller.granted(0, acquire(ttl_ms=1_000)).expires_at_ms

    still = caller.ask(deadline - 1, acquire(holder="bob"))
    gone = caller.ask(deadline, acquire(holder="bob", secret="b"))

    assert isinstance(still, Held)
    assert isinstance(gone, Granted)
    assert gone.lease.fencing_token == 2


def test_a_pulse_ends_what_is_due_in_order_of_deadline_then_number(caller: Caller):
    caller.at(0, acquire("late", ttl_ms=2_000), acquire("b", ttl_ms=10), acquire("a", ttl_ms=10))
    caller.at(0, acquire("first", ttl_ms=5), acquire("stays", ttl_ms=9_000))

    applied = pulse(caller.table, 2_002)

    assert [(event.lock, type(event)) for event in applied.events] == [
        ("first", Expired),
        ("b", Expired),
        ("a", Expired),
        ("late", Expired),
    ]
    assert caller.table.held == 1
    assert caller.table.next_expiry_ms() == 9_009


def test_events_are_numbered_and_carry_no_secret(caller: Caller):
    caller.at(0, acquire(secret="hidden-1", ttl_ms=1_000))
    happened = [
        *caller.at(5, renew(secret="hidden-1", new_secret="hidden-2", ttl_ms=2_000)).events,
        *caller.at(6, acquire(ttl_ms=3_000)).events,
        *caller.at(7, release(secret="hidden-2")).events,
        *caller.at(8, acquire(ttl_ms=1)).events,
        *pulse(caller.table, 99).events,
    ]

    assert happened == [
        Extended(2, 5, WALL_MS + 5, "db", "ann", 1, 2_000),
        Extended(3, 6, WALL_MS + 6, "db", "ann", 1, 3_000),
        ReleasedEvent(4, 7, WALL_MS + 7, "db", "ann", 1, held_ms=7),
        Acquired(5, 8, WALL_MS + 8, "db", "ann", 2, 1),
        Expired(6, 99, WALL_MS + 99, "db", "ann", 2, held_ms=91),
    ]
    assert caller.table.event_counter == 6


def test_time_and_term_never_go_back(caller: Caller):
    caller.table.apply(entry(5_000, term=3))

    lease = caller.granted(4_000, acquire(ttl_ms=1_000))

    assert (caller.table.now_ms, caller.table.term) == (5_000, 3)
    assert lease.expires_at_ms == 6_001


def test_the_wall_clock_is_shown_and_decides_nothing(caller: Caller):
    pulse(caller.table, 1_000)

    assert caller.table.wall_offset_ms == WALL_MS


def test_a_full_table_refuses_new_grants_and_nothing_else():
    caller = Caller(LockTable(bounds=Bounds(locks=2)))
    caller.at(0, acquire("a", secret="a"), acquire("b", secret="b"))

    assert caller.ask(1, acquire("c")) == Full("locks_max")
    assert isinstance(caller.ask(2, acquire("a")), Granted)
    assert isinstance(caller.ask(3, release("b", "b")), Released)
    assert isinstance(caller.ask(4, acquire("c")), Granted)


def test_no_grant_is_made_beyond_the_largest_fencing_token():
    caller = Caller(LockTable(bounds=Bounds(fencing_token=1)))
    caller.granted(0, acquire("a"))

    assert caller.ask(1, acquire("b")) == Full("fencing_token_max")
    assert caller.table.fencing_counter == 1


def test_the_largest_number_of_a_lock_outlives_its_lease_within_the_bound():
    caller = Caller(LockTable(bounds=Bounds(remembered_fencing_tokens=2)))
    caller.at(0, *(acquire(lock, secret=lock) for lock in "abc"))
    caller.at(1, *(release(lock, lock) for lock in "bac"))
    table = caller.table

    assert [table.largest_fencing_token(lock) for lock in "abcd"] == [1, None, 3, None]
    caller.granted(2, acquire("a"))
    assert table.largest_fencing_token("a") == 4


def test_leases_are_listed_in_order_of_names_page_by_page(caller: Caller):
    names = ["b", "a/2", "a/1", "é", "a", "a/3"]
    caller.at(0, *(acquire(name, holder=name[0]) for name in names))
    listed = caller.table.leases

    assert [x.lock for x in listed()] == sorted(names)
    assert [x.lock for x in listed("a/")] == ["a/1", "a/2", "a/3"]
    assert [x.lock for x in listed("a/", after="a/1", limit=1)] == ["a/2"]
    assert [x.lock for x in listed(after="b", limit=2)] == ["é"]
    assert listed("z") == []
    assert listed(limit=-1) == []
