"""Keeps a hold alive in the background, and says when it is lost.

One logic for both faces: a coroutine over a small port. The blocking client runs it in a thread
of its own, with a port that never suspends; the other one in a task.
"""

import contextlib
from math import inf
from typing import TYPE_CHECKING, Any, Final, Protocol

from gorilla.client.asking import Asker
from gorilla.client.errors import (
    GorillaError,
    LockLost,
    LossReason,
    NotFound,
    RequestRefused,
    TimeoutTooShort,
)
from gorilla.client.holding import Hold
from gorilla.client.kinds import Kind

if TYPE_CHECKING:
    import weakref
    from collections.abc import Awaitable, Callable

    from gorilla.client.calls import Call

AGAIN_S: Final = 1.0
"""Longest pause before an extension that failed is tried again (seconds)."""

ATTEMPTS: Final = 3
"""How many nodes may be silent to one extension before the hold is over."""


class Keeper(Protocol):
    """What the logic asks of a thread or a task."""

    async def pause_until(self, at_s: float) -> bool:
        """Wait until the own clock shows ``at_s``; False at once when the hold was let go."""

    def turn(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Exclude other changes of this hold: an extension replaces what the next one needs."""

    async def tell(self, error: LockLost) -> None:
        """Say that the hold is lost; called once."""

    def keeps(self, held: "weakref.ref[Any]") -> None:
        """Take what is to be told; nothing is kept alive by it."""

    def nudge(self) -> None:
        """End a pause, so that the hold is looked at."""

    is_over: bool
    """Whether the hold was let go."""

    def start(self) -> None:
        """Begin to keep the hold."""

    def stop(self) -> None:
        """Keep it no longer."""

    def abandon(self) -> None:
        """Keep it no longer, from whatever thread."""

    async def stopped(self) -> None:
        """Wait until it has come to its end, within a bound."""


class Extension:
    """Extends one hold, once at a time, and never loses the answer of an attempt."""

    def __init__(self, asker: Asker, hold: Hold, kind: Kind[Any]) -> None:
        """Begin with nothing under way."""
        self.asker = asker
        self.hold = hold
        self.kind = kind
        self.afterwards: Callable[[], Awaitable[None]] | None = None
        """What is to be done after each extension, by :meth:`tell`."""
        self._is_news = False
        self._unanswered: Call[Any] | None = None
        self._asked_s = 0.0

    async def extend(self, timeout_s: float, deadline_s: float) -> None:
        """Extend the hold, so that it lasts ``timeout_s`` from now on.

        Raises:
            LockLost: It is not ours any more.
            GorillaError: It may still be: nobody could be asked, or it was refused.

        """
        await self.settle(deadline_s)
        self._asked_s = self.asker.now_s()
        await self._ask(self.kind.extension(self.hold, timeout_s), deadline_s)

    async def settle(self, deadline_s: float) -> None:
        """Ask again what got no answer: it may have replaced the secret."""
        if self._unanswered is not None:
            await self._ask(self._unanswered, deadline_s)

    async def _ask(self, call: "Call[Any]", deadline_s: float) -> None:
        hold, now_s = self.hold, self.asker.now_s()
        # After its end, or its release, it is settled only for what may be left of it.
        until_s = hold.until_s if hold.is_held else inf
        left_s = max(0.05, min(deadline_s, until_s - now_s))
        attempt_s = min(self.asker.settings.attempt_s, left_s / ATTEMPTS)
        self._unanswered = call
        try:
            answered = await self.asker.ask(call, deadline_s=left_s, attempt_s=attempt_s)
        except TimeoutTooShort as error:
            # It lasts longer than was asked for. Given again, the answer is as old as the question.
            self._unanswered = None
            hold.confirmed(hold.secret, error.remaining_s or 0.0, self._asked_s)
            return
        except NotFound as error:
            self._unanswered = None
            hold.trouble = error
            raise (hold.lose(LossReason.NOT_FOUND) or error) from error
        except RequestRefused:
            self._unanswered = None
            raise
        self._unanswered = None
        kept = self.kind.read(answered.value)
        hold.confirmed(kept.secret, kept.left_s, answered.sent_s)
        if not self.kind.note(answered.value) and hold.is_held:
            # One of several was forced away; what is left of them is not what was asked for.
            hold.lose(LossReason.NOT_FOUND)
            hold.check(self.asker.now_s())
        self._is_news = True

    async def tell(self) -> None:
        """Do what is to be done after an extension; in nobody's turn, for it may end the hold."""
        is_news, self._is_news = self._is_news, False
        if is_news and self.afterwards is not None and self.hold.is_held:
            await self.afterwards()


async def keep(keeper: Keeper, extension: Extension, *, extends: bool) -> None:
    """Extend a hold until it is let go, or lost; then say so.

    Args:
        keeper: Where it waits, and whom it tells.
        extension: Of the hold.
        extends: Whether to extend it at all; else its end is waited for.

    """
    hold, asker = extension.hold, extension.asker
    not_before_s = 0.0
    while hold.look(asker.now_s()) is None and hold.is_held:
        due_s = max(hold.next_extension_s(), not_before_s) if extends else hold.expires_s
        if not await keeper.pause_until(min(due_s, hold.until_s)):
            return
        now_s = asker.now_s()
        if not extends or now_s < due_s or now_s >= hold.until_s:
            continue
        try:
            async with keeper.turn():
                if asker.now_s() >= hold.next_extension_s() and not keeper.is_over:
                    timeout_s = hold.extension_timeout_s(now_s)
                    await extension.extend(timeout_s, hold.until_s - now_s)
            await extension.tell()
        except LockLost:
            break
        except GorillaError as error:
            hold.trouble = error
            now_s = asker.now_s()
            not_before_s = now_s + min(AGAIN_S, max(0.05, hold.remaining_s(now_s) / 4))
    if hold.error is not None:
        await keeper.tell(hold.error)
