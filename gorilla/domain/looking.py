"""What can be read of the lock table, between two entries."""

from collections.abc import Iterable, Sequence
from itertools import islice

from gorilla.domain import holding
from gorilla.domain.book import Book
from gorilla.domain.commands import Policy
from gorilla.domain.deadlocks import WaitGraph
from gorilla.domain.events import Event
from gorilla.domain.outcomes import Lease, Session
from gorilla.domain.waiters import Waiter, Waiters


class Looking:
    """The reading half of :class:`~gorilla.domain.table.LockTable`."""

    wall_offset_ms: int
    """Wall time less cluster time, as last stamped; for display only."""

    def __init__(self, book: Book) -> None:
        """Read from ``book``."""
        self._book = book

    @property
    def term(self) -> int:
        """The largest term that stamped an entry."""
        return self._book.term

    @property
    def now_ms(self) -> int:
        """Cluster time of the last entry."""
        return self._book.now_ms

    @property
    def fencing_counter(self) -> int:
        """The largest fencing token ever given."""
        return self._book.fencing_counter

    @property
    def event_counter(self) -> int:
        """The number of the last event."""
        return self._book.event_counter

    @property
    def hold_until_ms(self) -> int:
        """Before this cluster time no new grant is made (after a restore)."""
        return self._book.hold_until_ms

    @property
    def held(self) -> int:
        """How many leases there are."""
        return self._book.records.held

    @property
    def waiters(self) -> Waiters:
        """Who queues for what; for reading only."""
        return self._book.waiters

    @property
    def graph(self) -> WaitGraph:
        """Who holds and who waits, for searches."""
        return self._book.graph

    @property
    def session_count(self) -> int:
        """How many sessions live."""
        return len(self._book.sessions)

    @property
    def key_count(self) -> int:
        """How many idempotency keys are remembered."""
        return len(self._book.keys)

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the members as they were recorded last, in order."""
        return self._book.members

    @property
    def recent_events(self) -> Sequence[Event]:
        """The latest events, the oldest first; at most ``Bounds.events``."""
        return self._book.recent_events

    @property
    def policies(self) -> list[Policy]:
        """The policies in order of their prefixes."""
        return list(self._book.policies)

    def policy_of(self, lock: str) -> Policy:
        """Return the policy that rules ``lock``: one of the empty prefix and no rule, if none."""
        return self._book.policies.of(lock)

    def lease(self, lock: str) -> Lease | None:
        """Return the lease of ``lock`` that was granted first, or None when it is free."""
        holders = self._book.records.holders(lock)
        return holders[0] if holders else None

    def holders(self, lock: str) -> tuple[Lease, ...]:
        """Return the leases of ``lock`` in order of their grants."""
        return self._book.records.holders(lock)

    def most_holders(self, lock: str) -> int:
        """Return how many may hold ``lock`` at once, whatever they ask for."""
        return self._book.most(lock)

    def ends_ms(self, lease: Lease) -> int:
        """Return the cluster time at which a live lease is gone: by itself or with its session."""
        return self._book.ends_ms(lease)

    def cooling_until_ms(self, lock: str) -> int:
        """Return the cluster time before which ``lock`` is not granted again; 0: none."""
        return self._book.cooling.get(lock, 0)

    def find(self, lock: str, secret: str) -> Lease | None:
        """Return the lease of ``lock`` that ``secret`` proves, or None."""
        return holding.find(self._book, lock, secret)

    def group(self, secret: str) -> list[Lease]:
        """Return the leases that ``secret`` proves together, in order of their tokens."""
        return self._book.grouped(secret)

    def session(self, session_id: str) -> Session | None:
        """Return the session that ``session_id`` proves, or None."""
        return self._book.sessions.get(session_id)

    def session_leases(self, session: Session) -> list[Lease]:
        """Return what lives in a session, in order of the grants."""
        found = []
        for token, lock in self._book.sessions.leases(session.number):
            found += [lease for lease in self.holders(lock) if lease.fencing_token == token]
        return found

    def wait(self, ticket: int, secret: str) -> Waiter | None:
        """Return the waiter that ``ticket`` and ``secret`` stand for, or None."""
        waiter = self._book.waiters.get(ticket)
        return None if waiter is None or waiter.secret != secret else waiter

    def has_turn(self, waiter: Waiter) -> bool:
        """Return whether a claim of ``waiter`` would be granted: no policy came between."""
        return bool(waiter.claim_by_ms) and self._book.is_next(waiter)

    def leases(self, prefix: str = "", after: str = "", limit: int = 100) -> list[Lease]:
        """Return up to ``limit`` leases in order of lock names.

        Args:
            prefix: What the lock's name starts with.
            after: Only locks whose name comes after this one (the last of the page before).
            limit: At most so many, and the rest of the leases of the last one's lock.

        """
        return _whole_locks(self._book.records.leases(prefix, after), max(0, limit))

    def largest_fencing_token(self, lock: str) -> int | None:
        """Return the largest number ever granted for ``lock``; None when it isn't remembered."""
        return self._book.records.largest_fencing_token(lock)


def _whole_locks(leases: Iterable[Lease], limit: int) -> list[Lease]:
    """Return at least ``limit`` leases, if there are, cut between two locks."""
    remaining = iter(leases)
    page = list(islice(remaining, limit))
    for lease in remaining:
        if not page or lease.lock != page[-1].lock:
            break
        page.append(lease)
    return page
