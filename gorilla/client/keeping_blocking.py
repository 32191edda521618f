"""The thread that keeps one hold of the blocking client."""

import contextlib
import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from gorilla.client.blocking import run_now
from gorilla.client.errors import LockLost, Unavailable
from gorilla.client.keeping import Extension, Keeper, keep

if TYPE_CHECKING:
    import weakref

    from gorilla.client.ending import HeldBase

SLICE_S: Final = 2.0
"""Longest pause without a look at the clock: a pause does not count the sleep of a machine."""

TURN_S: Final = 2.0
"""How long a release waits for an extension that is under way, on top of the time of an attempt
(seconds): one that a node does not answer is asked elsewhere after that."""

STOPPED_S: Final = 1.0
"""How long the end of a thread that was told to stop is waited for (seconds)."""


class KeepingThread(Keeper):
    """Keeps one hold, in a thread that ends with it."""

    def __init__(self, extension: Extension, *, extends: bool) -> None:
        """Prepare the thread; :meth:`start` starts it."""
        self._extension = extension
        self._held: weakref.ref[HeldBase] | None = None
        self._extends = extends
        self._woken = threading.Condition()
        self.is_over = False
        self._is_nudged = False
        self._turn = threading.Lock()
        self._thread = threading.Thread(
            target=self._run, name=f"gorilla-keeps-{extension.hold.resource}", daemon=True
        )

    @override
    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        run_now(keep(self, self._extension, extends=self._extends))

    @override
    def stop(self) -> None:
        with self._woken:
            self.is_over = True
            self._woken.notify_all()

    @override
    def abandon(self) -> None:
        # The collector may run in the very thread that is about to let go of the condition.
        self.is_over = True

    @override
    async def stopped(self) -> None:
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(STOPPED_S)

    @override
    async def pause_until(self, at_s: float) -> bool:
        now_s = self._extension.asker.now_s
        with self._woken:
            while not self.is_over:
                left_s = at_s - now_s()
                if left_s <= 0 or self._is_nudged:
                    self._is_nudged = False
                    return True
                self._woken.wait(min(left_s, SLICE_S))
        return False

    @override
    def nudge(self) -> None:
        with self._woken:
            self._is_nudged = True
            self._woken.notify_all()

    @override
    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        patience_s = self._extension.asker.settings.attempt_s + TURN_S
        if not self._turn.acquire(timeout=patience_s):
            raise Unavailable("an extension of the lock is under way, and gets no answer")
        try:
            yield
        finally:
            self._turn.release()

    @override
    def keeps(self, held: "weakref.ref[HeldBase]") -> None:
        self._held = held

    @override
    async def tell(self, error: LockLost) -> None:
        held = None if self._held is None else self._held()
        if held is not None:
            await held.tell_lost(error)
