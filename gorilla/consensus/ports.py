"""What consensus needs from the machine, as Protocols: disk and wire. Simulated twins exist."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

Message = dict[str, Any]
"""A peer message: ``type`` names it, the other values are what msgpack carries."""


class AppendFile(Protocol):
    """A file that only grows. What was written is durable after :meth:`sync`, not before."""

    def write(self, data: bytes) -> None:
        """Append ``data`` (in full, or OSError)."""
        ...

    def sync(self) -> None:
        """Make everything written so far durable (fdatasync). An error is never retried."""
        ...

    def size(self) -> int:
        """Return the bytes written so far, durable or not."""
        ...

    def close(self) -> None:
        """Close without syncing."""
        ...


class Readable(Protocol):
    """One directory, to look at. Names are plain file names in it."""

    def names(self) -> list[str]:
        """Return the names of its files, sorted."""
        ...

    def read(self, name: str, offset: int = 0, size: int = -1) -> bytes:
        """Return ``size`` bytes from ``offset`` (all that is left when negative)."""
        ...


class Disk(Readable, Protocol):
    """One directory, to work in."""

    def append(self, name: str) -> AppendFile:
        """Open for appending; made (its directory entry not yet durable) when missing."""
        ...

    def truncate(self, name: str, size: int) -> None:
        """Cut a file, durably."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Rename, replacing ``new``; durable after :meth:`sync_directory`."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file; durable after :meth:`sync_directory`."""
        ...

    def sync_directory(self) -> None:
        """Make creations, renames and removals durable."""
        ...


class Wire(Protocol):
    """Messages to the other nodes, over at most one current connection each."""

    def send(self, peer: str, message: Message) -> None:
        """Send to the member with this id, or drop it silently when there is no connection."""
        ...

    def flush(self) -> None:
        """The turn is over: hand what was sent to the sockets."""
        ...


class Offload(Protocol):
    """Runs blocking work beside the event loop; the simulation runs it at a later turn."""

    def __call__(
        self, work: Callable[[], None], done: Callable[[BaseException | None], None]
    ) -> None:
        """Run ``work``; then call ``done`` on the loop with what it raised, or None."""
        ...


Chunks = Iterable[bytes]
