"""A tunnel to one TCP port that can be stopped up: what a partition does to connections."""

import asyncio
import contextlib
import enum
import threading
from collections.abc import Coroutine
from typing import Any

from tests.support.local_cluster import free_ports

STOP_S_MAX = 10.0


class State(enum.Enum):
    OPEN = "open"
    SILENT = "silent"
    """Connections stay, new ones are taken, and no byte passes: as where packets are dropped."""
    SHUT = "shut"
    """Connections are broken, new ones are closed at once: as where nobody listens."""


class Tunnels:
    """Tunnels to ports of this machine, all in one state, in a thread of their own."""

    def __init__(self, ports: list[int]) -> None:
        """Open them."""
        self.ports = dict(zip(ports, free_ports(len(ports)), strict=True))
        self.state = State.OPEN
        self.swallowed = 0
        """Bytes that did not pass."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._servers = [self._do(self._serve(*pair)) for pair in self.ports.items()]

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports.values()]

    def set(self, state: State) -> None:
        self._do(self._set(state))

    def close(self) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_S_MAX)
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(STOP_S_MAX)

    async def _serve(self, port: int, own: int) -> asyncio.Server:
        async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                await self._tunnel(port, reader, writer)
            finally:
                self._tasks.discard(task)

        return await asyncio.start_server(tunnel, "127.0.0.1", own)

    async def _tunnel(
        self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self.state is State.SHUT:
            writer.transport.abort()
            return
        self._writers.add(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(back)
        try:
            await asyncio.gather(self._copy(reader, back), self._copy(there, writer))
        finally:
            for one in (writer, back):
                one.transport.abort()
                self._writers.discard(one)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self.state is State.OPEN:
                    writer.write(data)
                    await writer.drain()
                else:
                    self.swallowed += len(data)
        writer.transport.abort()

    async def _set(self, state: State) -> None:
        # What was swallowed never comes: such a connection is of no use any more.
        if state is not self.state and State.SILENT is not state:
            for writer in list(self._writers):
                writer.transport.abort()
        self.state = state

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
