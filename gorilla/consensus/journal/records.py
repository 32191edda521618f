"""Format version 1 of the journal files: frames, records and the header. Pure functions.

A segment file is a header frame followed by frames; a frame is what one sync wrote::

    frame   magic (4)  sequence u64  length u32  crc32 u32  payload (length)
    header  a frame with its own magic; payload: version u16, segment u64, first u64, last u64,
            term u64, commit u64, vote flag u8, vote length u16, node length u16, vote, node
    record  length u32  kind u8  body (length); a payload is records end to end

All integers are little-endian. The checksum covers sequence, length and payload. For frames it
starts from a seed made of the node id, so that no bytes inside a command pass for a frame. The
header is not seeded and its layout stays for ever, so that every version can read the version.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

FORMAT_VERSION: Final = 1

FRAME_BYTES_MAX: Final = 64 * 1024 * 1024
"""Largest payload of a frame. The journal syncs by itself before it would grow beyond."""

HEADER_BYTES_MAX: Final = 1024
"""Largest header frame: a longer file without a readable header was in use."""

# 0xf7 never occurs in UTF-8 text, which is what commands are made of.
HEADER_MAGIC: Final = b"\xf7gjh"
FRAME_MAGIC: Final = b"\xf7gjf"

FRAME: Final = struct.Struct("<4sQII")
_CHECKED: Final = struct.Struct("<QI")
_HEADER: Final = struct.Struct("<HQQQQQ?HH")
_RECORD: Final = struct.Struct("<IB")
_ENTRY_HEAD: Final = struct.Struct("<IBQQ")
_TWO: Final = struct.Struct("<QQ")
_ONE: Final = struct.Struct("<Q")
_TERM: Final = struct.Struct("<Q?")

_KIND_ENTRY: Final = 1
_KIND_TRUNCATE: Final = 2
_KIND_TERM: Final = 3
_KIND_COMMIT: Final = 4
_KIND_RESET: Final = 5
_KIND_FORGET: Final = 6
_KIND_CLOSE: Final = 7

Entry = tuple[bytes, int, int]
"""A log entry as PySyncObj has it: command, index, term."""


class MalformedRecordError(ValueError):
    """Bytes with a right checksum that are no record of this version."""


class Frame(NamedTuple):
    """A frame whose checksum is right."""

    sequence: int
    payload: bytes
    end: int
    """Offset of the byte after it."""


class Checkpoint(NamedTuple):
    """What the journal holds at a point: enough to read on without the segments before."""

    first: int
    """Smallest index kept; 0 when the log is empty."""
    last: int
    """Largest index; 0 when the log is empty."""
    term: int
    vote: str | None
    commit: int


class Header(NamedTuple):
    """The first frame of a segment."""

    version: int
    segment: int
    checkpoint: Checkpoint
    node: str


class Append(NamedTuple):
    """An entry was added at the end."""

    command: bytes
    at: int
    term: int


class Truncate(NamedTuple):
    """The entries from ``first`` on were dropped, in favour of a leader's."""

    first: int


class SetTerm(NamedTuple):
    """A term began, or a vote was given in it."""

    term: int
    vote: str | None


class SetCommit(NamedTuple):
    """Entries up to ``at`` were known to be committed."""

    at: int


class Reset(NamedTuple):
    """All entries were dropped, in favour of a snapshot."""


class Forget(NamedTuple):
    """The entries below ``first`` are in a snapshot and no longer kept."""

    first: int


class Close(NamedTuple):
    """A next segment exists: this one never grows again."""


Record = Append | Truncate | SetTerm | SetCommit | Reset | Forget | Close


def frame_seed(node: str) -> int:
    """Return where the checksum of this node's frames starts."""
    return zlib.crc32(node.encode())


def encode_frame(magic: bytes, sequence: int, payload: bytes, seed: int = 0) -> bytes:
    """Return the bytes of a frame."""
    crc = zlib.crc32(payload, zlib.crc32(_CHECKED.pack(sequence, len(payload)), seed))
    return FRAME.pack(magic, sequence, len(payload), crc) + payload


def decode_frame(magic: bytes, data: bytes, offset: int, seed: int = 0) -> Frame | None:
    """Return the frame at ``offset``, or None when there is no intact one of this magic."""
    start = offset + FRAME.size
    if start > len(data):
        return None
    found, sequence, length, crc = FRAME.unpack_from(data, offset)
    if found != magic or length > len(data) - start:
        return None
    payload = data[start : start + length]
    if zlib.crc32(payload, zlib.crc32(_CHECKED.pack(sequence, length), seed)) != crc:
        return None
    return Frame(sequence, payload, start + length)


def find_frame(data: bytes, offset: int, seed: int) -> int | None:
    """Return the offset of the first intact frame at ``offset`` or later, or None."""
    at = data.find(FRAME_MAGIC, offset)
    while at >= 0:
        if decode_frame(FRAME_MAGIC, data, at, seed) is not None:
            return at
        at = data.find(FRAME_MAGIC, at + 1)
    return None


def encode_header(header: Header) -> bytes:
    """Return the payload of a header frame."""
    state = header.checkpoint
    vote = (state.vote or "").encode()
    node = header.node.encode()
    assert FRAME.size + _HEADER.size + len(vote) + len(node) <= HEADER_BYTES_MAX, "ids too long"
    return (
        _HEADER.pack(
            header.version,
            header.segment,
            state.first,
            state.last,
            state.term,
            state.commit,
            state.vote is not None,
            len(vote),
            len(node),
        )
        + vote
        + node
    )


def decode_header(payload: bytes) -> Header:
    """Return the header in a payload with a right checksum.

    Raises:
        MalformedRecordError: It is too short or its text is not UTF-8.
    """
    try:
        version, segment, first, last, term, commit, voted, votes, nodes = _HEADER.unpack_from(
            payload
        )
        text = payload[_HEADER.size : _HEADER.size + votes + nodes]
        vote, node = text[:votes].decode(), text[votes:].decode()
    except (struct.error, UnicodeDecodeError) as error:
        raise MalformedRecordError(f"the header can't be read ({error})") from error
    checkpoint = Checkpoint(first, last, term, vote if voted else None, commit)
    return Header(version, segment, checkpoint, node)


def entry_head(command: bytes, index: int, term: int) -> bytes:
    """Return what stands before ``command`` in the record of an entry."""
    return _ENTRY_HEAD.pack(len(command) + _TWO.size, _KIND_ENTRY, index, term)


def encode_record(record: Record) -> bytes:
    """Return the bytes of a record."""
    kind, body = _encode_body(record)
    return _RECORD.pack(len(body), kind) + body


def _encode_body(record: Record) -> tuple[int, bytes]:
    match record:
        case Append(command, index, term):
            return _KIND_ENTRY, _TWO.pack(index, term) + command
        case Truncate(first):
            return _KIND_TRUNCATE, _ONE.pack(first)
        case SetTerm(term, vote):
            return _KIND_TERM, _TERM.pack(term, vote is not None) + (vote or "").encode()
        case SetCommit(index):
            return _KIND_COMMIT, _ONE.pack(index)
        case Forget(first):
            return _KIND_FORGET, _ONE.pack(first)
        case Reset() | Close():
            return _KIND_RESET if isinstance(record, Reset) else _KIND_CLOSE, b""


def _decode_append(body: bytes) -> Record:
    index, term = _TWO.unpack_from(body)
    return Append(body[_TWO.size :], index, term)


def _decode_term(body: bytes) -> Record:
    term, voted = _TERM.unpack_from(body)
    return SetTerm(term, body[_TERM.size :].decode() if voted else None)


_DECODERS: Final[dict[int, Callable[[bytes], Record]]] = {
    _KIND_ENTRY: _decode_append,
    _KIND_TRUNCATE: lambda body: Truncate(*_ONE.unpack(body)),
    _KIND_TERM: _decode_term,
    _KIND_COMMIT: lambda body: SetCommit(*_ONE.unpack(body)),
    _KIND_RESET: lambda _body: Reset(),
    _KIND_FORGET: lambda body: Forget(*_ONE.unpack(body)),
    _KIND_CLOSE: lambda _body: Close(),
}


def decode_records(payload: bytes) -> Iterator[Record]:
    """Yield the records of a frame.

    Raises:
        MalformedRecordError: One is cut off, of an unknown kind, or has a wrong body.
    """
    offset = 0
    while offset < len(payload):
        try:
            length, kind = _RECORD.unpack_from(payload, offset)
            start = offset + _RECORD.size
            offset = start + length
            if offset > len(payload):
                raise MalformedRecordError("a record reaches beyond its frame")
            record = _DECODERS[kind](payload[start:offset])
        except KeyError as error:
            raise MalformedRecordError(f"a record of unknown kind {error}") from error
        except (struct.error, UnicodeDecodeError) as error:
            raise MalformedRecordError(f"a record can't be read ({error})") from error
        yield record
