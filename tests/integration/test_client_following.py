"""Events of a real node, followed by both faces from one server to the next."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gorilla.api.limits import HttpLimits
from gorilla.client import ClosedError, errors, events_following
from gorilla.wire.events import (
    AcquiredEventBody,
    GapEventBody,
    PositionEventBody,
    ReleasedEventBody,
)
from tests.support.api import running_api, until
from tests.support.cut_line import CutLine, cut_line
from tests.support.faces import FACES, Face, face_of
from tests.support.service import Node


@pytest.fixture(params=FACES)
def kind(request) -> str:
    return request.param


class Watch:
    """A watch of either face, one event at a time."""

    def __init__(self, face: Face, **what: Any) -> None:
        self.face = face
        self.events = face.client.events(**{"positions": True, **what})

    async def next(self) -> Any:
        async with asyncio.timeout(10.0):
            if self.face.is_blocking:
                return await asyncio.to_thread(next, self.events)
            return await anext(self.events)

    async def take(self, count: int) -> list[Any]:
        return [await self.next() for _ in range(count)]

    async def close(self) -> None:
        if self.face.is_blocking:
            self.events.close()
        else:
            await self.events.close()


@contextlib.asynccontextmanager
async def followed(kind: str, **what: Any) -> AsyncIterator[tuple[Node, list[CutLine], Watch]]:
    """Two servers before one node, and a watch that begins at the first one."""
    node = Node()
    async with contextlib.AsyncExitStack() as stack:
        apis = [await stack.enter_async_context(running_api(node)) for _ in range(2)]
        lines = [await stack.enter_async_context(cut_line(api.port)) for api in apis]
        face = await stack.enter_async_context(face_of(kind, *(line.url for line in lines)))
        face.client._asker.endpoints.good(lines[0].url)
        watch = Watch(face, **what)
        yield node, lines, watch
        await watch.close()


async def happens(face: Face, *names: str) -> None:
    """Each name is acquired and released."""
    for name in names:
        lock = await face(lambda c, n=name: c.acquire(n, owner="anna", timeout=30))
        await face(lambda c, k=lock: c.release(k.resource, k.token))


async def test_what_happens_is_told_in_order(kind):
    async with followed(kind, prefix="job/") as (_node, _lines, watch):
        first = await watch.next()
        await happens(watch.face, "job/1", "other", "job/2")
        told = await watch.take(4)

    assert isinstance(first, PositionEventBody)
    kinds = [AcquiredEventBody, ReleasedEventBody, AcquiredEventBody, ReleasedEventBody]
    assert [type(event) for event in told] == kinds
    assert [event.resource for event in told] == ["job/1", "job/1", "job/2", "job/2"]
    assert watch.events.last_id == told[-1].number == 6


async def test_only_what_is_asked_for_is_told(kind):
    what = {"types": ["released"], "owner": "anna", "after": 0, "positions": False}
    async with followed(kind, **what) as (_, _lines, watch):
        await happens(watch.face, "a", "b")
        told = await watch.take(2)

    assert [(type(event), event.resource) for event in told] == [
        (ReleasedEventBody, "a"),
        (ReleasedEventBody, "b"),
    ]


async def test_a_connection_that_breaks_is_no_gap(kind):
    async with followed(kind, after=0) as (_node, lines, watch):
        await happens(watch.face, "a", "b")
        told = await watch.take(3)
        connections = lines[1].connections

        lines[0].cut()
        await happens(watch.face, "c")
        told += await watch.take(3)

        assert lines[1].connections > connections

    assert [event.number for event in told] == [1, 2, 3, 4, 5, 6]


async def test_a_node_that_stops_hands_its_readers_on(kind):
    async with running_api() as other:
        node = other.node
        async with (
            running_api(node) as stopping,
            face_of(kind, stopping.base_url, other.base_url) as face,
        ):
            face.client._asker.endpoints.good(stopping.base_url)
            watch = Watch(face)
            assert isinstance(await watch.next(), PositionEventBody)
            await stopping.server.close(0.1)
            await happens(face, "a")
            told = await watch.take(2)
            await watch.close()

    assert [event.number for event in told] == [1, 2]


async def test_a_node_that_falls_silent_is_left(kind, monkeypatch):
    monkeypatch.setattr(events_following, "SILENCE_S", 0.5)
    async with followed(kind, after=0) as (_node, lines, watch):
        await happens(watch.face, "a")
        told = await watch.take(2)
        lines[0].hold()
        watch.face.client._asker.endpoints.good(lines[1].url)
        await happens(watch.face, "b")
        told += await watch.take(2)

    assert [event.number for event in told] == [1, 2, 3, 4]


async def test_a_stream_that_lives_is_not_left_though_nothing_happens(kind, monkeypatch):
    monkeypatch.setattr(events_following, "SILENCE_S", 1.0)
    limits = HttpLimits(heartbeat_s=0.2, sweep_s=0.1)
    async with (
        running_api(limits=limits) as api,
        cut_line(api.port) as line,
        face_of(kind, line.url) as face,
    ):
        watch = Watch(face)
        await watch.next()
        waiting = asyncio.create_task(watch.next())
        await asyncio.wait({waiting}, timeout=2.5)
        assert not waiting.done()
        assert line.connections == 1
        await happens(face, "a")
        assert (await waiting).number == 1
        await watch.close()


async def test_an_event_that_is_not_kept_any_more_is_a_gap(kind):
    async with followed(kind, after=1_000) as (_node, _lines, watch):
        gap = await watch.next()
        await happens(watch.face, "a")
        after = await watch.next()

    assert isinstance(gap, GapEventBody)
    assert gap.reason == "unknown_id"
    assert after.number == 1


async def test_a_question_that_is_wrong_is_refused(kind):
    async with followed(kind, types=["born"]) as (_node, _lines, watch):
        with pytest.raises(errors.InvalidRequest, match="types"):
            await watch.next()


async def test_closing_ends_a_watch_that_waits(kind):
    async with followed(kind) as (_node, lines, watch):
        await watch.next()
        rest = asyncio.create_task(rest_of(watch))
        await until(lambda: lines[0].connections > 0)

        await watch.close()

        assert await asyncio.wait_for(rest, 5.0) == []


async def test_closing_the_client_ends_its_watches(kind):
    async with followed(kind) as (_node, _lines, watch):
        await watch.next()
        rest = asyncio.create_task(rest_of(watch))
        await watch.face.close()

        with pytest.raises(ClosedError):
            await asyncio.wait_for(rest, 5.0)


async def test_a_loop_that_an_exception_leaves_hangs_up(kind):
    def leaves(client: Any) -> None:
        for _ in client.events(positions=True):
            raise ZeroDivisionError

    async def leaves_async(client: Any) -> None:
        async for _ in client.events(positions=True):
            raise ZeroDivisionError

    async with (
        running_api() as api,
        cut_line(api.port) as line,
        face_of(kind, line.url) as face,
    ):
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await face(leaves if face.is_blocking else leaves_async)
        await until(lambda: not line.is_used)
        if face.is_blocking:
            assert not list(face.client._io._attempts)


async def test_closing_the_client_hangs_up_a_watch_that_nobody_reads(kind):
    said: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.set_exception_handler(lambda _loop, context: said.append(context["message"]))
    async with running_api() as api, cut_line(api.port) as line:
        face = Face(kind, line.url)
        watch = Watch(face, positions=True)
        await watch.next()
        assert line.is_used

        await face.close()

        await until(lambda: not line.is_used)
        del watch, face
        gc.collect()
    assert said == []


async def rest_of(watch: Watch) -> list[Any]:
    if watch.face.is_blocking:
        return await asyncio.to_thread(list, watch.events)
    return [event async for event in watch.events]
