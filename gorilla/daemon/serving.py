"""The use cases of one node, built on a consensus that may still be closed."""

import asyncio
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from gorilla.api.feeding import EventFeed
from gorilla.api.limits import HttpLimits
from gorilla.config import ClusterConfig
from gorilla.daemon.history import NodeHistory, build_history
from gorilla.daemon.snapshot_source import ReplicaSource
from gorilla.service.cluster import ClusterService
from gorilla.service.event_log import EventLog
from gorilla.service.locks import LockService, LockSettings
from gorilla.service.members_noting import MembersNoting
from gorilla.service.moments import Moments
from gorilla.service.pending import ProposalLimits
from gorilla.service.policies import PolicyService
from gorilla.service.ports import Clock, Consensus
from gorilla.service.proposals import Proposals
from gorilla.service.repairs import RepairService
from gorilla.service.replica import LockReplica
from gorilla.service.sessions import SessionService
from gorilla.service.snapshots import SnapshotKeeper, StoredSnapshot
from gorilla.service.upgrading import Upgrading
from gorilla.service.watching import EventService

if TYPE_CHECKING:
    from gorilla.storage.snapshots import PostgresSnapshots


class FailStopLoop:
    """The event loop as the proposals see it: an exception in a callback ends the node.

    The loop itself would only log it, and go on with a node that answers nothing any more.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, fail: Callable[[BaseException], None]
    ) -> None:
        """Schedule on ``loop``; report to ``fail``."""
        self._loop = loop
        self._fail = fail
        self.time = loop.time

    def call_soon(self, callback: Callable[[], object], /) -> object:
        """Call in the next turn."""
        return self._loop.call_soon(self._run, callback)

    def call_at(self, when: float, callback: Callable[[], object], /) -> asyncio.TimerHandle:
        """Call when loop time has reached ``when`` (seconds)."""
        return self._loop.call_at(when, self._run, callback)

    def _run(self, callback: Callable[[], object]) -> None:
        try:
            callback()
        except Exception as error:
            self._fail(error)


class ArchiveOperations:
    """Snapshots as the API offers them."""

    def __init__(self, archive: "PostgresSnapshots", keeper: SnapshotKeeper) -> None:
        """List from ``archive``, take through ``keeper``."""
        self._archive = archive
        self._keeper = keeper

    async def list(self, limit: int) -> Sequence[StoredSnapshot]:
        """Return at most ``limit`` snapshots, the last stored first."""
        return await self._archive.list(limit)

    async def take(self) -> StoredSnapshot:
        """Store the present state and return what was stored."""
        return await self._keeper.take()


class Services(msgspec.Struct, frozen=True):
    """The use cases of one node."""

    replica: LockReplica
    proposals: Proposals
    locks: LockService
    repairs: RepairService
    sessions: SessionService
    policies: PolicyService
    cluster: ClusterService
    events: EventLog
    feed: EventFeed
    history: NodeHistory
    keeper: SnapshotKeeper
    upgrading: Upgrading
    noting: MembersNoting
    archive: "PostgresSnapshots | None"
    snapshots: ArchiveOperations | None

    async def close(self) -> None:
        """Give up what still waits, and close the connections to the database."""
        self.proposals.close()
        await self.history.close()
        if self.archive is not None:
            await self.archive.close()


def build_services(
    config: ClusterConfig,
    node: str,
    consensus: Consensus,
    clock: Clock,
    version: str,
    fail: Callable[[BaseException], None],
) -> Services:
    """Build the use cases of ``node`` on ``consensus``; ``fail`` ends a node that can't go on."""
    loop, origin = asyncio.get_running_loop(), uuid.uuid4().hex
    limits = ProposalLimits(
        pending_max=config.locks.pending_max, leader_grace_s=config.locks.leader_grace_s
    )
    proposals = Proposals(consensus, FailStopLoop(loop, fail), origin, limits)
    replica = LockReplica(clock, proposals.resolve, proposals.refused, origin)
    settings = lock_settings(config)
    moments = Moments(
        consensus,
        replica,
        loop,
        request_deadline_s=settings.request_deadline_s,
        leader_grace_s=settings.leader_grace_s,
    )
    archive = _archive(config)
    keeper = SnapshotKeeper(
        archive,
        ReplicaSource(node, consensus, replica),
        clock,
        interval_s=config.snapshots.interval_s,
        keep_count=config.snapshots.keep_count,
        keep_days=config.snapshots.keep_days,
    )
    events = EventLog(replica)
    history = build_history(config, consensus, replica, events, clock)
    cluster = ClusterService(
        consensus,
        replica,
        clock,
        version,
        name=config.cluster.name,
        snapshots=keeper.health,
        history=history.writer.health,
    )
    return Services(
        replica=replica,
        proposals=proposals,
        locks=LockService(proposals, consensus, replica, loop, settings),
        repairs=RepairService(proposals, moments, replica, loop, settings),
        sessions=SessionService(proposals, moments, replica, loop, settings),
        policies=PolicyService(proposals, moments, replica, loop, settings),
        cluster=cluster,
        events=events,
        feed=EventFeed(EventService(events, consensus, cluster), http_limits(config)),
        history=history,
        keeper=keeper,
        noting=MembersNoting(consensus, replica, proposals),
        upgrading=Upgrading(consensus, replica, config.cluster.finalise_level),
        archive=archive,
        snapshots=None if archive is None else ArchiveOperations(archive, keeper),
    )


def lock_settings(config: ClusterConfig) -> LockSettings:
    """Return what the operator decided about locks."""
    return LockSettings(
        max_timeout_ms=round(config.locks.max_timeout_s * 1000),
        max_wait_ms=round(config.locks.max_wait_s * 1000),
        request_deadline_s=config.locks.request_deadline_s,
        leader_grace_s=config.locks.leader_grace_s,
    )


def http_limits(config: ClusterConfig) -> HttpLimits:
    """Return what clients may take."""
    http = config.http
    return HttpLimits(
        connections_max=http.max_connections,
        head_s_max=http.slow_client_s,
        body_s_max=http.slow_client_s,
        reader_s_max=http.slow_client_s,
        keep_alive_s=http.keepalive_s,
        watchers_max=http.max_watchers,
    )


def _archive(config: ClusterConfig) -> "PostgresSnapshots | None":
    if not config.database.url:
        return None
    # Only here: SQLAlchemy is half of what a node takes to start.
    from gorilla.storage.snapshots import PostgresSnapshots  # noqa: PLC0415

    return PostgresSnapshots(config.database.url.reveal())
