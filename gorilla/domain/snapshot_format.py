"""The bytes of a snapshot: canonical, so equal states give equal bytes on every node.

A snapshot is a row of frames, each a 4-byte big-endian length and a msgpack value:

1. the header: ``[magic, version, marks, counts]``, the last being how many items each section has;
2. sections of items, as many frames as needed, each item of a frame of the same kind: records by
   lock name, fencing tokens of free locks (oldest first), origins (longest idle first), their
   outcomes (by origin, in the order given), waiters (by ticket), sessions (by number), idempotency
   keys (oldest first), policies (by prefix), pauses between grants (by lock), the latest events;
3. the trailer: a hash over everything before it.

A reader takes the bytes however they are cut.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b, sha256
from itertools import chain, islice, pairwise, repeat
from typing import Final, TypeVar

import msgspec

from gorilla.domain.codec import FormatError, UnknownVersionError
from gorilla.domain.commands import Policy
from gorilla.domain.events import Event
from gorilla.domain.key_memory import KeyRecord
from gorilla.domain.lock_records import LockRecord
from gorilla.domain.origin_memory import Origin
from gorilla.domain.outcomes import Outcome, Session
from gorilla.domain.waiters import Waiter

SNAPSHOT_VERSION: Final = 1

_MAGIC: Final = "gorilla-table"
_CHUNK_BYTES: Final = 256 * 1024
_FRAME_BYTES_MAX: Final = 1024 * 1024
_LENGTH_BYTES: Final = 4
_FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_Item = TypeVar("_Item")


class MalformedSnapshotError(FormatError):
    """The bytes are no snapshot: damaged, cut, or not ours. Nothing of it may be used."""


class Marks(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The scalars of the state; `LockTable` describes each."""

    term: int
    now_ms: int
    wall_offset_ms: int
    fencing_counter: int
    event_counter: int
    hold_until_ms: int
    chain: bytes
    cluster_version: int = 1
    members_index: int = 0
    session_counter: int = 0
    members: tuple[str, ...] = ()


class _Preamble(msgspec.Struct, frozen=True, array_like=True):
    """What the header of every version starts with."""

    magic: str
    version: int


class _Header(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    magic: str
    version: int
    marks: Marks
    counts: tuple[int, ...]
    """Sections that a state of an earlier build does not have are left out at the end."""


class _OriginItem(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    origin: str
    confirmed: int
    used_ms: int
    outcomes: int


_FencingTokenItem = tuple[str, int]
_OutcomeItem = tuple[int, Outcome]
_CoolingItem = tuple[str, int]

_encoder: Final = msgspec.msgpack.Encoder()
_preamble_decoder: Final = msgspec.msgpack.Decoder(_Preamble)
_header_decoder: Final = msgspec.msgpack.Decoder(_Header)
_records_decoder: Final = msgspec.msgpack.Decoder(list[LockRecord])
_fencing_tokens_decoder: Final = msgspec.msgpack.Decoder(list[_FencingTokenItem])
_origins_decoder: Final = msgspec.msgpack.Decoder(list[_OriginItem])
_outcomes_decoder: Final = msgspec.msgpack.Decoder(list[_OutcomeItem])
_waiters_decoder: Final = msgspec.msgpack.Decoder(list[Waiter])
_sessions_decoder: Final = msgspec.msgpack.Decoder(list[Session])
_keys_decoder: Final = msgspec.msgpack.Decoder(list[KeyRecord])
_policies_decoder: Final = msgspec.msgpack.Decoder(list[Policy])
_cooling_decoder: Final = msgspec.msgpack.Decoder(list[_CoolingItem])
_events_decoder: Final = msgspec.msgpack.Decoder(list[Event])
_trailer_decoder: Final = msgspec.msgpack.Decoder(bytes)


class FrozenTable(msgspec.Struct, frozen=True, kw_only=True):
    """The whole state at one moment; the table it was taken from may move on."""

    marks: Marks
    names: list[str]
    """Locks in use, in order."""
    records: dict[str, LockRecord]
    fencing_tokens: list[tuple[str, int]]
    origins: list[tuple[str, Origin]]
    waiters: list[Waiter] = []
    sessions: list[Session] = []
    keys: list[KeyRecord] = []
    policies: list[Policy] = []
    cooling: list[tuple[str, int]] = []
    """Until when (cluster time) a lock is not granted again."""
    events: list[Event] = []
    """The latest ones, the oldest first."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the canonical encoding in pieces of at most about 256 KiB."""
        running = blake2b(digest_size=32)
        for chunk in chain([self._header()], *self._sections()):
            framed = _framed(chunk)
            running.update(framed)
            yield framed
        yield _framed(_encoder.encode(running.digest()))

    def digest(self) -> str:
        """Return the SHA-256 of the encoding, in hex: equal for equal states."""
        running = sha256()
        for chunk in self.chunks():
            running.update(chunk)
        return running.hexdigest()

    def _header(self) -> bytes:
        counts = (
            len(self.names),
            len(self.fencing_tokens),
            len(self.origins),
            sum(len(origin.outcomes) for _, origin in self.origins),
            len(self.waiters),
            len(self.sessions),
            len(self.keys),
            len(self.policies),
            len(self.cooling),
            len(self.events),
        )
        return _encoder.encode((_MAGIC, SNAPSHOT_VERSION, self.marks, counts))

    def _sections(self) -> Iterator[Iterator[bytes]]:
        yield _packed(self.records[name] for name in self.names)
        yield _packed(self.fencing_tokens)
        yield _packed(
            _OriginItem(name, origin.confirmed, origin.used_ms, len(origin.outcomes))
            for name, origin in self.origins
        )
        yield _packed(item for _, origin in self.origins for item in origin.outcomes.items())
        yield _packed(self.waiters)
        yield _packed(self.sessions)
        yield _packed(self.keys)
        yield _packed(self.policies)
        yield _packed(self.cooling)
        yield _packed(self.events)


def read(chunks: Iterable[bytes]) -> FrozenTable:
    """Return the state that ``chunks`` encode, in full.

    Raises:
        UnknownVersionError: A later version wrote it.
        MalformedSnapshotError: It is cut, damaged, or something else.

    """
    try:
        return _Reader(chunks).table()
    except _FAULTS as error:
        raise MalformedSnapshotError(f"not a snapshot: {error}") from error


def _framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(_LENGTH_BYTES, "big") + payload


def _packed(items: Iterable[object]) -> Iterator[bytes]:
    """Yield arrays of encoded items, each array below the size of a chunk."""
    room: list[msgspec.Raw] = []
    size = 0
    for item in items:
        encoded = _encoder.encode(item)
        if room and size + len(encoded) > _CHUNK_BYTES:
            yield _encoder.encode(room)
            room, size = [], 0
        room.append(msgspec.Raw(encoded))
        size += len(encoded)
    if room:
        yield _encoder.encode(room)


class _Reader:
    """Frames out of bytes that may be cut anywhere, and the state out of frames."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._buffer = bytearray()
        self._running = blake2b(digest_size=32)

    def table(self) -> FrozenTable:
        header = self._header()
        counts = chain(header.counts, repeat(0))
        records = self._section(_records_decoder, next(counts))
        fencing_tokens = self._section(_fencing_tokens_decoder, next(counts))
        origins = self._section(_origins_decoder, next(counts))
        outcomes = self._section(_outcomes_decoder, next(counts))
        waiters = self._section(_waiters_decoder, next(counts))
        sessions = self._section(_sessions_decoder, next(counts))
        keys = self._section(_keys_decoder, next(counts))
        policies = self._section(_policies_decoder, next(counts))
        cooling = self._section(_cooling_decoder, next(counts))
        events = self._section(_events_decoder, next(counts))
        self._trailer()
        names = [record.lock for record in records]
        if not all(name < following for name, following in pairwise(names)):
            raise MalformedSnapshotError("the locks are not in order")
        if not all(record.holders for record in records):
            raise MalformedSnapshotError("a lock in use has no holder")
        return FrozenTable(
            marks=header.marks,
            names=names,
            records={record.lock: record for record in records},
            fencing_tokens=fencing_tokens,
            origins=_joined(origins, outcomes),
            waiters=waiters,
            sessions=sessions,
            keys=keys,
            policies=policies,
            cooling=cooling,
            events=events,
        )

    def _header(self) -> _Header:
        frame = self._frame()
        preamble = _preamble_decoder.decode(frame)
        if preamble.magic != _MAGIC:
            raise MalformedSnapshotError("not a snapshot of a lock table")
        if preamble.version != SNAPSHOT_VERSION:
            raise UnknownVersionError("snapshot", preamble.version, SNAPSHOT_VERSION)
        return _header_decoder.decode(frame)

    def _section(self, decoder: "msgspec.msgpack.Decoder[list[_Item]]", count: int) -> list[_Item]:
        items: list[_Item] = []
        while len(items) < count:
            items += decoder.decode(self._frame())
        if len(items) != count:
            raise MalformedSnapshotError("a section is longer than the header says")
        return items

    def _trailer(self) -> None:
        expected = self._running.digest()
        if _trailer_decoder.decode(self._frame()) != expected:
            raise MalformedSnapshotError("the snapshot is damaged: its hash does not match")
        if self._buffer or any(self._chunks):
            raise MalformedSnapshotError("bytes after the end of the snapshot")

    def _frame(self) -> bytes:
        length = int.from_bytes(self._take(_LENGTH_BYTES), "big")
        if length > _FRAME_BYTES_MAX:
            raise MalformedSnapshotError("a frame is longer than any that is ever written")
        payload = self._take(length)
        self._running.update(_framed(payload))
        return payload

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise MalformedSnapshotError("the snapshot is cut short")
            self._buffer += chunk
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken


def _joined(origins: list[_OriginItem], outcomes: list[_OutcomeItem]) -> list[tuple[str, Origin]]:
    """Give each origin its outcomes, which follow each other in the order of the origins."""
    if sum(origin.outcomes for origin in origins) != len(outcomes):
        raise MalformedSnapshotError("the outcomes are not those that the origins have")
    remaining = iter(outcomes)
    return [
        (item.origin, Origin(item.confirmed, item.used_ms, dict(islice(remaining, item.outcomes))))
        for item in origins
    ]
