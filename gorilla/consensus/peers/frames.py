"""Frames: how a message travels over a byte stream.

A frame is four bytes of length, four bytes of CRC-32 (both big-endian, both of the body), then
the body: one message in MessagePack. The checksum finds accidents and strangers, not forgers.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from gorilla.consensus.ports import Message

STRANGER_BYTES_MAX: Final = 4 * 1024
"""Largest body that is read before the other side has proved who it is."""

FRAME_BYTES_MAX: Final = 16 * 1024 * 1024
"""Largest body there is."""

_HEADER: Final = struct.Struct(">II")

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(dict[str, Any])


class FrameError(Exception):
    """The stream carries something that is not a frame of ours: the connection is of no use."""


def encode_frame(message: Message) -> bytes:
    """Return the frame of one message (tuples in it arrive as lists).

    Raises:
        FrameError: Its body would exceed :data:`FRAME_BYTES_MAX`.

    """
    body = _encoder.encode(message)
    if len(body) > FRAME_BYTES_MAX:
        raise FrameError(f"a message of {len(body)} bytes exceeds the {FRAME_BYTES_MAX} of a frame")
    return _HEADER.pack(len(body), zlib.crc32(body)) + body


class FrameDecoder:
    """Turns chunks of a byte stream into messages.

    A length beyond the bound is refused on sight, before anything of the body is kept. The bound
    may rise between two messages of one chunk: :meth:`messages` looks at it for each.
    """

    def __init__(self, bytes_max: int = STRANGER_BYTES_MAX) -> None:
        """Begin with a bound on the body (bytes)."""
        self.bytes_max = bytes_max
        self._buffer = bytearray()

    @property
    def pending_bytes(self) -> int:
        """Bytes kept of a frame that is not complete yet."""
        return len(self._buffer)

    def messages(self, data: bytes) -> Iterator[Message]:
        """Take the next ``data`` (bytes) of the stream and yield the messages that it completes.

        Exhaust the iterator, or drop the decoder with it.

        Raises:
            FrameError: Too long, damaged, or not a message. The decoder is of no use any more.

        """
        self._buffer += data
        start = 0
        while len(self._buffer) - start >= _HEADER.size:
            length, checksum = _HEADER.unpack_from(self._buffer, start)
            if length > self.bytes_max:
                raise FrameError(f"a frame of {length} bytes exceeds the bound of {self.bytes_max}")
            end = start + _HEADER.size + length
            if len(self._buffer) < end:
                break
            with memoryview(self._buffer) as view:
                body = bytes(view[start + _HEADER.size : end])
            start = end
            yield _decode(body, checksum)
        del self._buffer[:start]


def _decode(body: bytes, checksum: int) -> Message:
    if zlib.crc32(body) != checksum:
        raise FrameError("a frame is damaged: its checksum does not match")
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FrameError(f"a frame does not hold a message: {error}") from error
