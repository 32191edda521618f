"""The bytes of an archived snapshot: the state's chunks, framed and compressed.

Format 1: one zlib stream of records, each a chunk's length (4 bytes, big-endian) and the chunk.
The chunks come out as they went in. Cut into pieces that a database row holds well.
"""

import asyncio
import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from gorilla.service.ports import FrozenState

FORMAT_VERSION: Final = 1
PIECE_BYTES_MAX: Final = 8 * 1024 * 1024
CHUNK_BYTES_MAX: Final = 64 * 1024 * 1024
"""A chunk that claims to be longer is damage, and no reason to ask for that much memory."""

_LEVEL: Final = 3  # secrets don't compress and names do: higher levels cost time and gain little
_LENGTH: Final = struct.Struct(">I")
_STEP_BYTES: Final = 1024 * 1024


class PackingError(ValueError):
    """The bytes are not a snapshot of a format that this release reads; one line."""


class Packed(msgspec.Struct, frozen=True):
    """A packed state. ``digest`` is the SHA-256 (hexadecimal) of the pieces joined."""

    format_version: int
    digest: str
    size_bytes: int
    pieces: tuple[bytes, ...]


class _Packer:
    """Takes chunks, makes pieces. Used by one thread at a time."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(_LEVEL)
        self._hash = hashlib.sha256()
        self._buffer = bytearray()
        self._size_bytes = 0
        self._pieces: list[bytes] = []

    def add_next(self, chunks: Iterator[bytes]) -> bool:
        """Take one chunk; False when there is none left."""
        chunk = next(chunks, None)
        if chunk is None:
            return False
        self._take(self._stream.compress(_LENGTH.pack(len(chunk))))
        self._take(self._stream.compress(chunk))
        return True

    def finish(self) -> Packed:
        self._take(self._stream.flush())
        if self._buffer:
            self._pieces.append(bytes(self._buffer))
        return Packed(FORMAT_VERSION, self._hash.hexdigest(), self._size_bytes, tuple(self._pieces))

    def _take(self, data: bytes) -> None:
        self._hash.update(data)
        self._size_bytes += len(data)
        self._buffer += data
        while len(self._buffer) >= PIECE_BYTES_MAX:
            self._pieces.append(bytes(self._buffer[:PIECE_BYTES_MAX]))
            del self._buffer[:PIECE_BYTES_MAX]


async def pack(state: FrozenState) -> Packed:
    """Pack a frozen state without keeping the event loop from its work.

    A worker thread encodes and compresses one chunk (milliseconds) a call, so a cancelled caller
    leaves no long work behind. The state is frozen, so the thread may read it while entries are
    applied.
    """
    packer = _Packer()
    chunks = state.chunks()
    while await asyncio.to_thread(packer.add_next, chunks):
        pass
    return await asyncio.to_thread(packer.finish)


def pack_chunks(chunks: Iterable[bytes]) -> Packed:
    """Pack chunks at once. Blocking work: for programs, and for worker threads."""
    packer = _Packer()
    remaining = iter(chunks)
    while packer.add_next(remaining):
        pass
    return packer.finish()


def unpack(format_version: int, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks that were packed. Blocking work: call it in a worker thread.

    Raises:
        PackingError: Another format, or damage.

    """
    if format_version != FORMAT_VERSION:
        raise PackingError(
            f"snapshot format {format_version} is unknown to this release (it reads"
            f" {FORMAT_VERSION}): restore with the release that stored it"
        )
    buffer = bytearray()
    for data in _decompressed(pieces):
        buffer += data
        yield from _complete_records(buffer)
    if buffer:
        raise PackingError("the snapshot ends in the middle of a chunk")


def _decompressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    stream = zlib.decompressobj()
    try:
        for piece in pieces:
            rest = piece
            while rest:
                yield stream.decompress(rest, _STEP_BYTES)
                rest = stream.unconsumed_tail
        yield stream.flush()
    except zlib.error as error:
        raise PackingError(f"the snapshot can't be decompressed: {error}") from error
    if not stream.eof or stream.unused_data:
        raise PackingError("the snapshot is cut short or has bytes after its end")


def _complete_records(buffer: bytearray) -> Iterator[bytes]:
    start = 0
    while len(buffer) - start >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(buffer, start)
        if length > CHUNK_BYTES_MAX:
            raise PackingError(f"a chunk of {length} bytes: the snapshot is damaged")
        end = start + _LENGTH.size + length
        if len(buffer) < end:
            break
        yield bytes(buffer[start + _LENGTH.size : end])
        start = end
    del buffer[:start]
