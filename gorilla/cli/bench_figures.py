"""Latencies and errors of a load, counted in bounded memory. No I/O, no clock."""

import math
from collections import Counter
from itertools import accumulate
from typing import Final

import msgspec

_SMALLEST_S: Final = 1e-6
_GROWTH: Final = 1.01
"""Each bucket is a hundredth wider than the one before it: no quantile is off by more."""

_LARGEST_S: Final = 1_000.0
_BUCKETS: Final = math.ceil(math.log(_LARGEST_S / _SMALLEST_S, _GROWTH)) + 1
_PER_LOG: Final = 1 / math.log(_GROWTH)

QUANTILES: Final = (0.5, 0.9, 0.99, 0.999)


class Latencies:
    """A histogram of lengths of time (seconds), exact to a hundredth; the longest is exact."""

    def __init__(self) -> None:
        """Begin with none."""
        self.buckets = [0] * _BUCKETS
        """How many fell into each."""
        self.count = 0
        self.total_s = 0.0
        self.max_s = 0.0

    def record(self, seconds: float) -> None:
        """Count one; what is negative counts as nothing."""
        self.buckets[_bucket_of(seconds)] += 1
        self.count += 1
        self.total_s += max(0.0, seconds)
        self.max_s = max(self.max_s, seconds)

    def add(self, other: "Latencies") -> None:
        """Count all of another one here too."""
        self.buckets = [a + b for a, b in zip(self.buckets, other.buckets, strict=True)]
        self.count += other.count
        self.total_s += other.total_s
        self.max_s = max(self.max_s, other.max_s)

    def quantile(self, part: float) -> float:
        """Return the length that ``part`` (0 to 1) of all do not exceed; 0 when there are none."""
        if not self.count:
            return 0.0
        wanted = max(1, math.ceil(part * self.count))
        for index, counted in enumerate(accumulate(self.buckets)):
            if counted >= wanted:
                return min(_upper_s(index), self.max_s)
        raise AssertionError("fewer were counted than there are")


def _bucket_of(seconds: float) -> int:
    if seconds <= _SMALLEST_S:
        return 0
    return min(_BUCKETS - 1, math.ceil(math.log(seconds / _SMALLEST_S) * _PER_LOG))


def _upper_s(index: int) -> float:
    # The last one has no upper end.
    return math.inf if index == _BUCKETS - 1 else _SMALLEST_S * _GROWTH**index


class Figures(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What one run gave: one row of the table, one object of the JSON document."""

    workload: str
    connections: int
    seconds: float
    operations: int
    per_second: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    errors: dict[str, int]
    complete: bool
    """False when it was broken off."""


class Tally:
    """Counts what the clients of one run did, from the end of its warm-up on."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.latencies = Latencies()
        self.errors: Counter[str] = Counter()
        self.counting = False

    def succeeded(self, seconds: float) -> None:
        """Count an operation that took so long; not while warming up."""
        if self.counting:
            self.latencies.record(seconds)

    def failed(self, kind: str) -> None:
        """Count a failure, of the warm-up too: it is never to be overlooked."""
        self.errors[kind] += 1

    def figures(
        self, workload: str, connections: int, seconds: float, *, complete: bool = True
    ) -> Figures:
        """Return what was counted within so many seconds."""
        found = [self.latencies.quantile(part) * 1e3 for part in QUANTILES]
        p50, p90, p99, p999 = (round(value, 3) for value in found)
        return Figures(
            workload=workload,
            connections=connections,
            seconds=round(seconds, 3),
            operations=self.latencies.count,
            per_second=round(self.latencies.count / seconds, 1) if seconds > 0 else 0.0,
            p50_ms=p50,
            p90_ms=p90,
            p99_ms=p99,
            p999_ms=p999,
            max_ms=round(self.latencies.max_s * 1e3, 3),
            errors=dict(sorted(self.errors.items())),
            complete=complete,
        )
