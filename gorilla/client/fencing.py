"""The protected side: remembers the largest fencing token of each lock, and refuses smaller ones.

A holder that was paused for longer than its timeout does not know that it lost the lock. What it
sends then still carries its old fencing token, and whoever remembers a larger one can refuse it.
"""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Final, Never, Self

from typing_extensions import override

from gorilla.client.errors import GorillaError

RESOURCES_MAX: Final = 100_000
"""How many resources a guard remembers one by one, unless told otherwise."""

WAIT_S: Final = 10.0
"""How long a newer holder waits for an older one's block to end, unless told otherwise."""


class StaleFencingToken(GorillaError):  # noqa: N818 # named like those in client.errors
    """Refused: a later grant is known, so whoever sent this does not hold the lock any more.

    Nothing was done. The sender has to acquire the lock anew; to ask again is of no use.
    """

    def __init__(self, resource: str, token: int, largest: int) -> None:
        """Record what was refused, and ``largest``: the least that is admitted now."""
        super().__init__(resource, token, largest)
        self.resource = resource
        self.token = token
        self.largest = largest

    @override
    def __str__(self) -> str:
        return (
            f"fencing token {self.token} for {self.resource!r} is stale: "
            f"{self.largest} or more is admitted"
        )


class OlderHolderActing(GorillaError):  # noqa: N818 # likewise
    """The block of an older holder did not end in time; the newer one must not begin yet.

    Nothing was done. The older holder is refused from now on; asking again is fine.
    """

    def __init__(self, resource: str, token: int, wait_s: float) -> None:
        """Record whose block could not begin, and how long it was waited."""
        super().__init__(resource, token, wait_s)
        self.resource = resource
        self.token = token
        self.wait_s = wait_s

    @override
    def __str__(self) -> str:
        return (
            f"a holder older than fencing token {self.token} still acts on {self.resource!r} "
            f"after {self.wait_s:g} s"
        )


class FencingGuard:
    """Admits a fencing token when no larger one of its resource was admitted before.

    Memory is bounded. Of the ``resources_max`` resources used last the largest token is known one
    by one; of all that were forgotten, the largest of all is kept as the ``floor``. Numbers rise
    over the whole cluster, so a resource that is not remembered is admitted from the floor on:
    nothing smaller than what was admitted before ever gets in. The price is that a holder may be
    refused wrongly, which happens only after ``resources_max`` other resources were used since it
    was granted the lock or last came by. It acquires anew, and its new number is larger.

    One guard is for one process and one cluster, and for locks that one holder has at a time. It
    may be used from any thread and any event loop. A restart loses it: begin with a ``floor``, or
    keep the tokens where the data is (docs/guides/fencing.md has both).
    """

    def __init__(self, *, floor: int = 0, resources_max: int = RESOURCES_MAX) -> None:
        """Remember nothing yet.

        Args:
            floor: What a resource that is not remembered must have at least.
            resources_max: How many resources are remembered one by one.

        """
        if floor < 0 or resources_max < 1:
            raise ValueError("floor must not be negative, and resources_max must be 1 or more")
        self._memory = _Memory(floor, resources_max)

    @override
    def __reduce__(self) -> Never:
        """Refuse to be pickled."""
        raise TypeError(
            "guards in two processes share no memory: keep the tokens where the data is"
        )

    def __len__(self) -> int:
        """Return how many resources are remembered one by one."""
        return len(self._memory.largest)

    @property
    def floor(self) -> int:
        """What a resource that is not remembered must have at least."""
        return self._memory.floor

    @property
    def largest(self) -> int:
        """The largest number admitted so far, of any resource: a safe floor for another guard."""
        return self._memory.largest_of_all

    def least(self, resource: str) -> int:
        """Return the smallest number that would be admitted for a resource now."""
        return self._memory.least(resource)

    def admit(self, resource: str, token: int) -> None:
        """Admit a token, or refuse it; the same one is admitted any number of times.

        What is done after the return can still be overtaken by a newer holder in another thread
        or task; :meth:`admitting` is safe from that.

        Raises:
            StaleFencingToken: A larger one is known.

        """
        _check(resource, token)
        self._memory.admit(resource, token)

    def try_admit(self, resource: str, token: int) -> bool:
        """Do as :meth:`admit` does, and return whether the token was admitted."""
        try:
            self.admit(resource, token)
        except StaleFencingToken:
            return False
        return True

    def admitting(self, resource: str, token: int, *, wait: float = WAIT_S) -> "Admission":
        """Return a block, ``with`` or ``async with``, in which no newer holder acts.

        From the moment in which a newer holder arrives, older ones are refused; it begins when
        those that are still in their blocks have left. Blocks of one token run side by side.

        Args:
            resource: The name of the lock.
            token: What the sender was given with it.
            wait: Seconds to wait for older holders to leave. On an event loop wait with
                ``async with``: the loop runs on, and so do the older holders on it.

        Raises:
            StaleFencingToken: On entering: a larger one is known.
            OlderHolderActing: On entering: the wait ran out.

        """
        _check(resource, token)
        return Admission(self._memory, resource, token, wait)


class Admission:
    """A block in which no newer holder acts; see :meth:`FencingGuard.admitting`."""

    def __init__(self, memory: "_Memory", resource: str, token: int, wait_s: float) -> None:
        """Say who wants to act on what; nothing is admitted before the block begins."""
        self._memory = memory
        self._resource = resource
        self._token = token
        self._wait_s = wait_s

    def __enter__(self) -> Self:
        """Admit the token and wait until no older holder acts."""
        until_s = time.monotonic() + self._wait_s
        turn = threading.Event()
        try:
            while not self._memory.enter(self._resource, self._token, turn.set):
                if not turn.wait(max(0.0, until_s - time.monotonic())):
                    raise OlderHolderActing(self._resource, self._token, self._wait_s)
                turn.clear()
        finally:
            self._memory.give_up(self._resource, turn.set)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the block."""
        self._memory.leave(self._resource)

    async def __aenter__(self) -> Self:
        """Admit the token and wait until no older holder acts."""
        turn = asyncio.Event()
        wake = partial(_set_from_anywhere, asyncio.get_running_loop(), turn)
        try:
            async with asyncio.timeout(self._wait_s):
                while not self._memory.enter(self._resource, self._token, wake):
                    await turn.wait()
                    turn.clear()
        except TimeoutError as error:
            raise OlderHolderActing(self._resource, self._token, self._wait_s) from error
        finally:
            self._memory.give_up(self._resource, wake)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the block."""
        self._memory.leave(self._resource)


class _Acting:
    """Whose blocks run on a resource now, and whom to wake when they have ended."""

    def __init__(self, token: int) -> None:
        self.token = token
        self.blocks = 0
        self.waiting: list[Callable[[], object]] = []


class _Memory:
    """What a guard and its blocks share; every method is one step that no other one sees half."""

    def __init__(self, floor: int, resources_max: int) -> None:
        self.floor = floor
        self.largest_of_all = floor
        self.largest: OrderedDict[str, int] = OrderedDict()
        self._resources_max = resources_max
        self._acting: dict[str, _Acting] = {}
        self._step = threading.Lock()

    def least(self, resource: str) -> int:
        with self._step:
            return self.largest.get(resource, self.floor)

    def admit(self, resource: str, token: int) -> None:
        with self._step:
            self._admit(resource, token)

    def enter(self, resource: str, token: int, wake: Callable[[], object]) -> bool:
        """Admit a token and begin its block; or note whom to wake when it is worth another try."""
        with self._step:
            self._admit(resource, token)
            acting = self._acting.setdefault(resource, _Acting(token))
            if acting.token != token:
                acting.waiting.append(wake)
                return False
            acting.blocks += 1
            return True

    def leave(self, resource: str) -> None:
        """End a block; the last one of its token wakes those who wait."""
        with self._step:
            acting = self._acting[resource]
            acting.blocks -= 1
            if acting.blocks:
                return
            del self._acting[resource]
        for wake in acting.waiting:
            wake()

    def give_up(self, resource: str, wake: Callable[[], object]) -> None:
        """Wake this one no more."""
        with self._step:
            acting = self._acting.get(resource)
            if acting is not None and wake in acting.waiting:
                acting.waiting.remove(wake)

    def _admit(self, resource: str, token: int) -> None:
        least = self.largest.get(resource, self.floor)
        if token < least:
            raise StaleFencingToken(resource, token, least)
        self.largest[resource] = token
        self.largest.move_to_end(resource)
        self.largest_of_all = max(self.largest_of_all, token)
        if len(self.largest) > self._resources_max:
            _, forgotten = self.largest.popitem(last=False)
            self.floor = max(self.floor, forgotten)


def _check(resource: object, token: object) -> None:
    if not isinstance(resource, str):
        raise TypeError(f"resource must be a str, not {type(resource).__name__}")
    if not isinstance(token, int) or isinstance(token, bool):
        raise TypeError(f"a fencing token is an int, not {type(token).__name__}")
    if token < 1:
        raise ValueError("a fencing token is 1 or more")


def _set_from_anywhere(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(event.set)
