"""What becomes of locks when the program that holds them, or waits, forks, is told to end, or ends.

What is promised, and which test shows it: ``docs/reference/client-behaviours.md``.
"""

import asyncio
import contextlib
import copy
import pickle
import signal
import time
from collections.abc import Iterator

import pytest

from gorilla.client import ClosedError, LockLost, LossReason
from gorilla.client.errands import ERRAND_S
from tests.support.client_e2e import (
    Place,
    Program,
    cluster,
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

PROMPT_S = 5.0
"""Within which what is done at once is done, on a busy machine too."""

FORKS = {
    "blocking": """
        client = Client(*urls)
        held = client.lock(name, timeout=3).acquire()
        before = held.token
        child = os.fork()
        if child == 0:
            found = 0
            for number, use in enumerate((
                held.release, held.extend, held.status, lambda: client.show(name),
                client.lock(name, timeout=3).acquire, client.session(ttl=3).open,
            )):
                try:
                    use()
                except ForkedError:
                    found |= 1 << number
            client.close()
            os._exit(found)
        tell(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        while held.token == before:
            time.sleep(0.02)
        tell(held.owner)
        held.release()
        client.close()
    """,
    "async": """
        async def main():
            async with AsyncClient(*urls) as client:
                async with client.lock(name, timeout=3) as held:
                    before = held.token
                    child = os.fork()
                    if child == 0:
                        async def uses():
                            found = 0
                            for number, use in enumerate((
                                held.release, held.extend, held.status, lambda: client.show(name),
                                client.lock(name, timeout=3).acquire, client.session(ttl=3).open,
                            )):
                                try:
                                    await use()
                                except ForkedError:
                                    found |= 1 << number
                            await client.close()
                            return found
                        found = asyncio.run(uses())
                        os._exit(found)
                    tell(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
                    while held.token == before:
                        await asyncio.sleep(0.02)
                    tell(held.owner)
        asyncio.run(main())
    """,
}

WAITS = {
    "blocking": """
        with Client(*urls, attempt_s=2) as client:
            try:
                with client.lock(name, timeout=600, wait=60):
                    tell("held")
            except KeyboardInterrupt:
                tell("interrupted")
    """,
    "async": """
        async def main():
            async with AsyncClient(*urls, attempt_s=2) as client:
                try:
                    async with client.lock(name, timeout=600, wait=60):
                        tell("held")
                except asyncio.CancelledError:
                    tell("interrupted")
        asyncio.run(main())
    """,
}

HOLDS = {
    "blocking": """
        client = Client(*urls)
        held = client.lock(name, timeout=2).acquire()
        session = client.session(ttl=2).open()
        inside = session.lock(name + "-inside").acquire()
        tell("held")
        if "stay" in name:
            time.sleep(60)
    """,
    "async": """
        async def main():
            client = AsyncClient(*urls)
            held = await client.lock(name, timeout=2).acquire()
            session = await client.session(ttl=2).open()
            inside = await session.lock(name + "-inside").acquire()
            tell("held")
            if "stay" in name:
                await asyncio.sleep(60)
        asyncio.run(main())
    """,
}


@contextlib.contextmanager
def running(source: str, name: str, place: Place, *names: str) -> Iterator[Script]:
    script = Script(source, name, *(place.lines[one].url for one in names or place.names))
    try:
        yield script
    finally:
        script.close()


async def test_a_child_of_a_fork_is_told_and_the_lock_stays_with_its_parent(
    face: str, place: Place
):
    lock = new_name()
    with running(FORKS[face], lock, place) as script:
        assert await asyncio.to_thread(script.line) == str(0b111111)
        owner = await asyncio.to_thread(script.line)
        assert owner
        assert await asyncio.to_thread(script.end) == 0
    assert await place.owners(lock) == []


async def test_nothing_of_a_client_can_be_pickled_or_copied(program: Program, place: Place):
    lock = program.client.lock(new_name(), timeout=60)
    held = await program.do(lock.acquire)
    session = program.client.session(ttl=60)
    lives = await program.do(session.open)
    for thing in (program.client, lock, held, session, lives):
        with pytest.raises(TypeError, match="can't be pickled or copied"):
            pickle.dumps(thing)
        with pytest.raises(TypeError, match="can't be pickled or copied"):
            copy.copy(thing)
    await program.do(held.release)
    await program.do(lives.end)


async def test_ctrl_c_during_a_wait_leaves_the_queue(face: str, place: Place):
    lock = new_name()
    async with running_program("async", place) as other:
        first = await other.do(other.client.lock(lock, timeout=60).acquire)
        with running(WAITS[face], lock, place) as script:
            await place.until_waiting(lock)
            began_s = time.monotonic()
            script.signal(signal.SIGINT)
            assert await asyncio.to_thread(script.line) == "interrupted"
            code = await asyncio.to_thread(script.end)
            assert time.monotonic() - began_s < ERRAND_S + PROMPT_S
            assert code in {0, 130}
        await place.until_waiting(lock, 0)
        await other.do(first.release)
        assert await place.owners(lock) == []


async def test_ctrl_c_just_as_the_lock_is_granted_lets_it_go(face: str, place: Place):
    lock = new_name()
    async with running_program("async", place) as other:
        first = await other.do(other.client.lock(lock, timeout=60).acquire)
        with running(WAITS[face], lock, place, "n1") as script:
            await place.until_waiting(lock)
            place.lines.set(State.MUTE, "n1")
            await other.do(first.release)
            await place.until_held(lock)
            place.lines["n1"].answers_held = 0
            script.signal(signal.SIGINT)
            # What was asked again gets its answer now; the first one was hung up on.
            await asyncio.sleep(0.3)
            place.lines.set(State.OPEN, "n1")
            assert await asyncio.to_thread(script.line) == "interrupted"
            await asyncio.to_thread(script.end)
        assert await place.owners(lock) == []


async def test_a_cancelled_acquire_leaves_the_queue_at_once(place: Place):
    lock = new_name()
    async with running_program("async", place) as other, running_program("async", place) as one:
        first = await other.do(other.client.lock(lock, timeout=60).acquire)
        waits = one.start(one.client.lock(lock, timeout=600, wait=60).acquire)
        await place.until_waiting(lock)
        began_s = time.monotonic()
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        assert time.monotonic() - began_s < 0.5
        await place.until_waiting(lock, 0)
        await one.close()
        await other.do(first.release)
        assert await place.owners(lock) == []


async def test_a_cancelled_acquire_that_was_granted_just_then_keeps_nothing(place: Place):
    lock = new_name()
    async with running_program("async", place) as other, running_program("async", place) as one:
        first = await other.do(other.client.lock(lock, timeout=60).acquire)
        await one.talks_to("n1")
        waits = one.start(one.client.lock(lock, timeout=600, wait=60).acquire)
        await place.until_waiting(lock)
        place.lines.set(State.MUTE, "n1")
        await other.do(first.release)
        await place.until_held(lock)

        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits

        await place.until_free(lock, ERRAND_S + PROMPT_S)


async def test_a_client_that_is_closed_releases_what_it_holds(program: Program, place: Place):
    names = [new_name() for _ in range(3)]
    held = [await program.do(program.client.lock(one, timeout=600).acquire) for one in names]
    session = await program.do(program.client.session(ttl=600).open)
    inside = new_name()
    await program.do(session.lock(inside).acquire)

    await program.do(program.client.close)

    for name in [*names, inside]:
        assert await place.owners(name) == []
    for one in [*held, session]:
        with pytest.raises(LockLost) as lost:
            one.check()
        assert lost.value.reason is LossReason.RELEASED
    with pytest.raises(ClosedError):
        await program.do(program.client.lock(names[0], timeout=60).acquire)
    await program.do(program.client.close)


@pytest.mark.parametrize("wait", [5, 60])
async def test_a_client_that_is_closed_waits_no_more(program: Program, place: Place, wait: float):
    """It holds what it waits for too: what it lets go must not be given to its own waiter."""
    lock, another = new_name(), new_name()
    async with running_program("async", place) as other:
        elsewhere = await other.do(other.client.lock(another, timeout=60).acquire)
        own = await program.do(program.client.lock(lock, timeout=600).acquire)
        waits = [
            program.start(program.client.lock(one, timeout=600, wait=wait).acquire)
            for one in (lock, another)
        ]
        await place.until_waiting(lock)
        await place.until_waiting(another)
        began_s = time.monotonic()

        await program.do(program.client.close)

        for one in waits:
            with pytest.raises(ClosedError):
                await one
        assert time.monotonic() - began_s < ERRAND_S + PROMPT_S
        assert own.lost is None
        assert await place.owners(lock) == []
        await place.until_waiting(another, 0)
        await other.do(elsewhere.release)
        assert await place.owners(another) == []


async def test_a_program_that_ends_with_a_lock_ends_at_once_and_the_lock_in_time(
    face: str, place: Place
):
    lock = new_name()
    with running(HOLDS[face], lock, place) as script:
        assert await asyncio.to_thread(script.line) == "held"
        began_s = time.monotonic()
        assert await asyncio.to_thread(script.end) == 0
        assert time.monotonic() - began_s < PROMPT_S
        assert "Traceback" not in script.errors()
    await place.until_free(lock, 2 + PROMPT_S)
    await place.until_free(f"{lock}-inside", 2 + PROMPT_S)


async def test_the_locks_of_a_program_that_was_killed_are_free_in_time(face: str, place: Place):
    lock = new_name("stay")
    with running(HOLDS[face], lock, place) as script:
        assert await asyncio.to_thread(script.line) == "held"
        await asyncio.sleep(2.5)
        assert len(await place.owners(lock)) == 1
        script.signal(signal.SIGKILL)
        await asyncio.to_thread(script.end)
    await place.until_free(lock, 2 + PROMPT_S)
    await place.until_free(f"{lock}-inside", 2 + PROMPT_S)
