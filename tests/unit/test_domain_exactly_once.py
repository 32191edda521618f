"""Each number of an origin is applied once, whatever the log repeats."""

from gorilla.domain.limits import ORIGIN_IDLE_MS_MAX, ORIGINS_MAX, Bounds
from gorilla.domain.outcomes import Forgotten, Granted, Held, NotFound, Released
from gorilla.domain.table import LockTable
from tests.support.domain import acquire, batch, entry, outcomes, pulse, release


def test_a_batch_proposed_twice_is_applied_once_and_answered_twice():
    table = LockTable()
    asked = batch((1, acquire("a")), (2, acquire("b")))
    first = table.apply(entry(0, asked))

    second = table.apply(entry(5, asked))

    assert second.outcomes == first.outcomes
    assert second.events == []
    assert table.fencing_counter == 2


def test_a_number_given_twice_in_one_batch_is_applied_once():
    table = LockTable()

    applied = table.apply(entry(0, batch((1, acquire()), (1, release()))))

    assert [type(outcome) for outcome in outcomes(applied)] == [Granted, Granted]
    assert table.held == 1


def test_a_repeated_grant_that_has_ended_is_still_answered_as_first_given():
    table = LockTable()
    asked = batch((1, acquire(ttl_ms=10)))
    first = table.apply(entry(0, asked))
    pulse(table, 1_000)
    table.apply(entry(1_000, batch((1, acquire(holder="bob")), origin="n2")))

    again = table.apply(entry(1_001, asked))

    assert again.outcomes == first.outcomes
    lease = table.lease("db")
    assert lease is not None
    assert lease.holder == "bob"


def test_a_refusal_is_remembered_too():
    table = LockTable()
    table.apply(entry(0, batch((1, acquire(ttl_ms=10)))))
    asked = batch((2, acquire(holder="bob")))
    table.apply(entry(1, asked))
    pulse(table, 1_000)

    again = table.apply(entry(1_001, asked))

    assert isinstance(outcomes(again)[0], Held)
    assert table.held == 0


def test_numbers_may_arrive_in_any_order():
    table = LockTable()
    table.apply(entry(0, batch((2, release()))))

    late = table.apply(entry(1, batch((1, acquire()))))
    again = table.apply(entry(2, batch((2, release()))))

    assert isinstance(outcomes(late)[0], Granted)
    assert outcomes(again) == [NotFound()]
    assert table.held == 1


def test_a_confirmed_number_is_neither_applied_again_nor_answered():
    table = LockTable()
    table.apply(entry(0, batch((1, acquire()), (2, release()), (3, acquire("x")))))
    table.apply(entry(1, batch(confirmed=2)))

    again = table.apply(entry(2, batch((1, acquire()), (2, release()), (3, acquire("x")))))

    assert [number for _, number, _ in again.outcomes] == [3]
    assert table.lease("db") is None
    assert table.unconfirmed("n1") == 1


def test_a_batch_may_confirm_far_beyond_what_is_remembered():
    table = LockTable()
    table.apply(entry(0, batch((1, acquire("a")), (1 << 62, acquire("b")))))

    table.apply(entry(1, batch(confirmed=1 << 61)))
    table.apply(entry(2, batch(confirmed=(1 << 61) + 99)))

    assert table.unconfirmed("n1") == 1
    table.apply(entry(3, batch(confirmed=1 << 62)))
    table.apply(entry(4, batch(confirmed=1 << 63)))
    assert table.unconfirmed("n1") == 0


def test_an_older_confirmation_brings_nothing_back():
    table = LockTable()
    table.apply(entry(0, batch((1, acquire()))))
    table.apply(entry(1, batch(confirmed=1)))

    assert table.apply(entry(2, batch((1, acquire()), confirmed=0))).outcomes == []


def test_a_batch_that_does_not_open_an_unknown_origin_is_not_applied():
    table = LockTable()

    applied = table.apply(entry(0, batch((4, acquire()), (5, release()), opens=False)))

    assert applied.outcomes == [("n1", 4, Forgotten()), ("n1", 5, Forgotten())]
    assert table.held == 0
    assert table.unconfirmed("n1") == 0


def test_an_origin_is_forgotten_when_it_was_idle_for_longer_than_the_bound():
    table = LockTable()
    asked = batch((1, acquire(ttl_ms=1)), opens=False)
    table.apply(entry(0, batch((1, acquire(ttl_ms=1)))))

    remembered = table.apply(entry(ORIGIN_IDLE_MS_MAX, asked))
    pulse(table, 2 * ORIGIN_IDLE_MS_MAX)
    still = table.unconfirmed("n1")
    forgotten = table.apply(entry(2 * ORIGIN_IDLE_MS_MAX + 1, asked))

    assert isinstance(outcomes(remembered)[0], Granted)
    assert still == 1
    assert outcomes(forgotten) == [Forgotten()]


def test_one_origin_too_many_drops_the_longest_idle():
    table = LockTable()
    for i in range(ORIGINS_MAX):
        table.apply(entry(i, batch((1, release()), origin=f"n{i}")))
    table.apply(entry(ORIGINS_MAX, batch(origin="n0")))

    table.apply(entry(ORIGINS_MAX, batch((1, release()), origin="new")))

    assert [table.unconfirmed(name) for name in ("n0", "n1", "n2", "new")] == [1, 0, 1, 1]


def test_beyond_the_bound_of_one_origin_nothing_is_applied_nor_claimed():
    table = LockTable(bounds=Bounds(outcomes_per_origin=2))
    table.apply(entry(0, batch((1, acquire("a", secret="a")), (2, acquire("b")))))

    beyond = table.apply(entry(1, batch((3, release("a", "a")))))
    after = table.apply(entry(2, batch((3, release("a", "a")), confirmed=1)))

    assert outcomes(beyond) == [Forgotten()]
    assert outcomes(after) == [Released(1)]


def test_origins_do_not_share_their_numbers():
    table = LockTable()

    applied = table.apply(entry(0, batch((1, acquire("a"))), batch((1, acquire("b")), origin="n2")))

    assert [(origin, number) for origin, number, _ in applied.outcomes] == [("n1", 1), ("n2", 1)]
    assert table.held == 2
