"""The checkers of modes, of queues and of claims reject small logs that break their promises."""

from typing import Any

import pytest

from gorilla.domain.events import Acquired, Forced, Left
from tests.support.sim.checkers import claims, modes, queue_order
from tests.support.sim.history import Result, Step
from tests.support.sim.lock_log import SHARED
from tests.support.sim.telling import objections
from tests.support.sim.telling_queues import Log, acquire

COUNTED = 2
ANN, BOB, CAY = acquire("ann"), acquire("bob"), acquire("cay")


def sharing(holder: str, **more: Any):
    return acquire(holder, slots=SHARED, **more)


def counted(holder: str):
    return acquire(holder, slots=COUNTED)


# Modes


@pytest.mark.parametrize(
    "commands",
    [
        (ANN, BOB),
        (ANN, sharing("bob")),
        (sharing("ann"), BOB),
        (counted("ann"), counted("bob"), counted("cay")),
        (counted("ann"), BOB),
        (sharing("ann"), counted("bob")),
    ],
)
def test_holders_that_do_not_go_together_are_found(commands):
    log = Log()
    for number, command in enumerate(commands, 1):
        log.grant(command, number)

    assert objections(modes.check, log.history)


def test_sharers_and_as_many_as_the_limit_says_are_fine():
    log = Log()
    for number in range(1, 5):
        log.grant(sharing(f"owner-{number}"), number)
    for number in range(5, 7):
        log.grant(acquire(f"owner-{number}", "s", slots=COUNTED), number)
    log.release(acquire("owner-5", "s"), 5)
    log.grant(acquire("owner-7", "s", slots=COUNTED), 7)

    assert not objections(modes.check, log.history)


def test_an_end_of_what_nobody_holds_is_found():
    log = Log()
    log.grant(ANN, 1)
    log.release(ANN, 1)
    log.release(ANN, 1)

    assert objections(modes.check, log.history)


@pytest.mark.parametrize(
    ("slots", "holds"),
    [(1, 2), (COUNTED, 3)],
)
def test_more_clients_that_rely_on_a_lock_than_may_hold_it_are_found(slots: int, holds: int):
    log = Log()
    for number in range(holds):
        log.hold(f"owner-{number}", number, 0.1 * number, 2.0, slots)

    assert objections(modes.check, log.history)


def test_clients_may_share_and_follow_each_other_and_one_may_be_told_twice():
    log = Log()
    for number in range(3):
        log.hold(f"owner-{number}", number, 0.1 * number, 2.0, SHARED)
    log.hold("ann", 7, 2.0, 3.0)
    log.hold("ann", 7, 2.5, 3.5)
    log.hold("bob", 8, 3.5, 4.0)

    assert not objections(modes.check, log.history)


@pytest.mark.parametrize("is_forced", [True, False])
def test_a_client_relies_on_nothing_that_was_forced_away(is_forced: bool):
    log = Log()
    log.grant(ANN, 1)
    log.hold("ann", 1, 0.001, 2.0)
    forced = Forced(*log.fields("r", "ann"), 1, 0, "", "bob")
    log.entry(Step(None, "", None, (forced,) if is_forced else ()), after_ms=500)
    log.hold("bob", 2, 0.6, 2.0)

    assert bool(objections(modes.check, log.history)) is not is_forced


def test_a_lock_that_ends_while_its_client_relies_on_it_is_found():
    for until in (0.0015, 0.5):
        log = Log()
        log.grant(ANN, 1)
        log.release(ANN, 1)
        log.hold("ann", 1, 0.001, until)

        assert bool(objections(modes.check, log.history)) is (until > 0.002)


# The order of queues


def test_who_gets_a_lock_before_those_who_came_first_is_found():
    log = Log()
    log.queue(ANN, 1)
    log.queue(BOB, 2, 2)
    log.claim(2, 1)

    assert objections(queue_order.check, log.history)


@pytest.mark.parametrize("newcomer", [CAY, sharing("cay"), counted("cay")])
def test_who_did_not_queue_and_overtakes_is_found(newcomer):
    log = Log()
    log.queue(ANN, 1)
    log.grant(newcomer, 1)

    assert objections(queue_order.check, log.history)


def test_a_sharer_who_overtakes_one_who_wants_it_alone_is_found():
    log = Log()
    log.grant(sharing("dan"), 1)
    log.queue(ANN, 1)
    log.queue(sharing("bob"), 2, 2)
    log.claim(2, 2)

    assert objections(queue_order.check, log.history)


def test_one_who_is_counted_and_takes_the_place_of_another_is_found():
    log = Log()
    log.grant(counted("dan"), 1)
    log.queue(counted("ann"), 1)
    log.queue(counted("bob"), 2, 2)
    log.claim(2, 2)

    assert objections(queue_order.check, log.history)


def test_several_that_overtake_in_one_of_their_queues_are_found():
    log = Log()
    log.queue(acquire("ann", "s"), 1)
    log.queue(acquire("bob", "r", "s"), 2)
    log.claim(2, 1, 2)

    assert objections(queue_order.check, log.history)


def test_sharers_and_counted_ones_with_room_for_all_may_claim_in_any_order():
    log = Log()
    log.queue(sharing("ann"), 1)
    log.queue(sharing("bob"), 2, 2)
    log.queue(acquire("cay", "s", slots=COUNTED), 3)
    log.queue(acquire("dan", "s", slots=COUNTED), 4, 2)
    log.claim(2, 1)
    log.claim(1, 2)
    log.claim(4, 3)
    log.claim(3, 4)

    assert not objections(queue_order.check, log.history)


@pytest.mark.parametrize(("ticket", "position"), [(1, 2), (7, 1), (7, 3)])
def test_tickets_and_positions_out_of_order_are_found(ticket: int, position: int):
    log = Log()
    log.queue(ANN, 5)
    log.queue(BOB, ticket, position)

    assert objections(queue_order.check, log.history)


# Claims


@pytest.mark.parametrize("why", [Left.HUNG_UP, Left.TIMEOUT, Left.SESSION_ENDED])
def test_a_grant_to_one_who_had_left_is_found(why: Left):
    log = Log()
    log.queue(ANN, 1)
    log.leave(1, why)
    log.claim(1, 1)

    assert objections(claims.check, log.history)


def test_a_claim_with_another_secret_than_that_of_the_wait_is_found():
    log = Log()
    log.queue(ANN, 1)
    log.claim(1, 1, secret="other")

    assert objections(claims.check, log.history)


def test_a_grant_that_nobody_asked_for_is_found():
    log = Log()
    log.queue(ANN, 1)
    begun = Acquired(*log.fields("r", "ann"), 1, 1_000)
    log.entry(Step(None, "", None, (begun,)))

    assert objections(claims.check, log.history)


def test_one_who_hung_up_and_queues_on_is_found():
    log = Log()
    log.queue(ANN, 1)
    log.leave(1)
    (step,) = log.history.effects[-1].steps
    log.history.effects.pop()
    log.entry(Step(step.command, step.origin, step.outcome, ()))

    assert objections(claims.check, log.history)


@pytest.mark.parametrize("result", [Result.DEFINITE, Result.NOT_NOW, Result.GRANTED])
def test_a_grant_to_one_who_was_told_that_it_got_nothing_is_found(result: Result):
    log = Log()
    log.grant(ANN, 1)
    log.told("ann", result, mark=b"s-ann")

    assert bool(objections(claims.check, log.history)) is (result is not Result.GRANTED)
