"""A new cluster out of an archived snapshot: what its first node starts from, and why so.

Everything before :func:`prepare_restore` returns leaves the archive as it was, but for one row:
the fencing floor, which is given only once whether or not the restore is carried through.
"""

import asyncio
import math
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from gorilla.domain.codec import FormatError
from gorilla.domain.lease_clock import deadline_ms
from gorilla.domain.limits import TTL_MS_MAX
from gorilla.domain.restoring import restored
from gorilla.domain.table import LockTable
from gorilla.service.packing import PackingError, unpack
from gorilla.service.snapshots import (
    ArchiveError,
    LoadedSnapshot,
    SnapshotArchive,
    SnapshotCorruptError,
    SnapshotNotFoundError,
    StoredSnapshot,
)

_TTLS_PER_LOOK: Final = 10_000


class VerifiedSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot that was read back in full: its bytes are right and it is a lock table."""

    meta: StoredSnapshot
    table: LockTable
    longest_ttl_ms: int
    """The longest lease in it, 0 when there is none: what was usual, no bound of what was lost."""


class Hold(msgspec.Struct, frozen=True):
    """How long the new cluster makes no new grant (milliseconds of cluster time), and why."""

    ms: int
    reason: str


class PreparedRestore(msgspec.Struct, frozen=True, kw_only=True):
    """What the first node of the new cluster is prepared with."""

    source: StoredSnapshot
    genesis: Sequence[bytes]
    """The state that the new cluster starts from, as ``FrozenState.chunks`` gives it."""
    fencing_floor: int
    """Its fencing counter: the first grant has a larger number, and so has every later one."""
    hold_ms: int
    lock_count: int
    longest_ttl_ms: int
    reason: str
    """For the operator: what happens to new grants and to the locks that came back."""


async def choose(
    archive: SnapshotArchive, snapshot_id: int | None = None, cluster_id: str | None = None
) -> int:
    """Return ``snapshot_id``, or else the newest of a cluster (or of the one that stored last).

    Raises:
        SnapshotNotFoundError: There is none.
        ArchiveError: The archive could not be asked.

    """
    if snapshot_id is not None:
        return snapshot_id
    latest = await archive.latest(cluster_id)
    if latest is None:
        whose = "" if cluster_id is None else f" of cluster {cluster_id}"
        raise SnapshotNotFoundError(
            f"the archive has no snapshot{whose}: is it the right GORILLA_DATABASE_URL?"
        )
    return latest.id


async def verify(archive: SnapshotArchive, snapshot_id: int) -> VerifiedSnapshot:
    """Read a snapshot in full and check that it is what it says.

    Raises:
        SnapshotNotFoundError: There is none of that id.
        SnapshotCorruptError: It is damaged; another must be used.
        ArchiveError: The archive could not be asked.

    """
    loaded = await archive.load(snapshot_id)
    return await asyncio.to_thread(_read, loaded)


async def prepare_restore(  # noqa: PLR0913 - everything that decides is an input
    archive: SnapshotArchive,
    snapshot_id: int | None = None,
    *,
    cluster_id: str | None = None,
    hold_s: float | None = None,
    max_timeout_ms: int,
    node: str,
    wall_ms: int | None = None,
) -> PreparedRestore:
    """Prepare a new cluster's first state from a snapshot.

    The snapshot is verified first; then a fencing floor is reserved in the archive, so that two
    restores of one snapshot never give the same number.

    Args:
        archive: Where the snapshots are.
        snapshot_id: Which; None is the newest (see :func:`choose`).
        cluster_id: Whose newest, when no id is given.
        hold_s: How long no new grant is made (seconds); None is as long as a lost one may last.
        max_timeout_ms: The longest timeout that the lost cluster could grant (milliseconds).
        node: Name of the node that is prepared, for the record.
        wall_ms: Wall time now, for display.

    Raises:
        ValueError: ``hold_s`` is no time that can be waited for.
        ArchiveError: The snapshot is missing or damaged, or the archive could not be asked.

    """
    wished_ms = None if hold_s is None else _milliseconds(hold_s)
    verified = await verify(archive, await choose(archive, snapshot_id, cluster_id))
    meta, table = verified.meta, verified.table
    left_ms = max(0, table.hold_until_ms - table.now_ms)
    longest_ms = max(max_timeout_ms, verified.longest_ttl_ms)
    hold = hold_for(wished_ms, longest_ms, left_ms)
    floor = await archive.reserve_fencing_floor(meta.id, node=node, hold_ms=hold.ms)
    genesis = await asyncio.to_thread(_genesis, table, floor, hold.ms, wall_ms)
    return PreparedRestore(
        source=meta,
        genesis=genesis,
        fencing_floor=floor,
        hold_ms=hold.ms,
        lock_count=table.held,
        longest_ttl_ms=verified.longest_ttl_ms,
        reason=_explained(meta, table.held, hold),
    )


def hold_for(wished_ms: int | None, longest_ms: int, left_ms: int = 0) -> Hold:
    """Decide how long new grants are held off.

    A lock granted or extended after the snapshot is lost with the cluster, and its holder may
    count on it for the longest timeout from the moment of the loss. That moment is unknown, it may
    be just now, so nothing is deducted for the snapshot's age.

    Args:
        wished_ms: What the operator says, or None (milliseconds).
        longest_ms: The longest timeout that the lost cluster granted (milliseconds).
        left_ms: What is left of the hold of an earlier restore that the snapshot is out of. It is
            never cut short: it protects holders of a cluster that was lost before.

    """
    if wished_ms is None:
        needed_ms = deadline_ms(0, longest_ms)
        reason = (
            f"a lock granted or extended after the snapshot may still be counted on by its holder"
            f" for the longest timeout, {_seconds(longest_ms)}; if you know that none lasts so"
            " long, say how long with --hold SECONDS"
        )
    elif wished_ms == 0:
        needed_ms = 0
        reason = (
            "--hold 0: a lock granted after the snapshot and still counted on by its holder can"
            " be granted to another at once, so two may hold it"
        )
    else:
        needed_ms = wished_ms
        reason = (
            "--hold says so: a lock granted after the snapshot is safe from a second holder if"
            " its timeout ends within that time"
        )
    if left_ms > needed_ms:
        return Hold(left_ms, "so much is left of an earlier restore's hold, and it is kept")
    return Hold(needed_ms, reason)


def _explained(meta: StoredSnapshot, locks: int, hold: Hold) -> str:
    taken = meta.taken_at.strftime("%Y-%m-%d %H:%M:%S")
    return (
        f"{locks} locks as of {taken} UTC come back with their tokens and their full timeouts"
        " anew, and can be extended and released at once. No new lock is granted for"
        f" {_seconds(hold.ms)}: {hold.reason}."
    )


def _milliseconds(hold_s: float) -> int:
    if not math.isfinite(hold_s) or not 0 <= hold_s * 1000 <= TTL_MS_MAX:
        raise ValueError(f"--hold is a number of seconds from 0 to {TTL_MS_MAX // 1000}")
    return math.ceil(hold_s * 1000)


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.15g} s"


def _read(loaded: LoadedSnapshot) -> VerifiedSnapshot:
    meta = loaded.meta
    try:
        table = LockTable.load(unpack(meta.format_version, loaded.pieces))
    except (PackingError, FormatError) as error:
        raise SnapshotCorruptError(f"snapshot {meta.id} can't be read: {error}") from error
    if (table.held, table.fencing_counter) != (meta.lock_count, meta.fencing_counter):
        raise SnapshotCorruptError(
            f"snapshot {meta.id} says {meta.lock_count} locks and fencing counter"
            f" {meta.fencing_counter}, and holds {table.held} and {table.fencing_counter}"
        )
    return VerifiedSnapshot(meta=meta, table=table, longest_ttl_ms=max(_ttls(table), default=0))


def _ttls(table: LockTable) -> Iterable[int]:
    """Yield the length of every lease, page by page."""
    page = table.leases(limit=_TTLS_PER_LOOK)
    while page:
        yield from (lease.ttl_ms for lease in page)
        page = table.leases(after=page[-1].lock, limit=_TTLS_PER_LOOK)


def _genesis(table: LockTable, floor: int, hold_ms: int, wall_ms: int | None) -> tuple[bytes, ...]:
    """Encode the restored state. Its counter is the floor itself: the first multiple beyond it."""
    try:
        made = restored(table, floor - 1, hold_ms, wall_ms)
    except ValueError as error:
        raise ArchiveError(f"this snapshot can't be restored: {error}") from error
    assert made.fencing_counter == floor, "the new cluster must start from the reserved number"
    return tuple(made.freeze().chunks())
