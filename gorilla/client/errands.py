"""What interrupted calls leave behind in the cluster, and who clears it up.

A request that is cancelled may be done all the same, and its answer, which nobody reads, may say
that a lock was granted. So whoever is interrupted leaves an errand: ask again under the same key,
and let go of what was given.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar

from typing_extensions import override

from gorilla.client.asking import Asker
from gorilla.client.blocking import run_now
from gorilla.client.calls import Call
from gorilla.client.errors import ClosedError, GorillaError

T = TypeVar("T")

log: Final = logging.getLogger("gorilla.client")

ERRAND_S: Final = 1.5
"""Longest time of one errand (seconds): somebody pressed Ctrl-C and waits for it."""

ERRAND_ATTEMPT_S: Final = 0.75
"""Longest time of one of its attempts (seconds): what is given was given before, or waits."""

Errand = Coroutine[Any, Any, None]


class Errands(Protocol):
    """Sees to errands; what fails of them ends by itself in the cluster, after its timeout."""

    def begin(self, errand: Errand) -> None:
        """See to an errand, before the client is closed."""

    async def settle(self) -> None:
        """Wait until all errands are done, within a bound."""


class ErrandsNow(Errands):
    """Sees to an errand at once: who is interrupted waits for it."""

    @override
    def begin(self, errand: Errand) -> None:
        run_now(_quiet(errand))

    @override
    async def settle(self) -> None:
        """Do nothing: whoever has one is at it."""


class ErrandsLater(Errands):
    """Sees to errands in tasks of the client's own: a cancelled task ends at once."""

    def __init__(self) -> None:
        """Begin with none."""
        self._tasks: set[asyncio.Task[None]] = set()

    @override
    def begin(self, errand: Errand) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            # A coroutine that the collector ends, after its loop: there is nobody to ask with.
            errand.close()
            return
        task = loop.create_task(_quiet(errand), name="gorilla-clears-up")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @override
    async def settle(self) -> None:
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=2 * ERRAND_S)


def is_interruption(error: BaseException) -> bool:
    """Whether a call ended for a reason of its caller's, so that nobody reads its answer."""
    return not isinstance(error, GorillaError) or isinstance(error, ClosedError)


async def undo(asker: Asker, call: Call[T], release: Callable[[T], Call[None]]) -> None:
    """Ask once more for what an interrupted ``call`` asked for, and let go of what is given.

    It is given at once when it was given before. Else it stands in the queue for a moment longer.
    """
    again = replace(call, wait_s=0.0, with_wait=None)
    answered = await asker.ask(again, deadline_s=ERRAND_S, attempt_s=ERRAND_ATTEMPT_S)
    await asker.ask(release(answered.value), deadline_s=ERRAND_S, attempt_s=ERRAND_ATTEMPT_S)


async def _quiet(errand: Errand) -> None:
    try:
        await errand
    except GorillaError as error:
        log.debug("what was interrupted ends by itself: %s", error)
    except Exception:
        log.exception("what was interrupted ends by itself")
