"""The real API in a thread of its own, for callers that block."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from tests.support.history_api import Past, running_past

T = TypeVar("T")

START_S_MAX = 10.0


class Served:
    """An API with a history behind it, which is written when a test says so."""

    def __init__(self, past: Past, loop: asyncio.AbstractEventLoop) -> None:
        self.past = past
        self.url = past.api.base_url
        self._loop = loop

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Do something where the API runs, and return what came of it."""
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(START_S_MAX)

    def write_history(self) -> None:
        """Write all that has happened."""
        self.run(self.past.write)


@contextlib.contextmanager
def served_api() -> Iterator[Served]:
    """Serve the API of a new node that leads, until the end of the block."""
    ready: list[Served] = []
    is_ready, is_over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with running_past() as past:
            ready.append(Served(past, asyncio.get_running_loop()))
            is_ready.set()
            await asyncio.to_thread(is_over.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert is_ready.wait(START_S_MAX), "it does not start"
        yield ready[0]
    finally:
        is_over.set()
        thread.join()
