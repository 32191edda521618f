"""What is due when, apart from leases: waits, claims, sessions, pauses between grants."""

from heapq import heapify, heappop, heappush
from typing import Final

WAIT: Final = 0
SESSION: Final = 1
COOLING: Final = 2

Key = tuple[int, int | str]
"""A kind of the above, and what tells it from others of its kind (a number, or a lock)."""

_SLACK: Final = 64
"""Stale entries of the heap that are never worth a rebuild."""


class Timers:
    """One deadline for each key, in order of (deadline, key). Derived from the state, not of it."""

    def __init__(self) -> None:
        """Start with nothing due."""
        self._due_ms: dict[Key, int] = {}
        self._heap: list[tuple[int, Key]] = []
        """Entries whose deadline was changed are dropped when they surface."""

    def set(self, key: Key, due_ms: int) -> None:
        """Let ``key`` be due at ``due_ms`` (cluster time) rather than at any time before."""
        self._due_ms[key] = due_ms
        heappush(self._heap, (due_ms, key))
        if len(self._heap) > 2 * len(self._due_ms) + _SLACK:
            self._heap = [(due_ms, key) for key, due_ms in self._due_ms.items()]
            heapify(self._heap)

    def discard(self, key: Key) -> None:
        """Forget ``key``, if it is known."""
        self._due_ms.pop(key, None)

    def next_ms(self) -> int | None:
        """Return the earliest deadline, or None when there is none."""
        while self._heap:
            due_ms, key = self._heap[0]
            if self._due_ms.get(key) == due_ms:
                return due_ms
            heappop(self._heap)
        return None

    def pop_due(self, now_ms: int) -> Key | None:
        """Forget and return the first key whose deadline has come, or None."""
        first_ms = self.next_ms()
        if first_ms is None or first_ms > now_ms:
            return None
        _, key = heappop(self._heap)
        del self._due_ms[key]
        return key
