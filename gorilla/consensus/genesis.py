"""The state that a cluster begins with, as a file of the data directory: ``genesis.snap``.

It is there, whole and durable, before the identity says that this node is a member.
"""

import hashlib
from collections.abc import Iterator
from typing import Final, Protocol

from gorilla.consensus.formation_messages import CHUNK_BYTES
from gorilla.consensus.identity import GENESIS_FILE, PART_SUFFIX, GenesisRef
from gorilla.consensus.ports import AppendFile, Disk

_PART: Final = GENESIS_FILE + PART_SUFFIX


class GenesisReader(Protocol):
    """A genesis that lies somewhere else."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Return ``size`` bytes from ``offset``, fewer only at the end."""
        ...


class GenesisFile:
    """The genesis of one data directory, arriving in pieces and served in pieces."""

    def __init__(self, disk: Disk) -> None:
        """Begin; nothing is touched yet."""
        self._disk = disk
        self._part: AppendFile | None = None

    def keep(self, offset: int, data: bytes) -> None:
        """Append a piece; ``offset`` 0 begins anew."""
        if offset == 0:
            self.close()
            if _PART in self._disk.names():
                self._disk.remove(_PART)
            self._part = self._disk.append(_PART)
        assert self._part is not None
        assert self._part.size() == offset
        self._part.write(data)

    def finish(self) -> None:
        """Make what was kept the genesis, durably."""
        assert self._part is not None
        self._part.sync()
        self.close()
        self._disk.rename(_PART, GENESIS_FILE)
        self._disk.sync_directory()

    def close(self) -> None:
        """Close the part that is open, if one is."""
        if self._part is not None:
            self._part.close()
            self._part = None

    def read(self, offset: int, size: int = CHUNK_BYTES) -> bytes:
        """Return a piece of it."""
        return self._disk.read(GENESIS_FILE, offset, size)


def prepare_genesis(disk: Disk, reader: GenesisReader | None) -> GenesisRef | None:
    """Make sure that the genesis lies in the data directory, durably, and return what it is.

    Blocks while it reads all of it: call it in a thread.

    Args:
        disk: The data directory.
        reader: Where the genesis comes from; None when it is in the directory already, if any.

    Raises:
        ValueError: It is empty.
        OSError: The disk fails.

    """
    present = _describe(_own_pieces(disk)) if GENESIS_FILE in disk.names() else None
    if reader is None:
        return present
    ref = _describe(_pieces(reader))
    if ref.size == 0:
        raise ValueError("the state to begin with is empty")
    if ref != present:
        file = GenesisFile(disk)
        offset = 0
        for piece in _pieces(reader):
            file.keep(offset, piece)
            offset += len(piece)
        file.finish()
    return ref


def _describe(pieces: Iterator[bytes]) -> GenesisRef:
    digest = hashlib.sha256()
    size = 0
    for piece in pieces:
        digest.update(piece)
        size += len(piece)
    return GenesisRef(size=size, sha256=digest.hexdigest())


def _pieces(reader: GenesisReader) -> Iterator[bytes]:
    for offset in range(0, reader.size, CHUNK_BYTES):
        yield reader.read(offset, CHUNK_BYTES)


def _own_pieces(disk: Disk) -> Iterator[bytes]:
    offset = 0
    while piece := disk.read(GENESIS_FILE, offset, CHUNK_BYTES):
        yield piece
        offset += len(piece)
