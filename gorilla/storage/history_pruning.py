"""Deletes what the history need not keep any longer, some rows at a time."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Table, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gorilla.service.history_records import Claim, HistoryState, Retention
from gorilla.storage.tables import (
    history_cursors as cursors,
    history_gaps as gaps,
    history_holds as holds,
    history_waits as waits,
)

_DAY_S: Final = 86_400.0
_CLUSTERS_AT_ONCE: Final = 10


async def prune(
    connection: AsyncConnection, claim: Claim, state: HistoryState, keep: Retention, rows_max: int
) -> tuple[int, int]:
    """Delete rows of a cluster; return how many holds and how many waits.

    What is too old goes first, then the oldest of what is too much: the holds and the waits in
    the proportion that there is of them.
    """
    oldest = _oldest(keep)
    too_old = holds.c.ended_at < oldest
    old_holds = await _delete(connection, holds, claim.cluster_id, too_old, rows_max)
    left = rows_max - old_holds
    old_waits = await _delete(connection, waits, claim.cluster_id, waits.c.ended_at < oldest, left)
    mine = gaps.c.cluster_id == claim.cluster_id
    await connection.execute(delete(gaps).where(mine, gaps.c.to_at < oldest))
    has_holds, has_waits = state.hold_count - old_holds, state.wait_count - old_waits
    surplus = min(left - old_waits, has_holds + has_waits - keep.rows)
    if surplus <= 0:
        return old_holds, old_waits
    of_waits = surplus * has_waits // (has_holds + has_waits)
    ended = holds.c.ended_at.is_not(None)
    more_holds = await _delete(connection, holds, claim.cluster_id, ended, surplus - of_waits)
    more_waits = await _delete(
        connection, waits, claim.cluster_id, waits.c.ended_at.is_not(None), of_waits
    )
    return old_holds + more_holds, old_waits + more_waits


async def prune_others(
    connection: AsyncConnection, claim: Claim, keep: Retention, rows_max: int
) -> int:
    """Delete rows of clusters that write no more, and have not for so long as rows are kept."""
    wanted = (
        select(cursors.c.cluster_id)
        .where(cursors.c.cluster_id != claim.cluster_id, cursors.c.written_at < _oldest(keep))
        .limit(_CLUSTERS_AT_ONCE)
        # Two clusters that tidy up at once do not wait for each other.
        .with_for_update(skip_locked=True)
    )
    left = rows_max
    for cluster_id in (await connection.execute(wanted)).scalars().all():
        for table in (holds, waits):
            left -= await _delete(connection, table, cluster_id, None, left)
        if left > 0:
            for table in (gaps, cursors):
                await connection.execute(delete(table).where(table.c.cluster_id == cluster_id))
    return rows_max - left


def _oldest(keep: Retention) -> "ColumnElement[Any]":
    """Return the time before which nothing is kept, by the database's own clock."""
    return func.now() - func.make_interval(0, 0, 0, 0, 0, 0, keep.days * _DAY_S)


async def _delete(
    connection: AsyncConnection,
    table: Table,
    cluster_id: str,
    which: "ColumnElement[bool] | None",
    rows_max: int,
) -> int:
    """Delete at most so many rows, the oldest first."""
    if rows_max <= 0:
        return 0
    number = table.c.fencing_token if table is holds else table.c.number
    began = table.c.granted_at if table is holds else table.c.began_at
    chosen = select(number).where(table.c.cluster_id == cluster_id)
    if which is not None:
        chosen = chosen.where(which)
    oldest = chosen.order_by(began, number).limit(rows_max)
    gone = await connection.execute(
        delete(table).where(table.c.cluster_id == cluster_id, number.in_(oldest))
    )
    return gone.rowcount
