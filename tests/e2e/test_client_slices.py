"""Long waits in slices, with both faces of the client, on a real cluster: their place is kept.

What is promised, and which test shows it: ``docs/reference/client-behaviours.md``.
"""

import asyncio
import contextlib
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from gorilla.client import ClosedError, WaitTimeout
from tests.support.client_e2e import (
    Place,
    Program,
    cluster,
    eventually,
    face,
    new_name,
    place,
    program,
    running_program,
)
from tests.support.nodes import Balancer

__all__ = ["cluster", "face", "place", "program"]
pytestmark = pytest.mark.e2e

LEASE_S = 10.0
SILENT_S_MAX = 3
"""After so long without a word the balancer of these tests cuts a request."""


@contextlib.asynccontextmanager
async def patient(face: str, place: Place, **more: Any) -> AsyncIterator[Program]:
    """A program whose long waits are made of requests of a second."""
    async with running_program(face, place, **{"wait_slice_s": 1.0, **more}) as one:
        yield one


async def queue(place: Place, lock: str) -> list[tuple[str, str]]:
    """Return who waits, the first one first, and since when."""
    return [(one["owner"], one["since"]) for one in (await place.look(lock))["waiters"]]


async def in_a_row(
    programs: list[Program], place: Place, lock: str, wait_s: float | None = 60
) -> list["asyncio.Task[Any]"]:
    """Let programs wait for a lock, one after the other."""
    waiting = []
    for number, one in enumerate(programs):
        wanted = one.client.lock(lock, timeout=LEASE_S, wait=wait_s, owner=f"o-{number}")
        waiting.append(one.start(wanted.acquire))
        await place.until_waiting(lock, number + 1)
    return waiting


async def served(programs: list[Program], waiting: list["asyncio.Task[Any]"]) -> list[str]:
    """Release for one after the other; return in which order they were served."""
    order = []
    pending = set(waiting)
    while pending:
        done, pending = await asyncio.wait(pending, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1, "one holds it at a time"
        held = done.pop()
        order.append((await held).owner)
        await programs[waiting.index(held)].do((await held).release)
    return order


async def test_a_long_wait_keeps_its_place_over_many_requests(face: str, place: Place):
    lock = new_name()
    async with patient(face, place) as one, patient(face, place, wait_slice_s=0.7) as two:
        first = await one.do(one.client.lock(lock, timeout=60).acquire)
        programs = [one, two, one, two]
        waiting = await in_a_row(programs, place, lock)
        seen = await queue(place, lock)
        await asyncio.sleep(5)

        assert await queue(place, lock) == seen
        assert [owner for owner, _ in seen] == [f"o-{n}" for n in range(4)]
        await one.do(first.release)
        assert await served(programs, waiting) == [f"o-{n}" for n in range(4)]


async def test_a_long_wait_in_vain_ends_in_time_and_leaves_no_place(face: str, place: Place):
    lock = new_name()
    async with patient(face, place) as one:
        first = await one.do(one.client.lock(lock, timeout=60).acquire)
        began_s = time.monotonic()
        with pytest.raises(WaitTimeout) as told:
            await one.do(one.client.lock(lock, timeout=LEASE_S, wait=3.5, owner="bert").acquire)

        assert 3.5 <= time.monotonic() - began_s < 5.5
        assert told.value.waited_s == pytest.approx(3.5, abs=1.0)
        assert await place.waiters(lock) == []
        await one.do(first.release)


@pytest.mark.parametrize("whom", ["leader", "follower"])
async def test_a_long_wait_keeps_its_place_when_a_node_is_killed(
    face: str, place: Place, whom: str
):
    lock, leader = new_name(), await place.leader()
    killed = leader if whom == "leader" else place.others(leader)[0]
    async with contextlib.AsyncExitStack() as stack:
        programs = [await stack.enter_async_context(patient(face, place)) for _ in place.names]
        for one, name in zip(programs, place.names, strict=True):
            await one.talks_to(name)
        safe = programs[place.names.index(place.others(killed)[0])]
        first = await safe.do(safe.client.lock(lock, timeout=60).acquire)
        waiting = await in_a_row(programs, place, lock)
        seen = await queue(place, lock)
        await asyncio.sleep(1.3)

        await place.kill(killed)
        await asyncio.sleep(4)

        assert await queue(place, lock) == seen
        await safe.do(first.release)
        assert await served(programs, waiting) == ["o-0", "o-1", "o-2"]


async def test_a_long_wait_keeps_its_place_when_its_node_is_stopped_for_an_upgrade(
    face: str, place: Place
):
    lock, leader = new_name(), await place.leader()
    at, elsewhere = place.others(leader)
    async with patient(face, place) as one, patient(face, place) as two:
        first = await two.do(two.client.lock(lock, timeout=60).acquire)
        await one.talks_to(at)
        await two.talks_to(elsewhere)
        waiting = await in_a_row([one, two], place, lock)
        seen = await queue(place, lock)

        place.nodes.signal(at, signal.SIGTERM)
        await eventually(lambda: not place.nodes.is_running(at), "it stops")

        assert await queue(place, lock) == seen
        await two.do(first.release)
        assert await served([one, two], waiting) == ["o-0", "o-1"]


@contextlib.contextmanager
def impatient_balancer(place: Place) -> Iterator[Balancer]:
    """HAProxy as it is shipped, but for its patience with silent requests."""
    balancer = Balancer(place.nodes)
    text = balancer.path.read_text()
    for old in ("timeout client 60s", "timeout server 15s", "set-timeout server 315s"):
        assert text.count(old) == 1
        text = text.replace(old, re.sub(r"\d+s", f"{SILENT_S_MAX}s", old))
    balancer.path.write_text(text)
    try:
        balancer.start()
        yield balancer
    finally:
        balancer.close()


async def test_a_long_wait_goes_through_a_balancer_that_cuts_what_is_silent(
    face: str, place: Place
):
    lock = new_name()
    with impatient_balancer(place) as balancer:
        await balancer.until_ready()
        through = {"endpoints": [balancer.url]}
        async with patient(face, place, **through) as one, patient(face, place) as two:
            first = await two.do(two.client.lock(lock, timeout=60).acquire)
            programs = [one, two, one]
            waiting = await in_a_row(programs, place, lock, wait_s=None)
            seen = await queue(place, lock)
            await asyncio.sleep(2.5 * SILENT_S_MAX)

            assert await queue(place, lock) == seen
            await two.do(first.release)
            assert await served(programs, waiting) == ["o-0", "o-1", "o-2"]


async def test_a_program_that_is_interrupted_in_a_long_wait_leaves_the_queue(
    face: str, place: Place
):
    lock = new_name()
    async with patient(face, place) as one, patient(face, place) as two:
        first = await two.do(two.client.lock(lock, timeout=60).acquire)
        waits = one.start(one.client.lock(lock, timeout=LEASE_S, wait=None).acquire)
        await place.until_waiting(lock)
        await asyncio.sleep(2.2)

        await one.do(one.client.close)
        with pytest.raises(ClosedError):
            await asyncio.wait_for(waits, 5)

        await place.until_waiting(lock, 0)
        await two.do(first.release)
        await place.until_free(lock)
