"""A client and a cluster of one node in memory, on virtual time: the real API without a socket.

What becomes of each attempt can be chosen: not sent, lost on its way, or its answer lost.
"""

import asyncio
import contextlib
import random
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from typing_extensions import override

from gorilla.api.answers import Answer
from gorilla.api.app import build_app
from gorilla.client.asking import Asker
from gorilla.client.calls import Call
from gorilla.client.endpoints import Endpoints
from gorilla.client.errands import ErrandsLater
from gorilla.client.making_async import AsyncHolds
from gorilla.client.owners import Owners, Registry
from gorilla.client.ports import AnswerLost, HttpAnswer, Io, NotSent, Opened
from gorilla.client.settings import ClientSettings
from tests.support.api import dependencies
from tests.support.service import Node

if TYPE_CHECKING:
    from collections.abc import Callable


class Fate(StrEnum):
    """What becomes of one attempt."""

    SERVED = "served"
    NOT_SENT = "not_sent"
    LOST = "lost"
    """Nobody gets the request, and the caller can't know."""
    UNANSWERED = "unanswered"
    """It is done, and its answer is lost."""
    SILENT = "silent"
    """Nothing comes back until the attempt's time is over; nobody gets the request."""
    SLOW = "slow"
    """It is done at once, and its answer takes most of the attempt's time."""
    LATE = "late"
    """Its caller gives it up, and then it is done."""


HUNG_UP_S = 0.1
"""How long a node takes to notice that its caller has gone."""


class MemoryIo(Io):
    """Sends to the API of a node in the same process."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.api = build_app(dependencies(node))
        self.fate: Callable[[Call[Any]], Fate] = lambda _call: Fate.SERVED
        self.sent: list[Call[Any]] = []
        self.clock_skew_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._late: set[asyncio.Task[None]] = set()

    @override
    def now_s(self) -> float:
        return self._loop.time() + self.clock_skew_s

    @override
    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @override
    async def send(self, endpoint: str, call: Call[Any], timeout_s: float) -> HttpAnswer:
        self.sent.append(call)
        fate = self.fate(call)
        if fate is Fate.NOT_SENT:
            raise NotSent("refused")
        if fate is Fate.LOST:
            raise AnswerLost("broken off")
        if fate in {Fate.SILENT, Fate.LATE}:
            await asyncio.sleep(timeout_s)
            if fate is Fate.LATE:
                late = asyncio.ensure_future(self._serve_nobody(call))
                self._late.add(late)
                late.add_done_callback(self._late.discard)
            raise AnswerLost("no answer in time")
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._serve(call)
        except TimeoutError as error:
            raise AnswerLost("no answer in time") from error
        if fate is Fate.SLOW:
            await asyncio.sleep(0.8 * timeout_s)
        if fate is Fate.UNANSWERED:
            raise AnswerLost("broken off")
        return answer

    @override
    async def open(self, endpoint: str, call: Call[Any], timeout_s: float) -> Opened:
        raise AssertionError("streams are tested on sockets")

    async def _serve_nobody(self, call: Call[Any]) -> None:
        """Do what is asked; whoever asked has hung up, so nothing is waited for."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HUNG_UP_S):
                await self._serve(call)

    async def _serve(self, call: Call[Any]) -> HttpAnswer:
        payload = StreamReader(BaseProtocol(self._loop), 2**16, loop=self._loop)
        headers = {"Host": "memory"}
        if call.body is not None:
            payload.feed_data(call.body)
            headers["Content-Type"] = "application/json"
            headers["Content-Length"] = str(len(call.body))
        payload.feed_eof()
        if call.key is not None:
            headers["Idempotency-Key"] = call.key
        request = make_mocked_request(call.method, call.path, headers, payload=payload)
        # Who goes away cancels the call instead.
        request.protocol.hang_up = self._loop.create_future
        answer = await self.api.handle(request)
        assert isinstance(answer, web.StreamResponse)
        assert isinstance(answer, Answer)
        more = {name.lower(): value for name, value in answer._more}
        more["content-type"] = answer._media_type
        return HttpAnswer(answer.status, more, answer.content)


class MemoryClient(AsyncHolds):
    """What an ``AsyncClient`` holds locks with, over a :class:`MemoryIo`."""

    def __init__(self, node: Node, **settings: Any) -> None:
        self.io = MemoryIo(node)
        known = ClientSettings(endpoints=("http://memory-1", "http://memory-2"), **settings)
        endpoints = Endpoints(known.endpoints, random.Random(1))
        self._asker = Asker(self.io, endpoints, known)
        self._owners = Owners("test")
        self._registered = self.registered = Registry(ErrandsLater())


def client(**settings: Any) -> MemoryClient:
    """Make a client of a new node."""
    return MemoryClient(Node(), **settings)


def holders(one: MemoryClient, lock: str = "db") -> list[str]:
    """Return who holds a lock, for its client's node."""
    return [lease.holder for lease in one.io.node.replica.table.holders(lock)]


async def force(one: MemoryClient, lock: str = "db") -> None:
    """Take a lock away from whoever holds it."""
    await one.io.node.repairs.force(lock, reason="a test")


def tasks() -> set[asyncio.Task[Any]]:
    """Return all tasks but the one that asks."""
    return asyncio.all_tasks() - {asyncio.current_task()}
