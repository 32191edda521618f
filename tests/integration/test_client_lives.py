"""What ends a client, or a call of it: closing, interrupting, forking, another event loop."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest

from gorilla.client import AsyncClient, Client, ClosedError
from tests.support.api import RunningApi, running_api, until
from tests.support.faces import FACES, Face, face_of
from tests.support.stub_server import hangs_up, is_silent, stub


@pytest.fixture(params=FACES)
def kind(request) -> str:
    return request.param


def queue(api: RunningApi) -> tuple[object, ...]:
    return tuple(api.node.replica.table.waiters.queue("job").values())


@contextlib.asynccontextmanager
async def queueing(kind: str) -> AsyncIterator[tuple[RunningApi, Face, "asyncio.Task[object]"]]:
    """A call that waits in the queue of a lock that another owner holds."""
    async with running_api() as api, face_of(kind, api.base_url) as face:
        await face(lambda c: c.acquire("job", owner="anna", timeout=60))
        asking = face(lambda c: c.acquire("job", owner="bert", timeout=60, wait=60))
        waiting = asyncio.create_task(asking)
        await until(lambda: len(queue(api)) == 1)
        yield api, face, waiting


async def test_closing_ends_a_call_that_waits_and_its_place_in_the_queue(kind):
    async with queueing(kind) as (api, face, waiting):
        await face.close()

        with pytest.raises(ClosedError):
            await asyncio.wait_for(waiting, 2.0)
        await until(lambda: not queue(api))


async def test_closing_just_as_a_wait_runs_out_is_no_error():
    async with stub(is_silent) as node, face_of("async", node.url, attempt_s=0.1) as face:
        io, waiting = face.client._io, face(lambda c: c.acquire("a", owner="o", timeout=3, wait=9))
        asking = asyncio.create_task(waiting)
        await until(lambda: bool(node.requests))
        [timeout] = io._waits
        timeout._on_timeout()
        io.end_waits()

        with pytest.raises(ClosedError):
            await asking


async def test_closing_ends_a_call_that_gets_no_answer_and_one_that_pauses(kind):
    async with stub(is_silent) as node, face_of(kind, node.url, "http://127.0.0.1:1") as face:
        asking = asyncio.create_task(face(lambda c: c.release("a", "t")))
        await until(lambda: len(node.requests) == 1)
        await face.close()
        with pytest.raises(ClosedError):
            await asyncio.wait_for(asking, 2.0)

    async with stub(hangs_up) as node, face_of(kind, node.url, deadline_s=60.0) as face:
        pausing = asyncio.create_task(face(lambda c: c.release("a", "t")))
        await until(lambda: len(node.requests) >= 5)
        await face.close()
        with pytest.raises(ClosedError):
            await asyncio.wait_for(pausing, 2.0)


async def test_a_closed_client_says_so_and_may_be_closed_again(kind):
    async with running_api() as api:
        face = Face(kind, api.base_url)
        await face(lambda c: c.health())
        await face.close()
        await face.close()

        for ask in (
            lambda c: c.health(),
            lambda c: c.acquire("a", owner="o", timeout=3),
            lambda c: c.cluster.status(),
        ):
            with pytest.raises(ClosedError, match="make a new one"):
                await face(ask)
        with pytest.raises(ClosedError):
            await face.each(lambda c: c.events())


async def test_a_client_that_was_never_used_may_be_closed(kind):
    async with face_of(kind, "http://127.0.0.1:1") as face:
        assert face.client.settings.endpoints == ("http://127.0.0.1:1",)


async def test_a_task_that_is_cancelled_leaves_the_queue_at_once():
    async with queueing("async") as (api, _face, waiting):
        waiting.cancel()

        with pytest.raises(asyncio.CancelledError):
            await waiting
        await until(lambda: not queue(api))


SCRIPT_WAITS = """
import sys
from gorilla.client import Client
with Client(sys.argv[1]) as client:
    try:
        client.acquire("job", owner="bert", timeout=60, wait=60)
    except KeyboardInterrupt:
        print("interrupted")
"""


async def test_a_program_that_is_interrupted_leaves_the_queue_at_once():
    async with running_api() as api:
        async with AsyncClient(api.base_url) as client:
            await client.acquire("job", owner="anna", timeout=60)
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SCRIPT_WAITS, api.base_url,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await until(lambda: len(queue(api)) == 1, 20.0)

        program.send_signal(signal.SIGINT)

        await until(lambda: not queue(api))
        told, _ = await asyncio.wait_for(program.communicate(), 10.0)
        assert (told, program.returncode) == (b"interrupted\n", 0)


SCRIPT_FORKS = """
import asyncio, os, sys
from gorilla.client import AsyncClient, Client, ForkedError
client = Client(sys.argv[1])
events = client.events(positions=True)
client.health(); next(events)
child = os.fork()
if child == 0:
    told = []
    for ask in (client.health, lambda: client.acquire("a", owner="o", timeout=3),
                lambda: client.cluster.status(), lambda: next(events),
                lambda: list(client.list_locks())):
        try:
            ask()
        except ForkedError as error:
            told.append("made in another process" in str(error))
    client.close()
    with Client(settings=client.settings) as mine:
        told.append(mine.health().status == "ok")
    os._exit(0 if told == [True] * 6 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), client.health().status)
client.close()

async def main():
    async with AsyncClient(sys.argv[1]) as client:
        await client.health()
        child = os.fork()
        if child == 0:
            try:
                await client.health()
            except ForkedError:
                os._exit(0)
            os._exit(1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), (await client.health()).status)
asyncio.run(main())
"""


async def test_a_child_that_was_forked_can_not_use_its_parents_client_nor_hurt_it():
    async with running_api() as api:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", SCRIPT_FORKS, api.base_url],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    assert (done.stdout, done.stderr) == ("0 ok\n0 ok\n", "")


def test_a_client_of_one_event_loop_refuses_another_one():
    client = AsyncClient("http://127.0.0.1:1", deadline_s=0.1)

    async def use() -> None:
        with contextlib.suppress(Exception):
            await client.health()

    async def use_again() -> None:
        with pytest.raises(RuntimeError, match="make one in each loop"):
            await client.health()

    async def end() -> None:
        await client.close()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(use())
    asyncio.run(use_again())
    loop.run_until_complete(end())
    loop.close()


async def test_many_threads_may_use_one_client():
    async with running_api() as api:
        with Client(api.base_url) as client:

            def work(number: int) -> None:
                for _ in range(5):
                    lock = client.acquire(f"l{number}", owner=f"o{number}", timeout=10)
                    client.release(lock.resource, lock.token)

            await asyncio.gather(*(asyncio.to_thread(work, number) for number in range(8)))

        assert api.node.replica.table.fencing_counter == 40


def test_a_lock_counts_the_time_that_its_machine_slept():
    from gorilla.client import clock  # noqa: PLC0415

    boot = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    before_s = time.clock_gettime(boot)
    now_s = clock.now_s()

    assert before_s <= now_s <= time.clock_gettime(boot)
    assert os.name == "posix"
