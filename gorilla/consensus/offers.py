"""Batches on their way into the log: what the leader took and has not written yet."""

from collections import deque
from typing import Final

import msgspec

QUEUE_BYTES_MAX: Final = 32 * 1024 * 1024
ENTRY_BATCH_BYTES: Final = 256 * 1024
"""Batches are joined into one entry up to about this size."""


class Offer(msgspec.Struct, frozen=True):
    """One encoded batch. ``source`` is the member it came from, None for this node."""

    source: str | None
    number: int
    batch: bytes


class OfferQueue:
    """First in, first out, bounded by bytes."""

    def __init__(self) -> None:
        self._queue: deque[Offer] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._queue)

    def put(self, offer: Offer) -> bool:
        """Take an offer; False when the queue is at its bound or the batch is too large."""
        size = len(offer.batch)
        if size > ENTRY_BATCH_BYTES or self._bytes + size > QUEUE_BYTES_MAX:
            return False
        self._queue.append(offer)
        self._bytes += size
        return True

    def take(self) -> list[bytes]:
        """Take as many batches as fit in one entry, in order."""
        taken: list[bytes] = []
        size = 0
        while self._queue and size + len(self._queue[0].batch) <= ENTRY_BATCH_BYTES:
            batch = self._queue.popleft().batch
            taken.append(batch)
            size += len(batch)
        self._bytes -= size
        return taken

    def clear(self) -> list[Offer]:
        """Take everything out, to be refused."""
        offers = list(self._queue)
        self._queue.clear()
        self._bytes = 0
        return offers
