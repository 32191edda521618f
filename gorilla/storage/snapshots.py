"""The snapshot archive in PostgreSQL: the port of ``service.snapshots``, met."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, desc, func, insert, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gorilla.domain.limits import FENCING_EPOCH, FENCING_TOKEN_MAX
from gorilla.service.packing import PIECE_BYTES_MAX
from gorilla.service.snapshots import (
    ArchiveError,
    LoadedSnapshot,
    MaybeStoredError,
    SnapshotCorruptError,
    SnapshotMeta,
    SnapshotNotFoundError,
    StorageUnavailableError,
    StoredSnapshot,
)
from gorilla.storage.engine import LOCK_TIMEOUT_MS, STATEMENT_TIMEOUT_MS, make_engine
from gorilla.storage.failures import translated
from gorilla.storage.tables import restores, snapshot_pieces, snapshots
from gorilla.storage.urls import parse

LIST_MAX: Final = 1_000

RESTORE_LOCK: Final = 0x676F_7269_6C6C_6101
"""Advisory lock that restores take in turn: the letters "gorilla" and 1."""

_QUERY_TIMEOUT_S: Final = 45.0  # a connection, a ping and a statement, each at its bound
_BULK_TIMEOUT_S: Final = 590.0
_META = [snapshots.c[name] for name in StoredSnapshot.__struct_fields__]


class PostgresSnapshots:
    """Snapshots in PostgreSQL, for any number of clusters and nodes at once.

    Meets ``service.snapshots.SnapshotArchive``. Makes no connection before the first call, and
    each call finds a database that came back by itself.
    """

    def __init__(self, url: str) -> None:
        """Take a PostgreSQL URL; see ``storage.urls.parse`` for what it raises."""
        self._url = parse(url)
        self._engine = make_engine(self._url)

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    async def store(self, meta: SnapshotMeta, pieces: Sequence[bytes]) -> StoredSnapshot:
        """Keep a snapshot; the server's own SHA-256 of every row is compared before the commit.

        So what is committed is what was packed, also when a proxy or a wrong encoding is between.
        """
        assert all(len(piece) <= PIECE_BYTES_MAX for piece in pieces)
        is_complete = False
        try:
            async with self._transaction(_BULK_TIMEOUT_S) as connection:
                number = await _add(connection, meta, pieces)
                is_complete = True
        except StorageUnavailableError as error:
            if is_complete:
                raise MaybeStoredError(f"{error}, after all was sent") from error
            raise
        return StoredSnapshot(id=number, **msgspec.structs.asdict(meta))

    async def list(self, limit: int = 100) -> Sequence[StoredSnapshot]:
        """Return at most ``limit`` (1 to 1,000) snapshots, the last stored first."""
        wanted = select(*_META).order_by(desc(snapshots.c.id)).limit(min(max(limit, 1), LIST_MAX))
        async with self._transaction(_QUERY_TIMEOUT_S) as connection:
            return [_stored(row) for row in await connection.execute(wanted)]

    async def latest(self, cluster_id: str | None = None) -> StoredSnapshot | None:
        """Return the newest state of a cluster; without one, of the cluster that stored last.

        Newest is the largest applied index, whatever the nodes' wall clocks said: a lagging
        follower may have stored an older state later.
        """
        last = select(snapshots.c.cluster_id).order_by(desc(snapshots.c.id)).limit(1)
        cluster = last.scalar_subquery() if cluster_id is None else cluster_id
        wanted = (
            select(*_META)
            .where(snapshots.c.cluster_id == cluster)
            .order_by(desc(snapshots.c.applied_index), desc(snapshots.c.id))
            .limit(1)
        )
        async with self._transaction(_QUERY_TIMEOUT_S) as connection:
            row = (await connection.execute(wanted)).one_or_none()
        return None if row is None else _stored(row)

    async def load(self, snapshot_id: int) -> LoadedSnapshot:
        """Read a snapshot, row by row, and verify its digest.

        Raises:
            SnapshotNotFoundError: There is none of that id.
            SnapshotCorruptError: Its bytes are not those that were stored.

        """
        async with self._transaction(_BULK_TIMEOUT_S) as connection:
            meta = await _find(connection, snapshot_id)
            pieces = await _pieces(connection, snapshot_id, meta.size_bytes)
        digest = await asyncio.to_thread(_digest, pieces)
        if digest != meta.digest or sum(map(len, pieces)) != meta.size_bytes:
            raise SnapshotCorruptError(
                f"snapshot {snapshot_id} is damaged: its digest is not the one it was stored with;"
                " use another (gorillad snapshots list)"
            )
        return LoadedSnapshot(meta, tuple(pieces))

    async def prune(self, keep_count: int, keep_days: float) -> int:
        """Delete what is beyond ``keep_count`` of its cluster or older than ``keep_days``.

        Age is by the database's own clock. The newest of every cluster always stays, also because
        the floor of a restore is reckoned from it.
        """
        assert keep_count >= 1
        order = (desc(snapshots.c.applied_index), desc(snapshots.c.id))
        place = func.row_number().over(partition_by=snapshots.c.cluster_id, order_by=order)
        ranked = select(snapshots.c.id, snapshots.c.stored_at, place.label("place")).subquery()
        oldest = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, keep_days * 86_400.0)
        surplus = select(ranked.c.id).where(
            ranked.c.place > 1, or_(ranked.c.place > keep_count, ranked.c.stored_at < oldest)
        )
        async with self._transaction(_BULK_TIMEOUT_S) as connection:
            gone = await connection.execute(delete(snapshots).where(snapshots.c.id.in_(surplus)))
            return gone.rowcount

    async def reserve_fencing_floor(self, snapshot_id: int, *, node: str, hold_ms: int) -> int:
        """Record a restore and return its fencing floor, a multiple of ``FENCING_EPOCH``.

        At least one whole epoch above every counter that was ever stored and every earlier floor:
        no cluster grants that many locks after its last snapshot. Restores take turns.

        Raises:
            SnapshotNotFoundError: There is no snapshot of that id.

        """
        stored = select(func.coalesce(func.max(snapshots.c.fencing_counter), 0))
        given = select(func.coalesce(func.max(restores.c.fencing_floor), 0))
        async with self._transaction(_QUERY_TIMEOUT_S) as connection:
            turn = text("SELECT pg_advisory_xact_lock(:key)")
            await connection.execute(turn, {"key": RESTORE_LOCK})
            meta = await _find(connection, snapshot_id)
            highest = max(
                (await connection.execute(stored)).scalar_one(),
                (await connection.execute(given)).scalar_one(),
            )
            floor = fencing_floor(highest)
            values = {
                "snapshot_id": snapshot_id,
                "cluster_id": meta.cluster_id,
                "node": node,
                "hold_ms": hold_ms,
                "fencing_floor": floor,
            }
            await connection.execute(insert(restores), values)
        return floor

    @asynccontextmanager
    async def _transaction(self, timeout_s: float) -> AsyncIterator[AsyncConnection]:
        """Run statements as one transaction within ``timeout_s``, and explain what goes wrong."""
        with translated(self._url):
            async with asyncio.timeout(timeout_s), self._engine.begin() as connection:
                # Local to the transaction, so that it also works through a pooler.
                bounds = text(
                    "SELECT set_config('statement_timeout', :statement, true),"
                    " set_config('lock_timeout', :lock, true)"
                )
                limits = {"statement": str(STATEMENT_TIMEOUT_MS), "lock": str(LOCK_TIMEOUT_MS)}
                await connection.execute(bounds, limits)
                yield connection


def fencing_floor(highest: int) -> int:
    """Return the multiple of the epoch that is a whole epoch or more above ``highest``."""
    floor = -(-(highest + FENCING_EPOCH) // FENCING_EPOCH) * FENCING_EPOCH
    if floor + FENCING_EPOCH > FENCING_TOKEN_MAX:
        raise ArchiveError(
            f"no fencing numbers are left above {highest}: start a new cluster with other"
            " resource names, or reset the protected systems' memory of them"
        )
    return floor


def _stored(row: "Row[Any]") -> StoredSnapshot:
    return msgspec.convert(row._mapping, StoredSnapshot)  # noqa: SLF001 - SQLAlchemy's public name


async def _add(connection: AsyncConnection, meta: SnapshotMeta, pieces: Sequence[bytes]) -> int:
    """Insert a snapshot, compare what the server has, and return the snapshot's id."""
    adding = insert(snapshots).values(msgspec.structs.asdict(meta)).returning(snapshots.c.id)
    snapshot_id: int = (await connection.execute(adding)).scalar_one()
    for number, piece in enumerate(pieces):
        values = {"snapshot_id": snapshot_id, "number": number, "data": piece}
        await connection.execute(insert(snapshot_pieces), values)
    await _compare(connection, snapshot_id, pieces)
    return snapshot_id


def _digests(pieces: Sequence[bytes]) -> list[bytes]:
    return [hashlib.sha256(piece).digest() for piece in pieces]


def _digest(pieces: Sequence[bytes]) -> str:
    whole = hashlib.sha256()
    for piece in pieces:
        whole.update(piece)
    return whole.hexdigest()


async def _find(connection: AsyncConnection, snapshot_id: int) -> StoredSnapshot:
    wanted = select(*_META).where(snapshots.c.id == snapshot_id)
    row = (await connection.execute(wanted)).one_or_none()
    if row is None:
        raise SnapshotNotFoundError(
            f"there is no snapshot {snapshot_id} (gorillad snapshots list shows what there is)"
        )
    return _stored(row)


async def _pieces(connection: AsyncConnection, snapshot_id: int, size_bytes: int) -> list[bytes]:
    """Read the rows one at a time, so that neither side holds the whole twice."""
    mine = snapshot_pieces.c.snapshot_id == snapshot_id
    pieces: list[bytes] = []
    while sum(map(len, pieces)) < size_bytes:
        wanted = select(snapshot_pieces.c.data).where(mine, snapshot_pieces.c.number == len(pieces))
        data = (await connection.execute(wanted)).scalar_one_or_none()
        if data is None:
            break
        pieces.append(data)
    return pieces


async def _compare(connection: AsyncConnection, snapshot_id: int, sent: Sequence[bytes]) -> None:
    """Compare what the server has with what was sent, row by row."""
    wanted = (
        select(func.sha256(snapshot_pieces.c.data))
        .where(snapshot_pieces.c.snapshot_id == snapshot_id)
        .order_by(snapshot_pieces.c.number)
    )
    has = [bytes(digest) for digest in (await connection.execute(wanted)).scalars()]
    if has != await asyncio.to_thread(_digests, sent):
        raise SnapshotCorruptError("the database does not have what was sent: nothing was stored")
