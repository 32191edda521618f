"""The data directory on a real disk."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from gorilla.consensus.ports import AppendFile

LOCK_NAME: Final = "lock"
_READ_BYTES: Final = 1024 * 1024

# macOS has no fdatasync; its fsync is the nearest.
_datasync = getattr(os, "fdatasync", os.fsync)


class DiskInUseError(Exception):
    """Another process uses the data directory: two would destroy each other's journal."""


@contextlib.contextmanager
def _placed(path: Path, doing: str) -> Iterator[None]:
    """Have an error name its file and place: of a descriptor, the system does not know them."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise OSError(error.errno, f"{why} ({doing})", str(path)) from error
        raise


class _DirectoryFile:
    """An open file of a :class:`DirectoryDisk`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        self._size = os.fstat(self._fd).st_size

    def write(self, data: bytes) -> None:
        """Append ``data``."""
        self._check_open()
        rest = memoryview(data)
        with _placed(self._path, f"writing {len(data)} bytes at byte {self._size}"):
            while rest:
                written = os.write(self._fd, rest)
                self._size += written
                rest = rest[written:]

    def sync(self) -> None:
        """Make everything written so far durable."""
        self._check_open()
        with _placed(self._path, f"syncing all up to byte {self._size}"):
            _datasync(self._fd)

    def size(self) -> int:
        """Return the bytes written so far."""
        self._check_open()
        return self._size

    def close(self) -> None:
        """Close; twice does no harm."""
        # After closing, the number may belong to another file: it must not be used again.
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _check_open(self) -> None:
        if self._fd < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))


class DirectoryDisk:
    """A directory that this process has for itself, as a ``Disk``.

    Files are made with mode 0600, the directory with 0700. The file ``lock`` in it is held locked
    until :meth:`close` or the end of the process, however it ends.
    """

    def __init__(self, directory: Path) -> None:
        """Take the directory, made when missing.

        Raises:
            DiskInUseError: Another process has it.
            OSError: It can't be made or read.
        """
        self.directory: Final = directory
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock_fd = _take_lock(directory)
        self._distrust_cache()

    def close(self) -> None:
        """Give the directory back; twice does no harm."""
        fd, self._lock_fd = self._lock_fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def names(self) -> list[str]:
        """Return the names of its files, sorted, the lock file not among them."""
        with os.scandir(self.directory) as entries:
            return sorted(
                entry.name
                for entry in entries
                if entry.name != LOCK_NAME and entry.is_file(follow_symlinks=False)
            )

    def read(self, name: str, offset: int = 0, size: int = -1) -> bytes:
        """Return ``size`` bytes from ``offset``, fewer at the end, all when negative."""
        path = self._path(name)
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _read(fd, path, offset, size)
        finally:
            os.close(fd)

    def append(self, name: str) -> AppendFile:
        """Open a file for appending, made when missing."""
        return _DirectoryFile(self._path(name))

    def truncate(self, name: str, size: int) -> None:
        """Cut a file, durably."""
        path = self._path(name)
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            with _placed(path, f"cutting it at byte {size}"):
                os.ftruncate(fd, min(size, os.fstat(fd).st_size))
                os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, old: str, new: str) -> None:
        """Rename, replacing ``new``."""
        self._path(old).replace(self._path(new))

    def remove(self, name: str) -> None:
        """Remove a file."""
        self._path(name).unlink()

    def sync_directory(self) -> None:
        """Make creations, renames and removals durable."""
        _sync_directory(self.directory)

    def free_bytes(self) -> int:
        """Return how much room is left on it for this process."""
        space = os.statvfs(self.directory)
        return space.f_bavail * space.f_frsize

    def _path(self, name: str) -> Path:
        check_name(name)
        return self.directory / name

    def _distrust_cache(self) -> None:
        """Have the files read from the disk itself.

        A process before us may have died of a failed sync; the kernel then holds pages that it
        takes for clean although they never reached the disk. What is left in the cache after a
        sync and a request to drop it comes from the disk.
        """
        if not hasattr(os, "posix_fadvise"):
            return
        for name in self.names():
            fd = os.open(self._path(name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                with _placed(self._path(name), "syncing what is there"):
                    os.fsync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)


def _read(fd: int, path: Path, offset: int, size: int) -> bytes:
    left = max(0, os.fstat(fd).st_size - offset)
    left = left if size < 0 else min(size, left)
    pieces: list[bytes] = []
    while left > 0:
        with _placed(path, f"reading at byte {offset}"):
            piece = os.pread(fd, min(left, _READ_BYTES), offset)
        if not piece:
            break
        pieces.append(piece)
        offset += len(piece)
        left -= len(piece)
    return b"".join(pieces)


def check_name(name: str) -> None:
    """Refuse what is no plain file name, or the lock's.

    Raises:
        ValueError: A bug of the caller: names never come from outside.
    """
    if name in ("", ".", "..", LOCK_NAME) or "/" in name or "\0" in name:
        raise ValueError(f"{name!r} is not a plain file name")


def _take_lock(directory: Path) -> int:
    path = directory / LOCK_NAME
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        raise DiskInUseError(
            f"the data directory {directory} is in use by another process (pid {owner}): "
            "stop that one first, or give this node a data directory of its own"
        ) from error
    with _placed(path, "writing to it"):
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    # The directory itself has to survive a power loss before anything in it can.
    _sync_directory(directory)
    _sync_directory(directory.absolute().parent)
    return fd


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _placed(directory, "syncing the directory"):
            os.fsync(fd)
    finally:
        os.close(fd)
