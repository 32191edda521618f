"""A call that waits for a lock, on the node that has the caller, and what may become of it."""

from math import ceil
from typing import TYPE_CHECKING

import msgspec

from gorilla.domain.commands import Acquire, AcquireAll
from gorilla.domain.events import Left
from gorilla.domain.outcomes import Outcome
from gorilla.domain.waiters import Waiter

if TYPE_CHECKING:
    import asyncio

    from gorilla.service.time import TimerHandle


class Place(msgspec.Struct, frozen=True):
    """Where in the queue a wait ended."""

    position: int
    """From 1; of several locks the largest."""
    kept_ms: int = 0
    """How long it is kept for who asks again; 0: it is given up."""
    kept_until_wall_ms: int = 0


class WaitEnded(msgspec.Struct, frozen=True):
    """The call waits no more, and got nothing."""

    why: Left
    waited_ms: int
    """How long its place has stood in the queue, with what went before this call."""
    place: Place | None = None
    """Where it stood, if its time was over and that is known."""


class WaitResult(msgspec.Struct, frozen=True):
    """What a call that could wait got, and when the command that decided it was sent."""

    outcome: Outcome | WaitEnded
    asked_s: float
    """Loop time (seconds): of the request, or of the claim."""


class WaitingCall:
    """A call on its way, from the first command to its end."""

    __slots__ = (
        "asked_s",
        "command",
        "future",
        "has_key",
        "is_claiming",
        "is_left",
        "is_over",
        "keep_ms",
        "since_s",
        "ticket",
        "timer",
        "wait_ms",
        "waited_before_ms",
    )

    def __init__(
        self,
        command: Acquire | AcquireAll,
        future: "asyncio.Future[Outcome | WaitEnded]",
        now_s: float,
        *,
        keep_ms: int,
        has_key: bool,
    ) -> None:
        """Begin.

        Args:
            command: With a wait, ``keep_ms`` included.
            future: Of its end.
            now_s: Loop time (seconds).
            keep_ms: How long its place is kept when its wait is over.
            has_key: Whether it is known again by an idempotency key.

        """
        self.command = command
        self.future = future
        self.since_s = now_s
        self.asked_s = now_s
        self.has_key = has_key
        self.keep_ms = keep_ms
        self.wait_ms = command.wait_ms - keep_ms
        """How long its caller waits."""
        self.waited_before_ms = 0
        """How long its place stood in the queue before this call."""
        self.ticket: int | None = None
        self.timer: TimerHandle | None = None
        self.is_claiming = False
        self.is_left = False
        """Whether nobody waits for it any more."""
        self.is_over = False
        """Whether its caller has waited for long enough, and its place is to be kept."""

    @property
    def secret(self) -> str:
        """What tells it from all others."""
        return self.command.secret

    @property
    def locks(self) -> tuple[str, ...]:
        """What it waits for."""
        command = self.command
        return command.locks if isinstance(command, AcquireAll) else (command.lock,)

    @property
    def ends_s(self) -> float:
        """Loop time (seconds) at which its caller has waited for long enough."""
        return self.since_s + self.wait_ms / 1_000

    def waited_ms(self, now_s: float) -> int:
        """Return how long its place has stood in the queue at loop time ``now_s``."""
        return self.waited_before_ms + round((now_s - self.since_s) * 1_000)

    def queued(self, waiter: Waiter, cluster_ms: int, now_s: float) -> None:
        """Learn from the table since when it stands there, and until when.

        A policy may have lowered the time. Then there is less of both, and the place is kept for
        half of it at most: else its caller would be told at once that its wait is over.
        """
        passed_ms = ceil((now_s - self.since_s) * 1_000)
        self.waited_before_ms = max(0, cluster_ms - waiter.since_ms - passed_ms)
        whole_ms = waiter.until_ms - cluster_ms + passed_ms
        if whole_ms < self.command.wait_ms:
            self.wait_ms = max(whole_ms - self.keep_ms, whole_ms // 2)
            self.keep_ms = min(self.keep_ms, whole_ms - self.wait_ms)
