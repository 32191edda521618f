"""The end of a block is bounded, whatever the cluster does; on virtual time."""

import asyncio

import pytest

from gorilla.client import Client
from gorilla.client.errands import ERRAND_S
from gorilla.client.errors import ClosedError, LockLost
from gorilla.client.keeping_async import STOPPED_S
from gorilla.client.taking import RELEASE_S
from tests.support.client_memory import Fate, MemoryClient
from tests.support.service import Node, on_virtual_time


def tasks() -> set[asyncio.Task[None]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


async def took_s(block: "asyncio.Task[None]") -> float:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await asyncio.wait([block])
    return loop.time() - began_s


@on_virtual_time
async def test_a_block_without_a_cluster_ends_within_the_bound_of_a_release(
    caplog: pytest.LogCaptureFixture,
):
    """Even when an extension is unanswered, which has to be settled before the release."""
    one = MemoryClient(Node())
    may_end = asyncio.Event()

    async def job() -> None:
        async with one.lock("db", timeout=60):
            await may_end.wait()

    block = asyncio.ensure_future(job())
    await asyncio.sleep(1)
    one.io.fate = lambda _call: Fate.SILENT
    await asyncio.sleep(25)
    may_end.set()

    assert await took_s(block) == pytest.approx(RELEASE_S, abs=0.2)
    await block
    [said] = [record.message for record in caplog.records]
    assert "could not be released" in said
    assert "ends by itself in about" in said


@on_virtual_time
async def test_a_block_whose_lock_is_lost_tries_for_a_moment_only_to_leave_nothing():
    one = MemoryClient(Node())
    lost = asyncio.Event()

    async def job() -> None:
        async with one.lock("db", timeout=6, on_lost=lambda _error: lost.set()):
            await lost.wait()

    block = asyncio.ensure_future(job())
    await asyncio.sleep(1)
    one.io.fate = lambda _call: Fate.SILENT
    await lost.wait()

    assert await took_s(block) <= ERRAND_S + 0.1
    with pytest.raises(LockLost):
        await block


@on_virtual_time
async def test_what_is_left_of_several_is_released_after_an_extension_without_an_answer():
    one = MemoryClient(Node())
    extended: list[object] = []
    wanted = one.locks(["a", "b"], timeout=60, on_extended=extended.append)
    may_end = asyncio.Event()

    async def job() -> None:
        async with wanted:
            await may_end.wait()

    block = asyncio.ensure_future(job())
    await asyncio.sleep(1)
    one.io.fate = lambda _call: Fate.UNANSWERED
    await asyncio.sleep(20)
    await one.io.node.repairs.force("a", reason="a test")
    may_end.set()
    one.io.fate = lambda _call: Fate.SERVED
    await asyncio.wait([block])

    table = one.io.node.replica.table
    assert table.holders("a") == table.holders("b") == ()
    assert extended == []
    assert tasks() == set()


@on_virtual_time
async def test_a_callback_that_will_not_end_does_not_keep_the_block():
    one = MemoryClient(Node())
    may_end = asyncio.Event()

    async def on_lost(_error: LockLost) -> None:
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue

    async def job() -> None:
        async with one.lock("db", timeout=6, on_lost=on_lost):
            await one.io.node.repairs.force("db", reason="a test")
            await asyncio.sleep(5)

    block = asyncio.ensure_future(job())
    await asyncio.sleep(4)
    assert await took_s(block) <= 1 + 2 * STOPPED_S + 0.1
    with pytest.raises(LockLost):
        await block
    may_end.set()
    await asyncio.wait(tasks())


def test_a_client_that_hung_up_may_be_closed_while_a_thread_finds_out():
    """The thread that waited for a lock is told in its own time; nobody is to fail for it."""
    client = Client("http://127.0.0.1:1")
    client._registered.reserve(("db",), "anna")

    client.hang_up()
    client.close()

    with pytest.raises(ClosedError):
        client.show("db")
