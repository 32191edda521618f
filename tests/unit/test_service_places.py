"""Places in the queue that are kept from one request to the next, on virtual time."""

import asyncio
from typing import Any

import pytest

from gorilla.domain.commands import Batch
from gorilla.domain.events import Left, LeftEvent, QueuedEvent
from gorilla.domain.outcomes import Deadlock, Granted, GrantedAll, Held
from gorilla.service.errors import DrainingError
from gorilla.service.waits import WaitEnded
from tests.support.places import KEEP_MS, asked, held, queue
from tests.support.service import Node, acquired, on_virtual_time, turns, waiting


@on_virtual_time
async def test_a_place_is_kept_for_who_asks_again_and_told():
    node = Node()
    secret = await held(node)
    await waiting(node, "bob")

    ended = await asked(node, "cay")

    assert isinstance(ended, WaitEnded)
    assert ended.why is Left.TIMEOUT
    assert ended.waited_ms == pytest.approx(2_000, abs=50)
    assert (ended.place.position, ended.place.kept_ms) == (2, pytest.approx(KEEP_MS, abs=50))
    now_ms = node.clock.wall_ms()
    assert ended.place.kept_until_wall_ms == pytest.approx(now_ms + KEEP_MS, abs=50)
    assert queue(node) == ["bob", "cay"]

    await asyncio.sleep(KEEP_MS / 1_000 - 0.1)
    await waiting(node, "dan")
    again = asyncio.ensure_future(asked(node, "cay", wait_ms=60_000))
    await turns(8)
    assert queue(node) == ["bob", "cay", "dan"]
    bob = await _freed(node, secret, "bob")
    await node.locks.release("db", bob)
    granted = await again
    assert (granted.lease.holder, granted.remaining_ms) == ("cay", 10_000)
    assert granted.lease.waited_ms == pytest.approx(6_900, abs=100)


async def _freed(node: Node, secret: str, next_one: str) -> str:
    await node.locks.release("db", secret)
    await turns(8)
    (lease,) = node.replica.table.holders("db")
    assert lease.holder == next_one
    return lease.secret


@on_virtual_time
async def test_a_wait_of_many_requests_stays_first_through_all_of_them():
    node = Node()
    secret = await held(node)
    for round_number in range(1, 11):
        ended = await asked(node, "bob", wait_ms=45_000)
        assert ended.place.position == 1
        assert ended.waited_ms == pytest.approx(45_000 * round_number, abs=1_000)
        if round_number == 1:
            await waiting(node, "eve", wait_ms=3_600_000)
    again = asyncio.ensure_future(asked(node, "bob"))
    await turns(8)
    await _freed(node, secret, "bob")

    assert isinstance(await again, Granted)
    told = [e for e in node.replica.table.recent_events if isinstance(e, QueuedEvent | LeftEvent)]
    assert [type(event).__name__ for event in told if event.holder == "bob"] == ["QueuedEvent"]


@on_virtual_time
async def test_a_turn_that_comes_to_a_kept_place_waits_for_its_owner_alone():
    node = Node()
    secret = await held(node)
    await asked(node, "bob")
    behind = await waiting(node, "cay")
    await node.locks.release("db", secret)
    await asyncio.sleep(3)

    assert node.replica.table.holders("db") == ()
    assert (await node.locks.explain("db", "bob"))[0].ready
    assert not behind.done()
    granted = await asked(node, "bob")

    assert granted.lease.holder == "bob"
    assert granted.remaining_ms == 10_000


@on_virtual_time
async def test_a_turn_that_nobody_comes_back_for_passes_on_when_the_place_is_given_up():
    node = Node()
    secret = await held(node)
    await asked(node, "bob")
    parked_s = node.loop.time()
    behind = await waiting(node, "cay")
    await asyncio.sleep(2)
    await node.locks.release("db", secret)

    assert (await behind).lease.holder == "cay"
    assert node.loop.time() - parked_s == pytest.approx(KEEP_MS / 1_000, abs=0.05)


@on_virtual_time
async def test_a_turn_that_comes_after_the_place_was_given_up_passes_on_at_once():
    """Without a leader cluster time stands still, and the table still has the place."""
    node = Node()
    secret = await held(node)
    await asked(node, "bob")
    behind = await waiting(node, "cay")
    node.consensus.lose_leader()
    await asyncio.sleep(7)
    node.consensus.elect()
    assert queue(node) == ["bob", "cay"]

    await node.locks.release("db", secret)
    released_s = node.loop.time()

    assert (await behind).lease.holder == "cay"
    assert node.loop.time() - released_s < 0.05


@on_virtual_time
async def test_a_place_that_nobody_comes_back_to_is_left_and_the_queue_hears_of_it():
    node = Node()
    await held(node)
    await asked(node, "bob")
    await asyncio.sleep(KEEP_MS / 1_000 + 0.1)

    assert queue(node) == []
    assert len(node.locks.waits) == 0
    assert not node.locks.waits._kept
    left = [e for e in node.replica.table.recent_events if isinstance(e, LeftEvent)]
    assert [(e.holder, e.why, e.waited_ms) for e in left] == [
        ("bob", Left.TIMEOUT, pytest.approx(2_000 + KEEP_MS, abs=50))
    ]
    # Nobody waits: no more is heard of this node.
    await asyncio.sleep(1)
    offered = len(node.consensus.offered)
    await asyncio.sleep(30)
    assert len(node.consensus.offered) == offered


@on_virtual_time
async def test_who_comes_too_late_stands_at_the_end():
    node = Node()
    await held(node)
    await asked(node, "bob")
    await waiting(node, "cay")
    await asyncio.sleep(KEEP_MS / 1_000 + 0.1)
    await waiting(node, "bob")

    assert queue(node) == ["cay", "bob"]


@on_virtual_time
async def test_without_a_kept_place_the_answer_says_where_it_stood():
    node = Node()
    await held(node)
    await waiting(node, "bob")

    ended = await acquired(node, "cay", wait_ms=2_000)

    assert (ended.place.position, ended.place.kept_ms) == (2, 0)
    assert queue(node) == ["bob"]


@pytest.mark.parametrize("when_s", [1.0, 2.0])
@on_virtual_time
async def test_who_hangs_up_leaves_at_once_in_the_moment_of_the_answer_too(when_s: float):
    node = Node()
    await held(node)
    hung_up = node.loop.create_future()
    call = asyncio.ensure_future(asked(node, "bob", hung_up=hung_up))
    await turns(8)
    await asyncio.sleep(when_s - 0.001)
    while when_s > 1 and not node.locks.waits._kept:
        await asyncio.sleep(0.0001)
        await turns(1)
    hung_up.set_result(None)
    await turns(12)

    assert call.done()
    assert queue(node) == []
    assert not node.locks.waits._kept


@on_virtual_time
async def test_a_call_that_is_cancelled_with_its_answer_gives_the_place_up():
    node = Node()
    await held(node)
    call = asyncio.ensure_future(asked(node, "bob"))
    await turns(8)
    while not node.locks.waits._kept:
        await asyncio.sleep(0.01)
    call.cancel()
    await turns(12)

    assert queue(node) == []


@on_virtual_time
async def test_a_draining_node_keeps_the_place_for_the_next_one():
    node = Node()
    secret = await held(node)
    call = asyncio.ensure_future(asked(node, "bob", wait_ms=60_000))
    await turns(8)
    await waiting(node, "cay")

    node.locks.waits.drain()
    with pytest.raises(DrainingError):
        await call
    await turns(8)
    assert queue(node) == ["bob"]
    await node.locks.release("db", secret)
    await asyncio.sleep(KEEP_MS / 1_000 + 0.1)

    assert queue(node) == []
    assert node.replica.table.holders("db") == ()


@on_virtual_time
async def test_the_place_of_a_node_that_died_goes_with_its_waits():
    node = Node()
    await held(node)
    await asked(node, "bob")
    node.proposals.close()
    node.locks.waits._kept.clear()
    for _ in range(6):
        await asyncio.sleep(1)
        node.consensus.write(Batch("gorilla-2/a", 0, opens=True, commands=()))

    assert queue(node) == []


@on_virtual_time
async def test_a_wait_shorter_than_its_first_answer_is_told_of_its_place():
    node = Node()
    await held(node)

    ended = await asked(node, "bob", wait_ms=1)

    assert ended.place.position == 1
    assert queue(node) == ["bob"]


@on_virtual_time
async def test_a_place_lost_with_a_state_that_was_taken_over_is_not_told_as_kept():
    node = Node()
    await held(node)
    call = asyncio.ensure_future(asked(node, "bob"))
    await turns(8)
    (waiter,) = node.replica.table.waiters.queue("db").values()
    node.replica.table._book.dequeue(waiter)

    ended = await call

    assert (ended.why, ended.place) == (Left.NODE_LOST, None)


@on_virtual_time
async def test_several_locks_keep_their_place_together():
    node = Node()
    secret = await held(node, "b")
    locks = ("a", "b")

    async def wanted(wait_ms: int) -> Any:
        return await node.locks.acquire_all(
            locks=locks, holder="bob", ttl_ms=10_000, wait_ms=wait_ms, keep_ms=KEEP_MS
        )

    ended = await wanted(1_000)
    assert ended.place.position == 1
    assert not isinstance(await acquired(node, "eve", "a"), Granted)
    again = asyncio.ensure_future(wanted(10_000))
    await turns(8)
    await node.locks.release("b", secret)

    assert isinstance(await again, GrantedAll)


@on_virtual_time
async def test_a_kept_place_is_a_wait_that_may_close_a_circle():
    node = Node()
    await held(node, "a")
    await acquired(node, "bob", "b")
    await asked(node, "bob", lock="a")

    assert isinstance(await acquired(node, "ann", "b", wait_ms=1_000), Deadlock)


@on_virtual_time
async def test_asking_without_a_wait_finds_the_turn_of_a_kept_place_and_else_leaves_it():
    node = Node()
    secret = await held(node)
    await asked(node, "bob")

    assert isinstance(await acquired(node, "bob"), Held)
    assert queue(node) == ["bob"]
    await node.locks.release("db", secret)
    assert (await acquired(node, "bob")).lease.holder == "bob"
    assert not node.locks.waits._kept
