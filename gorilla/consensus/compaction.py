"""Shortening the log: local snapshots, made beside the work and without a fork.

The state is frozen by shallow copies, encoded in small steps between turns, written and synced
before the log forgets anything. The object takes the place of the library's serializer, whose own
procedure loses entries when killed (H2, H10, H21, H38).
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from pysyncobj.config import SERIALIZER_STATE
from pysyncobj.node import Node

from gorilla.consensus.codec import LogEntry, MemberNode
from gorilla.consensus.journal import Journal
from gorilla.consensus.library import FailStopError
from gorilla.consensus.ports import Offload
from gorilla.consensus.remedies import is_full, told
from gorilla.consensus.roster import RosterLog, decode_roster, encode_roster
from gorilla.consensus.snapshots import (
    SnapshotFailedError,
    SnapshotMeta,
    SnapshotStore,
    SnapshotWriter,
    meaningless,
)
from gorilla.domain.codec import FormatError
from gorilla.domain.versions import ClusterVersionError
from gorilla.service.ports import FrozenState, Member, Replica

log = logging.getLogger(__name__)

CHUNKS_PER_STEP: Final = 2
RETRY_AFTER_S: Final = 10.0
"""Pause after a snapshot for which there was no room (seconds)."""


class Position(msgspec.Struct, frozen=True):
    """Where the library's log stands at a snapshot."""

    last: LogEntry
    previous: LogEntry
    members: tuple[Member, ...]


def load_local(
    store: SnapshotStore, cluster_id: str, replica: Replica, journal: Journal, roster: RosterLog
) -> Position | None:
    """Begin from the local snapshot, if there is one: replica, journal and roster agree after.

    Raises:
        CorruptSnapshotError: The snapshot is damaged, or nothing that this program can read.
        FailStopError: The snapshot is of another cluster than ``cluster_id`` (H16).
        CorruptJournalError: The journal doesn't go with the snapshot, or wants one (H2, H22).

    """
    snapshot = store.latest()
    if snapshot is None:
        journal.expect_no_snapshot()
        return None
    meta = snapshot.meta
    if meta.cluster_id != cluster_id:
        raise FailStopError(f"the local snapshot is of cluster {meta.cluster_id}, not this one")
    try:
        known = decode_roster(meta.members)
        replica.load(meta.index, snapshot.chunks())
    except ClusterVersionError:
        raise
    except (FormatError, msgspec.MsgspecError) as error:
        raise meaningless(snapshot.name, error) from error
    journal.align(meta.previous, meta.last)
    roster.replace(known, meta.index)
    return Position(meta.last, meta.previous, known.members)


class _Job:
    def __init__(self, writer: SnapshotWriter, chunks: Iterator[bytes], index: int) -> None:
        self.writer = writer
        self.chunks = chunks
        self.index = index
        self.is_syncing = False
        self.is_cancelled = False
        self.outcome: int | None = None


class Compactor:
    """Makes local snapshots; what the library calls its serializer."""

    def __init__(
        self,
        store: SnapshotStore,
        offload: Offload,
        *,
        cluster_id: str,
        freeze: Callable[[], FrozenState],
        roster: RosterLog,
        monotonic: Callable[[], float],
    ) -> None:
        """Write to ``store``; ``freeze`` and ``roster`` give what a snapshot holds."""
        self._store = store
        self._offload = offload
        self._cluster_id = cluster_id
        self._freeze = freeze
        self._roster = roster
        self._monotonic = monotonic
        self._job: _Job | None = None
        self._position: int | None = None
        self._not_before = float("-inf")
        self._prepared: Position | None = None
        self.snapshot_index = 0
        self.failures = 0

    def may_start(self) -> bool:
        """Return whether a new snapshot makes sense now."""
        return self._job is None and self._monotonic() >= self._not_before

    def step(self) -> bool:
        """Encode a little; returns whether there is more to do at once."""
        job = self._job
        if job is None or job.is_syncing or job.outcome is not None:
            return False
        try:
            for _ in range(CHUNKS_PER_STEP):
                chunk = next(job.chunks, None)
                if chunk is None:
                    job.is_syncing = True
                    self._offload(job.writer.commit_file, lambda error: self._synced(job, error))
                    return False
                job.writer.write(chunk)
        except OSError as error:
            self._fail(job, error)
            return False
        return True

    def cancel(self) -> None:
        """Give up the running snapshot: a newer one was installed from the leader."""
        job, self._job = self._job, None
        if job is not None:
            job.is_cancelled = True
            if not job.is_syncing:
                job.writer.abort()

    def _synced(self, job: _Job, error: BaseException | None) -> None:
        if job.is_cancelled:
            job.writer.abort()
            return
        if isinstance(error, OSError):
            self._fail(job, error)
            return
        if error is not None:
            raise error
        try:
            job.writer.publish()
        except OSError as failure:  # it may have its name durably or not: nobody can tell any more
            raise _failed(job.index, failure) from failure
        self.snapshot_index = job.index
        job.outcome = SERIALIZER_STATE.SUCCESS

    def _fail(self, job: _Job, error: OSError) -> None:
        self._postpone(job.index, error)
        job.writer.abort()
        job.outcome = SERIALIZER_STATE.FAILED

    def _postpone(self, index: int, error: OSError) -> None:
        """Try again later where only room is lacking; nothing else that a disk refuses is retried.

        The journal holds everything, and stops the node when there is no room for it either.
        """
        if not is_full(error):
            raise _failed(index, error) from error
        log.warning("no snapshot of entry %d now: %s", index, told(error))
        self.failures += 1
        self._not_before = self._monotonic() + RETRY_AFTER_S

    # -- what the library calls

    def prepare(self, position: Position) -> None:
        """Set what the next :meth:`deserialize` gives; the replica holds that state already."""
        self._prepared = position
        self.snapshot_index = position.last[1]

    def checkSerializing(self) -> tuple[int, int | None]:
        """Return the state of the job, and the log position that it covers."""
        if self._job is None:
            return SERIALIZER_STATE.NOT_SERIALIZING, None
        outcome = self._job.outcome
        if outcome is None:
            return SERIALIZER_STATE.SERIALIZING, self._position
        self._job = None
        return outcome, self._position

    def serialize(self, data: tuple[Any, LogEntry, LogEntry, set[Node]], position: int) -> None:
        """Start a snapshot as of the last applied entry."""
        _, last, previous, _ = data
        meta = SnapshotMeta(
            index=last[1],
            term=last[2],
            last=last,
            previous=previous,
            members=encode_roster(self._roster.settle(last[1])),
            cluster_id=self._cluster_id,
        )
        self._position = position
        try:
            writer = self._store.begin(meta)
        except OSError as error:
            self._postpone(last[1], error)
            return
        self._job = _Job(writer, self._freeze().chunks(), last[1])

    def deserialize(self) -> tuple[None, LogEntry, LogEntry, list[Node]]:
        """Return the position that was prepared."""
        prepared = self._prepared
        assert prepared is not None, "a snapshot is prepared before the library loads it"
        members: list[Node] = [MemberNode(member) for member in prepared.members]
        return None, prepared.last, prepared.previous, members

    def getTransmissionData(self, peer: Node) -> None:  # noqa: ARG002  the library's signature
        """Return None: ``shipping`` sends snapshots."""
        return

    def cancelTransmisstion(self, peer: Node) -> None:
        """Do nothing: ``shipping`` knows who is connected."""


def _failed(index: int, error: OSError) -> SnapshotFailedError:
    return SnapshotFailedError(f"the snapshot of entry {index} can't be written: {told(error)}")
