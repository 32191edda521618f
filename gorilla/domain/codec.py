"""The bytes of the log: batches travel from node to leader, entries stand in the log.

Both are msgpack arrays. A batch has no version of its own: the cluster's version says which
commands may be proposed, and an entry says which version wrote it.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from gorilla.domain import limits
from gorilla.domain.commands import ENTRY_VERSION, Batch, Entry, Stamp
from gorilla.domain.validation import fault_of, text_fault

_FAULTS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class FormatError(ValueError):
    """Bytes that this version of the domain can't read."""


class MalformedEntryError(FormatError):
    """The bytes are no entry (or no batch): damaged, cut, or not ours."""


class UnknownVersionError(FormatError):
    """The bytes were written by a later version: this node has to be upgraded first."""

    def __init__(self, what: str, version: int, known: int) -> None:
        """Record what was read, the version it has, and the latest one known here."""
        super().__init__(
            f"{what} of format version {version}; this node knows version {known}: a later release"
            " of Gorilla wrote it, start one that knows it (docs/operations/upgrading.md)"
        )
        self.version = version


class _Version(msgspec.Struct, frozen=True, array_like=True):
    """The first field of an entry of any version."""

    version: int


_encoder: Final = msgspec.msgpack.Encoder()
_batch_decoder: Final = msgspec.msgpack.Decoder(Batch)
_entry_decoder: Final = msgspec.msgpack.Decoder(Entry)
_version_decoder: Final = msgspec.msgpack.Decoder(_Version)


def encode_batch(batch: Batch) -> bytes:
    """Return the bytes of ``batch``."""
    return _encoder.encode(batch)


def decode_batch(data: bytes) -> Batch:
    """Return the batch that ``data`` holds, in full.

    Raises:
        MalformedEntryError: The bytes hold anything else.

    """
    try:
        return _batch_decoder.decode(data)
    except _FAULTS as error:
        raise MalformedEntryError(f"not a batch: {error}") from error


def join_entry(stamp: Stamp, batches: Sequence[bytes], raises_to: int = 0) -> bytes:
    """Return the bytes of an entry that carries encoded batches as they are.

    Args:
        stamp: The leader's word on time.
        batches: Each has passed :func:`decode_batch`; anything else would make an entry that
            no node can read.
        raises_to: The cluster version from this entry on; 0 leaves it as it is, and leaves the
            field out, so that such entries are the same bytes as ever.

    """
    fields = (ENTRY_VERSION, stamp, [msgspec.Raw(batch) for batch in batches])
    return _encoder.encode((*fields, raises_to) if raises_to else fields)


def decode_entry(data: bytes) -> Entry:
    """Return the entry that ``data`` holds, in full.

    Raises:
        UnknownVersionError: Another version wrote it.
        MalformedEntryError: The bytes hold no entry.

    """
    try:
        entry = _entry_decoder.decode(data)
    except _FAULTS as error:
        _refuse_version(data)
        raise MalformedEntryError(f"not an entry: {error}") from error
    if entry.version != ENTRY_VERSION:
        raise UnknownVersionError("log entry", entry.version, ENTRY_VERSION)
    return entry


def _refuse_version(data: bytes) -> None:
    """Tell an entry of another version, whose shape may differ, from one that is damaged."""
    try:
        version = _version_decoder.decode(data).version
    except _FAULTS:
        return
    if version != ENTRY_VERSION:
        raise UnknownVersionError("log entry", version, ENTRY_VERSION)


def validate_batch(batch: Batch) -> str | None:
    """Return which limit ``batch`` breaks, as a sentence, or None when it may be proposed."""
    fault = text_fault("origin", batch.origin, limits.ORIGIN_CHARS_MAX)
    if fault is not None:
        return fault
    if batch.confirmed < 0:
        return "confirmed must not be negative"
    if len(batch.commands) > limits.COMMANDS_PER_BATCH_MAX:
        return f"a batch must have at most {limits.COMMANDS_PER_BATCH_MAX} commands"
    for number, command in batch.commands:
        fault = "numbers start at 1" if number < 1 else fault_of(command)
        if fault is not None:
            return f"command {number}: {fault}"
    return None
