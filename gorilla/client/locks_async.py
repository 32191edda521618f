"""Locks of the client for asyncio."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, NoReturn, ParamSpec, TypeVar, cast

from typing_extensions import override

from gorilla.client.asking import Asker
from gorilla.client.ending import HeldBase, Registered, Wishes, acquire
from gorilla.client.entered import Entered
from gorilla.client.errors import LockLost
from gorilla.client.held import GroupView, LockView
from gorilla.client.keeping import Extension
from gorilla.client.keeping_async import KeepingTask
from gorilla.client.owners import Owners
from gorilla.client.session_life import SessionBase
from gorilla.client.taking import Wanted
from gorilla.wire.bodies import LockBody

P = ParamSpec("P")
R = TypeVar("R")


class AsyncHeldLock(HeldBase, LockView):
    """A lock that this program holds, until :meth:`release` or the end of its block."""

    async def extend(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - of the lock
        """Extend it now, beside what is done in the background.

        Args:
            timeout: Seconds, for this and all later extensions; None: as before.

        Raises:
            LockLost: It is not held any more.
            GorillaError: It could not be extended; until its end it is still held.

        """
        await self.lengthen(timeout)

    async def release(self) -> None:
        """Let it go; a second time does nothing.

        Raises:
            LockLost: It was lost before.
            GorillaError: It could not be released, or nobody knows; it ends by itself in time.

        """
        await self.let_go()

    async def status(self) -> LockBody:
        """Ask the cluster about it.

        Raises:
            LockLost: It is not held any more.

        """
        body = await self.look_up()
        assert isinstance(body, LockBody)
        return body

    _body: "asyncio.Task[Any] | None" = None
    _has_cancelled = False

    def cancels(self, body: "asyncio.Task[Any]") -> None:
        """Cancel ``body`` when the lock is lost."""
        self._body = body

    @override
    async def pass_on(self, error: LockLost) -> None:
        if self._body is not None:
            self._has_cancelled = True
            self._body.cancel(f"{error}")

    async def end_block(self, error: BaseException | None) -> None:
        """End the block that it was held for; a cancellation because of its loss becomes the loss.

        Raises:
            LockLost: It was lost while the block ran.

        """
        body, self._body = self._body, None
        if self._has_cancelled and body is not None:
            # Somebody else may want this task to end as well.
            others = body.uncancel()
            if isinstance(error, asyncio.CancelledError) and others == 0:
                error = None
        await self.finish(error)


class AsyncHeldGroup(AsyncHeldLock, GroupView):
    """Several locks that this program holds, all of them or none."""


H = TypeVar("H", bound=AsyncHeldLock)


class AsyncLock(Generic[H]):
    """A lock to be had: a block (``async with``), a decorator, or :meth:`acquire`.

    It may be used again and again, and by several tasks at once: each use acquires for itself.
    """

    def __init__(
        self,
        asker: Asker,
        owners: Owners,
        registered: Registered,
        wanted: Wanted,
        wishes: Wishes,
        within: SessionBase | None = None,
    ) -> None:
        """Describe what is to be held, and in which session; nothing is asked for yet."""
        self._asker = asker
        self._owners = owners
        self._registered = registered
        self._wanted = wanted
        self._wishes = wishes
        self._within = within
        self._entered: Entered[H] = Entered()

    async def acquire(self) -> H:
        """Acquire it, waiting as long as ``wait`` says.

        Raises:
            LockHeld: Another owner holds it.
            WaitTimeout: It did not become free in time.
            Deadlock: The wait would never end.
            AlreadyHeld: This task holds it already.
            Unavailable: No node could do it; nothing was done.
            OutcomeUnknown: Nobody knows; asking again is safe.

        """
        # A session has one owner, whichever task acquires in it.
        asks = self._within.owner if self._within is not None else self._owners.of_task()
        owner = self._wanted.owner or asks
        extension = await acquire(self._asker, self._registered, self._wanted, owner)
        held = self._held(extension, owner)
        await held.begin()
        if self._within is not None:
            self._within.adopt(held)
        return held

    def _held(self, extension: Extension, owner: str) -> H:
        wanted, wishes = self._wanted, self._wishes
        extends = wanted.extends and wanted.timeout_s is not None
        keeper = None
        if extends or (wishes.is_told and wanted.timeout_s is not None):
            keeper = KeepingTask(extension, extends=extends)
        kind = AsyncHeldGroup if wanted.is_group else AsyncHeldLock
        held = kind(extension, wanted, owner, keeper, self._registered, wishes)
        return cast("H", held)

    async def __aenter__(self) -> H:
        """Acquire it for a block."""
        held = await self.acquire()
        body = asyncio.current_task()
        assert body is not None
        if self._wishes.cancels:
            held.cancels(body)
        self._entered.push(body, held)
        return held

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Release it.

        Raises:
            LockLost: It was lost while the block ran.

        """
        await self._entered.pop(asyncio.current_task()).end_block(error)

    def __call__(self, function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        """Let every call of the coroutine function hold it.

        Raises:
            TypeError: It is no coroutine function: that takes a ``Client``.

        """
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is no coroutine function: use a lock of a Client")

        @functools.wraps(function)
        async def holding(*args: P.args, **kwargs: P.kwargs) -> R:
            async with self:
                return await function(*args, **kwargs)

        return holding

    @override
    def __reduce__(self) -> NoReturn:
        """Refuse to be copied."""
        raise TypeError(
            "a lock can't be pickled or copied: make one from a client where it is used"
        )
