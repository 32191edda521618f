"""Why somebody waits, and about how long, in data and in words; on virtual time."""

import asyncio

import pytest

from tests.support.service import Node, acquired, on_virtual_time, turns, waiting


@on_virtual_time
async def test_a_waiter_is_told_why_and_about_how_long():
    node = Node()
    for _ in range(3):
        held = await acquired(node, "zoe")
        await asyncio.sleep(4)
        await node.locks.release("db", held.lease.secret)
    await acquired(node, "ann", reason="nightly report")
    await waiting(node, "bob")
    await waiting(node, "cay")

    found, _ = await node.locks.explain("db", "cay")

    assert (found.position, found.ahead, found.held) == (2, 1, True)
    assert [(holder.holder, holder.reason) for holder in found.holders] == [
        ("ann", "nightly report")
    ]
    assert found.estimate_ms == pytest.approx(8_000, abs=100)
    assert "'ann' (nightly report)" in found.sentence


@on_virtual_time
async def test_a_hold_that_takes_longer_than_its_like_is_estimated_from_longer_ones_alone():
    node = Node()
    for held_s in (1, 1, 1, 8):
        held = await acquired(node, "zoe")
        await asyncio.sleep(held_s)
        await node.locks.release("db", held.lease.secret)
    await node.locks.acquire(lock="db", holder="ann", ttl_ms=100_000)

    estimates = []
    for _ in range(3):
        found, _ = await node.locks.explain("db", "bob")
        estimates.append(found.estimate_ms)
        await asyncio.sleep(5)

    assert estimates == [pytest.approx(1_000, abs=50), pytest.approx(3_000, abs=50), None]


@on_virtual_time
async def test_words_for_an_owner_that_has_the_lock_itself():
    node = Node()
    opened = await node.sessions.open(holder="ann", ttl_ms=60_000)
    await acquired(node, "ann")

    told, _ = await node.locks.explain("db", "ann")
    newcomer, _ = await node.locks.explain("db", None)
    other = node.locks.explained_now("db", "ann", opened.session.id)

    assert told.sentence == "'ann' has 'db' already, for 10 s more."
    assert told.own_ms == 10_000
    assert newcomer.sentence == "'ann' holds 'db', for 10 s more at most, unless it is extended."
    assert "'ann' holds 'db', in another session or in none" in other.sentence


@on_virtual_time
async def test_what_keeps_the_first_of_a_queue_is_told_though_the_lock_is_free():
    node = Node()
    await acquired(node, "zoe", "y")
    call = asyncio.ensure_future(
        node.locks.acquire_all(locks=("x", "y"), holder="ann", ttl_ms=10_000, wait_ms=5_000)
    )
    await turns(8)

    found, _ = await node.locks.explain("x", "bob")
    call.cancel()

    assert [(link.lock, link.holder) for link in found.first_waits_for] == [("y", "zoe")]
    assert found.sentence == (
        "Nobody else holds 'x'. 1 comes first in the queue, 'ann' before all. "
        "'ann' itself waits for 'y', which 'zoe' has."
    )


@on_virtual_time
async def test_a_holder_beside_whom_there_is_room_keeps_nobody_from_its_lock():
    node = Node()
    await acquired(node, "ann", "x")
    await acquired(node, "zoe", "pool", slots=2)
    for owner in ("bob", "cay"):
        await acquired(node, owner, "tools", slots=2)
    call = asyncio.ensure_future(
        node.locks.acquire_all(
            locks=("pool", "tools"), holder="ann", ttl_ms=10_000, slots=2, wait_ms=5_000
        )
    )
    await turns(8)

    found, _ = await node.locks.explain("x", "eve")
    queued = list(node.replica.table.recent_events)[-2:]
    call.cancel()

    assert [(link.lock, link.holder) for link in found.holders[0].waits_for] == [("tools", "bob")]
    assert [event.blocked_by for event in queued] == [(), ("bob", "cay")]
