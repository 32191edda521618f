"""A server that takes requests as they come and misbehaves as a test wants."""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

import msgspec

OK: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
HEALTHY: Final = b'{"status":"ok"}'


class Request(msgspec.Struct, frozen=True):
    """What came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Number of the connection that it came over."""

    @property
    def sent(self) -> tuple[str, str, bytes, str | None]:
        """Everything that tells the request from others."""
        return (self.method, self.target, self.body, self.headers.get("idempotency-key"))


Act = Callable[[asyncio.StreamWriter], Awaitable[bool]]
"""What is done about a request; whether the connection goes on after it."""


def says(data: bytes) -> Act:
    async def act(writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        await writer.drain()
        return True

    return act


def answers(status: int, body: bytes = b"", **headers: str) -> Act:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} Said\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
    return says(head.encode() + body)


async def hangs_up(_writer: asyncio.StreamWriter) -> bool:
    return False


async def is_silent(_writer: asyncio.StreamWriter) -> bool:
    await asyncio.Event().wait()
    return False


def drips(data: bytes, pause_s: float) -> Act:
    async def act(writer: asyncio.StreamWriter) -> bool:
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(pause_s)
        return True

    return act


class Stub:
    """Does to each request what the next act says; after the last one, that again.

    Attributes:
        requests: What came, but for questions for its health.
        probes: How many of those came.
        is_healthy: Whether they are answered.

    """

    def __init__(self, *acts: Act) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.probes = 0
        self.is_healthy = True
        self.url = ""
        self._acts = deque(acts or (says(OK),))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while await self._request(reader, writer, number):
                continue
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    async def _request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, value in (ln.split(": ", 1) for ln in lines if ln)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, target, _ = line.split(" ")
        if target == "/_health":
            self.probes += 1
            act = answers(200, HEALTHY) if self.is_healthy else is_silent
            return await act(writer)
        self.requests.append(Request(method, target, headers, body, number))
        act = self._acts.popleft() if len(self._acts) > 1 else self._acts[0]
        return await act(writer)


@contextlib.asynccontextmanager
async def stub(*acts: Act, tls: ssl.SSLContext | None = None) -> AsyncIterator[Stub]:
    """Serve on a free port."""
    serving = Stub(*acts)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(serving.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    serving.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield serving
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
