"""What a program is called with, and what it may do then; on virtual time.

They run on the face for asyncio; both faces are the same logic (``gorilla.client.ending``).
"""

import asyncio
from typing import Any

import pytest

from gorilla.client.errors import LockLost, LossReason
from tests.support.client_memory import client, force, holders, tasks
from tests.support.service import on_virtual_time


@on_virtual_time
async def test_a_callback_that_fails_stops_neither_the_extensions_nor_what_is_told_later(
    caplog: pytest.LogCaptureFixture,
):
    one = client()
    told: list[LockLost] = []

    def fails(_held: object) -> None:
        raise ZeroDivisionError("of the program")

    with pytest.raises(LockLost):
        async with one.lock("db", timeout=30, on_extended=fails, on_lost=told.append) as held:
            await asyncio.sleep(100)
            held.check()
            await held.extend()
            await force(one)
            await asyncio.sleep(15)

    assert [lost.reason for lost in told] == [LossReason.NOT_FOUND]
    assert "on_extended failed for db" in caplog.text
    assert "of the program" in caplog.text
    assert tasks() == set()


@pytest.mark.parametrize("is_plain", [True, False])
@on_virtual_time
async def test_a_callback_may_release_the_lock_that_was_extended(is_plain: bool):
    one = client()
    releasing: list[asyncio.Task[None]] = []

    async def release(held: Any) -> None:
        await held.release()

    def begin(held: Any) -> None:
        releasing.append(asyncio.ensure_future(held.release()))

    held = await one.lock("db", timeout=30, on_extended=begin if is_plain else release).acquire()
    await asyncio.sleep(11)

    assert holders(one) == []
    assert held.lost is None
    assert tasks() == set()
    await asyncio.gather(*releasing)


@on_virtual_time
async def test_an_explicit_extension_is_told_as_well_and_may_be_the_last():
    one = client()
    extended: list[object] = []

    async def release(held: Any) -> None:
        extended.append(held)
        await held.release()

    held = await one.lock("db", timeout=30, on_extended=release).acquire()
    await held.extend()

    assert extended == [held]
    assert holders(one) == []
    assert tasks() == set()


@on_virtual_time
async def test_a_lock_that_is_looked_at_is_found_to_be_lost_and_told_at_once():
    one = client()
    told: list[LockLost] = []
    async with one.session(ttl=300) as session:
        alone = await one.lock("db", timeout=300, on_lost=told.append).acquire()
        within = await session.lock("within", on_lost=told.append).acquire()
        for held in (alone, within):
            await force(one, held.resource)
            with pytest.raises(LockLost) as lost:
                await held.status()
            await asyncio.sleep(0.1)
            assert told.pop() is lost.value is held.lost
            assert lost.value.reason is LossReason.NOT_FOUND
    await asyncio.sleep(300)
    assert told == []
    assert tasks() == set()


@on_virtual_time
async def test_a_lock_that_an_explicit_extension_finds_lost_is_told_at_once():
    one = client()
    told: list[LockLost] = []
    held = await one.lock("db", timeout=300, on_lost=told.append).acquire()
    await force(one)
    with pytest.raises(LockLost) as lost:
        await held.extend()
    await asyncio.sleep(0.1)

    assert told == [lost.value]
    assert tasks() == set()
