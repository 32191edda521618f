"""Waits that are asked for again, on a real lock table: their place, their end, and what was given.

Two servers stand before one table, each at the end of a line that is cut.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from gorilla.client import OutcomeUnknown, WaitTimeout
from tests.support.api import RunningApi, running_api, until
from tests.support.cut_line import CutLine, cut_line
from tests.support.faces import FACES, Face, face_of
from tests.support.service import Node


@pytest.fixture(params=FACES)
def kind(request) -> str:
    return request.param


class Two:
    """Two servers, a line to each, and a client that asks the first one first."""

    def __init__(self, one: RunningApi, lines: tuple[CutLine, CutLine], face: Face) -> None:
        self.api = one
        self.first, self.second = lines
        self.face = face

    def queue(self) -> list[str]:
        waiters = self.api.node.replica.table.waiters.queue("job").values()
        return [waiter.holder for waiter in waiters]


@contextlib.asynccontextmanager
async def two(kind: str, **options: float) -> AsyncIterator[Two]:
    node = Node()
    async with contextlib.AsyncExitStack() as stack:
        apis = [await stack.enter_async_context(running_api(node)) for _ in range(2)]
        lines = [await stack.enter_async_context(cut_line(api.port)) for api in apis]
        face = await stack.enter_async_context(face_of(kind, lines[0].url, lines[1].url, **options))
        face.client._asker.endpoints.good(lines[0].url)
        yield Two(apis[0], (lines[0], lines[1]), face)


async def held_by_anna(setting: Two) -> str:
    answered = await setting.api.ask(
        "POST", "/api/v1/locks/job", json={"owner": "anna", "timeout": 60}
    )
    token = answered.json["token"]
    assert isinstance(token, str)
    return token


async def release(setting: Two, token: str) -> None:
    assert (await setting.api.ask("DELETE", f"/api/v1/locks/job/{token}")).status == 204


async def test_a_wait_whose_connection_breaks_goes_on_elsewhere(kind):
    async with two(kind) as setting:
        token = await held_by_anna(setting)
        asking = setting.face(lambda c: c.acquire("job", owner="bert", timeout=30, wait=30))
        waiting = asyncio.create_task(asking)
        await until(lambda: setting.queue() == ["bert"])

        setting.first.cut()
        await until(lambda: setting.second.connections > 0)
        await until(lambda: setting.queue() == ["bert"])
        await release(setting, token)

        assert (await waiting).fencing_token == 2


async def test_what_was_granted_while_nobody_could_hear_it_is_given_again(kind):
    async with two(kind) as setting:
        token = await held_by_anna(setting)
        asking = setting.face(lambda c: c.acquire("job", owner="bert", timeout=30, wait=30))
        waiting = asyncio.create_task(asking)
        await until(lambda: setting.queue() == ["bert"])
        setting.first.hold()
        await release(setting, token)
        await until(lambda: setting.api.node.replica.table.fencing_counter == 2)

        setting.first.cut()
        lock = await waiting

        assert (lock.owner, lock.fencing_token) == ("bert", 2)
        assert setting.api.node.replica.table.fencing_counter == 2


async def test_a_wait_that_ran_out_while_nobody_could_hear_it_is_told_so_at_once(kind):
    async with two(kind, attempt_s=1.0) as setting:
        await held_by_anna(setting)
        asking = setting.face(lambda c: c.acquire("job", owner="bert", timeout=30, wait=0.5))
        started_s = time.monotonic()
        waiting = asyncio.create_task(asking)
        await until(lambda: setting.queue() == ["bert"])
        setting.first.hold()
        await until(lambda: setting.queue() == [])

        with pytest.raises(WaitTimeout):
            await waiting

        assert time.monotonic() - started_s < 0.5 + 1.0 + 0.4


async def test_a_wait_that_nobody_got_is_waited_for_once_more_and_then_told_to_be_over(kind):
    async with two(kind, attempt_s=0.3) as setting:
        await held_by_anna(setting)
        setting.first.hold()

        started_s = time.monotonic()
        with pytest.raises(WaitTimeout):
            await setting.face(lambda c: c.acquire("job", owner="bert", timeout=30, wait=0.5))

        assert time.monotonic() - started_s < 2.5


async def test_a_wait_that_is_asked_for_again_ends_with_the_deadline_at_the_latest(kind):
    # The second node takes it for a wait that begins: it would end after the deadline.
    async with two(kind, deadline_s=0.8) as setting:
        await held_by_anna(setting)
        asking = setting.face(lambda c: c.acquire("job", owner="bert", timeout=30, wait=3))
        started_s = time.monotonic()
        waiting = asyncio.create_task(asking)
        await until(lambda: setting.queue() == ["bert"])
        await until(lambda: time.monotonic() - started_s > 1.5)
        setting.first.cut()

        with pytest.raises(OutcomeUnknown):
            await waiting

        assert time.monotonic() - started_s < 3.0 + 0.8 + 0.5
        await until(lambda: setting.queue() == [])
