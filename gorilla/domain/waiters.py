"""Who queues for what: strictly first come, first served on every lock.

A wait for several locks stands in each of their queues under one ticket, and all queues are in
order of tickets. So the oldest wait is first in every queue that it stands in, and waits for
several locks never block each other for good.
"""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec

from gorilla.domain.commands import SHARED
from gorilla.domain.outcomes import Lease

K = TypeVar("K")
V = TypeVar("V")

EXCLUSIVE: Final = 1
"""Slots of a lock that one may hold at a time."""

Party = tuple[str, int]
"""Who holds and waits: an owner, and its session (0: none). Two sessions of one owner are two."""


class Waiter(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A request that waits. Replaced, never changed."""

    ticket: int
    """Its place: whoever has a smaller one comes first."""
    origin: str
    """The node process that its caller waits at."""
    locks: tuple[str, ...]
    holder: str
    session: int
    """Number of its session; 0: none."""
    secret: str
    slots: int
    ttl_ms: int
    metadata: bytes
    reason: str
    is_group: bool
    """Whether it was asked for as several at once (which may be of one lock)."""
    since_ms: int
    since_wall_ms: int
    until_ms: int
    """Cluster time at which it gives up."""
    claim_by_ms: int = 0
    """When its turn has come: until when it must be claimed. 0: it is not its turn."""
    key: str = ""
    """The idempotency key of the request; empty: none."""
    fingerprint: bytes = b""

    @property
    def party(self) -> Party:
        """Who waits."""
        return (self.holder, self.session)

    @property
    def due_ms(self) -> int:
        """When something has to happen to it for time alone."""
        return self.claim_by_ms or self.until_ms


_NO_QUEUE: Final[Mapping[int, Waiter]] = MappingProxyType({})


class Waiters:
    """All waiters by ticket, and what finds them by lock, by party and by origin."""

    def __init__(self, waiters: Iterable[Waiter] = ()) -> None:
        """Take waiters in order of their tickets."""
        self._waiters: dict[int, Waiter] = {}
        self._queues: dict[str, dict[int, Waiter]] = {}
        self._of_party: dict[Party, dict[int, None]] = {}
        self._of_origin: dict[str, dict[int, None]] = {}
        for waiter in waiters:
            self.add(waiter)

    def __len__(self) -> int:
        """Return how many waits there are."""
        return len(self._waiters)

    def get(self, ticket: int) -> Waiter | None:
        """Return the waiter of ``ticket``, or None."""
        return self._waiters.get(ticket)

    def queue(self, lock: str) -> Mapping[int, Waiter]:
        """Return the waiters of ``lock`` by ticket, the first one first."""
        return self._queues.get(lock, _NO_QUEUE)

    def queued_locks(self, prefix: str = "") -> list[str]:
        """Return the locks that somebody queues for and that start with ``prefix``, in order."""
        return sorted(lock for lock in self._queues if lock.startswith(prefix))

    def of_party(self, party: Party) -> list[Waiter]:
        """Return what ``party`` waits for, in order of tickets."""
        return [self._waiters[ticket] for ticket in sorted(self._of_party.get(party, ()))]

    def of_origin(self, origin: str) -> list[Waiter]:
        """Return the waiters of a node process, in order of tickets."""
        return [self._waiters[ticket] for ticket in sorted(self._of_origin.get(origin, ()))]

    def origins(self) -> list[str]:
        """Return the node processes that somebody waits at, in order of their names.

        The order of the index is that of arrival, which a reloaded state does not know.
        """
        return sorted(self._of_origin)

    def add(self, waiter: Waiter) -> None:
        """Let ``waiter`` queue, last."""
        ticket = waiter.ticket
        self._waiters[ticket] = waiter
        for lock in waiter.locks:
            self._queues.setdefault(lock, {})[ticket] = waiter
        self._of_party.setdefault(waiter.party, {})[ticket] = None
        self._of_origin.setdefault(waiter.origin, {})[ticket] = None

    def replace(self, waiter: Waiter) -> None:
        """Let ``waiter`` stand where the one of its ticket stood: of the same party and locks."""
        ticket = waiter.ticket
        old = self._waiters[ticket]
        self._waiters[ticket] = waiter
        for lock in waiter.locks:
            self._queues[lock][ticket] = waiter
        if waiter.origin != old.origin:
            _take_out(self._of_origin, old.origin, ticket)
            self._of_origin.setdefault(waiter.origin, {})[ticket] = None

    def remove(self, waiter: Waiter) -> None:
        """Let ``waiter`` leave all of its queues."""
        ticket = waiter.ticket
        del self._waiters[ticket]
        for lock in waiter.locks:
            _take_out(self._queues, lock, ticket)
        _take_out(self._of_party, waiter.party, ticket)
        _take_out(self._of_origin, waiter.origin, ticket)

    def is_ahead(self, waiter: Waiter) -> bool:
        """Return whether anybody stands behind ``waiter`` in any of its queues."""
        return any(next(reversed(self._queues[lock])) != waiter.ticket for lock in waiter.locks)

    def position(self, lock: str, ticket: int) -> int:
        """Return the place of ``ticket`` in the queue of ``lock``, from 1."""
        return 1 + sum(1 for each in self.queue(lock) if each < ticket)

    def copy_waiters(self) -> list[Waiter]:
        """Return the waiters as they are now, in order of their tickets."""
        return list(self._waiters.values())


def _take_out(index: dict[K, dict[int, V]], key: K, ticket: int) -> None:
    """Take ``ticket`` out of an index, which keeps no empty entries."""
    entry = index[key]
    del entry[ticket]
    if not entry:
        del index[key]


def is_blocked(slots: int, before: int, most: int, *, before_alone: bool) -> bool:
    """Return whether a request may not have a lock beside those who come before it.

    Args:
        slots: What it asks for.
        before: How many hold the lock or come first.
        most: How many may hold the lock at once, whatever they ask for.
        before_alone: Whether one of them has it, or wants it, for itself.

    """
    if slots == SHARED:
        return before_alone or before >= most
    return before >= min(slots, most)


def first_in_line(
    holders: tuple[Lease, ...], queue: Mapping[int, Waiter], most: int
) -> Iterator[Waiter]:
    """Yield the waiters of a lock that neither a holder nor an earlier waiter keeps from it."""
    before = len(holders)
    alone = bool(holders) and holders[0].slots == EXCLUSIVE
    for waiter in queue.values():
        if not is_blocked(waiter.slots, before, most, before_alone=alone):
            yield waiter
        before += 1
        alone = alone or waiter.slots == EXCLUSIVE
        # Nobody behind: not beside one that wants it alone, nor with every slot taken.
        if alone or before >= (min(waiter.slots, most) if waiter.slots != SHARED else most):
            return
