"""Snapshots that outlive the cluster: what they are, where they go, when they are taken.

PostgreSQL is a place to restore from and never one to ask: nothing here is on the way of a
request, and with the database down the locks go on, an alarm is up, and snapshots catch up later.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import msgspec

from gorilla.service.errors import GorillaError, StartingError
from gorilla.service.packing import pack
from gorilla.service.ports import Clock, FrozenState

STORE_TIMEOUT_S: Final = 600.0
"""How long packing and storing one snapshot may take, a million locks over a slow line included."""

LOOK_TIMEOUT_S: Final = 30.0
RETRY_S_MIN: Final = 1.0
RETRY_S_MAX: Final = 60.0

log = logging.getLogger(__name__)
_jitter = secrets.SystemRandom().random


class ArchiveError(GorillaError):
    """The archive did not do what was asked; the message is one line, without any password."""


class StorageUnavailableError(ArchiveError):
    """The database can't be reached, refused us, or did not answer in time; the line says which."""


class MaybeStoredError(ArchiveError):
    """Indefinite: all was sent, and no answer to the commit came. It may have been stored."""


class SchemaOutdatedError(ArchiveError):
    """The database lacks tables or columns of this release, or is of a later one."""


class SnapshotNotFoundError(ArchiveError):
    """There is no snapshot of that id, or none at all."""


class SnapshotCorruptError(ArchiveError):
    """What was read is not what was stored: another snapshot must be used."""


class ArchiveNotConfiguredError(ArchiveError):
    """No database is configured on this node."""


class SnapshotMeta(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot says of itself. One cluster's are ordered by ``applied_index``."""

    cluster_id: str
    node: str
    """Name of the node that took it."""
    taken_at: datetime
    """That node's wall clock (UTC); for people, nothing is ordered by it within a cluster."""
    term: int
    applied_index: int
    cluster_now_ms: int
    lock_count: int
    fencing_counter: int
    chain: str
    """Moves with every change of a lock, not with time alone: equal means that none changed."""
    format_version: int
    digest: str
    """SHA-256 of the packed bytes, hexadecimal."""
    size_bytes: int
    """Length of the packed bytes."""


class StoredSnapshot(SnapshotMeta, frozen=True, kw_only=True):
    """A snapshot that the archive has; a larger id was stored later."""

    id: int


class LoadedSnapshot(msgspec.Struct, frozen=True):
    """A stored snapshot with its packed bytes, whose digest was found right."""

    meta: StoredSnapshot
    pieces: tuple[bytes, ...]


class SnapshotArchive(Protocol):
    """Where snapshots are kept. Every method is bounded in time and raises :class:`ArchiveError`.

    Calls may come from every node at once.
    """

    async def store(self, meta: SnapshotMeta, pieces: Sequence[bytes]) -> StoredSnapshot:
        """Keep a snapshot, all or nothing, and check that the archive has what was sent.

        Args:
            meta: Its ``digest`` and ``size_bytes`` are those of the pieces joined.
            pieces: Packed bytes (see ``service.packing``), each of at most 8 MiB.

        Raises:
            MaybeStoredError: Nobody knows; every other :class:`ArchiveError` means that it was not.

        """
        ...

    async def list(self, limit: int = 100) -> Sequence[StoredSnapshot]:
        """Return at most ``limit`` snapshots of all clusters, the last stored first."""
        ...

    async def latest(self, cluster_id: str | None = None) -> StoredSnapshot | None:
        """Return the newest state of a cluster; without one, of the cluster that stored last."""
        ...

    async def load(self, snapshot_id: int) -> LoadedSnapshot:
        """Read a snapshot and verify its digest.

        Raises:
            SnapshotNotFoundError: There is none of that id.
            SnapshotCorruptError: Its bytes are not those that were stored.

        """
        ...

    async def prune(self, keep_count: int, keep_days: float) -> int:
        """Delete what is beyond the newest ``keep_count`` of its cluster, or older than that.

        The newest of every cluster always stays, however old.

        Returns:
            How many were deleted.

        """
        ...

    async def reserve_fencing_floor(self, snapshot_id: int, *, node: str, hold_ms: int) -> int:
        """Record a restore and return the fencing counter that its cluster starts from.

        Larger than anything that any cluster of this archive has granted or will grant from an
        earlier restore, and never given twice, so two restores of one snapshot differ.
        """
        ...


class Captured(msgspec.Struct, frozen=True, kw_only=True):
    """A node's state at one applied entry."""

    cluster_id: str
    node: str
    term: int
    applied_index: int
    now_ms: int
    lock_count: int
    fencing_counter: int
    chain: str
    state: FrozenState


class SnapshotSource(Protocol):
    """Where the keeper finds the state. Called on the event loop; must not block it."""

    def cluster_id(self) -> str:
        """Return the cluster's id; empty while it has not been formed."""
        ...

    def chain(self) -> str:
        """Return what moves with every change of a lock, as :class:`Captured` has it."""
        ...

    def leads(self) -> bool:
        """Whether this node leads now. Wrong for a moment does no harm: a snapshot more."""
        ...

    def capture(self) -> Captured:
        """Freeze the state as of the last applied entry."""
        ...


class SnapshotHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How this node sees the archive. ``failing_since`` not None is the alarm."""

    configured: bool
    last_stored: StoredSnapshot | None = None
    """The newest of this cluster that this node knows of, whoever stored it."""
    age_s: float | None = None
    """Seconds since it was taken, by the wall clocks of two nodes; an idle cluster's grows."""
    failing_since: datetime | None = None
    last_error: str | None = None
    stored_total: int = 0
    failed_total: int = 0
    last_duration_s: float | None = None
    """Seconds that packing and storing this node's last one took."""


class SnapshotKeeper:
    """Takes snapshots: the leader's every interval if anything changed, any node's on demand.

    Every node looks at the archive once an interval, so each shows a truthful age and alarm; only
    the leader stores by itself. On demand a follower stores its own applied state: it is a prefix
    of the same history, and its applied index says which. A leader that is deposed while it stores
    does no harm for the same reason.

    Args:
        archive: None when no database is configured: the keeper then does nothing.
        jitter: Returns a number from 0 to 1, so that nodes don't ask again all at once.

    """

    def __init__(  # noqa: PLR0913 - everything it needs is an input
        self,
        archive: SnapshotArchive | None,
        source: SnapshotSource,
        clock: Clock,
        *,
        interval_s: float = 60.0,
        keep_count: int = 100,
        keep_days: float = 30.0,
        jitter: Callable[[], float] = _jitter,
    ) -> None:
        assert interval_s > 0
        assert keep_count >= 1
        self._archive = archive
        self._source = source
        self._clock = clock
        self._interval_s = interval_s
        self._keep = (keep_count, keep_days)
        self._jitter = jitter
        self._storing = asyncio.Lock()
        self._captures = 0
        self._newest: StoredSnapshot | None = None
        self._mine: tuple[int, StoredSnapshot] | None = None
        self._failures = 0
        self._failing_since: datetime | None = None
        self._last_error: str | None = None
        self._stored_total = 0
        self._failed_total = 0
        self._last_duration_s: float | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the archive up to date until ``stop`` is set, or until cancelled."""
        if self._archive is None:
            return
        while not stop.is_set():
            try:
                await self.step()
            except Exception as error:
                # A bug here must not end the loop: it is an alarm like any other, and tried again.
                log.exception("snapshot step failed")
                self._failed(error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self.pause_s())

    async def step(self) -> None:
        """Look at the archive, and store if this node leads and something changed.

        Failures of the archive are recorded (:meth:`health`), not raised.
        """
        if self._archive is None or not self._source.cluster_id():
            return
        try:
            async with asyncio.timeout(LOOK_TIMEOUT_S):
                self._newest = await self._archive.latest(self._source.cluster_id())
        except TimeoutError:
            self._failed(StorageUnavailableError(f"no answer within {LOOK_TIMEOUT_S:.0f} s"))
            return
        except ArchiveError as error:
            self._failed(error)
            return
        if not self._source.leads() or not self._is_behind():
            self._succeeded()
            return
        with contextlib.suppress(ArchiveError):  # take() has recorded it
            await self.take()

    async def take(self) -> StoredSnapshot:
        """Store this node's applied state now and return what the archive has.

        Calls that come while one is storing share the next: at most two are ever under way.

        Raises:
            StartingError: This node belongs to no cluster yet; nothing was done.
            MaybeStoredError: It may have been stored; one more does no harm.
            ArchiveError: It was not stored.

        """
        if self._archive is None:
            raise ArchiveNotConfiguredError("no database is configured: set GORILLA_DATABASE_URL")
        if not self._source.cluster_id():
            raise StartingError("this node belongs to no cluster yet, so there is nothing to store")
        seen = self._captures
        async with self._storing:
            if self._mine is not None and self._mine[0] > seen:
                return self._mine[1]
            try:
                async with asyncio.timeout(STORE_TIMEOUT_S):
                    stored = await self._store(self._archive)
            except TimeoutError as error:
                failure = MaybeStoredError(f"no answer within {STORE_TIMEOUT_S:.0f} s")
                self._failed(failure)
                raise failure from error
            except ArchiveError as error:
                self._failed(error)
                raise
            return stored

    def pause_s(self) -> float:
        """Return how long to wait before the next step (seconds): back off while it fails."""
        if self._failures == 0:
            return self._interval_s
        backoff_s = min(RETRY_S_MAX, RETRY_S_MIN * 2.0 ** min(self._failures - 1, 16))
        return backoff_s * (0.5 + self._jitter() / 2)

    def health(self) -> SnapshotHealth:
        """Look at how it goes; cheap, asks nobody."""
        newest = self._newest
        age_s = None if newest is None else (self._wall() - newest.taken_at).total_seconds()
        return SnapshotHealth(
            configured=self._archive is not None,
            last_stored=newest,
            age_s=None if age_s is None else max(0.0, age_s),
            failing_since=self._failing_since,
            last_error=self._last_error,
            stored_total=self._stored_total,
            failed_total=self._failed_total,
            last_duration_s=self._last_duration_s,
        )

    def _is_behind(self) -> bool:
        return self._newest is None or self._newest.chain != self._source.chain()

    async def _store(self, archive: SnapshotArchive) -> StoredSnapshot:
        started_s = self._clock.monotonic()
        self._captures += 1
        number = self._captures
        captured = self._source.capture()
        taken_at = self._wall()
        packed = await pack(captured.state)
        stored = await archive.store(
            SnapshotMeta(
                cluster_id=captured.cluster_id,
                node=captured.node,
                taken_at=taken_at,
                term=captured.term,
                applied_index=captured.applied_index,
                cluster_now_ms=captured.now_ms,
                lock_count=captured.lock_count,
                fencing_counter=captured.fencing_counter,
                chain=captured.chain,
                format_version=packed.format_version,
                digest=packed.digest,
                size_bytes=packed.size_bytes,
            ),
            packed.pieces,
        )
        self._mine = (number, stored)
        self._newest = stored
        self._stored_total += 1
        self._last_duration_s = self._clock.monotonic() - started_s
        self._succeeded()
        await self._retain(archive)
        return stored

    async def _retain(self, archive: SnapshotArchive) -> None:
        """Prune; its failure is an alarm, and no failure of the snapshot that was stored."""
        try:
            await archive.prune(*self._keep)
        except ArchiveError as error:
            self._failed(error)

    def _succeeded(self) -> None:
        if self._failing_since is not None:
            log.info("snapshots work again after %d failures", self._failures)
        self._failures = 0
        self._failing_since = None
        self._last_error = None

    def _failed(self, error: BaseException) -> None:
        self._failures += 1
        self._failed_total += 1
        said = str(error).splitlines()
        self._last_error = said[0] if said else type(error).__name__
        if self._failing_since is None:
            self._failing_since = self._wall()
            log.warning("snapshots fail, locks go on: %s", self._last_error)

    def _wall(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self._clock.wall_ms())
