"""Local snapshots: the state as of a log index, all or nothing.

A file is written under another name, synced, verified when it came from elsewhere, and only then
renamed; what has the name of a snapshot is whole, or was damaged later. Older ones are removed
after a newer one is durable. A damaged newest one is never passed over in favour of an older one,
because the log that belongs to that may be gone.
"""

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import Final

from gorilla.consensus.ports import AppendFile, Disk
from gorilla.consensus.remedies import START_LATER
from gorilla.consensus.snapshot_format import (
    CHUNK_BYTES_MAX,
    KIND_CHUNK,
    CorruptSnapshotError,
    Encoder,
    Entry,
    Reader,
    SnapshotError,
    SnapshotMeta,
)
from gorilla.domain.codec import UnknownVersionError
from gorilla.domain.versions import ClusterVersionError

__all__ = [
    "CHUNK_BYTES_MAX",
    "SNAPSHOT_BYTES_MAX",
    "CorruptSnapshotError",
    "Entry",
    "Snapshot",
    "SnapshotError",
    "SnapshotFailedError",
    "SnapshotGoneError",
    "SnapshotMeta",
    "SnapshotReceiver",
    "SnapshotStore",
    "SnapshotTooLargeError",
    "SnapshotWriter",
    "StaleSnapshotError",
    "chunks_in",
    "meaningless",
]

log = logging.getLogger(__name__)

SNAPSHOT_BYTES_MAX: Final = 8 * 1024 * 1024 * 1024
"""Largest file unless the store is told otherwise."""

_NAME: Final = re.compile(r"snapshot-(\d{16})\.snap")
_PART_SUFFIX: Final = ".part"


class SnapshotTooLargeError(SnapshotError):
    """The snapshot would exceed the store's limit."""


class SnapshotFailedError(SnapshotError):
    """The disk refused, not only for lack of room: it is not asked again, the process stops."""


class SnapshotGoneError(SnapshotError):
    """The file was replaced by a newer snapshot while somebody was reading it."""


class StaleSnapshotError(SnapshotError):
    """The snapshot that was to be published is older than the one that is here."""


class Snapshot:
    """A verified snapshot file. It can be read until a newer one is published."""

    def __init__(self, disk: Disk, name: str, meta: SnapshotMeta, size: int) -> None:
        """Stand for file ``name`` of ``size`` bytes."""
        self._disk = disk
        self.name: Final = name
        self.meta: Final = meta
        self.size: Final = size

    def read(self, offset: int, size: int) -> bytes:
        """Return raw bytes of the file, to ship them.

        Raises:
            SnapshotGoneError: A newer one has replaced it.
        """
        try:
            return self._disk.read(self.name, offset, size)
        except FileNotFoundError as error:
            raise SnapshotGoneError(f"{self.name} was replaced by a newer snapshot") from error

    def chunks(self) -> Iterator[bytes]:
        """Yield the state in the pieces that it was written in.

        Raises:
            CorruptSnapshotError: The file was damaged since it was verified.
            SnapshotGoneError: A newer one has replaced it.
        """
        return chunks_in(Reader(self.name, self.read))


class SnapshotStore:
    """The snapshots in a data directory: at most one, and up to two being made."""

    def __init__(self, disk: Disk, *, bytes_max: int = SNAPSHOT_BYTES_MAX) -> None:
        """Open the store; what an interrupted run left unfinished is removed.

        Args:
            disk: The data directory.
            bytes_max: Largest snapshot file, written or received.
        """
        self._disk = disk
        self.bytes_max: Final = bytes_max
        self._latest: Snapshot | None = None
        self._parts = 0
        for name in disk.names():
            if name.startswith("snapshot-") and name.endswith(_PART_SUFFIX):
                log.info("removing the unfinished snapshot %s", name)
                disk.remove(name)
        # A rename seen now may not be durable yet, and the journal is going to rely on it.
        disk.sync_directory()

    def latest(self) -> Snapshot | None:
        """Return the newest snapshot, verified once; None when there is none.

        Raises:
            CorruptSnapshotError: It is damaged: the member can't start from what it has.
        """
        if self._latest is None:
            names = self._names()
            if names:
                self._latest = self._verified(names[-1])
                self._remove(names[:-1])
        return self._latest

    def begin(self, meta: SnapshotMeta) -> "SnapshotWriter":
        """Start writing a snapshot; it counts from its ``publish`` on."""
        part = self._next_part()
        file = self._disk.append(part)
        try:
            return SnapshotWriter(self, part, file, meta)
        except OSError:
            file.close()
            self.discard(part)
            raise

    def receive(self, total_size: int) -> "SnapshotReceiver":
        """Start receiving a file of ``total_size`` bytes.

        Raises:
            SnapshotTooLargeError: It would exceed the limit.
        """
        self.check_size(total_size)
        part = self._next_part()
        return SnapshotReceiver(self, part, self._disk.append(part), total_size)

    def check_size(self, size: int) -> None:
        """Refuse a file that is too large.

        Raises:
            SnapshotTooLargeError: More than ``bytes_max``.
        """
        if size > self.bytes_max:
            raise SnapshotTooLargeError(
                f"a snapshot of {size} bytes exceeds the limit of {self.bytes_max}"
            )

    def publish(self, part: str, meta: SnapshotMeta, size: int) -> Snapshot:
        """Make a whole and synced file the newest snapshot, durably; remove the older ones.

        Raises:
            StaleSnapshotError: There is a newer one.
        """
        older = self._names()
        name = f"snapshot-{meta.index:016d}.snap"
        if older and older[-1] > name:
            raise StaleSnapshotError(f"snapshot {meta.index} is older than {older[-1]}")
        self._disk.rename(part, name)
        self._disk.sync_directory()
        self._latest = snapshot = Snapshot(self._disk, name, meta, size)
        self._remove([other for other in older if other != name])
        return snapshot

    def verify(self, name: str, size: int) -> SnapshotMeta:
        """Check a file of ``size`` bytes from its first to its last.

        Raises:
            CorruptSnapshotError: Something is wrong with it.
        """
        reader = Reader(name, lambda offset, size: self._disk.read(name, offset, size))
        return reader.verify(size)

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the state in a file."""
        return chunks_in(Reader(name, lambda offset, size: self._disk.read(name, offset, size)))

    def discard(self, part: str) -> None:
        """Remove an unfinished file; it may be gone already."""
        with contextlib.suppress(FileNotFoundError):
            self._disk.remove(part)

    def _verified(self, name: str) -> Snapshot:
        file = self._disk.append(name)
        size = file.size()
        file.close()
        meta = self.verify(name, size)
        if name != f"snapshot-{meta.index:016d}.snap":
            raise CorruptSnapshotError(name, 0, f"the file holds snapshot {meta.index}")
        return Snapshot(self._disk, name, meta, size)

    def _names(self) -> list[str]:
        return [name for name in self._disk.names() if _NAME.fullmatch(name)]

    def _remove(self, names: list[str]) -> None:
        for name in names:
            self._disk.remove(name)

    def _next_part(self) -> str:
        # Never a name again: one that is given up may still be syncing in a worker thread.
        self._parts += 1
        return f"snapshot-{self._parts}{_PART_SUFFIX}"


class SnapshotWriter:
    """A snapshot being written. OSError out of any method: call :meth:`abort`."""

    def __init__(
        self, store: SnapshotStore, part: str, file: AppendFile, meta: SnapshotMeta
    ) -> None:
        """Begin the file, named ``part`` until it is published."""
        self._store = store
        self._part = part
        self._file = file
        self._meta = meta
        self._encoder = Encoder(meta)
        self._size: int | None = None
        """Of the finished file."""
        file.write(self._encoder.start())

    def write(self, chunk: bytes) -> None:
        """Add a piece of state of at most CHUNK_BYTES_MAX.

        Raises:
            SnapshotTooLargeError: The file would exceed the store's limit.
        """
        data = self._encoder.chunk(chunk)
        self._store.check_size(self._file.size() + len(data))
        self._file.write(data)

    def commit_file(self) -> None:
        """Finish the file and make it durable. It blocks; it may run in a worker thread."""
        self._file.write(self._encoder.end())
        self._file.sync()
        self._size = self._file.size()
        self._file.close()

    def publish(self) -> Snapshot:
        """Make it the newest snapshot, durably; the older ones are removed.

        Raises:
            StaleSnapshotError: A newer one came meanwhile.
        """
        assert self._size is not None, "commit_file() comes before publish()"
        return self._store.publish(self._part, self._meta, self._size)

    def abort(self) -> None:
        """Give up; nothing of it stays."""
        self._file.close()
        self._store.discard(self._part)


class SnapshotReceiver:
    """A snapshot file coming in from another member."""

    def __init__(self, store: SnapshotStore, part: str, file: AppendFile, total_size: int) -> None:
        """Expect ``total_size`` bytes, in a file named ``part`` until it is published."""
        self._store = store
        self._part = part
        self._file = file
        self._total_size = total_size
        self._meta: SnapshotMeta | None = None
        self.received = 0
        """Bytes that have come: the next piece starts there."""

    def write(self, offset: int, data: bytes) -> None:
        """Add the next piece of the file.

        Raises:
            ValueError: It isn't the next piece, or reaches beyond the announced size.
        """
        if offset != self.received or offset + len(data) > self._total_size:
            raise ValueError(
                f"bytes {offset} to {offset + len(data)} of a snapshot of {self._total_size} "
                f"came after {self.received}"
            )
        self._file.write(data)
        self.received += len(data)

    def verify(self) -> SnapshotMeta:
        """Check that all has come and is right. It blocks; it may run in a worker thread.

        Raises:
            CorruptSnapshotError: It is not whole or damaged; nothing of it stays.
        """
        try:
            self._require_all()
            self._file.sync()
            self._file.close()
            self._meta = self._store.verify(self._part, self._total_size)
        except Exception:
            self.abort()
            raise
        return self._meta

    def chunks(self) -> Iterator[bytes]:
        """Yield the state in what was verified, before it is published.

        Raises:
            CorruptSnapshotError: The file was damaged since it was verified.
        """
        return self._store.chunks(self._part)

    def _require_all(self) -> None:
        if self.received != self._total_size:
            raise CorruptSnapshotError(
                self._part, self.received, f"{self._total_size} bytes were announced"
            )

    def publish(self) -> Snapshot:
        """Make what was verified the newest snapshot, durably.

        Raises:
            StaleSnapshotError: The present one is newer; nothing of this one stays.
        """
        assert self._meta is not None, "verify comes first"
        try:
            return self._store.publish(self._part, self._meta, self._total_size)
        except Exception:
            self.abort()
            raise

    def abort(self) -> None:
        """Give up; nothing of it stays."""
        self._file.close()
        self._store.discard(self._part)


def chunks_in(reader: Reader) -> Iterator[bytes]:
    """Yield the state in a snapshot file, piece by piece."""
    for section in reader.sections():
        if section.kind == KIND_CHUNK:
            yield reader.inflate(section)


def meaningless(name: str, error: Exception) -> CorruptSnapshotError:
    """Say of a snapshot that passed every checksum that nothing can be made of its state."""
    problem = f"its checksums are right, and what it holds can't be read: {error}"
    if isinstance(error, UnknownVersionError | ClusterVersionError):
        return CorruptSnapshotError(name, 0, problem, START_LATER)
    return CorruptSnapshotError(name, 0, problem)
