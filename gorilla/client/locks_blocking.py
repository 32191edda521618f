"""Locks of the blocking client."""

import functools
import inspect
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, NoReturn, ParamSpec, TypeVar, cast

from typing_extensions import override

from gorilla.client.asking import Asker
from gorilla.client.blocking import run_now
from gorilla.client.ending import HeldBase, Registered, Wishes, acquire
from gorilla.client.entered import Entered
from gorilla.client.held import GroupView, LockView
from gorilla.client.keeping import Extension
from gorilla.client.keeping_blocking import KeepingThread
from gorilla.client.owners import Owners
from gorilla.client.session_life import SessionBase
from gorilla.client.taking import Wanted
from gorilla.wire.bodies import LockBody

P = ParamSpec("P")
R = TypeVar("R")


class HeldLock(HeldBase, LockView):
    """A lock that this program holds, until :meth:`release` or the end of its block."""

    def extend(self, timeout: float | None = None) -> None:
        """Extend it now, beside what is done in the background.

        Args:
            timeout: Seconds, for this and all later extensions; None: as before.

        Raises:
            LockLost: It is not held any more.
            GorillaError: It could not be extended; until its end it is still held.

        """
        run_now(self.lengthen(timeout))

    def release(self) -> None:
        """Let it go; a second time does nothing.

        Raises:
            LockLost: It was lost before.
            GorillaError: It could not be released, or nobody knows; it ends by itself in time.

        """
        run_now(self.let_go())

    def status(self) -> LockBody:
        """Ask the cluster about it.

        Raises:
            LockLost: It is not held any more.

        """
        body = run_now(self.look_up())
        assert isinstance(body, LockBody)
        return body


class HeldGroup(HeldLock, GroupView):
    """Several locks that this program holds, all of them or none."""


H = TypeVar("H", bound=HeldLock)


class Lock(Generic[H]):
    """A lock to be had: a block (``with``), a decorator, or :meth:`acquire`.

    It may be used again and again, and by several threads at once: each use acquires for itself.
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

    def acquire(self) -> H:
        """Acquire it, waiting as long as ``wait`` says.

        Raises:
            LockHeld: Another owner holds it.
            WaitTimeout: It did not become free in time.
            Deadlock: The wait would never end.
            AlreadyHeld: This thread holds it already.
            Unavailable: No node could do it; nothing was done.
            OutcomeUnknown: Nobody knows; asking again is safe.

        """
        # A session has one owner, whichever thread acquires in it.
        asks = self._within.owner if self._within is not None else self._owners.of_thread()
        owner = self._wanted.owner or asks
        extension = run_now(acquire(self._asker, self._registered, self._wanted, owner))
        held = self._held(extension, owner)
        run_now(held.begin())
        if self._within is not None:
            self._within.adopt(held)
        return held

    def _held(self, extension: Extension, owner: str) -> H:
        wanted, wishes = self._wanted, self._wishes
        extends = wanted.extends and wanted.timeout_s is not None
        keeper = None
        if extends or (wishes.is_told and wanted.timeout_s is not None):
            keeper = KeepingThread(extension, extends=extends)
        kind = HeldGroup if wanted.is_group else HeldLock
        held = kind(extension, wanted, owner, keeper, self._registered, wishes)
        return cast("H", held)

    def __enter__(self) -> H:
        """Acquire it for a block."""
        held = self.acquire()
        self._entered.push(threading.get_ident(), held)
        return held

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Release it.

        Raises:
            LockLost: It was lost while the block ran.

        """
        run_now(self._entered.pop(threading.get_ident()).finish(error))

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Let every call of ``function`` hold it.

        Raises:
            TypeError: It is a coroutine function: that takes an ``AsyncClient``. Or a generator
                function: it would run when the lock is released.

        """
        if inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is a coroutine function: use a lock of an AsyncClient")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"{function!r} is a generator function, which runs after its call: hold the lock "
                "in its body"
            )

        @functools.wraps(function)
        def holding(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return holding

    @override
    def __reduce__(self) -> NoReturn:
        """Refuse to be copied."""
        raise TypeError(
            "a Lock can't be pickled or copied: make one from a client where it is used"
        )
