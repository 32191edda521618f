"""The task that keeps one hold of the client for asyncio."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from gorilla.client.errors import LockLost
from gorilla.client.keeping import Extension, Keeper, keep

if TYPE_CHECKING:
    import weakref

    from gorilla.client.ending import HeldBase

SLICE_S: Final = 2.0
"""Longest pause without a look at the clock: the loop's time does not count a machine's sleep."""

STOPPED_S: Final = 5.0
"""How long the end of a block waits for an ``on_lost`` that has begun (seconds)."""


class KeepingTask(Keeper):
    """Keeps one hold, in a task that ends with it."""

    def __init__(self, extension: Extension, *, extends: bool) -> None:
        """Prepare the task; :meth:`start` starts it."""
        self._extension = extension
        self._held: weakref.ref[HeldBase] | None = None
        self._extends = extends
        self._woken = asyncio.Event()
        self.is_over = False
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._is_telling = False

    @override
    def start(self) -> None:
        name = f"gorilla-keeps-{self._extension.hold.resource}"
        keeping = keep(self, self._extension, extends=self._extends)
        self._task = asyncio.get_running_loop().create_task(keeping, name=name)

    @override
    def stop(self) -> None:
        self.is_over = True
        self._woken.set()
        if self._task is None or self._is_telling or self._task is asyncio.current_task():
            return
        # What it waits for, an answer perhaps, nobody needs any more.
        self._task.cancel()

    @override
    def abandon(self) -> None:
        if self._task is not None and not (loop := self._task.get_loop()).is_closed():
            loop.call_soon_threadsafe(self.stop)

    @override
    async def stopped(self) -> None:
        task = self._task
        if task is None or task is asyncio.current_task():
            return
        await asyncio.wait([task], timeout=STOPPED_S)
        if task.cancel():
            await asyncio.wait([task], timeout=STOPPED_S)

    @override
    async def pause_until(self, at_s: float) -> bool:
        now_s = self._extension.asker.now_s
        while not self.is_over:
            left_s = at_s - now_s()
            if left_s <= 0 or self._woken.is_set():
                self._woken.clear()
                return True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left_s, SLICE_S)):
                    await self._woken.wait()
        return False

    @override
    def nudge(self) -> None:
        self._woken.set()

    @override
    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        async with self._turn:
            yield

    @override
    def keeps(self, held: "weakref.ref[HeldBase]") -> None:
        self._held = held

    @override
    async def tell(self, error: LockLost) -> None:
        self._is_telling = True
        held = None if self._held is None else self._held()
        if held is not None:
            await held.tell_lost(error)
