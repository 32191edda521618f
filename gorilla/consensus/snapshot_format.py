"""Format version 1 of local snapshot files. Reading is bounded in memory and trusts nothing.

Integers are little-endian::

    file     magic (8)  version u16  section...
    section  kind u8  raw length u32  stored length u32  crc32 u32  stored bytes
             first META (msgpack), then CHUNKs (zlib), last END (chunk count u64, raw bytes u64,
             sha256 of every byte of the file before the END section)

A section's checksum covers its kind, its lengths and its stored bytes.
"""

import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, NoReturn

import msgspec

from gorilla.consensus.remedies import SET_ASIDE, START_LATER

FORMAT_VERSION: Final = 1
CHUNK_BYTES_MAX: Final = 1024 * 1024
"""Largest piece of state in one chunk, before compression."""
META_BYTES_MAX: Final = 4 * 1024 * 1024

KIND_META: Final = 1
KIND_CHUNK: Final = 2
KIND_END: Final = 3

_MAGIC: Final = b"\xf7gorsnap"
_START: Final = struct.Struct("<8sH")
_SECTION: Final = struct.Struct("<BIII")
_COVERED: Final = struct.Struct("<BII")
_END: Final = struct.Struct("<QQ32s")
_COMPRESSION: Final = 1
_READ_BYTES: Final = 1024 * 1024

Entry = tuple[bytes, int, int]
"""A log entry: command, index, term."""

Read = Callable[[int, int], bytes]
"""Returns up to so many bytes (second) from an offset (first)."""


class SnapshotError(Exception):
    """Base of what goes wrong with local snapshots, the disk's own OSError apart."""


class CorruptSnapshotError(SnapshotError):
    """A snapshot file is damaged or can't be read by this version.

    Attributes:
        file: Its name in the data directory.
        offset: Where the trouble starts (bytes).
        problem: What is wrong with it.
        remedy: What the operator does about it.
    """

    def __init__(self, file: str, offset: int, problem: str, remedy: str = SET_ASIDE) -> None:
        """Name the place, the problem and the remedy."""
        super().__init__(f"{file} at byte {offset}: {problem}. {remedy}.")
        self.file = file
        self.offset = offset
        self.problem = problem
        self.remedy = remedy


class SnapshotMeta(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot is of."""

    index: int
    """Log index of the last entry that is applied in it."""
    term: int
    last: Entry
    """That entry."""
    previous: Entry
    """The entry before it."""
    members: bytes
    """The configuration as of ``index``, opaque here."""
    cluster_id: str
    format: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        """Check that the fields agree."""
        if self.last[1:] != (self.index, self.term) or self.previous[1] != self.index - 1:
            raise ValueError(f"the entries of snapshot {self.index} don't belong to it")


_meta_encoder = msgspec.msgpack.Encoder()
_meta_decoder = msgspec.msgpack.Decoder(SnapshotMeta)


class Section(NamedTuple):
    """One section of a file; its checksum is right."""

    kind: int
    raw_length: int
    stored: bytes
    offset: int
    end: int


class Encoder:
    """Gives the bytes of a file, piece by piece."""

    def __init__(self, meta: SnapshotMeta) -> None:
        """Begin a file that holds ``meta``; :meth:`start` gives its first bytes."""
        self._meta = meta
        self._digest = hashlib.sha256()
        self._chunks = 0
        self._raw_bytes = 0

    def start(self) -> bytes:
        """Return what stands before the chunks.

        Raises:
            ValueError: The meta data is too large.
        """
        meta = _meta_encoder.encode(self._meta)
        if len(meta) > META_BYTES_MAX:
            raise ValueError(f"the meta data of a snapshot is too large ({len(meta)} bytes)")
        section = _encode_section(KIND_META, len(meta), meta)
        return self._digested(_START.pack(_MAGIC, FORMAT_VERSION) + section)

    def chunk(self, raw: bytes) -> bytes:
        """Return the section of a chunk.

        Raises:
            ValueError: It is too large.
        """
        if len(raw) > CHUNK_BYTES_MAX:
            raise ValueError(f"a chunk of {len(raw)} bytes is too large")
        self._chunks += 1
        self._raw_bytes += len(raw)
        stored = zlib.compress(raw, _COMPRESSION)
        return self._digested(_encode_section(KIND_CHUNK, len(raw), stored))

    def end(self) -> bytes:
        """Return what stands after the chunks."""
        body = _END.pack(self._chunks, self._raw_bytes, self._digest.digest())
        return _encode_section(KIND_END, len(body), body)

    def _digested(self, data: bytes) -> bytes:
        self._digest.update(data)
        return data


class Reader:
    """Reads a file section by section. Everything wrong with it is a CorruptSnapshotError."""

    def __init__(self, name: str, read: Read) -> None:
        """Read the file ``name`` through ``read``."""
        self._name = name
        self._read = read
        self._buffer = b""
        self._start = 0
        self._digest = hashlib.sha256()
        self._chunks = 0
        self._raw_bytes = 0

    def verify(self, size: int) -> SnapshotMeta:
        """Check the whole file of ``size`` bytes, and that it can be read to its end."""
        meta, end = self._verified()
        if end != size:
            self._refuse(end, "something follows the end")
        return meta

    def verify_all(self) -> tuple[SnapshotMeta, int]:
        """Check the whole file; also return its size (bytes)."""
        meta, end = self._verified()
        if self._read(end, 1):
            self._refuse(end, "something follows the end")
        return meta, end

    def _verified(self) -> tuple[SnapshotMeta, int]:
        meta: SnapshotMeta | None = None
        end = 0
        for section in self.sections():
            if section.kind == KIND_META:
                meta = self._decode_meta(section)
            elif section.kind == KIND_CHUNK:
                self.inflate(section)
            end = section.end
        assert meta is not None, "the sections begin with META"
        return meta, end

    def sections(self) -> Iterator[Section]:
        """Yield the sections: META, CHUNKs, END. At the END, all checksums were right."""
        self._check_start()
        section = self._section(_START.size)
        if section.kind != KIND_META:
            self._refuse(section.offset, "the meta data is missing")
        yield section
        while True:
            section = self._section(section.end)
            if section.kind == KIND_END:
                self._check_end(section)
                yield section
                return
            if section.kind != KIND_CHUNK:
                self._refuse(section.offset, f"a section of unknown kind {section.kind}")
            self._chunks += 1
            self._raw_bytes += section.raw_length
            yield section

    def inflate(self, section: Section) -> bytes:
        """Return the state in a CHUNK; never more bytes than a chunk may have."""
        if section.raw_length > CHUNK_BYTES_MAX:
            self._refuse(section.offset, f"a chunk of {section.raw_length} bytes is too large")
        inflater = zlib.decompressobj()
        try:
            raw = inflater.decompress(section.stored, section.raw_length + 1)
        except zlib.error as error:
            self._refuse(section.offset, f"a chunk can't be decompressed ({error})")
        if len(raw) != section.raw_length or not inflater.eof:
            self._refuse(section.offset, "a chunk has another length than it says")
        return raw

    def _check_start(self) -> None:
        start = self._take(0, _START.size)
        magic, version = _START.unpack(start)
        if magic != _MAGIC:
            self._refuse(0, "it is no snapshot file")
        if version > FORMAT_VERSION:
            raise CorruptSnapshotError(
                self._name,
                0,
                f"format version {version} is later than {FORMAT_VERSION}, the last that this "
                "program knows",
                START_LATER,
            )
        self._digest.update(start)

    def _check_end(self, section: Section) -> None:
        expected = _END.pack(self._chunks, self._raw_bytes, self._digest.digest())
        if section.stored != expected:
            self._refuse(section.offset, "the digest of the whole file differs")

    def _decode_meta(self, section: Section) -> SnapshotMeta:
        try:
            meta = _meta_decoder.decode(section.stored)
        except (msgspec.MsgspecError, ValueError) as error:
            self._refuse(section.offset, f"the meta data can't be read ({error})")
        if meta.format > FORMAT_VERSION:
            self._refuse(section.offset, f"its contents are of the later format {meta.format}")
        return meta

    def _section(self, offset: int) -> Section:
        head = self._take(offset, _SECTION.size)
        kind, raw_length, stored_length, crc = _SECTION.unpack(head)
        if stored_length > META_BYTES_MAX:
            self._refuse(offset, "a section is damaged")
        body_at = offset + _SECTION.size
        stored = self._take(body_at, stored_length)
        if _checksum(kind, raw_length, stored) != crc:
            self._refuse(offset, "a section is damaged")
        if kind != KIND_END:
            self._digest.update(head)
            self._digest.update(stored)
        return Section(kind, raw_length, stored, offset, body_at + stored_length)

    def _take(self, offset: int, size: int) -> bytes:
        """Return exactly ``size`` bytes at ``offset``, which never goes back."""
        at = offset - self._start
        if at + size > len(self._buffer):
            self._buffer = self._read(offset, max(size, _READ_BYTES))
            self._start, at = offset, 0
            if len(self._buffer) < size:
                self._refuse(offset, "the file ends too early")
        return self._buffer[at : at + size]

    def _refuse(self, offset: int, problem: str) -> NoReturn:
        raise CorruptSnapshotError(self._name, offset, problem)


def _encode_section(kind: int, raw_length: int, stored: bytes) -> bytes:
    crc = _checksum(kind, raw_length, stored)
    return _SECTION.pack(kind, raw_length, len(stored), crc) + stored


def _checksum(kind: int, raw_length: int, stored: bytes) -> int:
    return zlib.crc32(stored, zlib.crc32(_COVERED.pack(kind, raw_length, len(stored))))
