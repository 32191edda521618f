"""The checker of deadlocks finds a circle that was missed and one that is none, in small logs."""

from typing import Any

import pytest

from gorilla.domain.commands import Policy, SetPolicy
from gorilla.domain.links import Link
from gorilla.domain.outcomes import Deadlock, Done, Queued
from tests.support.sim.checkers import deadlocks
from tests.support.sim.lock_log import SHARED
from tests.support.sim.telling import objections
from tests.support.sim.telling_queues import Log, acquire

COUNTED = 2


def crossed(*, slots: int = 1) -> Log:
    """Return a log in which ann holds r, bob holds s, and ann waits for s."""
    log = Log()
    log.grant(acquire("ann", "r", slots=slots), 1)
    log.grant(acquire("bob", "s", slots=slots), 2)
    log.queue(acquire("ann", "s", slots=slots, secret="s-again"), 3)
    return log


def refuse(log: Log, *links: Link, **more: Any) -> None:
    log.do(acquire("bob", "r", secret="s-later", **more), Deadlock(links))


def circle(lock: str = "r", *, holds: bool = True) -> tuple[Link, ...]:
    return Link("bob", lock, "ann", holds=holds), Link("ann", "s", "bob", holds=True)


def test_a_circle_that_is_let_stand_is_found():
    log = crossed()
    log.queue(acquire("bob", "r", secret="s-later"), 4)

    assert objections(deadlocks.check, log.history)


def test_a_circle_that_is_refused_as_it_stands_is_fine():
    log = crossed()
    refuse(log, *circle())

    assert not objections(deadlocks.check, log.history)


@pytest.mark.parametrize(
    "links",
    [
        (Link("bob", "r", "cay", holds=True), Link("cay", "s", "bob", holds=True)),
        circle(holds=False),
        circle("q"),
        tuple(reversed(circle())),
    ],
)
def test_a_circle_that_stands_otherwise_than_it_is_told_is_found(links):
    log = crossed()
    refuse(log, *links)

    assert objections(deadlocks.check, log.history)


def test_a_wait_that_is_refused_although_it_would_end_is_found():
    log = Log()
    log.grant(acquire("ann", "r"), 1)
    log.grant(acquire("bob", "s"), 2)
    refuse(log, *circle())

    assert objections(deadlocks.check, log.history)


@pytest.mark.parametrize("slots", [COUNTED, SHARED])
def test_one_holder_of_many_that_waits_is_no_circle_and_may_not_be_refused(slots: int):
    waited, refused = crossed(slots=slots), crossed(slots=slots)
    waited.queue(acquire("bob", "r", secret="s-later", slots=slots), 4)
    refuse(refused, *circle(), slots=slots)

    assert not objections(deadlocks.check, waited.history)
    assert objections(deadlocks.check, refused.history)


def test_a_circle_that_only_a_policy_closes_is_found():
    log = Log()
    log.do(SetPolicy(Policy("", holders_max=1)), Done())
    log.grant(acquire("ann", "r", slots=SHARED), 1)
    log.grant(acquire("bob", "s", slots=SHARED), 2)
    log.queue(acquire("ann", "s", slots=SHARED, secret="s-again"), 3)
    log.queue(acquire("bob", "r", slots=SHARED, secret="s-later"), 4)

    assert objections(deadlocks.check, log.history)


def test_whoever_comes_when_a_policy_has_closed_a_circle_is_not_to_blame():
    log = crossed(slots=COUNTED)
    log.queue(acquire("bob", "r", secret="s-later", slots=COUNTED), 4)
    log.do(SetPolicy(Policy("", holders_max=1)), Done())
    log.queue(acquire("cay", "r", slots=COUNTED), 5, position=2)

    assert not objections(deadlocks.check, log.history)


def test_whoever_asks_again_for_what_it_waits_for_is_not_to_blame_either():
    log, later = crossed(slots=COUNTED), acquire("bob", "r", secret="s-later", slots=COUNTED)
    log.queue(later, 4)
    log.do(SetPolicy(Policy("", holders_max=1)), Done())
    log.do(later, Queued(4, 1))

    assert not objections(deadlocks.check, log.history)
