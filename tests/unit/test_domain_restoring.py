"""A restored table: what was held is held, and nothing lost can be given twice."""

import pytest

from gorilla.domain import limits
from gorilla.domain.limits import FENCING_EPOCH
from gorilla.domain.outcomes import (
    Forgotten,
    Granted,
    Held,
    Recovering,
    Released,
    Renewed,
)
from gorilla.domain.restoring import restored
from gorilla.domain.table import LockTable
from tests.support.domain import (
    WALL_MS,
    Caller,
    acquire,
    batch,
    entry,
    outcomes,
    release,
    reloaded,
    renew,
)


@pytest.fixture
def table() -> LockTable:
    """Return a table with the lease of ann on db, 4 s into its 10 s, and a freed lock."""
    table = LockTable()
    Caller(table).at(0, acquire("db", ttl_ms=10_000), acquire("free", secret="f"))
    Caller(table, "n2").at(4_000, release("free", "f"))
    return table


def test_every_lease_gets_its_full_ttl_anew_under_its_own_secret_and_number(table: LockTable):
    before = table.lease("db")

    after = restored(table, 0, 0).lease("db")

    assert before is not None
    assert after is not None
    assert after.restored
    assert after.expires_at_ms == 4_000 + 10_010
    assert after.expires_wall_ms == WALL_MS + 14_000
    assert (after.secret, after.fencing_token) == (before.secret, before.fencing_token)
    assert after.created_wall_ms == before.created_wall_ms


def test_the_wall_clock_of_the_restore_is_shown_when_given(table: LockTable):
    after = restored(table, 0, 0, wall_ms=WALL_MS + 86_400_000)

    lease = after.lease("db")
    assert lease is not None
    assert lease.expires_wall_ms == WALL_MS + 86_400_000 + 10_000
    assert after.wall_offset_ms == WALL_MS + 86_400_000 - 4_000


def test_the_table_it_came_from_stays_as_it_was(table: LockTable):
    before = table.digest()

    after = restored(table, 0, 5_000)
    Caller(after).at(5_000, acquire("new"), release("db", "s1"))

    assert table.digest() == before


@pytest.mark.parametrize(
    ("floor", "counter"),
    [
        (0, FENCING_EPOCH),
        (FENCING_EPOCH - 1, FENCING_EPOCH),
        (FENCING_EPOCH, 2 * FENCING_EPOCH),
        (FENCING_EPOCH + 5, 2 * FENCING_EPOCH),
    ],
)
def test_the_next_number_is_beyond_anything_the_lost_cluster_gave(
    table: LockTable, floor: int, counter: int
):
    after = restored(table, floor, 0)

    assert after.fencing_counter == counter
    assert Caller(after).granted(4_001, acquire("new")).fencing_token == counter + 1
    assert after.largest_fencing_token("free") == 2


def test_a_restore_of_a_restore_jumps_again(table: LockTable):
    twice = restored(restored(table, 0, 0), 0, 0)

    assert twice.fencing_counter == 2 * FENCING_EPOCH
    assert twice.event_counter == 2 * FENCING_EPOCH


def test_a_restore_that_has_no_numbers_left_is_refused(table: LockTable):
    with pytest.raises(ValueError, match="no fencing tokens are left"):
        restored(table, limits.FENCING_TOKEN_MAX, 0)


def test_a_negative_hold_off_is_refused(table: LockTable):
    with pytest.raises(ValueError, match="hold_ms"):
        restored(table, 0, -1)


def test_new_grants_are_held_off_and_nothing_else(table: LockTable):
    caller = Caller(restored(table, 0, 5_000))

    assert caller.ask(4_001, acquire("new")) == Recovering(4_999)
    assert isinstance(caller.ask(4_002, acquire("db", "bob")), Held)
    assert isinstance(caller.ask(4_003, acquire("db", "ann")), Granted)
    assert isinstance(caller.ask(4_004, renew("db")), Renewed)
    assert caller.ask(4_005, release("db", "s2")) == Released(1)
    assert caller.ask(8_999, acquire("db")) == Recovering(1)
    assert isinstance(caller.ask(9_000, acquire("db")), Granted)


def test_the_hold_off_survives_a_snapshot(table: LockTable):
    caller = Caller(reloaded(restored(table, 0, 5_000)))

    assert caller.ask(4_001, acquire("new")) == Recovering(4_999)


def test_a_renewed_lease_is_no_longer_marked_as_restored(table: LockTable):
    caller = Caller(restored(table, 0, 0))

    again = caller.granted(4_500, acquire("db"))
    renewed = caller.ask(5_000, renew("db"))

    assert again.restored
    assert isinstance(renewed, Renewed)
    assert not renewed.lease.restored


def test_origins_of_the_lost_cluster_are_forgotten(table: LockTable):
    after = restored(table, 0, 0)

    applied = after.apply(entry(4_001, batch((1, acquire("x")), origin="n2", opens=False)))

    assert outcomes(applied) == [Forgotten()]


def test_the_new_cluster_counts_its_terms_from_the_start(table: LockTable):
    table.apply(entry(4_000, term=57))

    after = restored(table, 0, 0)
    after.apply(entry(4_001, term=1))

    assert table.term == 57
    assert after.term == 1


def test_the_chain_forks_at_a_restore(table: LockTable):
    assert restored(table, 0, 0).chain != table.chain
    assert restored(table, 0, 0).digest() == restored(table, 0, 0).digest()
