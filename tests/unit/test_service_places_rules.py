"""Kept places under policies, bounds and idempotency keys, on virtual time."""

import asyncio

import pytest

from gorilla.domain import limits
from gorilla.domain.commands import Policy
from gorilla.domain.outcomes import Granted, Replayed, TimedOut
from gorilla.service.keys import Key
from gorilla.service.locks import LockSettings
from tests.support.places import KEEP_MS, asked, held, queue
from tests.support.service import Node, acquired, on_virtual_time, turns, waiting


@on_virtual_time
async def test_a_policy_bounds_wait_and_kept_place_together():
    node = Node()
    await held(node)
    await node.policies.set(Policy("d", wait_ms_max=8_000))
    asked_s = node.loop.time()

    ended = await asked(node, "bob", wait_ms=60_000)

    assert ended.waited_ms == pytest.approx(4_000, abs=50)
    assert node.loop.time() - asked_s == pytest.approx(4.0, abs=0.05)
    assert ended.place.kept_ms == pytest.approx(4_000, abs=50)


@on_virtual_time
async def test_a_turn_that_a_policy_holds_back_is_not_told_as_one():
    node = Node()
    secret = await held(node)
    await node.policies.set(Policy("d", gap_ms=4_000))
    await asked(node, "bob", slots=0)
    cay = await waiting(node, "cay", slots=0)
    await node.locks.release("db", secret)
    assert (await cay).lease.holder == "cay"

    found, _ = await node.locks.explain("db", "bob")
    assert (found.ready, found.position, found.cooling_ms > 3_900) == (False, 1, True)
    assert [one.ready for one in (await node.locks.show("db")).waiters] == [False]
    asked_s = node.loop.time()
    granted = await asked(node, "bob", slots=0, wait_ms=10_000)

    assert granted.lease.holder == "bob"
    assert node.loop.time() - asked_s == pytest.approx(4.0, abs=0.05)


@on_virtual_time
async def test_the_longest_wait_leaves_room_for_the_place():
    day_ms = limits.WAIT_MS_MAX
    node = Node(settings=LockSettings(max_wait_ms=day_ms))
    await held(node, ttl_ms=1_000)
    call = asyncio.ensure_future(asked(node, "bob", wait_ms=2 * day_ms))
    await turns(8)
    (waiter,) = node.replica.table.waiters.queue("db").values()

    assert waiter.until_ms - waiter.since_ms == day_ms
    assert isinstance(await call, Granted)


@on_virtual_time
async def test_under_a_key_the_last_word_is_said_when_the_place_is_given_up():
    node = Node()
    await held(node)
    key = Key("k", b"f")

    first = await asked(node, "bob", key=key)
    second = await asked(node, "bob", key=key)
    assert [ended.place.position for ended in (first, second)] == [1, 1]
    await asyncio.sleep(KEEP_MS / 1_000 + 0.1)

    told = await asked(node, "bob", key=key)
    assert isinstance(told, Replayed)
    assert isinstance(told.outcome, TimedOut)


@on_virtual_time
async def test_another_key_takes_the_place_along():
    node = Node()
    secret = await held(node)
    await asked(node, "bob", key=Key("k1", b"f"))
    await waiting(node, "cay")
    again = asyncio.ensure_future(asked(node, "bob", key=Key("k2", b"g")))
    await turns(8)

    assert queue(node) == ["bob", "cay"]
    # An attempt of the first request that comes late, and whose caller has gone long since.
    gone = node.loop.create_future()
    gone.set_result(None)
    await asked(node, "bob", key=Key("k1", b"f"), hung_up=gone)
    await turns(8)
    assert queue(node) == ["bob", "cay"]
    await node.locks.release("db", secret)
    assert (await again).lease.holder == "bob"
    again = await acquired(node, "bob", wait_ms=1_000, key=Key("k2", b"g"))
    assert isinstance(again, Replayed)
