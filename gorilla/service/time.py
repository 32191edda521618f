"""Time for the use cases: the machine's clocks, cluster time, and one timer for many due times."""

import time
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final, Protocol

from gorilla.service.ports import Clock


class SystemClock:
    """The machine's own clocks (a :class:`~gorilla.service.ports.Clock`)."""

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean anything."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """Return milliseconds since 1970 (UTC), for display only."""
        return time.time_ns() // 1_000_000


class ClusterClock:
    """Cluster time, counted on by the leader: a base and its own monotonic clock since then.

    It never goes back, whatever the machine's clock does, and it stands still while stopped.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._base_ms = 0
        self._started_s = 0.0
        self._shown_ms = 0
        self.is_running = False

    def start(self, base_ms: int) -> None:
        """Count on from ``base_ms`` (cluster time, milliseconds)."""
        self._base_ms = base_ms
        self._shown_ms = base_ms
        self._started_s = self._clock.monotonic()
        self.is_running = True

    def stop(self) -> None:
        """Stand still."""
        self.is_running = False

    def now_ms(self) -> int:
        """Return cluster time in milliseconds; a started clock only."""
        assert self.is_running
        elapsed_s = self._clock.monotonic() - self._started_s
        self._shown_ms = max(self._shown_ms, self._base_ms + int(elapsed_s * 1_000))
        return self._shown_ms


class TimerHandle(Protocol):
    """What :meth:`EventLoop.call_at` gives."""

    def cancel(self) -> None:
        """Make sure that it is not called any more."""
        ...


class EventLoop(Protocol):
    """The part of asyncio's event loop that the use cases schedule themselves with."""

    def time(self) -> float:
        """Return loop time in seconds."""
        ...

    def call_soon(self, callback: Callable[[], object], /) -> object:
        """Call in the next turn."""
        ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> TimerHandle:
        """Call when loop time has reached ``when`` (seconds)."""
        ...


class Agenda:
    """When which number is due next, with a single timer behind all of them.

    A number has one due time; setting it again replaces the former. Replaced times stay in the
    heap until they come up or outnumber the valid ones, so its size is bounded by theirs.
    """

    _STALE_MIN: Final = 1_024

    def __init__(self, loop: EventLoop, ring: Callable[[], None]) -> None:
        """Call ``ring`` whenever something is due; it then calls :meth:`take_due`."""
        self._loop = loop
        self._ring = ring
        self._due_s: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []
        self._timer: TimerHandle | None = None
        self._timer_s = 0.0

    def __len__(self) -> int:
        """Return how many numbers have a due time."""
        return len(self._due_s)

    def set(self, number: int, due_s: float) -> None:
        """Let ``number`` be due at ``due_s`` (loop time, seconds)."""
        if self._due_s.get(number) == due_s:
            return
        self._due_s[number] = due_s
        heappush(self._heap, (due_s, number))
        if len(self._heap) > 2 * len(self._due_s) + self._STALE_MIN:
            self._heap = [(due, key) for key, due in self._due_s.items()]
            heapify(self._heap)
        self._arm(due_s)

    def discard(self, number: int) -> None:
        """Forget ``number``; it may be unknown."""
        self._due_s.pop(number, None)

    def take_due(self, now_s: float) -> list[int]:
        """Remove and return the numbers that are due, the earliest first."""
        taken: list[int] = []
        while self._heap and self._heap[0][0] <= now_s:
            due_s, number = heappop(self._heap)
            if self._due_s.get(number) == due_s:
                del self._due_s[number]
                taken.append(number)
        return taken

    def close(self) -> None:
        """Forget everything and cancel the timer."""
        self._due_s.clear()
        self._heap.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, due_s: float) -> None:
        """Let the timer ring at ``due_s``, if it would not ring before."""
        if self._timer is not None:
            if self._timer_s <= due_s:
                return
            self._timer.cancel()
        self._timer_s = due_s
        self._timer = self._loop.call_at(due_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._ring()
        while self._heap and self._due_s.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)
        if self._heap:
            self._arm(self._heap[0][0])
