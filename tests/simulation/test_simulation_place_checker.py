"""The checker of kept places rejects small logs in which one is lost."""

import pytest

from gorilla.domain.events import Left
from tests.support.sim.checkers import left_behind, places
from tests.support.sim.history import Ask, Result
from tests.support.sim.lock_log import SHARED
from tests.support.sim.telling import objections
from tests.support.sim.telling_queues import Log, acquire

ANN, BOB = acquire("ann"), acquire("bob")
AGAIN = acquire("bob", secret="s-bob-2")


def queued(kept_ms: int = 0, kept_from: float = 0.002) -> Log:
    """Bob queues behind Ann under ticket 2, and is told at once for how long his place is kept."""
    log = Log()
    log.grant(ANN, 1)
    log.queue(BOB, 2)
    told: Ask = log.told("bob", Result.NOT_NOW, mark=BOB.secret.encode())
    told.kept_ms, told.kept_from = kept_ms, kept_from
    return log


@pytest.mark.parametrize("why", [Left.HUNG_UP])
def test_a_place_that_its_node_gives_up_too_early_is_found(why: Left):
    log = queued(kept_ms=500)
    log.leave(2, why, after_ms=100)

    assert objections(places.check, log.history)


@pytest.mark.parametrize("why", [Left.HUNG_UP, Left.TIMEOUT, Left.SESSION_ENDED])
def test_a_place_that_is_given_up_when_its_time_is_over_is_fine(why: Left):
    log = queued(kept_ms=500)
    log.leave(2, why, after_ms=500)

    assert not objections(places.check, log.history)


@pytest.mark.parametrize("why", [Left.TIMEOUT, Left.UNCLAIMED])
@pytest.mark.parametrize("is_calm", [False, True])
def test_a_place_that_the_table_ends_too_early_is_found_when_nothing_goes_wrong(
    why: Left, is_calm: bool
):
    log = queued(kept_ms=500)
    if is_calm:
        log.history.calm_from = 0.0
    log.leave(2, why, after_ms=100)

    assert bool(objections(places.check, log.history)) == is_calm


@pytest.mark.parametrize("why", [Left.NODE_LOST, Left.REFUSED])
def test_a_place_that_went_for_another_reason_is_fine(why: Left):
    log = queued(kept_ms=500)
    log.history.calm_from = 0.0
    log.leave(2, why, after_ms=100)

    assert not objections(places.check, log.history)


@pytest.mark.parametrize(
    ("asked", "is_lost"),
    [
        (AGAIN, True),
        (acquire("bob", "r", slots=SHARED, secret="s-bob-2"), False),
        (acquire("bob", "r", "q", secret="s-bob-2"), False),
    ],
)
def test_an_owner_that_asks_again_and_stands_at_the_end_is_found(asked, is_lost: bool):
    log = queued()
    log.queue(acquire("cay"), 3, 2)
    log.queue(asked, 4, 2, replaces=2)

    assert bool(objections(places.check, log.history)) == is_lost


def test_an_owner_that_asks_again_and_stands_where_it_stood_is_fine():
    log = queued()
    log.queue(acquire("cay"), 3, 2)
    log.again(AGAIN, 2)
    log.leave(2)

    assert not objections(places.check, log.history)


@pytest.mark.parametrize(("kept_ms", "is_late"), [(0, True), (2_000, False), (200, True)])
def test_who_is_next_may_be_away_for_as_long_as_its_place_is_kept(kept_ms: int, is_late: bool):
    log = queued()
    ask = log.history.asks[-1]
    ask.wish = type(ask.wish)(ask.wish.kind, ask.wish.locks, keep_ms=kept_ms)
    log.history.calm_from = 0.0
    log.release(ANN, 1, turns=(2,))
    for _ in range(3):
        log.entry(turns=(), after_ms=500)
    log.leave(2, after_ms=100)

    assert bool(objections(left_behind.check, log.history)) == is_late
