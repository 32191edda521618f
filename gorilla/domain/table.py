"""The lock table: applies committed entries, one after another, the same on every node."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, assert_never

import msgspec

from gorilla.domain import acquiring, granting, holding, keeping, limits, snapshot_format, timers
from gorilla.domain.acquiring import NO_RETRY, Retry
from gorilla.domain.book import Book
from gorilla.domain.commands import (
    Acquire,
    AcquireAll,
    AskRelease,
    Batch,
    Claim,
    Command,
    DropPolicy,
    EndSession,
    Entry,
    Force,
    KeepSession,
    Leave,
    NoteMembers,
    Once,
    OpenSession,
    Plain,
    Release,
    ReleaseAll,
    Renew,
    RenewAll,
    SetPolicy,
    Stamp,
    TakeBack,
)
from gorilla.domain.events import Event, Left
from gorilla.domain.limits import Bounds
from gorilla.domain.looking import Looking
from gorilla.domain.origin_memory import FORGOTTEN, OriginMemory
from gorilla.domain.outcomes import Fresh, Outcome, Turn
from gorilla.domain.snapshot_format import FrozenTable, Marks
from gorilla.domain.versions import FEATURE_LEVEL, require_support

_CHAIN_BYTES: Final = 16
_START: Final = Marks(0, 0, 0, 0, 0, 0, bytes(_CHAIN_BYTES))
_EMPTY: Final = FrozenTable(marks=_START, names=[], records={}, fencing_tokens=[], origins=[])
_encoder: Final = msgspec.msgpack.Encoder()


class Applied(msgspec.Struct, frozen=True):
    """Everything that one entry caused."""

    outcomes: list[tuple[str, int, Outcome]]
    """(origin, number, outcome) in the order of the entry; numbers confirmed before are absent."""
    events: list[Event]
    turns: list[Turn] = []
    """What became of waits, for the nodes that they wait at; in order."""


class LockTable(Looking):
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
        self.wall_offset_ms = marks.wall_offset_ms
        self.chain = marks.chain
        self.cluster_version = marks.cluster_version
        self.bounds = bounds
        super().__init__(Book(frozen, bounds))
        self._origins = OriginMemory(bounds, frozen.origins)

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
        book = self._book
        names, records = book.records.copy_records()
        return FrozenTable(
            marks=Marks(
                book.term,
                book.now_ms,
                self.wall_offset_ms,
                book.fencing_counter,
                book.event_counter,
                book.hold_until_ms,
                self.chain,
                self.cluster_version,
                book.members_index,
                book.session_counter,
                book.members,
            ),
            names=names,
            records=records,
            fencing_tokens=book.records.copy_fencing_tokens(),
            origins=self._origins.copy_origins(),
            waiters=book.waiters.copy_waiters(),
            sessions=book.sessions.copy_sessions(),
            keys=book.keys.copy_records(),
            policies=list(book.policies),
            cooling=sorted(book.cooling.items()),
            events=list(book.recent_events),
        )

    def digest(self) -> str:
        """Return the SHA-256 of the whole state, in hex. Costs as much as a snapshot."""
        return self.freeze().digest()

    def next_expiry_ms(self) -> int | None:
        """Return the cluster time at which something happens for time alone, or None."""
        book = self._book
        due = [book.expiry.next_ms(), book.timers.next_ms()]
        if book.waiters:
            due += map(self._lost_ms, book.waiters.origins())
        return min((due_ms for due_ms in due if due_ms is not None), default=None)

    def unconfirmed(self, origin: str) -> int:
        """Return how many outcomes of ``origin`` are remembered (see OUTCOMES_PER_ORIGIN_MAX)."""
        return self._origins.unconfirmed(origin)

    # Applying

    def apply(self, entry: Entry) -> Applied:
        """Apply one committed entry and return everything it caused. Never refuses, never raises.

        Args:
            entry: Well-formed; its values may break any limit.

        """
        book = self._book
        self._advance(entry.stamp)
        self.cluster_version = max(self.cluster_version, entry.raises_to)
        outcomes: list[tuple[str, int, Outcome]] = []
        for batch in entry.batches:
            self._apply_batch(batch, outcomes)
        if book.waiters:
            self._drop_lost()
        events = book.take_events()
        # An entry that raises nothing is digested as releases before the cluster version did.
        raised = (self.cluster_version,) if entry.raises_to else ()
        caused = _encoder.encode((self.chain, book.term, book.now_ms, outcomes, events, *raised))
        self.chain = blake2b(caused, digest_size=_CHAIN_BYTES).digest()
        return Applied(outcomes, events, book.take_turns())

    def _advance(self, stamp: Stamp) -> None:
        """Let time pass: what is due ends before anything else happens."""
        book = self._book
        book.term = max(book.term, stamp.term)
        if stamp.now_ms > book.now_ms:
            book.now_ms = min(stamp.now_ms, limits.CLUSTER_MS_MAX)
        book.wall_ms = max(0, min(stamp.wall_ms, limits.WALL_MS_MAX))
        self.wall_offset_ms = book.wall_ms - book.now_ms
        while (lease := book.expiry.pop_due(book.now_ms)) is not None:
            book.forget(lease)
            book.record_end(lease, expired=True)
        while (key := book.timers.pop_due(book.now_ms)) is not None:
            self._on_due(*key)
        book.wake()
        self._origins.forget_idle(book.now_ms)

    def _on_due(self, kind: int, what: int | str) -> None:
        book = self._book
        if isinstance(what, str):
            assert kind == timers.COOLING
            del book.cooling[what]
            book.touch(what)
        elif kind == timers.SESSION:
            session = book.sessions.numbered(what)
            book.end_session(session, Left.SESSION_ENDED, expired=True)
        else:
            waiter = book.waiters.get(what)
            assert waiter is not None
            book.leave(waiter, Left.UNCLAIMED if waiter.claim_by_ms else Left.TIMEOUT)

    def _drop_lost(self) -> None:
        """Let the waiters of nodes go that were not heard of for too long: they may be dead."""
        book = self._book
        for origin in book.waiters.origins():
            if self._lost_ms(origin) <= book.now_ms:
                for waiter in book.waiters.of_origin(origin):
                    book.leave(waiter, Left.NODE_LOST)
        book.wake()

    def _lost_ms(self, origin: str) -> int:
        """Return the cluster time at which ``origin`` counts as lost if it isn't heard of."""
        used_ms = self._origins.used_ms(origin)
        return 0 if used_ms is None else used_ms + self.bounds.waiter_origin_idle_ms

    def _apply_batch(self, batch: Batch, outcomes: list[tuple[str, int, Outcome]]) -> None:
        """Apply each command that was not applied before; append everyone's outcome."""
        name, origin = batch.origin, self._origins.enter(batch, self._book.now_ms)
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
                outcome = remembered[number] = self._execute(command, name)
                self._book.wake()
            outcomes.append((name, number, outcome))

    def _execute(self, command: Command, origin: str) -> Outcome:
        if isinstance(command, Acquire):
            return acquiring.acquire(self._book, command, origin)
        if isinstance(command, Once):
            return keeping.once(
                self._book, command, lambda plain, retry: self._rule(plain, origin, retry)
            )
        return self._rule(command, origin, NO_RETRY)

    def _rule(  # noqa: C901, PLR0911, PLR0912  one case a command
        self, command: Plain, origin: str, retry: Retry
    ) -> Fresh:
        if isinstance(command, Acquire):
            return acquiring.acquire(self._book, command, origin, retry)
        if isinstance(command, AcquireAll):
            return acquiring.acquire_all(self._book, command, origin, retry)
        book = self._book
        match command:
            case Release():
                return holding.release(book, command)
            case Renew():
                return holding.renew(book, command)
            case Claim():
                return granting.claim(book, command)
            case Leave():
                return granting.leave(book, command)
            case KeepSession():
                return keeping.keep_session(book, command)
            case OpenSession():
                return keeping.open_session(book, command)
            case EndSession():
                return keeping.end_session(book, command)
            case ReleaseAll():
                return holding.release_all(book, command)
            case RenewAll():
                return holding.renew_all(book, command)
            case Force():
                return holding.force(book, command)
            case AskRelease():
                return holding.ask_release(book, command)
            case SetPolicy():
                return keeping.set_policy(book, command)
            case DropPolicy():
                return keeping.drop_policy(book, command)
            case NoteMembers():
                return keeping.note_members(book, command)
            case TakeBack():
                return holding.take_back(book, command)
            case _:
                assert_never(command)
