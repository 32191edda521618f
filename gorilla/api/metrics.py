"""Counts and latencies of requests, kept cheap: a few additions for each, no lock, no label lookup.

All of it happens on one event loop, which also serves ``/metrics``.
"""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from typing_extensions import override

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency histogram (seconds)."""

_BOUNDS: Final = (*(str(bound) for bound in BUCKETS_S), "+Inf")


class _Series:
    __slots__ = ("buckets", "total_s")

    def __init__(self) -> None:
        self.buckets = [0] * len(_BOUNDS)
        self.total_s = 0.0


class RequestMetrics(Collector):
    """Requests by route, method and status."""

    def __init__(self) -> None:
        """Start at zero; labels appear with their first request (routes and methods are few)."""
        self._series: dict[tuple[str, str, int], _Series] = {}

    def observe(self, route: str, method: str, status: int, took_s: float) -> None:
        """Count one answered request."""
        key = (route, method, status)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series()
        series.buckets[bisect_left(BUCKETS_S, took_s)] += 1
        series.total_s += took_s

    @override
    def collect(self) -> Iterable[Metric]:
        """Yield the counter and the histogram."""
        labels = ["route", "method", "status"]
        count = CounterMetricFamily(
            "gorilla_http_requests", "Requests answered by this node.", labels=labels
        )
        latency = HistogramMetricFamily(
            "gorilla_http_request_seconds",
            "From the end of a request's headers to its answer (seconds).",
            labels=labels,
        )
        for (route, method, status), series in self._series.items():
            values = [route, method, str(status)]
            cumulated = list(accumulate(series.buckets))
            count.add_metric(values, cumulated[-1])
            latency.add_metric(values, list(zip(_BOUNDS, cumulated, strict=True)), series.total_s)
        yield count
        yield latency
