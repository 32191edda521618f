"""What interrupted calls leave behind in the cluster, and who clears it up.

A request that is cancelled may be done all the same, and its answer, which nobody reads, may say
that a lock was granted. So whoever is interrupted leaves an errand: look whether it was, and let go
of it.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from typing_extensions import override

from gorilla.client.asking import Asker
from gorilla.client.blocking import run_now
from gorilla.client.calls import Call
from gorilla.client.errors import (
    ClosedError,
    GorillaError,
    OutcomeUnknown,
    RequestRefused,
    Unavailable,
)

T = TypeVar("T")

log: Final = logging.getLogger("gorilla.client")

ERRAND_S: Final = 1.5
"""Longest time of an errand, and again of its release (seconds): somebody pressed Ctrl-C."""

DOUBTS_MAX: Final = 1024
NUMBERS_MAX: Final = 4096

Errand = Coroutine[Any, Any, None]
About = frozenset[tuple[str, str]]
"""Locks, each with the owner for whom."""


def about(resources: Iterable[str], owner: str) -> About:
    """Return what a request is about."""
    return frozenset((resource, owner) for resource in resources)


class Doubts:
    """Secrets of locks that may have been released, or may be yet: nobody knows.

    The cluster gives the same owner the same lock again, with the same secret. A request to release
    it that is on its way still would end it under its new holder.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._guard = threading.Lock()
        self._secrets: dict[str, None] = {}

    def __contains__(self, secret: str) -> bool:
        """Whether it may be released by a request of long ago."""
        return secret in self._secrets

    @contextlib.contextmanager
    def unless_definite(self, secrets: Callable[[], Sequence[str]]) -> Iterator[None]:
        """Doubt them from now on when a release in the block comes to no definite end."""
        try:
            yield
        except (RequestRefused, Unavailable):
            raise
        except BaseException:
            self._note(secrets())
            raise

    def settle(self, secrets: Sequence[str]) -> None:
        """Doubt no more: it was released, so nothing can end it again."""
        with self._guard:
            for secret in secrets:
                self._secrets.pop(secret, None)

    def _note(self, secrets: Sequence[str]) -> None:
        """Doubt them; of very many the oldest is forgotten."""
        with self._guard:
            self._secrets.update(dict.fromkeys(secrets))
            while len(self._secrets) > DOUBTS_MAX:
                del self._secrets[next(iter(self._secrets))]


class Numbers:
    """The last fencing token that each owner held of each lock.

    What is left over of an old hold is given to the same owner again. Some of its writes may be on
    their way still, so a new hold is to have a new number.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._guard = threading.Lock()
        self._last: dict[tuple[str, str], int] = {}

    def is_old(self, resource: str, owner: str, number: int) -> bool:
        """Whether it is the number of an earlier hold."""
        return number <= self._last.get((resource, owner), 0)

    def note(self, resource: str, owner: str, number: int) -> None:
        """Remember a new one; of very many the oldest is forgotten."""
        with self._guard:
            self._last.pop((resource, owner), None)
            self._last[resource, owner] = number
            while len(self._last) > NUMBERS_MAX:
                del self._last[next(iter(self._last))]


class Errands:
    """Sees to errands at once: who is interrupted waits for it.

    Attributes:
        doubts: What may be released by a request that is on its way still.
        numbers: What was held before.

    """

    def __init__(self) -> None:
        """Begin with none."""
        self.doubts = Doubts()
        self.numbers = Numbers()

    def begin(self, errand: Errand, locks: About) -> None:  # noqa: ARG002 - it is done at once
        """See to an errand about ``locks``; what fails of it ends by itself in the cluster."""
        run_now(_quiet(errand))

    async def over(self, locks: About) -> None:
        """Wait until there is no errand about these; what is asked for next is not undone by it."""

    async def settle(self) -> None:
        """Wait until all errands are done, within a bound."""


class ErrandsLater(Errands):
    """Sees to errands in tasks of the client's own: a cancelled task ends at once."""

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__()
        self._tasks: dict[asyncio.Task[None], About] = {}

    @override
    def begin(self, errand: Errand, locks: About) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # A coroutine that the collector ends, after its loop: there is nobody to ask with.
            errand.close()
            return
        task = loop.create_task(_quiet(errand), name="gorilla-clears-up")
        self._tasks[task] = locks
        task.add_done_callback(self._tasks.pop)

    @override
    async def over(self, locks: About) -> None:
        await _ended([task for task, own in self._tasks.items() if not own.isdisjoint(locks)])

    @override
    async def settle(self) -> None:
        await _ended(list(self._tasks))


def is_interruption(error: BaseException) -> bool:
    """Whether a call ended for a reason of its caller's, so that nobody reads its answer."""
    return not isinstance(error, GorillaError) or isinstance(error, ClosedError)


async def undo(
    asker: Asker,
    calls: Sequence[Call[T]],
    release: Callable[[T], Coroutine[Any, Any, None]],
    pause_s: float = 0.0,
) -> None:
    """Find out by ``calls`` what was given, and release it.

    Args:
        asker: How to ask.
        calls: The next one is asked if one gets no answer; with a pause all of them are.
        release: Lets go of what is given.
        pause_s: Between them (seconds), for what was on its way to be done.

    """
    share_s = ERRAND_S / len(calls)
    for number, call in enumerate(calls):
        if number and pause_s:
            await asker.pause(pause_s)
        try:
            answered = await asker.ask(call, deadline_s=share_s, attempt_s=ERRAND_S / 2)
        except (Unavailable, OutcomeUnknown) as error:
            log.debug("what was interrupted is looked for again: %s", error)
        except RequestRefused:
            if not pause_s:
                raise
        else:
            await release(answered.value)
            if not pause_s:
                return


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    if tasks:
        await asyncio.wait(tasks, timeout=2 * ERRAND_S)


async def _quiet(errand: Errand) -> None:
    try:
        await errand
    except GorillaError as error:
        log.debug("what was interrupted ends by itself: %s", error)
    except Exception:
        log.exception("what was interrupted ends by itself")
