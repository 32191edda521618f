"""What the metrics show beside requests: read from the parts of a node, at most once a second."""

import asyncio
from collections.abc import Callable

from gorilla.api.streaming import Ended
from gorilla.consensus.journal import Journal
from gorilla.daemon.serving import Services
from gorilla.observability import Metrics
from gorilla.service.history import HistoryHealth
from gorilla.service.ports import Consensus, Role

PERIOD_S = 1.0


class Gauges:
    """Copies figures into the metrics every second."""

    def __init__(
        self,
        metrics: Metrics,
        consensus: Consensus,
        services: Services,
        connections: Callable[[], int],
        free_bytes: Callable[[], int],
    ) -> None:
        """Read these."""
        self._metrics = metrics
        self._consensus = consensus
        self._services = services
        self._connections = connections
        self._free_bytes = free_bytes
        self._journal: Journal | None = None
        self._stored = 0
        self._failed = 0
        self._written = HistoryHealth(configured=False)
        self._streams_ended: dict[Ended, int] = dict.fromkeys(Ended, 0)
        self._handle: asyncio.TimerHandle | None = None

    def watch_journal(self, journal: Journal) -> None:
        """Show the journal's size too."""
        self._journal = journal

    def start(self) -> None:
        """Copy now and every second."""
        self._handle = asyncio.get_running_loop().call_later(PERIOD_S, self.start)
        self._copy()

    def stop(self) -> None:
        """Copy no more."""
        if self._handle is not None:
            self._handle.cancel()

    def count_candidacy(self, role: Role, _term: int) -> None:
        """Count an election that this node stood for."""
        if role is Role.CANDIDATE:
            self._metrics.elections.inc()

    def _copy(self) -> None:
        metrics, view = self._metrics, self._consensus.view()
        metrics.term.set(view.term)
        metrics.commit_index.set(view.commit_index)
        metrics.applied_index.set(view.applied_index)
        metrics.is_leader.set(view.role is Role.LEADER)
        metrics.has_leader.set(view.leader is not None)
        metrics.peers_connected.set(sum(one.connected for one in view.progress))
        metrics.proposals_pending.set(self._services.proposals.pending)
        table = self._services.replica.table
        metrics.locks_held.set(table.held)
        metrics.waiters.set(len(table.waiters))
        metrics.waiting_here.set(len(self._services.locks.waits))
        metrics.sessions.set(table.session_count)
        metrics.idempotency_keys.set(table.key_count)
        metrics.connections.set(self._connections())
        if self._journal is not None:
            metrics.journal_bytes.set(self._journal.bytes_on_disk)
        self._copy_free_bytes()
        self._copy_events()
        self._copy_snapshots()
        self._copy_history()

    def _copy_free_bytes(self) -> None:
        try:
            free = float(self._free_bytes())
        except OSError:
            free = float("nan")  # what the disk refuses to the journal stops the node, not this
        self._metrics.data_free_bytes.set(free)

    def _copy_events(self) -> None:
        events, feed = self._services.events, self._services.feed
        self._metrics.event_number.set(events.last_number)
        self._metrics.events_kept.set(events.last_number + 1 - events.first_number)
        self._metrics.event_streams.set(feed.watching)
        for why, before in self._streams_ended.items():
            ended = self._streams_ended[why] = feed.counts.ended[why]
            self._metrics.event_streams_ended.labels(why.value).inc(ended - before)

    def _copy_snapshots(self) -> None:
        health, metrics = self._services.keeper.health(), self._metrics
        if health.age_s is not None:
            metrics.snapshot_age_seconds.set(health.age_s)
        metrics.snapshot_failing.set(health.failing_since is not None)
        metrics.snapshots_stored.inc(health.stored_total - self._stored)
        metrics.snapshot_failures.inc(health.failed_total - self._failed)
        self._stored, self._failed = health.stored_total, health.failed_total

    def _copy_history(self) -> None:
        health, metrics, before = (
            self._services.history.writer.health(),
            self._metrics,
            self._written,
        )
        metrics.history_behind.set(health.behind or 0)
        metrics.history_failing.set(health.failing_since is not None)
        metrics.history_events_written.inc(health.written_total - before.written_total)
        metrics.history_failures.inc(health.failed_total - before.failed_total)
        metrics.history_gaps.inc(health.gaps_total - before.gaps_total)
        self._written = health
