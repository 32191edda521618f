"""What the client's logic asks of the world: a clock, pauses, and requests to one node.

All logic is coroutines over :class:`Io`. The blocking client has one that never suspends, so a
coroutine over it runs to its end at once (``gorilla.client.blocking``).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

if TYPE_CHECKING:
    from gorilla.client.calls import Call

BODY_BYTES_MAX: Final = 16 * 1024 * 1024
"""Largest answer that is read."""

CONNECT_S_MAX: Final = 3.0
"""Longest time for a connection, TLS included (seconds); the next endpoint is tried after it."""


class HttpAnswer(msgspec.Struct, frozen=True):
    """What came back, read to its end."""

    status: int
    headers: Mapping[str, str]
    """By their names in small letters."""
    body: bytes


class AttemptFailed(Exception):  # noqa: N818 - it is a fact, and never leaves the client
    """One attempt got no answer; the message says why."""


class NotSent(AttemptFailed):
    """No byte of the request left this machine: the node did nothing, and never will."""


class AnswerLost(AttemptFailed):
    """The request may have been received, so it may have acted, or may do so yet."""


class Stream(Protocol):
    """An answer without an end."""

    async def read(self, timeout_s: float) -> bytes:
        """Return what came next; nothing at the end.

        Raises:
            AnswerLost: The connection broke, or nothing came for ``timeout_s``.

        """

    async def close(self) -> None:
        """Hang up; may be called again."""


class Io(Protocol):
    """What an attempt needs."""

    def now_s(self) -> float:
        """Return the client's own time (seconds)."""

    async def pause(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ClosedError: The client was closed meanwhile.

        """

    async def send(self, endpoint: str, call: "Call[Any]", timeout_s: float) -> HttpAnswer:
        """Ask one node once; no redirect is followed, and nothing is asked again.

        Args:
            endpoint: URL of the node.
            call: What to ask.
            timeout_s: When to give up (seconds from now).

        Raises:
            NotSent: The node did not get the request.
            AnswerLost: It may have got it.
            ForkedError: This process was forked from the one that made the client.
            ClosedError: The client was closed.

        """

    async def open(self, endpoint: str, call: "Call[Any]", timeout_s: float) -> "Opened":
        """Ask for a stream, as :meth:`send` asks for an answer.

        An answer other than 200 is read to its end, and has no stream.
        """


class Opened(msgspec.Struct, frozen=True):
    """How a request for a stream was answered."""

    answer: HttpAnswer
    stream: Stream | None
