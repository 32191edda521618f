"""Chains of who keeps whom waiting: what is looked at for one of them is bounded."""

import pytest

from gorilla.domain.commands import SHARED, Acquire, AcquireAll
from gorilla.domain.events import QueuedEvent
from gorilla.domain.limits import Bounds
from gorilla.domain.links import Link
from gorilla.domain.table import LockTable
from tests.support.domain import Caller

DAY_MS = 24 * 3600 * 1_000
CROWD = 300
BOUNDS = Bounds(waiter_origin_idle_ms=DAY_MS)


@pytest.mark.parametrize(("open_locks", "is_told"), [(2, True), (20, False)])
def test_a_chain_is_followed_past_some_long_queues_and_no_more(open_locks: int, is_told: bool):
    caller = Caller(LockTable(bounds=BOUNDS))
    caller.at(1, Acquire("shut", "eve", DAY_MS, "eve"), Acquire("mine", "bob", DAY_MS, "bob"))
    # Everybody shares the open locks, where there is room for all, and waits for the one that is
    # shut: bob too, behind a crowd at each.
    locks = (*(f"open-{number}" for number in range(open_locks)), "shut")
    for number in range(CROWD):
        secret = f"s{number}"
        caller.at(2, AcquireAll(locks, secret, DAY_MS, secret, slots=SHARED, wait_ms=DAY_MS))
    caller.at(3, AcquireAll(locks, "bob", DAY_MS, "bobs", slots=SHARED, wait_ms=DAY_MS))

    applied = caller.at(4, Acquire("mine", "cay", DAY_MS, "cay", wait_ms=DAY_MS))

    (queued,) = (event for event in applied.events if isinstance(event, QueuedEvent))
    assert queued.blocked_by == ("bob",)
    told = (Link("bob", "shut", "eve", holds=True),)
    assert queued.chain == (told if is_told else ())
