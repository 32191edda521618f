"""The journal: segments of checksummed frames, one fdatasync per turn, refusal over guessing."""

from gorilla.consensus.journal.errors import (
    CorruptJournalError,
    JournalError,
    JournalFailedError,
    JournalInvariantError,
)
from gorilla.consensus.journal.journal import Journal
from gorilla.consensus.journal.records import Entry
from gorilla.consensus.journal.recovery import RecoveryReport

__all__ = [
    "CorruptJournalError",
    "Entry",
    "Journal",
    "JournalError",
    "JournalFailedError",
    "JournalInvariantError",
    "RecoveryReport",
]
