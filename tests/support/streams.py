"""Readers of event streams: one that takes a stream apart, and one that stays with a real node."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from tests.support.api import raw_connection

READ_S_MAX = 10.0


class StreamEvent(msgspec.Struct):
    """One event of a stream, as the standard has a reader take it apart."""

    id: str
    type: str
    data: str

    @property
    def number(self) -> int:
        return int(self.id)

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.data)


class Parser:
    """Takes a stream apart line by line, after the standard for server-sent events.

    Attributes:
        last_id: Where a browser would resume.
        retry_ms: What the stream said last of when to come back.
        comments: How many comments there were.

    """

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_ms: int | None = None
        self.comments = 0
        self._rest = b""
        self._id = ""
        self._type = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Take what came; returns the events that are complete with it."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [event for line in lines if (event := self._line(line.decode())) is not None]

    def _line(self, line: str) -> StreamEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments += 1
        elif name == "id":
            self._id = value
        elif name == "event":
            self._type = value
        elif name == "data":
            self._data.append(value)
        elif name == "retry":
            self.retry_ms = int(value)
        return None

    def _dispatch(self) -> StreamEvent | None:
        self.last_id = self._id
        kind, data = self._type, self._data
        self._type, self._data = "", []
        return StreamEvent(self._id, kind or "message", "\n".join(data)) if data else None


class RawStream:
    """A stream on a socket of its own, read when the test wants to.

    Attributes:
        head: Status line and headers.
        parser: What takes it apart.
        ended: Whether the stream ended as it should, with the last chunk.

    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = ""
        self.parser = Parser()
        self.ended = False
        self.writer = writer
        self._reader = reader
        self._events: list[StreamEvent] = []

    async def open(self, path: str, headers: str = "", version: str = "1.1") -> None:
        self.writer.write(f"GET {path} HTTP/{version}\r\nHost: x\r\n{headers}\r\n".encode())
        async with asyncio.timeout(READ_S_MAX):
            self.head = (await self._reader.readuntil(b"\r\n\r\n")).decode()

    async def chunk(self) -> bytes:
        """Read one chunk; empty at the end of the stream, however it came."""
        try:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            data = await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        self.ended = size == 0
        return data

    async def next(self) -> StreamEvent | None:
        """Read up to the next event, whatever it is; None at the end of the stream."""
        async with asyncio.timeout(READ_S_MAX):
            while not self._events:
                data = await self.chunk()
                if not data:
                    return None
                self._events += self.parser.feed(data)
            return self._events.pop(0)

    async def take(self, count: int) -> list[StreamEvent]:
        """Read so many events."""
        taken = []
        for _ in range(count):
            event = await self.next()
            assert event is not None, f"the stream ended after {taken}"
            taken.append(event)
        return taken

    async def until_end(self) -> list[StreamEvent]:
        """Read what there is, up to the end."""
        taken = []
        while (event := await self.next()) is not None:
            taken.append(event)
        return taken


@contextlib.asynccontextmanager
async def watching(
    port: int, path: str = "/api/v1/events", headers: str = "", version: str = "1.1"
) -> AsyncIterator[RawStream]:
    """Watch, on a connection of its own."""
    async with raw_connection(port) as (reader, writer):
        stream = RawStream(reader, writer)
        await stream.open(path, headers, version)
        yield stream
