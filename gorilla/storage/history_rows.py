"""The statements that write the history's rows. Each is safe to repeat within its transaction."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from gorilla.service.history_records import HistoryState
from gorilla.storage.history_times import milliseconds, optional_milliseconds
from gorilla.storage.tables import history_cursors as cursors, history_holds as holds

_HOLD_COLUMNS: Final = (
    "cluster_id, fencing_token, resource, owner, granted_at, is_grant_known, slots, session,"
    " waited_ms, reason, until_at, extensions, ended_at, ended_by, end_reason, forced_by, held_ms"
)

_SENT_HOLDS: Final = (
    "jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(fencing_token bigint, resource text,"
    " owner text, granted_ms bigint, is_grant_known boolean, slots integer, session bigint,"
    " waited_ms bigint, reason text, until_ms bigint, extensions integer, ended_ms bigint,"
    " ended_by text, end_reason text, forced_by text, held_ms bigint)"
)


def _hold_values(extensions: str) -> str:
    return (
        ":cluster, r.fencing_token, r.resource, r.owner, to_timestamp(r.granted_ms / 1000.0),"
        " r.is_grant_known, r.slots, r.session, r.waited_ms, r.reason,"
        f" to_timestamp(r.until_ms / 1000.0), {extensions}, to_timestamp(r.ended_ms / 1000.0),"
        " r.ended_by, r.end_reason, r.forced_by, r.held_ms"
    )


_REPLACED: Final = ", ".join(
    f"{name} = EXCLUDED.{name}" for name in _HOLD_COLUMNS.split(", ") if name != "cluster_id"
)

_GRANTED: Final = (
    "CASE WHEN h.is_grant_known THEN h.granted_at"
    " ELSE LEAST(h.granted_at, to_timestamp(r.granted_ms / 1000.0)) END"
)

# The names in these texts are the constants above; what is sent is bound.
ADD_HOLDS: Final = text(
    f"WITH added AS (INSERT INTO history_holds ({_HOLD_COLUMNS})"  # noqa: S608
    f" SELECT {_hold_values('r.extensions')} FROM {_SENT_HOLDS}"
    f" ON CONFLICT (cluster_id, fencing_token) DO UPDATE SET {_REPLACED}, last_seen_at = NULL"
    " RETURNING (xmax = 0) AS is_new) SELECT count(*) FILTER (WHERE is_new) FROM added"
)
"""Holds with their grants. One that was seen before its grant was written is there already."""

ADD_SEEN: Final = text(
    f"WITH added AS (INSERT INTO history_holds ({_HOLD_COLUMNS})"  # noqa: S608
    f" SELECT {_hold_values('NULL')} FROM {_SENT_HOLDS}"
    f" ON CONFLICT (cluster_id, fencing_token) DO UPDATE SET {_REPLACED}"
    " WHERE history_holds.ended_at IS NULL"
    " RETURNING (xmax = 0) AS is_new) SELECT count(*) FILTER (WHERE is_new) FROM added"
)
"""Holds that were seen in the lock table: all is known of them but how often they were extended."""

CHANGE_HOLDS: Final = text(
    f"WITH sent AS MATERIALIZED (SELECT * FROM {_SENT_HOLDS}),"  # noqa: S608
    " changed AS (UPDATE history_holds AS h SET"
    f" granted_at = {_GRANTED},"
    " extensions = CASE WHEN :settled THEN h.extensions + r.extensions END,"
    " until_at = CASE WHEN r.extensions > 0 THEN to_timestamp(r.until_ms / 1000.0)"
    " ELSE h.until_at END,"
    " ended_at = CASE WHEN r.ended_ms IS NULL THEN h.ended_at"
    f" ELSE GREATEST({_GRANTED}, to_timestamp(r.ended_ms / 1000.0)) END,"
    " ended_by = COALESCE(r.ended_by, h.ended_by),"
    " end_reason = COALESCE(r.end_reason, h.end_reason),"
    " forced_by = COALESCE(r.forced_by, h.forced_by),"
    " held_ms = COALESCE(r.held_ms, h.held_ms),"
    " last_seen_at = CASE WHEN r.ended_ms IS NULL THEN h.last_seen_at END"
    " FROM sent AS r WHERE h.cluster_id = :cluster AND h.fencing_token = r.fencing_token"
    " RETURNING h.fencing_token),"
    f" added AS (INSERT INTO history_holds ({_HOLD_COLUMNS})"
    f" SELECT {_hold_values('NULL')} FROM sent AS r WHERE NOT EXISTS"
    " (SELECT FROM changed WHERE changed.fencing_token = r.fencing_token)"
    " RETURNING 1) SELECT count(*) FROM added"
)
"""What became of holds whose grants are of earlier events; of some those may be in a gap.

Behind one, before it is settled, extensions of any of them may be in it.
"""

LOSE_HOLDS: Final = text(
    "UPDATE history_holds SET ended_at = GREATEST(granted_at, :now, :since), ended_by = 'unknown',"
    " last_seen_at = GREATEST(granted_at, :since), extensions = NULL"
    " WHERE cluster_id = :cluster AND fencing_token = ANY(CAST(:tokens AS bigint[]))"
    " AND ended_at IS NULL"
)
"""Holds that ended in a gap. The event of the end, where there is one, is written over it."""

ADD_WAITS: Final = text(
    "WITH added AS (INSERT INTO history_waits"
    " (cluster_id, number, resource, owner, ticket, began_at, ended_at, waited_ms, why)"
    " SELECT :cluster, r.number, r.resource, r.owner, r.ticket,"
    " to_timestamp(r.began_ms / 1000.0), to_timestamp(r.ended_ms / 1000.0), r.waited_ms, r.why"
    " FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(number bigint, resource text, owner text,"
    " ticket bigint, began_ms bigint, ended_ms bigint, waited_ms bigint, why text)"
    " RETURNING 1) SELECT count(*) FROM added"
)


async def read_state(
    connection: AsyncConnection, cluster_id: str, *, is_locked: bool = False
) -> HistoryState | None:
    """Read how far a cluster's history is; locked, nobody else writes until the end."""
    wanted = select(cursors).where(cursors.c.cluster_id == cluster_id)
    if is_locked:
        wanted = wanted.with_for_update()
    row = (await connection.execute(wanted)).one_or_none()
    if row is None:
        return None
    return HistoryState(
        number=row.number,
        at_ms=milliseconds(row.at),
        term=row.term,
        began_number=row.began_number,
        began_ms=optional_milliseconds(row.began_at),
        predecessor=row.predecessor,
        unsettled_ms=optional_milliseconds(row.unsettled_since),
        hold_count=row.hold_count,
        wait_count=row.wait_count,
    )


async def open_holds(
    connection: AsyncConnection, cluster_id: str, after: int, limit: int
) -> Sequence[tuple[int, str]]:
    """Read holds that have not ended, in order of their tokens."""
    wanted = (
        select(holds.c.fencing_token, holds.c.resource)
        .where(
            holds.c.cluster_id == cluster_id,
            holds.c.ended_at.is_(None),
            holds.c.fencing_token > after,
        )
        .order_by(holds.c.fencing_token)
        .limit(limit)
    )
    return [(row.fencing_token, row.resource) for row in await connection.execute(wanted)]
