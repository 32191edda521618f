"""The latest events of the lock table on this node, for those who watch and for the history.

What is kept is bounded twice. A node that was away, or was given a snapshot, has what the state
itself remembers (``limits.EVENTS_REMEMBERED_MAX``), and goes on from there.
"""

import asyncio
from array import array
from collections.abc import Iterable, Sequence
from sys import getsizeof
from typing import Final, cast

from msgspec.structs import astuple

from gorilla.domain.events import Event
from gorilla.service.replica import LockReplica

EVENTS_KEPT_MAX: Final = 65_536
"""Events kept: what happens in some seconds at full load, in hours at an ordinary one."""

BYTES_KEPT_MAX: Final = 32 * 1024 * 1024
"""Estimated memory of the events kept."""

_FIXED_BYTES: Final = 360
"""What an event takes beside its texts: the object, its numbers, its place here."""


class EventLog:
    """A ring of events (an :class:`~gorilla.service.ports.EventSource`), fed by the replica."""

    def __init__(
        self,
        replica: LockReplica,
        *,
        events_max: int = EVENTS_KEPT_MAX,
        bytes_max: int = BYTES_KEPT_MAX,
    ) -> None:
        """Begin with what the state of ``replica`` remembers, and follow it from there.

        Args:
            replica: Tells of what it applies and of states that it takes over.
            events_max: How many events are kept.
            bytes_max: About how much memory they may take; the newest is kept in any case.

        """
        self._replica = replica
        self._bytes_max = bytes_max
        # An event stands at its number modulo the length: the numbers have no holes.
        self._ring: list[Event | None] = [None] * events_max
        self._sizes = array("L", bytes(events_max * array("L").itemsize))
        self._bytes = 0
        self._first = 1
        self._last = 0
        self._waiting: asyncio.Future[None] | None = None
        self._reload()
        replica.watch(self._applied, self._reload)

    @property
    def first_number(self) -> int:
        """Number of the oldest event kept; ``last_number + 1`` when there is none."""
        return self._first

    @property
    def last_number(self) -> int:
        """Number of the last event applied on this node; 0 before the first."""
        return self._last

    @property
    def bytes_kept(self) -> int:
        """About how much memory the events take that are kept."""
        return self._bytes

    def after(self, number: int, limit: int) -> Sequence[Event]:
        """Return at most ``limit`` events with larger numbers, the oldest first.

        They begin at ``first_number`` when the history no longer reaches back to ``number``.
        """
        start = max(number + 1, self._first)
        count = min(self._last + 1 - start, limit)
        if count <= 0:
            return ()
        low = start % len(self._ring)
        found = self._ring[low : low + count]
        found += self._ring[: count - len(found)]
        return cast("list[Event]", found)

    def wakeup(self) -> asyncio.Future[None]:
        """Return what is done as soon as there is an event beyond the present ``last_number``."""
        if self._waiting is None or self._waiting.done():
            self._waiting = asyncio.get_running_loop().create_future()
        return self._waiting

    def _applied(self, _index: int, events: Sequence[Event]) -> None:
        self._take(events)

    def _reload(self) -> None:
        """Take over what a new state remembers; without a hole, what is here already stays."""
        table = self._replica.table
        self._take(table.recent_events)
        if table.event_counter != self._last:
            self._begin_at(table.event_counter + 1)
            self._wake()

    def _take(self, events: Iterable[Event]) -> None:
        before = self._last
        for event in events:
            if event.number > self._last:
                self._append(event)
        if self._last > before:
            self._wake()

    def _append(self, event: Event) -> None:
        if event.number != self._last + 1:
            self._begin_at(event.number)
        slot = event.number % len(self._ring)
        if self._ring[slot] is not None:
            self._drop_first()
        size = self._sizes[slot] = _size_of(event)
        self._ring[slot] = event
        self._bytes += size
        self._last = event.number
        while self._bytes > self._bytes_max and self._first < self._last:
            self._drop_first()

    def _drop_first(self) -> None:
        slot = self._first % len(self._ring)
        self._ring[slot] = None
        self._bytes -= self._sizes[slot]
        self._first += 1

    def _begin_at(self, number: int) -> None:
        """Forget everything; the next event is ``number``."""
        while self._first <= self._last:
            self._drop_first()
        self._first = number
        self._last = number - 1

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


def _size_of(event: Event) -> int:
    size = _FIXED_BYTES
    for value in astuple(event):
        if isinstance(value, str):
            size += getsizeof(value)
        elif isinstance(value, tuple):
            size += sum(map(getsizeof, value))
    return size
