"""The checkers of those left behind, of keys, sessions and groups reject small logs."""

import pytest

from gorilla.domain.events import Acquired, Left
from gorilla.domain.outcomes import Queued, Replayed, TimedOut
from tests.support.sim.checkers import (
    ALL,
    claims,
    keys,
    left_behind,
    modes,
    queue_order,
    sessions,
    several,
)
from tests.support.sim.history import Result, Step
from tests.support.sim.mutants import MUTANTS
from tests.support.sim.telling import objections
from tests.support.sim.telling_queues import Log, acquire

ANN, BOB, CAY = acquire("ann"), acquire("bob"), acquire("cay")


# Nobody left behind


def test_one_whose_turn_it_is_and_who_is_not_told_is_found():
    for turns, is_found in (((), True), ((1,), False)):
        log = Log()
        log.grant(BOB, 1)
        log.queue(ANN, 1)
        log.release(BOB, 1, turns=turns)

        assert bool(objections(left_behind.check, log.history)) is is_found


@pytest.mark.parametrize("after_ms", [4_000, 6_000])
def test_one_who_waits_for_longer_than_it_wanted_to_is_found(after_ms: int):
    log = Log()
    log.grant(BOB, 1)
    log.queue(ANN, 1)
    log.do(CAY, Queued(9, 9), after_ms=after_ms)

    assert bool(objections(left_behind.check, log.history)) is (after_ms > 5_000)


def test_one_who_waits_at_a_node_that_is_gone_is_found():
    log = Log()
    log.grant(BOB, 1)
    log.queue(acquire("ann", wait_ms=60_000), 1)
    log.entry(after_ms=4_000)
    assert not objections(left_behind.check, log.history)

    log.entry(after_ms=1_500)

    assert objections(left_behind.check, log.history)


def test_a_turn_that_is_never_claimed_and_never_passes_is_found():
    log = Log()
    log.queue(acquire("ann", wait_ms=60_000), 1, turns=(1,))
    log.do(CAY, Queued(9, 9), after_ms=3_000)
    assert not objections(left_behind.check, log.history)

    log.do(CAY, Queued(9, 9), after_ms=3_000)

    assert objections(left_behind.check, log.history)


@pytest.mark.parametrize("result", [Result.UNKNOWN, Result.DEFINITE, Result.NOT_NOW])
def test_a_request_without_an_answer_in_the_calm_is_found(result: Result):
    log = Log()
    log.history.calm_from = 5.0
    log.told("ann", Result.UNKNOWN, invoked_at=4.0)
    assert not objections(left_behind.check, log.history)

    log.told("ann", result, invoked_at=6.0)

    assert bool(objections(left_behind.check, log.history)) is (result is not Result.NOT_NOW)


@pytest.mark.parametrize("why", [Left.UNCLAIMED, Left.NODE_LOST, Left.TIMEOUT])
def test_one_who_is_lost_in_the_calm_is_found(why: Left):
    log = Log()
    log.history.calm_from = 0.0
    log.grant(BOB, 1)
    log.queue(ANN, 1)
    log.leave(1, why)

    assert bool(objections(left_behind.check, log.history)) is (why is not Left.TIMEOUT)


@pytest.mark.parametrize("after_ms", [500, 2_000])
def test_a_handover_that_takes_long_in_the_calm_is_found(after_ms: int):
    log = Log()
    log.history.calm_from = 0.0
    log.queue(ANN, 1, turns=(1,))
    log.claim(1, 1, after_ms=after_ms)

    assert bool(objections(left_behind.check, log.history)) is (after_ms > 1_000)


# Keys


@pytest.mark.parametrize("number", [1, 2])
def test_two_grants_under_one_key_are_found(number: int):
    log = Log()
    log.grant(ANN, 1, key="k")
    log.release(ANN, 1)
    log.grant(acquire("ann", secret="s2"), number, key="k")

    assert objections(keys.check, log.history)


def test_a_key_that_is_given_another_answer_than_its_own_is_found():
    for number in (1, 2):
        log = Log()
        log.grant(ANN, 1, key="k")
        again = log.history.effects[0].steps[0].outcome
        log.grant(BOB, 2)
        other = log.history.effects[1].steps[0].outcome
        log.do(ANN, Replayed(again if number == 1 else other), key="k")

        assert bool(objections(keys.check, log.history)) is (number == 2)


def test_the_answer_of_a_wait_under_a_key_is_what_its_claim_gave():
    for is_again in (True, False):
        log = Log()
        log.queue(ANN, 1, key="k")
        log.claim(1, 1)
        again = log.history.effects[-1].steps[0].outcome
        if is_again:
            log.do(ANN, Replayed(again), key="k")
        else:
            log.queue(ANN, 2, key="k")

        assert bool(objections(keys.check, log.history)) is not is_again


def test_a_key_whose_wait_came_to_nothing_may_be_used_anew():
    log = Log()
    log.queue(ANN, 1, key="k")
    log.leave(1, Left.NODE_LOST)
    log.grant(ANN, 1, key="k")

    assert not objections(keys.check, log.history)


def test_a_key_whose_wait_was_over_is_told_so_again():
    log = Log()
    log.queue(ANN, 1, key="k")
    log.leave(1, Left.TIMEOUT)
    log.grant(ANN, 1, key="k")

    assert objections(keys.check, log.history)


@pytest.mark.parametrize("key", ["other", ""])
def test_a_key_whose_place_another_request_took_does_nothing_any_more(key: str):
    for is_late in (True, False):
        log = Log()
        log.queue(ANN, 1, key="k")
        log.do(acquire("ann", wait_ms=60_000, secret="s2"), Queued(1, 1), key=key)
        if is_late:
            log.do(ANN, Queued(1, 1), key="k")
        else:
            log.do(ANN, Replayed(TimedOut(9)), key="k")

        assert bool(objections(keys.check, log.history)) is is_late


@pytest.mark.parametrize("fencing", [(1,), (2,)])
def test_clients_who_are_told_two_numbers_under_one_key_are_found(fencing: tuple[int, ...]):
    log = Log()
    log.told("ann", Result.GRANTED, key="k", fencing=(1,), tokens=("t",))
    log.told("ann", Result.GRANTED, key="k", fencing=fencing, tokens=("t",))

    assert bool(objections(keys.check, log.history)) is (fencing != (1,))


def test_a_key_that_is_told_to_be_of_another_request_is_found():
    log = Log()
    log.told("ann", Result.CONFLICT, key="k")

    assert objections(keys.check, log.history)


# Sessions


def test_what_outlives_the_end_of_its_session_is_found():
    for is_released in (True, False):
        log = Log()
        log.open("one", 1)
        command = acquire("ann", session="one")
        log.grant(command, 1, session=1)
        log.end("one")
        if is_released:
            (step,) = log.history.effects.pop().steps
            log.release(command, 1, session=1)
            (ended,) = log.history.effects.pop().steps
            log.entry(Step(step.command, step.origin, step.outcome, ended.events))

        assert bool(objections(sessions.check, log.history)) is not is_released


def test_one_who_waits_in_a_session_that_was_ended_is_found():
    log = Log()
    log.open("one", 1)
    log.queue(acquire("ann", session="one"), 1)
    log.end("one")

    assert objections(sessions.check, log.history)


@pytest.mark.parametrize("after_ms", [900, 1_100])
def test_what_outlives_a_session_that_ran_out_is_found(after_ms: int):
    log = Log()
    log.open("one", 1, expires_at_ms=1_000)
    log.grant(acquire("ann", session="one"), 1, session=1)
    log.entry(after_ms=after_ms)

    assert bool(objections(sessions.check, log.history)) is (after_ms > 1_000)


# Several at once


def test_a_part_of_several_and_an_answer_that_the_log_does_not_have_are_found():
    both = acquire("ann", "r", "s")
    whole, part, other = Log(), Log(), Log()
    whole.grant(both, 1, 2)
    whole.told("ann", Result.GRANTED, "r", "s", fencing=(1, 2))
    part.grant(both, 1)
    other.grant(both, 1, 2)
    other.told("bob", Result.GRANTED, "r", "s", fencing=(1, 2))

    assert not objections(several.check, whole.history)
    assert objections(several.check, part.history)
    assert objections(several.check, other.history)


def test_a_part_of_several_that_is_claimed_is_found():
    log = Log()
    log.queue(acquire("ann", "r", "s"), 1)
    log.claim(1, 1)

    assert objections(several.check, log.history)


def test_a_grant_that_nobody_is_told_of_and_a_number_that_does_not_rise_are_found():
    silent, falling = Log(), Log()
    begun = Acquired(*silent.fields("r", "ann"), 1, 1_000)
    silent.do(ANN, Queued(1, 1), begun)
    falling.grant(ANN, 2)
    falling.grant(acquire("bob", "s"), 1)

    assert objections(several.check, silent.history)
    assert objections(several.check, falling.history)


# All of them


def test_an_uneventful_log_passes_every_checker():
    log = Log()
    log.open("one", 1)
    log.grant(ANN, 1, key="k")
    log.queue(acquire("bob", session="one"), 2)
    log.release(ANN, 1, turns=(2,))
    log.claim(2, 2, session=1)
    log.release(BOB, 2)
    log.end("one")
    log.told("ann", Result.GRANTED, fencing=(1,), tokens=("s-ann",), mark=b"s-ann")

    checks = (modes, queue_order, claims, left_behind, keys, sessions, several)
    assert [objections(one.check, log.history) for one in checks] == [[]] * len(checks)


def test_what_has_to_find_a_planted_bug_is_a_checker():
    assert {name for mutant in MUTANTS.values() for name in mutant.by} <= ALL.keys()
