"""The lock table: applies committed entries, one after another, the same on every node."""

from collections.abc import Iterable
from hashlib import blake2b
from itertools import islice
from typing import Final, assert_never

import msgspec

from gorilla.domain import limits, snapshot_format
from gorilla.domain.commands import Acquire, Batch, Command, Entry, Release, Renew, Stamp
from gorilla.domain.events import Acquired, Event, Expired, Extended, ReleasedEvent
from gorilla.domain.expiry_index import ExpiryIndex
from gorilla.domain.lease_clock import deadline_ms, remaining_ms
from gorilla.domain.limits import Bounds
from gorilla.domain.lock_records import LockRecord, LockRecords
from gorilla.domain.origin_memory import FORGOTTEN, OriginMemory
from gorilla.domain.outcomes import (
    Full,
    Granted,
    Held,
    Lease,
    NotFound,
    NotHolder,
    Outcome,
    Recovering,
    Released,
    Renewed,
    TtlTooShort,
)
from gorilla.domain.snapshot_format import FrozenTable, Marks
from gorilla.domain.versions import FEATURE_LEVEL, require_support

_CHAIN_BYTES: Final = 16
_START: Final = Marks(0, 0, 0, 0, 0, 0, bytes(_CHAIN_BYTES))
_EMPTY: Final = FrozenTable(marks=_START, names=[], records={}, fencing_tokens=[], origins=[])
_NOT_FOUND: Final = NotFound()
_encoder: Final = msgspec.msgpack.Encoder()


class Applied(msgspec.Struct, frozen=True):
    """Everything that one entry caused."""

    outcomes: list[tuple[str, int, Outcome]]
    """(origin, number, outcome) in the order of the entry; numbers confirmed before are absent."""
    events: list[Event]


class LockTable:
    """The replicated state. Only :meth:`apply` changes it; it depends on nothing else.

    Time is what the leaders stamp: it never goes back, and a lease whose deadline it has reached
    is gone before any command of that entry is looked at.

    Attributes:
        now_ms: Cluster time of the last entry.
        term: The largest term that stamped an entry.
        wall_offset_ms: Wall time less cluster time, as last stamped; for display only.
        fencing_counter: The largest fencing token ever given.
        event_counter: The number of the last event.
        hold_until_ms: Before this cluster time no new grant is made (after a restore).
        chain: 16 bytes over everything that every entry caused: a cheap check among nodes that
            have applied the same entries.
        cluster_version: The feature level in use (see ``versions``); it only grows.
        bounds: What limits it; other than the default in tests only.

    """

    def __init__(self, frozen: FrozenTable = _EMPTY, bounds: Bounds = limits.BOUNDS) -> None:
        """Continue from ``frozen``, by default from nothing.

        Args:
            frozen: Its origins become part of this table, so it is not used again.
            bounds: The same on every node; other than the default in tests only.

        """
        marks = frozen.marks
        self.term = marks.term
        self.now_ms = marks.now_ms
        self.wall_offset_ms = marks.wall_offset_ms
        self.fencing_counter = marks.fencing_counter
        self.event_counter = marks.event_counter
        self.hold_until_ms = marks.hold_until_ms
        self.chain = marks.chain
        self.cluster_version = marks.cluster_version
        self.bounds = bounds
        self._wall_ms = 0
        self._events: list[Event] = []
        in_order = [frozen.records[name] for name in frozen.names]
        self._records = LockRecords(bounds, in_order, frozen.fencing_tokens)
        self._origins = OriginMemory(bounds, frozen.origins)
        self._expiry = ExpiryIndex()
        for record in in_order:
            for lease in record.holders:
                self._expiry.add(lease)

    @classmethod
    def load(
        cls,
        chunks: Iterable[bytes],
        bounds: Bounds = limits.BOUNDS,
        supported: int = FEATURE_LEVEL,
    ) -> "LockTable":
        """Return the table that :meth:`FrozenTable.chunks` wrote.

        Raises:
            UnknownVersionError: A later version wrote it.
            ClusterVersionError: It uses features that this software doesn't have.
            MalformedSnapshotError: It is cut, damaged, or something else.

        """
        frozen = snapshot_format.read(chunks)
        require_support(frozen.marks.cluster_version, supported)
        return cls(frozen, bounds)

    def freeze(self) -> FrozenTable:
        """Copy the state by reference; what is frozen does not change when the table moves on."""
        names, records = self._records.copy_records()
        return FrozenTable(
            marks=Marks(
                self.term,
                self.now_ms,
                self.wall_offset_ms,
                self.fencing_counter,
                self.event_counter,
                self.hold_until_ms,
                self.chain,
                self.cluster_version,
            ),
            names=names,
            records=records,
            fencing_tokens=self._records.copy_fencing_tokens(),
            origins=self._origins.copy_origins(),
        )

    def digest(self) -> str:
        """Return the SHA-256 of the whole state, in hex. Costs as much as a snapshot."""
        return self.freeze().digest()

    @property
    def held(self) -> int:
        """How many leases there are."""
        return self._records.held

    def next_expiry_ms(self) -> int | None:
        """Return the cluster time at which the next lease ends, or None when there is none."""
        return self._expiry.next_ms()

    def lease(self, lock: str) -> Lease | None:
        """Return the lease of ``lock``, or None when it is free."""
        record = self._records.get(lock)
        return None if record is None else record.holders[0]

    def find(self, lock: str, secret: str) -> Lease | None:
        """Return the lease of ``lock`` that ``secret`` proves, or None."""
        record = self._records.get(lock)
        return None if record is None else record.lease_with(secret)

    def leases(self, prefix: str = "", after: str = "", limit: int = 100) -> list[Lease]:
        """Return up to ``limit`` leases in order of lock names.

        Args:
            prefix: What the lock's name starts with.
            after: Only locks whose name comes after this one (the last of the page before).
            limit: At most so many.

        """
        return list(islice(self._records.leases(prefix, after), max(0, limit)))

    def largest_fencing_token(self, lock: str) -> int | None:
        """Return the largest number ever granted for ``lock``; None when it isn't remembered."""
        return self._records.largest_fencing_token(lock)

    def unconfirmed(self, origin: str) -> int:
        """Return how many outcomes of ``origin`` are remembered (see OUTCOMES_PER_ORIGIN_MAX)."""
        return self._origins.unconfirmed(origin)

    def apply(self, entry: Entry) -> Applied:
        """Apply one committed entry and return everything it caused. Never refuses, never raises.

        Args:
            entry: Well-formed; its values may break any limit.

        """
        self._advance(entry.stamp)
        self.cluster_version = max(self.cluster_version, entry.raises_to)
        outcomes: list[tuple[str, int, Outcome]] = []
        for batch in entry.batches:
            self._apply_batch(batch, outcomes)
        events, self._events = self._events, []
        # An entry that raises nothing is digested as releases before the cluster version did.
        raised = (self.cluster_version,) if entry.raises_to else ()
        caused = _encoder.encode((self.chain, self.term, self.now_ms, outcomes, events, *raised))
        self.chain = blake2b(caused, digest_size=_CHAIN_BYTES).digest()
        return Applied(outcomes, events)

    def _advance(self, stamp: Stamp) -> None:
        """Let time pass: what is due ends before anything else happens."""
        self.term = max(self.term, stamp.term)
        if stamp.now_ms > self.now_ms:
            self.now_ms = min(stamp.now_ms, limits.CLUSTER_MS_MAX)
        self._wall_ms = _clamped(stamp.wall_ms, 0, limits.WALL_MS_MAX)
        self.wall_offset_ms = self._wall_ms - self.now_ms
        while (lease := self._expiry.pop_due(self.now_ms)) is not None:
            self._records.end(lease)
            self._events.append(Expired(*self._event(lease)))
        self._origins.forget_idle(self.now_ms)

    def _apply_batch(self, batch: Batch, outcomes: list[tuple[str, int, Outcome]]) -> None:
        """Apply each command that was not applied before; append everyone's outcome."""
        name, origin = batch.origin, self._origins.enter(batch, self.now_ms)
        if origin is None:
            outcomes.extend((name, number, FORGOTTEN) for number, _ in batch.commands)
            return
        remembered, confirmed = origin.outcomes, origin.confirmed
        for number, command in batch.commands:
            if number <= confirmed:
                continue
            outcome = remembered.get(number)
            if outcome is None:
                if len(remembered) >= self.bounds.outcomes_per_origin:
                    outcomes.append((name, number, FORGOTTEN))
                    continue
                outcome = remembered[number] = self._execute(command)
            outcomes.append((name, number, outcome))

    def _execute(self, command: Command) -> Outcome:
        match command:
            case Acquire():
                return self._acquire(command)
            case Release():
                return self._release(command)
            case Renew():
                return self._renew(command)
            case _:
                assert_never(command)

    def _acquire(self, command: Acquire) -> Outcome:
        record = self._records.get(command.lock)
        if record is None:
            return self._refusal() or self._grant(command)
        own = record.lease_of(command.holder)
        return self._held(record) if own is None else self._acquire_again(own, command.ttl_ms)

    def _refusal(self) -> Outcome | None:
        """Return why no new grant can be made at all, or None."""
        if self.now_ms < self.hold_until_ms:
            return Recovering(self.hold_until_ms - self.now_ms)
        if self._records.is_full():
            return Full("locks_max")
        if self.fencing_counter >= self.bounds.fencing_token:
            return Full("fencing_token_max")
        return None

    def _grant(self, command: Acquire) -> Outcome:
        self.fencing_counter += 1
        ttl_ms, wall_ms = _clamped_ttl(command.ttl_ms), self._wall_ms
        lease = Lease(
            command.lock,
            command.holder,
            command.secret,
            self.fencing_counter,
            ttl_ms,
            deadline_ms(self.now_ms, ttl_ms),
            command.metadata,
            wall_ms,
            wall_ms,
            wall_ms + ttl_ms,
        )
        self._records.grant(lease)
        self._expiry.add(lease)
        self._events.append(Acquired(*self._event(lease), ttl_ms))
        return Granted(lease, ttl_ms, is_new=True)

    def _held(self, record: LockRecord) -> Outcome:
        lease = record.holders[0]
        remaining = remaining_ms(self.now_ms, lease.expires_at_ms)
        return Held(lease.holder, lease.fencing_token, lease.expires_wall_ms, remaining)

    def _acquire_again(self, own: Lease, ttl_ms: int) -> Outcome:
        """Give the holder its own lease once more: an owner whose answer was lost asks again."""
        ttl_ms = _clamped_ttl(ttl_ms)
        if deadline_ms(self.now_ms, ttl_ms) > own.expires_at_ms:
            own = self._extend(own, own.secret, ttl_ms, restored=own.restored)
        return Granted(own, remaining_ms(self.now_ms, own.expires_at_ms), is_new=False)

    def _release(self, command: Release) -> Outcome:
        lease = self.find(command.lock, command.secret)
        if lease is None:
            return _NOT_FOUND
        self._expiry.remove(lease)
        self._records.end(lease)
        self._events.append(ReleasedEvent(*self._event(lease)))
        return Released(lease.fencing_token)

    def _renew(self, command: Renew) -> Outcome:
        lease = self.find(command.lock, command.secret)
        if lease is None:
            return _NOT_FOUND
        if command.holder is not None and command.holder != lease.holder:
            return NotHolder(lease.holder)
        ttl_ms = _clamped_ttl(command.ttl_ms)
        remaining = remaining_ms(self.now_ms, lease.expires_at_ms)
        if ttl_ms < remaining:
            return TtlTooShort(remaining)
        lease = self._extend(lease, command.new_secret, ttl_ms, restored=False)
        return Renewed(lease, remaining_ms(self.now_ms, lease.expires_at_ms))

    def _extend(self, old: Lease, secret: str, ttl_ms: int, *, restored: bool) -> Lease:
        """Replace ``old`` by a lease that runs for ``ttl_ms`` from now, and never ends earlier."""
        lease = Lease(
            old.lock,
            old.holder,
            secret,
            old.fencing_token,
            ttl_ms,
            # Of equal remaining times the new deadline may be a rounding earlier.
            max(old.expires_at_ms, deadline_ms(self.now_ms, ttl_ms)),
            old.metadata,
            old.created_wall_ms,
            self._wall_ms,
            self._wall_ms + ttl_ms,
            restored,
        )
        self._expiry.remove(old)
        self._expiry.add(lease)
        self._records.replace(lease)
        self._events.append(Extended(*self._event(lease), ttl_ms))
        return lease

    def _event(self, lease: Lease) -> tuple[int, int, int, str, str, int]:
        """Number an event, and return the fields that all events share."""
        self.event_counter += 1
        return (
            self.event_counter,
            self.now_ms,
            self._wall_ms,
            lease.lock,
            lease.holder,
            lease.fencing_token,
        )


def _clamped_ttl(ttl_ms: int) -> int:
    """Bring a ttl into its limits; whoever composed the entry has refused any other."""
    return _clamped(ttl_ms, 1, limits.TTL_MS_MAX)


def _clamped(value: int, smallest: int, largest: int) -> int:
    return max(smallest, min(value, largest))
