"""Virtual time: a heap of events, run one after the other."""

import hashlib
import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import Any

LOOK_COST_S = 5e-6
"""What reading a clock costs. Code that spins until a clock has moved ends, as it does in life."""

RATE_PPM_MAX = 500
"""How wrong a clock's rate may be; the lease arithmetic allows two clocks twice that."""

TRACE_LINES = 2_000
"""How much of the end of a trace is kept."""


class Event:
    """Something that will happen; :meth:`cancel` makes it not happen."""

    __slots__ = ("args", "call", "cancelled")

    def __init__(self, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        self.call = call
        self.args = args
        self.cancelled = False

    def cancel(self) -> None:
        """Make it not happen (no matter whether it did already)."""
        self.cancelled = True


class Scheduler:
    """True simulated time in seconds, and the events that are due in it."""

    def __init__(self, seed: int, *, is_tracing: bool = False) -> None:
        self.seed = seed
        self.now = 0.0
        self.is_tracing = is_tracing
        self.trace: deque[str] = deque(maxlen=TRACE_LINES)
        self._trace_hash = hashlib.blake2b(digest_size=8)
        self._heap: list[tuple[float, int, Event]] = []
        self._count = 0

    def random(self, purpose: str) -> random.Random:
        """Return a generator of its own for ``purpose``: one more draw here moves none there."""
        return random.Random(f"{self.seed}/{purpose}")

    def look(self) -> float:
        """Return the time as running code sees it: looking takes a little time itself."""
        self.now += LOOK_COST_S
        return self.now

    def after(self, delay_s: float, call: Callable[..., object], *args: Any) -> Event:
        """Run ``call`` when ``delay_s`` seconds have passed."""
        event = Event(call, args)
        self._count += 1
        heapq.heappush(self._heap, (self.now + max(delay_s, 0.0), self._count, event))
        return event

    def run(self, until: float, stop: Callable[[], bool] | None = None) -> None:
        """Run every event up to ``until``, or until ``stop`` says so after one of them."""
        while self._heap and self._heap[0][0] <= until:
            when, _, event = heapq.heappop(self._heap)
            self.now = max(self.now, when)
            if event.cancelled:
                continue
            event.call(*event.args)
            if stop is not None and stop():
                return
        self.now = max(self.now, until)

    def note(self, *words: object) -> None:
        """Add a line to the trace, if there is one: the same seed gives it at any time."""
        if not self.is_tracing:
            return
        line = f"{self.now:10.5f} " + " ".join(map(str, words))
        self.trace.append(line)
        self._trace_hash.update(line.encode())

    def trace_digest(self) -> str:
        """Return a digest of every line noted so far, also of those no longer kept."""
        return self._trace_hash.hexdigest()


class NodeClock:
    """A machine's clock: it runs a little fast or slow, and starts anywhere."""

    def __init__(self, scheduler: Scheduler, *, rate: float, offset_s: float, wall_ms: int) -> None:
        self._scheduler = scheduler
        self.rate = rate
        self.offset_s = offset_s
        self._wall_ms = wall_ms

    def monotonic(self) -> float:
        """Return this machine's seconds; only differences mean anything."""
        scheduler = self._scheduler
        scheduler.now += LOOK_COST_S
        return self.offset_s + scheduler.now * self.rate

    def wall_ms(self) -> int:
        """Return this machine's idea of the milliseconds since 1970."""
        return self._wall_ms + int(self._scheduler.look() * self.rate * 1_000)

    def step_wall(self, by_ms: int) -> None:
        """Set the wall clock forward or back, as an operator or NTP may."""
        self._wall_ms += by_ms

    def slew(self, rate: float) -> None:
        """Go on from here at another rate; the clock does not jump."""
        self.offset_s += self._scheduler.now * (self.rate - rate)
        self.rate = rate

    def at(self, true_s: float) -> float:
        """Return what this clock shows at the true time ``true_s``."""
        return self.offset_s + true_s * self.rate

    def true(self, shown_s: float) -> float:
        """Return the true time at which this clock shows ``shown_s``."""
        return (shown_s - self.offset_s) / self.rate
