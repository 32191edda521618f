"""Builders for the lock table's tests: they hide what a test is not about."""

from collections.abc import Sequence

from gorilla.domain import codec
from gorilla.domain.commands import (
    ENTRY_VERSION,
    Acquire,
    Batch,
    Command,
    Entry,
    Release,
    Renew,
    Stamp,
)
from gorilla.domain.outcomes import Granted, Lease, Outcome
from gorilla.domain.table import Applied, LockTable

WALL_MS = 1_700_000_000_000
"""Wall time at cluster time 0 in these tests."""


def acquire(
    lock: str = "db",
    holder: str = "ann",
    ttl_ms: int = 10_000,
    secret: str = "s1",
    metadata: bytes = b"[]",
) -> Acquire:
    return Acquire(lock, holder, ttl_ms, secret, metadata)


def release(lock: str = "db", secret: str = "s1") -> Release:
    return Release(lock, secret)


def renew(
    lock: str = "db",
    secret: str = "s1",
    new_secret: str = "s2",
    ttl_ms: int = 10_000,
    holder: str | None = None,
) -> Renew:
    return Renew(lock, secret, new_secret, ttl_ms, holder)


def stamp(now_ms: int, term: int = 1) -> Stamp:
    return Stamp(term, now_ms, WALL_MS + now_ms)


def entry(now_ms: int, *batches: Batch, term: int = 1) -> Entry:
    return Entry(ENTRY_VERSION, stamp(now_ms, term), batches)


def batch(
    *commands: tuple[int, Command], origin: str = "n1", confirmed: int = 0, opens: bool = True
) -> Batch:
    return Batch(origin, confirmed, opens, commands)


class Caller:
    """A node process that asks, one command per entry, and confirms what it has been told."""

    def __init__(self, table: LockTable, origin: str = "caller") -> None:
        self.table = table
        self.origin = origin
        self.asked = 0

    def at(self, now_ms: int, *commands: Command) -> Applied:
        """Apply one entry at ``now_ms`` that carries ``commands``."""
        confirmed = self.asked
        numbered = tuple(enumerate(commands, start=confirmed + 1))
        self.asked += len(commands)
        return self.table.apply(entry(now_ms, Batch(self.origin, confirmed, True, numbered)))

    def ask(self, now_ms: int, command: Command) -> Outcome:
        """Return what ``command`` gave."""
        ((origin, number, outcome),) = self.at(now_ms, command).outcomes
        assert (origin, number) == (self.origin, self.asked)
        return outcome

    def granted(self, now_ms: int, command: Command) -> Lease:
        """Return the lease that ``command`` gave."""
        outcome = self.ask(now_ms, command)
        assert isinstance(outcome, Granted), outcome
        return outcome.lease


def pulse(table: LockTable, now_ms: int) -> Applied:
    """Let time pass."""
    return table.apply(entry(now_ms))


def outcomes(applied: Applied) -> Sequence[Outcome]:
    return [outcome for _, _, outcome in applied.outcomes]


def reloaded(table: LockTable) -> LockTable:
    """Return the table as another node would have it from a snapshot."""
    return LockTable.load(table.freeze().chunks(), table.bounds)


def over_the_wire(of: Entry) -> Entry:
    """Return the entry as it comes back out of the log."""
    return codec.decode_entry(
        codec.join_entry(of.stamp, [codec.encode_batch(each) for each in of.batches])
    )
