"""All that can be held, with both faces of the client, on a real cluster: and what ends it.

What is promised, and which test shows it: ``docs/reference/client-behaviours.md``.
"""

import asyncio
import signal
from typing import Any

import pytest

from gorilla.client import (
    AlreadyHeld,
    Deadlock,
    FencingGuard,
    LockHeld,
    LockLost,
    LossReason,
    SessionLost,
    StaleFencingToken,
    WaitTimeout,
)
from gorilla.client.clock import now_s
from gorilla.wire.events import PositionEventBody
from tests.support.client_e2e import (
    Place,
    Program,
    cluster,
    eventually,
    extended,
    face,
    new_name,
    place,
    program,
    running_program,
)
from tests.support.client_e2e_lines import State
from tests.support.client_e2e_scripts import Script

__all__ = ["cluster", "face", "place", "program"]
pytestmark = pytest.mark.e2e

LEASE_S = 3.0
FAILOVER_S_MAX = 5.0
"""Within which a cluster serves again after a node was killed, on a busy machine too."""


async def test_those_who_wait_are_served_in_the_order_in_which_they_came(
    program: Program, place: Place
):
    lock, served = new_name(), []
    first = await program.do(program.client.lock(lock, timeout=60).acquire)
    waiting = []
    for number in range(4):
        waiting.append(program.start(program.client.lock(lock, timeout=60, wait=30).acquire))
        await place.until_waiting(lock, number + 1)

    await program.do(first.release)
    for one in waiting:
        held = await one
        served.append(held.fencing_token)
        await program.do(held.release)

    assert served == sorted(served)
    assert served[0] > first._hold.fencing_token


async def test_a_wait_ends_in_time_and_says_who_holds_the_lock(program: Program, place: Place):
    lock = new_name()
    async with program.block(program.client.lock(lock, timeout=60, owner="anna")):
        with pytest.raises(LockHeld) as held:
            await program.do(program.client.lock(lock, timeout=60, owner="bert").acquire)
        began_s = now_s()
        with pytest.raises(WaitTimeout):
            await program.do(program.client.lock(lock, timeout=60, wait=0.5, owner="b").acquire)
        assert 0.5 <= now_s() - began_s < 2.5
        with pytest.raises(AlreadyHeld):
            await program.do(program.client.lock(lock, timeout=60, owner="anna").acquire)
    assert held.value.holder is not None
    assert held.value.holder.owner == "anna"
    assert (await place.look(lock))["waiters"] == []


async def test_a_wait_that_would_never_end_is_refused_at_once(program: Program, place: Place):
    one, other = new_name(), new_name()
    lock = program.client.lock
    a = await program.do(lock(one, timeout=60, owner="a").acquire)
    b = await program.do(lock(other, timeout=60, owner="b").acquire)
    waits = program.start(lock(other, timeout=60, wait=30, owner="a").acquire)
    await place.until_waiting(other)

    with pytest.raises(Deadlock) as refused:
        await program.do(lock(one, timeout=60, wait=30, owner="b").acquire)

    assert len(refused.value.cycle) == 2
    await program.do(b.release)
    await program.do((await waits).release)
    await program.do(a.release)


async def test_shared_holders_hold_together_and_an_exclusive_one_waits_for_them(
    program: Program, place: Place
):
    lock = new_name()
    readers = [
        await program.start(program.client.lock(lock, timeout=60, mode="shared").acquire)
        for _ in range(2)
    ]
    writer = program.start(program.client.lock(lock, timeout=60, wait=30).acquire)
    await place.until_waiting(lock)
    assert len(await place.owners(lock)) == 2
    for reader in readers:
        assert not writer.done()
        await program.do(reader.release)

    held = await writer
    assert await place.owners(lock) == [held.owner]
    await program.do(held.release)


async def test_a_semaphore_has_as_many_holders_as_its_limit(program: Program, place: Place):
    name = new_name()
    semaphore = program.client.semaphore(name, limit=2, timeout=60, wait=30)
    held = [await program.start(semaphore.acquire) for _ in range(2)]
    third = program.start(semaphore.acquire)
    await place.until_waiting(name)
    assert len(await place.owners(name)) == 2

    await program.do(held[0].release)

    held[0] = await third
    assert len(await place.owners(name)) == 2
    for one in held:
        await program.do(one.release)


async def test_several_are_had_all_or_none_and_are_extended_together(
    program: Program, place: Place
):
    a, b = new_name("a"), new_name("b")
    first = await program.do(program.client.lock(b, timeout=60, owner="first").acquire)
    both = program.start(program.client.locks([a, b], timeout=LEASE_S, wait=30).acquire)
    await place.until_waiting(b)
    assert await place.owners(a) == []

    await program.do(first.release)
    held = await both
    assert set(held.fencing_tokens) == {a, b}
    await place.kill(program.node)
    await extended(held)
    assert await place.owners(a) == await place.owners(b) == [held.owner]
    await program.do(held.release)
    assert await place.owners(a) == await place.owners(b) == []


async def test_a_lock_forced_from_several_ends_them_all(program: Program, place: Place):
    a, b = new_name("a"), new_name("b")
    with pytest.raises(LockLost):
        async with program.block(program.client.locks([a, b], timeout=1.5)) as held:
            await program.do(program.client.force_release, a, "a test")
            await eventually(lambda: held.lost is not None, "it is noticed", 1.5)
    assert await place.owners(b) == []


async def test_a_session_outlives_a_node_with_all_that_is_held_in_it(
    program: Program, place: Place
):
    a, b = new_name("a"), new_name("b")
    async with program.block(program.client.session(ttl=LEASE_S)) as session:
        async with program.block(session.lock(a)) as inside:
            both = await program.start(session.locks([b], timeout=LEASE_S).acquire)
            await place.kill(program.node)
            await extended(session, 2)
            inside.check()
            both.check()
            assert await place.owners(a) == [inside.owner]
            assert 0 < inside.remaining() <= LEASE_S
        assert await place.owners(a) == []
    assert await place.owners(b) == []


async def test_a_session_without_any_node_is_lost_and_takes_all_with_it(
    program: Program, place: Place
):
    a, b, told = new_name("a"), new_name("b"), []
    with pytest.raises(SessionLost):
        async with program.block(program.client.session(ttl=1.5, on_lost=told.append)) as session:
            held = [
                await program.do(session.lock(a, on_lost=told.append).acquire),
                await program.do(session.lock(b, timeout=60, on_lost=told.append).acquire),
            ]
            place.lines.set(State.SILENT)
            await eventually(lambda: len(told) == 3, "all of it is told", 4)
            for one in held:
                with pytest.raises(LockLost):
                    one.check()
            place.lines.set(State.OPEN)
            await place.until_free(a, 6)
            await place.until_free(b, 6)

    assert sorted(error.resource for error in told)[:2] == sorted([a, b])
    assert {error.reason for error in told} == {LossReason.SESSION, LossReason.EXPIRED}


LEADS = """
    with Client(*urls) as client:
        term = client.election(name, timeout=1.5, metadata="one").acquire()
        tell(term.owner, term.fencing_token)
        time.sleep(60)
"""


async def test_the_next_candidate_leads_when_the_leader_of_an_election_is_killed(
    program: Program, place: Place
):
    name, told = new_name("office"), []
    script = Script(LEADS, name, *place.urls)
    try:
        owner, number = (await asyncio.to_thread(script.line)).split()
        candidate = program.client.election(name, timeout=LEASE_S, on_lost=told.append)
        next_term = program.start(candidate.acquire)
        await place.until_waiting(f"elections%2F{name}")
        assert (await program.do(program.client.leader, name)).owner == owner

        gone_s = now_s()
        script.signal(signal.SIGKILL)
        held = await next_term
        assert now_s() - gone_s < 1.5 + FAILOVER_S_MAX
    finally:
        script.close()

    assert held.fencing_token > int(number)
    assert (await program.do(program.client.leader, name)).owner == held.owner
    await program.do(program.client.force_release, f"elections/{name}", "a test")
    await eventually(lambda: told, "leadership is lost", LEASE_S + 1)
    assert [error.resource for error in told] == [f"elections/{name}"]
    with pytest.raises(LockLost):
        await program.do(held.release)


async def test_a_lock_that_was_forced_is_noticed_at_the_next_extension(
    program: Program, place: Place
):
    lock, told = new_name(), []
    with pytest.raises(LockLost) as end:
        async with program.block(program.client.lock(lock, timeout=60, on_lost=told.append)) as one:
            await program.do(program.client.force_release, lock, "a test")
            assert one.lost is None
            with pytest.raises(LockLost) as touched:
                await program.do(one.extend)
            assert touched.value.reason is LossReason.NOT_FOUND

    assert told == [touched.value]
    assert end.value is touched.value
    told.clear()
    with pytest.raises(LockLost) as end:
        async with program.block(program.client.lock(lock, timeout=1.5, on_lost=told.append)):
            await program.do(program.client.force_release, lock, "a test")
            await eventually(lambda: told, "it is told", 1.5)
    assert told == [end.value]


async def test_a_holder_sees_who_asks_for_its_lock(program: Program, place: Place):
    lock, seen = new_name(), []
    wanted = program.client.lock(
        lock, timeout=1.5, on_extended=lambda one: seen.append(one.release_requested)
    )
    async with program.block(wanted) as held:
        assert held.release_requested is None
        await program.do(program.client.request_release, lock, owner="carla", reason="deploy")
        await eventually(lambda: held.release_requested, "the next extension says so", 2)
        assert held.release_requested.by == "carla"
        await eventually(lambda: seen and seen[-1], "the callback sees it")


async def test_a_function_holds_the_lock_while_it_runs(program: Program, place: Place):
    lock = new_name()
    if program.is_blocking:

        @program.client.lock(lock, timeout=60)
        def job(number: int) -> tuple[int, list[str]]:
            return number, [one.owner for one in program.client.show(lock).holders]

    else:

        @program.client.lock(lock, timeout=60)
        async def job(number: int) -> tuple[int, list[str]]:
            return number, [one.owner for one in (await program.client.show(lock)).holders]

    for number in range(2):
        result, during = await program.do(job, number)
        assert result == number
        assert len(during) == 1
        assert await place.owners(lock) == []


async def test_what_is_held_may_be_looked_at_extended_and_released_step_by_step(
    program: Program, place: Place
):
    lock = new_name()
    held = await program.do(program.client.lock(lock, timeout=60, extend=False).acquire)
    body = await program.do(held.status)
    assert (body.resource, body.owner) == (lock, held.owner)
    assert body.fencing_token == held.fencing_token
    await program.do(held.extend, timeout=120)
    assert 100 < held.remaining() <= 120
    await program.do(held.release)
    await program.do(held.release)
    plain = await program.do(program.client.acquire, lock, owner="anna", timeout=60)
    more = await program.do(program.client.extend, lock, plain.token, timeout=90)
    assert (await program.do(program.client.status, lock, more.token)).owner == "anna"
    await program.do(program.client.release, lock, more.token)
    assert await place.owners(lock) == []


async def test_a_guard_refuses_the_number_of_an_older_holder(program: Program, place: Place):
    lock, guard = new_name(), FencingGuard()
    old = await program.do(program.client.lock(lock, timeout=1, extend=False).acquire)
    number = old.fencing_token
    guard.admit(lock, number)
    await eventually(lambda: old.lost is not None, "its time is over", 3)
    new = await program.start(program.client.lock(lock, timeout=60, wait=5).acquire)
    guard.admit(lock, new.fencing_token)
    with pytest.raises(StaleFencingToken):
        guard.admit(lock, number)
    await program.do(new.release)


async def test_events_go_on_where_they_were_when_their_node_is_killed(
    program: Program, place: Place
):
    prefix, seen = new_name("e"), []
    events: Any = program.client.events(prefix=prefix)

    def each() -> None:
        seen.extend(events)

    async def each_async() -> None:
        async for event in events:
            seen.append(event)  # noqa: PERF401 - the others look at it meanwhile

    def told() -> list[tuple[int, str]]:
        events = [one for one in seen if not isinstance(one, PositionEventBody)]
        return [(one.fencing_token, type(one).__name__) for one in events]

    following = program.start(each if program.is_blocking else each_async)

    async def happens(count: int) -> None:
        urls = [place.nodes.url(name) for name in place.names]
        async with running_program("async", place, endpoints=urls) as other:
            for number in range(count):
                made = await other.do(other.client.lock(f"{prefix}/{number}", timeout=60).acquire)
                await other.do(made.release)

    await eventually(lambda: events.last_id is not None, "it watches")
    await happens(3)
    place.lines.set(State.DEAD, *place.others(its := place.name_of(events._following._endpoint)))
    await place.kill(its)
    await happens(3)
    place.lines.set(State.OPEN)
    await eventually(lambda: len(told()) >= 12, "all of it is told")
    await program.do(events.close)
    await asyncio.wait_for(following, 5)

    numbers = [number for number, _ in told()]
    assert numbers == sorted(numbers)
    assert len(set(told())) == len(told()) == 12
