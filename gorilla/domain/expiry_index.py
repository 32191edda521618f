"""Which lease ends next, among a million, in about constant time per command.

A calendar queue: leases lie in buckets by deadline, and only a bucket that has come first is
ever put in order. Nothing here is state of its own: it is rebuilt from the leases.
"""

from heapq import heapify, heappop, heappush
from typing import Final

from gorilla.domain.outcomes import Lease

_BUCKET_BITS: Final = 10
"""A bucket covers 2**10 ms: some thousand leases at full load, a few ms to put in order."""

_SLACK: Final = 64
"""Stale entries of a heap that are never worth a rebuild."""


class _Bucket:
    """The leases of one span of time, by fencing token, and once asked for also in order."""

    __slots__ = ("heap", "leases")

    def __init__(self) -> None:
        self.leases: dict[int, Lease] = {}
        self.heap: list[tuple[int, int]] | None = None
        """(deadline, fencing token); stale ones are dropped when they surface. None: not asked."""

    def add(self, lease: Lease) -> None:
        self.leases[lease.fencing_token] = lease
        if self.heap is None:
            return
        heappush(self.heap, (lease.expires_at_ms, lease.fencing_token))
        if len(self.heap) > 2 * len(self.leases) + _SLACK:
            self.heap = None

    def first(self) -> Lease:
        """Return the lease that ends first; of equal deadlines, the one granted first."""
        if self.heap is None:
            self.heap = [(lease.expires_at_ms, token) for token, lease in self.leases.items()]
            heapify(self.heap)
        while True:
            expires_at_ms, token = self.heap[0]
            lease = self.leases.get(token)
            if lease is not None and lease.expires_at_ms == expires_at_ms:
                return lease
            heappop(self.heap)


class ExpiryIndex:
    """Every live lease, ordered by (deadline, fencing token)."""

    def __init__(self) -> None:
        self._buckets: dict[int, _Bucket] = {}
        self._order: list[int] = []
        """Heap of bucket numbers; those of buckets that are gone are dropped when they surface."""

    def add(self, lease: Lease) -> None:
        """Take in a lease that is not in the index."""
        number = lease.expires_at_ms >> _BUCKET_BITS
        bucket = self._buckets.get(number)
        if bucket is None:
            bucket = self._buckets[number] = _Bucket()
            heappush(self._order, number)
            if len(self._order) > 2 * len(self._buckets) + _SLACK:
                self._order = sorted(self._buckets)
        bucket.add(lease)

    def remove(self, lease: Lease) -> None:
        """Take out a lease, exactly as it was added."""
        number = lease.expires_at_ms >> _BUCKET_BITS
        bucket = self._buckets[number]
        del bucket.leases[lease.fencing_token]
        if not bucket.leases:
            del self._buckets[number]

    def next_ms(self) -> int | None:
        """Return the earliest deadline (cluster time), or None when there is no lease."""
        first = self._first()
        return None if first is None else first.expires_at_ms

    def pop_due(self, now_ms: int) -> Lease | None:
        """Take out and return the first lease whose deadline has come, or None."""
        if not self._order or self._order[0] << _BUCKET_BITS > now_ms:
            return None
        first = self._first()
        if first is None or first.expires_at_ms > now_ms:
            return None
        self.remove(first)
        return first

    def _first(self) -> Lease | None:
        while self._order:
            bucket = self._buckets.get(self._order[0])
            if bucket is not None:
                return bucket.first()
            heappop(self._order)
        return None
