"""Sessions, elections, several locks at once, and what is forgotten: on virtual time.

They run on the face for asyncio; both faces are the same logic (``gorilla.client.ending``).
"""

import asyncio
import gc
from typing import Any

import pytest

from gorilla.client.errors import (
    LockLost,
    LossReason,
    SessionLost,
)
from gorilla.client.locks_async import AsyncHeldLock
from tests.support.client_memory import Fate, client, force, holders, tasks
from tests.support.service import on_virtual_time


@on_virtual_time
async def test_several_are_held_as_one_and_lost_as_one():
    one = client()
    with pytest.raises(LockLost):
        async with one.locks(["a", "b"], timeout=30) as held:
            assert set(held.fencing_tokens) == {"a", "b"}
            await asyncio.sleep(100)
            assert holders(one, "a") == holders(one, "b") == [held.owner]
            await force(one, "a")
            await asyncio.sleep(12)
            assert held.lost is not None
    assert holders(one, "b") == []


@on_virtual_time
async def test_a_session_keeps_all_that_is_held_in_it():
    one = client()
    async with one.session(ttl=15) as session:
        async with session.lock("a") as a, session.locks(["b", "c"]) as both:
            await asyncio.sleep(100)
            assert 9 < a.remaining() <= 15
            assert a.remaining() == session.remaining()
            assert set(both.fencing_tokens) == {"b", "c"}
            assert holders(one, "a") == [a.owner]
        assert holders(one, "a") == holders(one, "b") == []
        left = await session.lock("d").acquire()
    assert holders(one, "d") == []
    with pytest.raises(LockLost) as lost:
        left.check()
    assert lost.value.reason is LossReason.SESSION
    assert tasks() == set()


@on_virtual_time
async def test_a_session_that_is_lost_takes_all_with_it_and_says_so_for_each():
    one = client()
    told: list[Any] = []
    with pytest.raises(SessionLost):
        async with one.session(ttl=15, on_lost=told.append) as session:
            a = await session.lock("a", on_lost=told.append).acquire()
            b = await session.lock("b", timeout=60, on_lost=told.append).acquire()
            one.io.fate = lambda _call: Fate.SILENT
            await asyncio.sleep(60)
            assert a.lost is not None
            assert b.lost is not None
            one.io.fate = lambda _call: Fate.SERVED

    assert sorted(error.resource for error in told) == ["a", "b", f"session {session.number}"]
    assert {error.reason for error in told} == {LossReason.SESSION, LossReason.EXPIRED}


@on_virtual_time
async def test_a_forced_lock_of_a_session_is_noticed_at_its_next_sign_of_life():
    one = client()
    told: list[LockLost] = []
    async with one.session(ttl=15) as session:
        with pytest.raises(LockLost):
            async with session.lock("a", on_lost=told.append):
                await force(one, "a")
                await asyncio.sleep(6)
                assert [error.reason for error in told] == [LossReason.NOT_FOUND]
        session.check()


@on_virtual_time
async def test_a_session_does_not_die_of_a_look_at_what_is_held_in_it():
    one = client()
    async with one.session(ttl=5) as session, session.lock("a") as held:
        one.io.fate = lambda call: Fate.SILENT if call.method == "GET" else Fate.SERVED
        await asyncio.sleep(60)
        held.check()
        assert holders(one, "a") == [held.owner]


@on_virtual_time
async def test_a_lock_of_a_session_is_told_once_that_it_is_lost():
    one = client()
    told: list[LockLost] = []
    with pytest.raises(SessionLost):
        async with one.session(ttl=15) as session:
            held = await session.lock("a", on_lost=told.append).acquire()
            await force(one, "a")
            await asyncio.sleep(6)
            one.io.fate = lambda _call: Fate.SILENT
            await asyncio.sleep(60)
    assert told == [held.lost]


@on_virtual_time
async def test_more_may_be_acquired_in_a_session_while_it_looks_at_what_it_has(
    monkeypatch: pytest.MonkeyPatch,
):
    """As other threads do: the session of the blocking client is kept by one of its own."""
    one = client()
    async with one.session(ttl=15) as session:
        more = [await one.lock(name, timeout=30).acquire() for name in "xyz"]
        first, second = await session.lock("a").acquire(), await session.lock("b").acquire()

        def meanwhile(held: AsyncHeldLock) -> bool:
            session.adopt(more[-1])
            return held in {first, second}

        monkeypatch.setattr(AsyncHeldLock, "is_kept_by_session", property(meanwhile))
        await session.after_extension()
        assert session.lost is first.lost is second.lost is None
        monkeypatch.undo()
        for held in more:
            await held.release()


@on_virtual_time
async def test_an_election_has_one_leader_and_the_next_one_follows():
    one = client()
    terms: list[tuple[str, int]] = []

    async def candidate(name: str) -> None:
        async with one.election("scheduler", metadata=name) as term:
            terms.append((name, term.fencing_token))
            await asyncio.sleep(100)

    await asyncio.gather(*(candidate(name) for name in "abc"))
    assert [name for name, _ in terms] == ["a", "b", "c"]
    assert sorted(number for _, number in terms) == [number for _, number in terms]
    assert await one.leader("scheduler") is None


@on_virtual_time
async def test_a_candidate_outlasts_a_cluster_that_is_away():
    one = client()
    one.io.fate = lambda _call: Fate.NOT_SENT
    waiting = asyncio.ensure_future(one.election("scheduler").acquire())
    await asyncio.sleep(300)
    one.io.fate = lambda _call: Fate.SERVED
    term = await waiting
    leader = await one.leader("scheduler")
    assert leader is not None
    assert leader.owner == term.owner
    await term.release()


@on_virtual_time
async def test_what_was_forgotten_is_not_held_for_ever():
    one = client()
    with pytest.warns(ResourceWarning, match="'db' was not released"):  # noqa: PT031
        await one.lock("db", timeout=30).acquire()
        gc.collect()
    await asyncio.sleep(31)
    assert tasks() == set()
    assert holders(one) == []
    await (await one.lock("db", timeout=30).acquire()).release()


@on_virtual_time
async def test_a_decorated_function_holds_it_at_every_call():
    one = client()

    @one.lock("db", timeout=30)
    async def job(number: int) -> list[str]:
        await asyncio.sleep(number)
        return holders(one)

    assert len(await job(1)) == 1
    assert holders(one) == []
    assert job.__name__ == "job"
    with pytest.raises(TypeError, match="no coroutine function"):
        one.lock("db", timeout=30)(len)  # type: ignore[arg-type]


@on_virtual_time
async def test_whoever_waits_in_a_session_that_ends_is_told_of_that_and_not_of_a_number():
    one = client()
    told: list[LockLost] = []
    blocks = await one.lock("a", timeout=600, owner="other").acquire()
    with pytest.raises(SessionLost):
        async with one.session(ttl=15, on_lost=told.append) as session:
            waits = asyncio.ensure_future(session.lock("a", wait=60).acquire())
            await asyncio.sleep(1)
            await one.io.node.sessions.end(session.id)
            with pytest.raises(SessionLost) as lost:
                await waits
            assert lost.value.reason is LossReason.NOT_FOUND
            with pytest.raises(SessionLost):
                await session.lock("b").acquire()
            await asyncio.sleep(6)
            assert told == [lost.value]
    await blocks.release()
