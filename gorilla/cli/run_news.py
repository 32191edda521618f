"""Hears that a lock was forced away, sooner than its next extension would tell.

It is news and nothing more: nothing that ``gorilla run`` promises rests on it. A stream that
breaks, or that no node has room for, ends no hold.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gorilla.client.errors import GorillaError, Unavailable
from gorilla.wire.events import ForcedEventBody, ReleasedEventBody, StreamBody
from gorilla.wire.problems import ProblemCode

if TYPE_CHECKING:
    from gorilla.client import Client
    from gorilla.client.events_blocking import Events

TIMEOUT_S_MIN: Final = 6.0
"""Shorter leases are extended so often that a stream would tell nothing sooner."""

AGAIN_S: Final = 5.0
"""Pause before a stream is asked for again after no node could serve one."""

_TYPES: Final = ("forced", "released")
"""How a hold ends that others end: its session may be ended too."""


class News:
    """Follows what becomes of one hold, in a thread of its own.

    Attributes:
        told: What was heard, in words; None: nothing.

    """

    def __init__(self, client: "Client", resource: str, owner: str, fencing_token: int) -> None:
        """Follow nothing yet.

        Args:
            client: Whom to ask with; it extends nothing, so that neither keeps the other waiting.
            resource: The lock.
            owner: Under whom it is held.
            fencing_token: The grant's number.

        """
        self._client = client
        self._what = (resource, owner, fencing_token)
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._stream: Events | None = None
        self.told: str | None = None

    def follow(self, on_lost: Callable[[], object]) -> None:
        """Begin, and call ``on_lost`` once when the hold is over in the cluster."""
        threading.Thread(
            target=self._follow, args=(on_lost,), name="gorilla-news", daemon=True
        ).start()

    def end(self) -> None:
        """Follow it no longer: nothing is called any more."""
        with self._guard:
            self._over.set()
            stream = self._stream
        if stream is not None:
            stream.close()

    def _follow(self, on_lost: Callable[[], object]) -> None:
        resource, owner, _ = self._what
        with self._guard:
            if self._over.is_set():
                return
            stream = self._stream = self._client.events(resource, owner, _TYPES)
        while not self._over.is_set():
            try:
                for event in stream:
                    if self._is_end(event):
                        self._tell(event, on_lost)
                        return
            except Unavailable as error:
                if error.code == ProblemCode.OVERLOADED:
                    return  # there are as many watchers as the nodes take
                self._over.wait(AGAIN_S)
            except GorillaError:
                return  # it is refused, or the client was closed

    def _is_end(self, event: StreamBody) -> bool:
        resource, _, fencing_token = self._what
        return (
            isinstance(event, ForcedEventBody | ReleasedEventBody)
            and event.resource == resource
            and event.fencing_token == fencing_token
        )

    def _tell(self, event: StreamBody, on_lost: Callable[[], object]) -> None:
        with self._guard:
            if self._over.is_set():
                return
            if isinstance(event, ForcedEventBody):
                by = f" by {event.by}" if isinstance(event.by, str) else ""
                reason = event.reason.rstrip(".")
                self.told = f"{event.resource!r} was forced away{by}: {reason}"
            on_lost()
