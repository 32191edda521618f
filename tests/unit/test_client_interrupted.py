"""Whoever is interrupted leaves nothing behind in the cluster, on virtual time.

What Ctrl-C and closed sockets do is tried on real ones: ``tests/e2e/test_client_interrupted.py``.
"""

import asyncio
import gc
import logging
import warnings
from typing import Any

import pytest

from gorilla.client.calls import Call
from gorilla.client.closing import let_all_go
from gorilla.client.errands import ERRAND_S
from gorilla.client.errors import LockLost, LossReason, OutcomeUnknown
from tests.support.client_memory import Fate, MemoryClient
from tests.support.service import Node, on_virtual_time


def holders(one: MemoryClient, lock: str = "db") -> list[str]:
    return [lease.holder for lease in one.io.node.replica.table.holders(lock)]


def waiting(one: MemoryClient, lock: str = "db") -> int:
    return len(one.io.node.replica.table._book.waiters.queue(lock))


def tasks() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


async def cancelled(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(("wait", "after_s", "keys"), [(0, 2, 1), (20, 0.5, 3), (20, 2, 2)])
@on_virtual_time
async def test_a_grant_that_nobody_reads_is_let_go(wait: float, after_s: float, keys: int):
    one = MemoryClient(Node())
    one.io.fate = lambda _call: Fate.SLOW
    task = asyncio.ensure_future(one.lock("db", timeout=600, wait=wait).acquire())
    await asyncio.sleep(after_s)
    assert len(holders(one)) == 1

    one.io.fate = lambda _call: Fate.SERVED
    await cancelled(task)

    await asyncio.sleep(ERRAND_S)
    assert holders(one) == []
    assert tasks() == set()
    assert len({call.key for call in one.io.sent if call.method == "POST"}) == keys
    await (await one.lock("db", timeout=600).acquire()).release()


@on_virtual_time
async def test_who_asks_again_at_once_keeps_what_it_gets():
    """Its owner is the same, so the cluster has one lock for both of its requests."""
    one = MemoryClient(Node())
    one.io.fate = lambda _call: Fate.SLOW
    lock = one.lock("db", timeout=600)
    task = asyncio.ensure_future(lock.acquire())
    await asyncio.sleep(1)
    owner = one._owners._tasks[task]
    one.io.fate = lambda _call: Fate.SLOW
    await cancelled(task)

    held = await one.lock("db", timeout=600, owner=owner).acquire()

    one.io.fate = lambda _call: Fate.SERVED
    await asyncio.sleep(60)
    assert holders(one) == [owner]
    held.check()
    await held.release()


@on_virtual_time
async def test_a_late_release_does_not_end_what_the_same_owner_was_given_again():
    one = MemoryClient(Node())
    lock = one.lock("db", timeout=600)
    first = await lock.acquire()
    number = first.fencing_token
    one.io.fate = lambda call: Fate.SILENT if call.method == "DELETE" else Fate.SERVED
    with pytest.raises(OutcomeUnknown):
        await first.release()
    late = [call for call in one.io.sent if call.method == "DELETE"][-1]
    one.io.fate = lambda _call: Fate.SERVED

    again = await lock.acquire()
    await one.io._serve(late)

    assert holders(one) == [again.owner]
    assert again.fencing_token > number
    await again.status()
    await again.release()


@on_virtual_time
async def test_a_late_release_of_several_does_not_end_one_of_them_that_was_asked_for_again():
    one = MemoryClient(Node())
    both = await one.locks(["a", "db"], timeout=600).acquire()
    one.io.fate = lambda call: Fate.SILENT if call.method == "DELETE" else Fate.SERVED
    with pytest.raises(OutcomeUnknown):
        await both.release()
    late = one.io.sent[-1]
    one.io.fate = lambda _call: Fate.SERVED

    again = await one.lock("db", timeout=600).acquire()
    await one.io._serve(late)

    assert holders(one) == [again.owner]
    await again.release()


@on_virtual_time
async def test_a_late_errand_does_not_end_what_the_same_owner_was_given_again():
    one = MemoryClient(Node())
    one.io.fate = lambda _call: Fate.SLOW
    lock = one.lock("db", timeout=600, owner="anna")
    task = asyncio.ensure_future(lock.acquire())
    await asyncio.sleep(1)
    one.io.fate = lambda call: Fate.SILENT if call.method == "DELETE" else Fate.SERVED
    await cancelled(task)
    await one.registered.errands.settle()
    late = one.io.sent[-1]
    assert late.method == "DELETE"
    one.io.fate = lambda _call: Fate.SERVED

    again = await lock.acquire()
    await one.io._serve(late)

    assert holders(one) == ["anna"]
    await again.release()


@on_virtual_time
async def test_several_that_nobody_reads_are_let_go_and_so_is_a_session():
    one = MemoryClient(Node())
    one.io.fate = lambda _call: Fate.SLOW
    both = asyncio.ensure_future(one.locks(["a", "b"], timeout=600).acquire())
    opened = asyncio.ensure_future(one.session(ttl=600).open())
    await asyncio.sleep(1)
    assert len(holders(one, "a") + holders(one, "b")) == 2

    one.io.fate = lambda _call: Fate.SERVED
    await cancelled(both)
    await cancelled(opened)

    await asyncio.sleep(ERRAND_S)
    assert holders(one, "a") == holders(one, "b") == []
    ended = [call for call in one.io.sent if call.method == "DELETE" and "sessions" in call.path]
    assert len(ended) == 1
    assert tasks() == set()


@on_virtual_time
async def test_whoever_is_cancelled_in_the_queue_leaves_it_and_is_granted_nothing():
    one = MemoryClient(Node())
    first = await one.lock("db", timeout=60).acquire()
    second = asyncio.ensure_future(one.lock("db", timeout=600, wait=30).acquire())
    await asyncio.sleep(1)
    assert waiting(one) == 1

    await cancelled(second)

    await asyncio.sleep(0.1)
    assert waiting(one) == 0
    await first.release()
    assert holders(one) == []
    assert tasks() == set()


@on_virtual_time
async def test_a_cancelled_question_after_a_wait_lets_go_of_the_grant():
    one = MemoryClient(Node())
    first = await one.lock("db", timeout=60).acquire()
    second = asyncio.ensure_future(one.lock("db", timeout=30, wait=60).acquire())
    await asyncio.sleep(10)
    one.io.fate = lambda call: Fate.SILENT if call.method == "GET" else Fate.SERVED
    await first.release()
    await asyncio.sleep(1)
    assert len(holders(one)) == 1

    await cancelled(second)

    await asyncio.sleep(ERRAND_S)
    assert holders(one) == []


@on_virtual_time
async def test_a_release_that_is_cancelled_is_done_all_the_same():
    one = MemoryClient(Node())
    held = await one.lock("db", timeout=600).acquire()

    def first_is_silent(call: Call[Any]) -> Fate:
        one.io.fate = lambda _call: Fate.SERVED
        return Fate.SILENT

    one.io.fate = first_is_silent
    releasing = asyncio.ensure_future(held.release())
    await asyncio.sleep(0.5)
    assert len(holders(one)) == 1
    await cancelled(releasing)

    await asyncio.sleep(ERRAND_S)
    assert holders(one) == []
    assert tasks() == set()
    with pytest.raises(LockLost) as after:
        held.check()
    assert after.value.reason is LossReason.RELEASED


@on_virtual_time
async def test_without_an_answer_the_errand_is_given_up_soon(caplog: pytest.LogCaptureFixture):
    one = MemoryClient(Node())
    one.io.fate = lambda _call: Fate.SILENT
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    task = asyncio.ensure_future(one.lock("db", timeout=600, wait=30).acquire())
    await asyncio.sleep(1)
    with caplog.at_level(logging.WARNING):
        await cancelled(task)
        await one.registered.errands.settle()

    assert tasks() == set()
    assert loop.time() - began_s == pytest.approx(1 + ERRAND_S, abs=0.1)
    assert caplog.records == []


@on_virtual_time
async def test_a_client_that_is_closed_waits_for_its_errands_and_ends_its_sessions():
    one = MemoryClient(Node())
    one.io.fate = lambda _call: Fate.SLOW
    task = asyncio.ensure_future(one.lock("db", timeout=600, wait=30).acquire())
    await asyncio.sleep(1)
    one.io.fate = lambda _call: Fate.SERVED
    session = await one.session(ttl=600).open()
    inside = await session.lock("a").acquire()
    await cancelled(task)

    await let_all_go(one._asker, one.registered)

    assert holders(one) == holders(one, "a") == []
    assert tasks() == set()
    for held in (session, inside):
        with pytest.raises(LockLost) as after:
            held.check()
        assert after.value.reason is LossReason.RELEASED


@on_virtual_time
async def test_a_lock_that_is_given_while_its_client_is_closed_is_let_go():
    one = MemoryClient(Node())
    one.io.fate = lambda call: Fate.SLOW if call.method == "POST" else Fate.SERVED
    task = asyncio.ensure_future(
        MemoryClient.lock(one, "db", timeout=600).acquire(),
    )
    await asyncio.sleep(4)
    await let_all_go(one._asker, one.registered)

    assert holders(one) == []
    held = await task
    assert not held._hold.is_held


@on_virtual_time
async def test_what_is_left_in_a_session_ends_with_it_without_a_warning():
    one = MemoryClient(Node())
    async with one.session(ttl=15) as session:
        held = await session.lock("a", timeout=10).acquire()
    assert holders(one, "a") == []

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        del held
        gc.collect()

    assert warned == []
    await asyncio.sleep(11)
    assert tasks() == set()


@pytest.mark.parametrize("lose", ["forgotten", "lost", "unreleased"])
@on_virtual_time
async def test_a_new_hold_has_a_new_number_even_where_the_old_one_is_left_over(lose: str):
    """Whoever held it before may still be writing somewhere, under the old one."""
    one = MemoryClient(Node())
    lock = one.lock("db", timeout=30)
    held = await lock.acquire()
    number, owner = held.fencing_token, held.owner
    if lose == "forgotten":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            del held
            gc.collect()
    elif lose == "lost":
        one.io.fate = lambda call: Fate.UNANSWERED if call.method == "PUT" else Fate.SILENT
        await asyncio.sleep(31)
        assert held.lost is not None
    else:
        one.io.fate = lambda _call: Fate.SILENT
        with pytest.raises(OutcomeUnknown):
            await held.release()
    one.io.fate = lambda _call: Fate.SERVED
    assert holders(one) == [owner], "it is left over"

    again = await lock.acquire()

    assert again.owner == owner
    assert again.fencing_token > number
    assert holders(one) == [owner]
    await again.release()


@pytest.mark.parametrize("after_s", [0.2, 3])
@on_virtual_time
async def test_whoever_was_cancelled_in_the_queue_is_in_nobodys_way(after_s: float):
    one = MemoryClient(Node())
    first = await one.lock("db", timeout=60).acquire()
    second = asyncio.ensure_future(one.lock("db", timeout=600, wait=30).acquire())
    await asyncio.sleep(after_s)
    await cancelled(second)
    await asyncio.sleep(0.05)

    await first.release()
    third = await asyncio.ensure_future(one.lock("db", timeout=60).acquire())

    await asyncio.sleep(ERRAND_S)
    assert holders(one) == [third.owner]
    await third.release()
    assert tasks() == set()
