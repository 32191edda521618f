"""What a node tells of itself: log lines on standard error, and metrics.

``python -m gorilla.observability`` writes the reference page of the metrics (``make docs``).
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal, TextIO

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from typing_extensions import override

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_QUIET: Final = ("aiohttp", "asyncio", "alembic", "sqlalchemy")
"""Libraries that are heard from ``warning`` on, whatever our own level."""

SYNC_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1)


def set_up_logging(
    level: str, style: Literal["text", "json"], node: str, stream: TextIO | None = None
) -> None:
    """Send every log line to ``stream`` (standard error), replacing earlier handlers.

    Args:
        level: A key of ``LEVELS``.
        style: ``text`` for people, ``json`` (one object a line) for machines.
        node: Name of the node; stands in every line.
        stream: Where to, instead of standard error.

    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonLines(node) if style == "json" else _TextLines(node))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(LEVELS[level], logging.WARNING))


class _Lines(logging.Formatter):
    """Knows the node, and what all lines have in common."""

    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        at = datetime.fromtimestamp(record.created, UTC)
        fields = {
            "at": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
            "level": record.levelname.lower(),
            "node": self._node,
            "logger": record.name,
            "message": record.getMessage(),
        }
        request_id = getattr(record, "request_id", "")
        if request_id:
            fields["requestId"] = request_id
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return fields


class _JsonLines(_Lines):
    @override
    def format(self, record: logging.LogRecord) -> str:
        return msgspec.json.encode(self._fields(record)).decode()


class _TextLines(_Lines):
    @override
    def format(self, record: logging.LogRecord) -> str:
        fields = self._fields(record)
        # One event, one line: what a client sent must not look like a line of ours.
        message = fields["message"].replace("\r", "\\r").replace("\n", "\\n")
        request = f" [{fields['requestId']}]" if "requestId" in fields else ""
        line = f"{fields['at']} {fields['level']:<7} {self._node} {message}{request}"
        return f"{line}\n{fields['exception']}" if "exception" in fields else line


class Metrics:
    """The metrics of a node, in a registry of its own. Names are a contract: never renamed.

    The API registers its two of requests there as well (``gorilla.api.metrics``).
    """

    def __init__(self, node: str = "", version: str = "") -> None:
        """Make them for one node; several in one process do not meet."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests()
        self._consensus()
        self._journal()
        self._locks()
        self._events()
        self._snapshots()
        self._history()
        self.node_info = self._gauge(
            "node_info", "Always 1; says which node, and its version.", "node", "version"
        )
        self.node_info.labels(node, version).set(1)

    def _requests(self) -> None:
        self.connections = self._gauge("http_connections", "Open connections of clients.")
        self.proposals_pending = self._gauge(
            "proposals_pending", "Commands of this node that wait for their outcome."
        )

    def _consensus(self) -> None:
        self.term = self._gauge("raft_term", "Present term.")
        self.commit_index = self._gauge("raft_commit_index", "Last committed entry known here.")
        self.applied_index = self._gauge("raft_applied_index", "Last entry applied here.")
        self.is_leader = self._gauge("raft_is_leader", "1 on the leader, 0 elsewhere.")
        self.has_leader = self._gauge("raft_has_leader", "1 while a leader is known, else 0.")
        self.peers_connected = self._gauge(
            "raft_peers_connected", "Other members that this node has a connection to."
        )
        self.elections = self._counter("raft_elections", "Elections that this node stood for.")

    def _journal(self) -> None:
        self.journal_syncs = self._counter("journal_syncs", "Times the journal was made durable.")
        self.journal_sync_seconds = self._histogram(
            "journal_sync_seconds", "Duration of one fdatasync.", SYNC_SECONDS
        )
        self.journal_bytes = self._gauge("journal_bytes", "Size of the journal on disk.")
        self.data_free_bytes = self._gauge(
            "data_free_bytes", "Free space where the data directory is; NaN while it is not known."
        )
        self.data_free_bytes.set(float("nan"))

    def observe_sync(self, seconds: float) -> None:
        """Count one sync of the journal."""
        self.journal_syncs.inc()
        self.journal_sync_seconds.observe(seconds)

    def _locks(self) -> None:
        self.locks_held = self._gauge("locks_held", "Locks held, as this node has applied it.")
        self.waiters = self._gauge("waiters", "Waits for locks, as this node has applied it.")
        self.waiting_here = self._gauge("waiting_here", "Callers that wait at this node.")
        self.sessions = self._gauge("sessions", "Sessions, as this node has applied it.")
        self.idempotency_keys = self._gauge(
            "idempotency_keys", "Idempotency keys remembered, as this node has applied it."
        )

    def _events(self) -> None:
        self.event_number = self._gauge("event_number", "Number of the last event applied here.")
        self.events_kept = self._gauge("events_kept", "Events kept here for those who resume.")
        self.event_streams = self._gauge("event_streams", "Clients that watch events here.")
        self.event_streams_ended = self._counter(
            "event_streams_ended",
            "Those that ended: gone (the client), slow, behind (both cut off), stopped (the node).",
            "reason",
        )

    def _snapshots(self) -> None:
        self.snapshot_age_seconds = self._gauge(
            "snapshot_age_seconds",
            "Age of the newest snapshot in PostgreSQL; grows while nothing changes.",
        )
        self.snapshot_failing = self._gauge(
            "snapshot_failing", "1 while snapshots can't be stored (the alarm), else 0."
        )
        self.snapshots_stored = self._counter("snapshots_stored", "Snapshots this node stored.")
        self.snapshot_failures = self._counter(
            "snapshot_failures", "Attempts at a snapshot that failed."
        )

    def _history(self) -> None:
        self.history_behind = self._gauge(
            "history_behind", "Events that are not in the history yet; on the leader, else 0."
        )
        self.history_failing = self._gauge(
            "history_failing", "1 while the history can't be written (the alarm), else 0."
        )
        self.history_events_written = self._counter(
            "history_events_written", "Events that this node wrote into the history."
        )
        self.history_failures = self._counter(
            "history_failures", "Attempts to write the history that failed."
        )
        self.history_gaps = self._counter(
            "history_gaps", "Gaps that this node had to leave in the history."
        )

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, namespace="gorilla", registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, namespace="gorilla", registry=self.registry)

    def _histogram(
        self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            name, meaning, labels, namespace="gorilla", registry=self.registry, buckets=buckets
        )


_PAGE_HEAD: Final = """\
# Metrics

Written from `gorilla/observability.py` by `make docs`; change it there.

`GET /metrics` on every node, in the text format of Prometheus. Beside these, the `process_…`
metrics (memory, processor, open files). Alarms to begin with: `gorilla_raft_has_leader == 0` for a
minute, `gorilla_snapshot_failing == 1` or `gorilla_history_failing == 1` for ten,
`gorilla_raft_peers_connected` below the number of other members.

| metric | type | labels | meaning |
| --- | --- | --- | --- |
| `gorilla_http_requests_total` | counter | route, method, status | Answered requests. |
| `gorilla_http_request_seconds` | histogram | route, method, status | Time to the answer. |
"""


def reference_page() -> str:
    """Return ``docs/reference/metrics.md``."""
    metrics = Metrics()
    declared = [m for m in vars(metrics).values() if isinstance(m, Counter | Gauge | Histogram)]
    labels = {next(iter(m.describe())).name: _labels_of(m) for m in declared}
    rows = [
        f"| `{f.name}{'_total' if f.type == 'counter' else ''}` | {f.type} "
        f"| {labels[f.name]} | {f.documentation} |"
        for f in metrics.registry.collect()
        if f.name.startswith("gorilla_")
    ]
    return _PAGE_HEAD + "\n".join(rows) + "\n"


def _labels_of(metric: Counter | Gauge | Histogram) -> str:
    return ", ".join(metric._labelnames)  # noqa: SLF001 - there is no public way to ask


if __name__ == "__main__":
    sys.stdout.write(reference_page())
