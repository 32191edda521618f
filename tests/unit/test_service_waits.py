"""Calls that wait, on virtual time: turns, hang-ups, deadlines, drains, lost states."""

import asyncio

import pytest

from gorilla.domain.events import Left
from gorilla.domain.outcomes import Granted, GrantedAll, Held, Replayed
from gorilla.service.errors import DrainingError, NotServedError
from gorilla.service.keys import Key
from gorilla.service.waits import WaitEnded
from tests.support.service import Fate, Node, acquired, on_virtual_time, turns, waiting


def queue(node: Node, lock: str = "db") -> list[str]:
    return [waiter.holder for waiter in node.replica.table.waiters.queue(lock).values()]


@on_virtual_time
async def test_waiters_are_served_in_order_and_each_lease_counts_from_its_grant():
    node = Node()
    held = await acquired(node, "ann")
    calls = [await waiting(node, who) for who in ("bob", "cay")]
    await asyncio.sleep(3)
    await node.locks.release("db", held.lease.secret)

    bob = await calls[0]
    assert isinstance(bob, Granted)
    assert (bob.lease.holder, bob.remaining_ms) == ("bob", 10_000)
    assert bob.lease.waited_ms == pytest.approx(3_000, abs=50)
    assert not calls[1].done()
    await node.locks.release("db", bob.lease.secret)
    assert (await calls[1]).lease.holder == "cay"


@on_virtual_time
async def test_waiters_outlast_what_makes_a_silent_node_lost():
    node = Node()
    held = await node.locks.acquire(lock="db", holder="ann", ttl_ms=100_000)
    call = await waiting(node, "bob")
    await asyncio.sleep(30)

    assert queue(node) == ["bob"]
    await node.locks.release("db", held.lease.secret)
    assert isinstance(await call, Granted)


@on_virtual_time
async def test_a_wait_that_runs_out_is_told_so_and_leaves():
    node = Node()
    await node.locks.acquire(lock="db", holder="ann", ttl_ms=100_000)

    outcome = await acquired(node, "bob", wait_ms=2_000)

    assert isinstance(outcome, WaitEnded)
    assert outcome.why is Left.TIMEOUT
    assert outcome.waited_ms == pytest.approx(2_000, abs=50)
    assert queue(node) == []


@on_virtual_time
async def test_no_wait_is_told_to_have_ended_before_its_time():
    """Cluster time counts whole milliseconds, so the table may be almost one early."""
    node = Node()
    await node.locks.acquire(lock="db", holder="ann", ttl_ms=100_000)
    await asyncio.sleep(0.0009)
    call = await waiting(node, "bob", wait_ms=50)
    while not call.done():
        # Any entry lets cluster time pass.
        await asyncio.sleep(0.0001)
        await node.locks.acquire(lock="other", holder="cay", ttl_ms=1_000)

    outcome = await call
    assert outcome.why is Left.TIMEOUT
    assert 50 <= outcome.waited_ms < 60


@on_virtual_time
async def test_a_wait_ends_in_time_without_a_leader_too_and_gets_nothing_later():
    node = Node()
    held = await node.locks.acquire(lock="db", holder="ann", ttl_ms=100_000)
    call = await waiting(node, "bob", wait_ms=2_000)
    node.consensus.lose_leader()

    outcome = await call
    assert isinstance(outcome, WaitEnded)
    assert outcome.why is Left.TIMEOUT

    node.consensus.elect()
    await node.locks.release("db", held.lease.secret)
    await asyncio.sleep(10)
    assert node.replica.table.holders("db") == ()
    assert queue(node) == []


@on_virtual_time
async def test_who_hangs_up_leaves_at_once():
    node = Node()
    await node.locks.acquire(lock="db", holder="ann", ttl_ms=100_000)
    hung_up = asyncio.get_running_loop().create_future()
    call = await waiting(node, "bob", hung_up=hung_up)

    hung_up.set_result(None)
    outcome = await call
    await turns(8)

    assert isinstance(outcome, WaitEnded)
    assert queue(node) == []


@on_virtual_time
async def test_a_cancelled_call_leaves_as_well():
    node = Node()
    await node.locks.acquire(lock="db", holder="ann", ttl_ms=100_000)
    call = await waiting(node, "bob")

    call.cancel()
    await turns(8)

    assert queue(node) == []
    assert len(node.locks.waits) == 0


@on_virtual_time
async def test_a_call_that_is_cancelled_just_after_its_grant_lets_go_of_it():
    node = Node()
    call = await waiting_for_the_answer(node)
    call.cancel()
    await turns(12)

    assert call.cancelled()
    assert node.replica.table.holders("db") == ()


async def waiting_for_the_answer(node: Node) -> asyncio.Task:
    """Begin to ask for a lock, up to when it is granted and the call has not gone on yet."""
    call = asyncio.ensure_future(acquired(node, "bob", wait_ms=1_000))
    while not node.replica.table.holders("db"):
        await asyncio.sleep(0)
    assert not call.done()
    return call


@on_virtual_time
async def test_a_grant_to_somebody_who_has_just_gone_is_taken_back():
    node = Node()
    held = await acquired(node, "ann")
    hung_up = asyncio.get_running_loop().create_future()
    call = await waiting(node, "bob", hung_up=hung_up)
    await node.locks.release("db", held.lease.secret)
    hung_up.set_result(None)
    await call
    await turns(12)

    assert node.replica.table.holders("db") == ()
    assert queue(node) == []


@on_virtual_time
async def test_a_draining_node_lets_its_callers_go_undone():
    node = Node()
    await node.locks.acquire(lock="db", holder="ann", ttl_ms=100_000)
    call = await waiting(node, "bob")

    node.locks.waits.drain()

    with pytest.raises(DrainingError):
        await call
    await turns(8)
    assert queue(node) == []
    with pytest.raises(DrainingError):
        await acquired(node, "cay", wait_ms=1_000)


@pytest.mark.parametrize("key", [None, Key("k", b"f")])
@on_virtual_time
async def test_a_call_that_is_granted_while_its_node_drains_is_told_so(key: Key | None):
    node = Node()
    node.consensus.fates.append(Fate.DELAY)
    call = await waiting(node, "bob", key=key)

    node.locks.waits.drain()
    draining = asyncio.ensure_future(node.proposals.drain(2))
    await turns(8)
    assert not call.done()
    node.consensus.deliver_delayed()

    assert isinstance(await call, Granted)
    assert await draining == 0
    assert [lease.holder for lease in node.replica.table.holders("db")] == ["bob"]


@on_virtual_time
async def test_a_call_that_comes_to_queue_while_its_node_drains_is_let_go():
    node = Node()
    await acquired(node, "ann")
    node.consensus.fates.append(Fate.DELAY)
    call = await waiting(node, "bob")

    node.locks.waits.drain()
    await turns(8)
    node.consensus.deliver_delayed()

    with pytest.raises(DrainingError):
        await call
    await turns(8)
    assert queue(node) == []


@on_virtual_time
async def test_a_turn_outlasts_a_time_without_a_leader():
    node = Node()
    held = await acquired(node, "ann")
    call = await waiting(node, "bob")
    passed_on = node.replica._on_turns

    def leaderless(turns):
        node.consensus.lose_leader()
        passed_on(turns)

    node.replica._on_turns = leaderless
    await node.locks.release("db", held.lease.secret)
    node.replica._on_turns = passed_on
    # Longer than a command waits for a leader.
    await asyncio.sleep(7)
    assert not call.done()

    node.consensus.elect()
    assert isinstance(await call, Granted)


@on_virtual_time
async def test_a_turn_that_can_not_be_claimed_ends_with_the_wait_and_nothing_was_done():
    node = Node()
    held = await acquired(node, "ann")
    call = await waiting(node, "bob", wait_ms=3_000)
    node.consensus.fates.append(Fate.DELIVER)
    node.consensus.fate = Fate.REFUSE
    await node.locks.release("db", held.lease.secret)

    outcome = (await asyncio.gather(call, return_exceptions=True))[0]
    assert isinstance(outcome, NotServedError | WaitEnded)
    node.consensus.fate = Fate.DELIVER
    await asyncio.sleep(10)
    node.proposals.touch()
    await turns(8)
    assert node.replica.table.holders("db") == ()


@on_virtual_time
async def test_a_turn_that_was_missed_with_a_snapshot_is_looked_up():
    node = Node()
    held = await acquired(node, "ann")
    call = await waiting(node, "bob")
    passed_on = node.replica._on_turns
    node.replica._on_turns = None
    await node.locks.release("db", held.lease.secret)
    await turns(8)
    assert not call.done()

    node.replica._on_turns = passed_on
    for adopted in node.replica._adopted:
        adopted()

    assert isinstance(await call, Granted)


@on_virtual_time
async def test_the_same_owner_asking_again_takes_its_place():
    node = Node()
    held = await acquired(node, "ann")
    older = await waiting(node, "bob")
    await waiting(node, "cay")
    newer = await waiting(node, "bob")

    outcome = await older
    assert isinstance(outcome, WaitEnded)
    assert outcome.why is Left.REPLACED
    assert queue(node) == ["bob", "cay"]
    await node.locks.release("db", held.lease.secret)
    assert isinstance(await newer, Granted)


@on_virtual_time
async def test_a_wait_under_a_key_is_answered_once_and_again():
    node = Node()
    held = await acquired(node, "ann")
    key = Key("k1", b"f")
    call = await waiting(node, "bob", key=key)
    await node.locks.release("db", held.lease.secret)
    first = await call

    again = await acquired(node, "bob", wait_ms=1_000, key=key)

    assert isinstance(again, Replayed)
    assert isinstance(again.outcome, Granted)
    assert again.outcome.lease == first.lease


@on_virtual_time
async def test_several_at_once_wait_together():
    node = Node()
    held = await acquired(node, "ann", "b")
    call = asyncio.ensure_future(
        node.locks.acquire_all(locks=("a", "b"), holder="bob", ttl_ms=10_000, wait_ms=5_000)
    )
    await turns(8)
    assert isinstance(await acquired(node, "eve", "b"), Held)
    await node.locks.release("b", held.lease.secret)

    outcome = await call
    assert isinstance(outcome, GrantedAll)
    assert [lease.lock for lease in outcome.leases] == ["a", "b"]


@pytest.mark.parametrize("wait_ms", [0, 5_000])
@on_virtual_time
async def test_an_answer_given_again_does_not_promise_the_time_that_it_took(wait_ms: int):
    node = Node()
    key = Key("k", b"f")
    await acquired(node, "ann", key=key, wait_ms=wait_ms)
    node.consensus.fates.append(Fate.DROP)
    asked_s = node.loop.time()

    again = await acquired(node, "ann", key=key, wait_ms=wait_ms)

    passed_ms = (node.loop.time() - asked_s) * 1_000
    assert passed_ms > 100
    assert isinstance(again, Replayed)
    # As of the entry that gave it, and then less what passed since the request.
    assert again.outcome.remaining_ms <= 10_000 - 2 * passed_ms + 50


@on_virtual_time
async def test_an_owner_who_hung_up_and_was_told_of_the_lock_elsewhere_keeps_it():
    node = Node()
    held = await acquired(node, "ann")
    hung_up = asyncio.get_running_loop().create_future()
    call = await waiting(node, "bob", hung_up=hung_up)
    await node.locks.release("db", held.lease.secret)
    asking = asyncio.ensure_future(acquired(node, "bob"))
    hung_up.set_result(None)
    await call
    again = await asking
    await turns(12)

    assert isinstance(again, Granted)
    assert node.replica.table.holders("db")[0].secret == again.lease.secret
