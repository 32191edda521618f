"""TCP lines between a client and its nodes, which a test may cut, silence, or rob of answers."""

import asyncio
import contextlib
import threading
from enum import StrEnum

CHUNK_BYTES = 64 * 1024
STARTED_S_MAX = 10.0


class State(StrEnum):
    """What becomes of what is sent over a line."""

    OPEN = "open"
    DEAD = "dead"
    """Connections are refused, those there were are reset: a node that was killed."""
    SILENT = "silent"
    """Nothing arrives, not even that somebody hung up; later it does: a partition."""
    MUTE = "mute"
    """Requests arrive, and hang-ups; answers are held back."""


class Line:
    """A way to one node; it runs on the loop of :class:`Lines`."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.state = State.OPEN
        self.answers_held = 0
        """Pieces of answers that came while it was mute."""
        self._target = target
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def set(self, state: State) -> None:
        was, self.state = self.state, state
        self.answers_held = 0
        if state is State.DEAD and self._server is not None:
            await self.close()
        if was is State.DEAD and state is not State.DEAD:
            await self.open()
        self._changed.set()
        self._changed = asyncio.Event()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ends = [writer]
        try:
            await self._passable(is_answer=False)
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
            ends.append(up_writer)
            there = asyncio.ensure_future(self._pass(reader, up_writer, is_answer=False))
            back = asyncio.ensure_future(self._pass(up_reader, writer, is_answer=True))
            try:
                await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                there.cancel()
                back.cancel()
                await asyncio.gather(there, back, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            # The node is down, or the line is cut: whoever came over it is hung up on.
            return
        finally:
            for end in ends:
                end.transport.abort()
            self._tasks.discard(task)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while True:
                piece = await reader.read(CHUNK_BYTES)
                if is_answer and self.state is State.MUTE:
                    self.answers_held += 1
                await self._passable(is_answer=is_answer)
                if not piece:
                    return
                writer.write(piece)
                await writer.drain()

    async def _passable(self, *, is_answer: bool) -> None:
        while self.state is State.SILENT or (is_answer and self.state is State.MUTE):
            await self._changed.wait()


class Lines:
    """Lines to several nodes, on a thread of their own; every method may be called by any."""

    def __init__(self, targets: dict[str, int]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lines", daemon=True)
        self._thread.start()
        self._lines = {name: self._make(port) for name, port in targets.items()}

    def _make(self, port: int) -> Line:
        async def make() -> Line:
            line = Line(port)
            await line.open()
            return line

        return asyncio.run_coroutine_threadsafe(make(), self._loop).result(STARTED_S_MAX)

    def __getitem__(self, name: str) -> Line:
        return self._lines[name]

    def set(self, state: State, *names: str) -> None:
        """Change what becomes of what is sent; of all lines, when none is named."""
        for name in names or tuple(self._lines):
            changing = self._lines[name].set(state)
            asyncio.run_coroutine_threadsafe(changing, self._loop).result(STARTED_S_MAX)

    def close(self) -> None:
        for line in self._lines.values():
            asyncio.run_coroutine_threadsafe(line.close(), self._loop).result(STARTED_S_MAX)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STARTED_S_MAX)
        self._loop.close()
