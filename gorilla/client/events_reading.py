"""Takes a stream of server-sent events apart. Pure: bytes in, events out."""

from typing import Final

import msgspec

from gorilla.wire.events import StreamBody

EVENT_BYTES_MAX: Final = 4 * 1024 * 1024
"""Largest event that is read."""

RETRY_S_MAX: Final = 10.0

_decode: Final = msgspec.json.Decoder(StreamBody).decode


class TooLargeError(Exception):
    """An event without an end: this is no stream of Gorilla's."""


class Told(msgspec.Struct, frozen=True):
    """One event of a stream."""

    number: int
    """Where to resume after it."""
    event: StreamBody | None
    """None: this client does not know it, because a newer cluster tells it."""


class EventReader:
    """Reads one stream.

    Attributes:
        retry_s: When the stream said to come back after it ends (seconds).

    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.retry_s = 0.0
        self._rest = bytearray()
        self._id = 0
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> list[Told]:
        """Take what came; return the events that are complete with it.

        Raises:
            TooLargeError: An event has more than :data:`EVENT_BYTES_MAX`.

        """
        self._rest += data
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest
        told = [one for line in lines if (one := self._line(bytes(line))) is not None]
        if len(self._rest) + sum(map(len, self._data)) > EVENT_BYTES_MAX:
            raise TooLargeError(f"an event has more than {EVENT_BYTES_MAX} bytes")
        return told

    def _line(self, line: bytes) -> Told | None:
        line = line.removesuffix(b"\r")
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"id" and value.isdigit():
            self._id = int(value)
        elif name == b"data":
            self._data.append(value)
        elif name == b"retry" and value.isdigit():
            self.retry_s = min(int(value) / 1_000, RETRY_S_MAX)
        return None

    def _dispatch(self) -> Told | None:
        data, self._data = b"\n".join(self._data), []
        if not data:
            return None
        try:
            return Told(self._id, _decode(data))
        except msgspec.MsgspecError:
            return Told(self._id, None)
