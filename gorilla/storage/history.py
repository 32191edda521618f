"""The history in PostgreSQL: the port of ``service.history_records``, met.

Rows go to the server as one JSON text a statement, and the server takes it apart: so a thousand
events cost the event loop a few milliseconds.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from sqlalchemy import TextClause, insert, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from gorilla.service.history_records import (
    Beginning,
    Changes,
    Claim,
    Found,
    Gap,
    HistoryState,
    HoldChange,
    Question,
    Retention,
)
from gorilla.service.snapshots import ArchiveError
from gorilla.storage import history_pruning, history_rows, history_search
from gorilla.storage.engine import LOCK_TIMEOUT_MS, make_engine
from gorilla.storage.failures import translated
from gorilla.storage.history_rows import ADD_HOLDS, ADD_SEEN, ADD_WAITS, CHANGE_HOLDS, LOSE_HOLDS
from gorilla.storage.history_times import moment
from gorilla.storage.tables import history_cursors as cursors, history_gaps, restores
from gorilla.storage.urls import parse

WRITE_TIMEOUT_MS: Final = 15_000
FIND_TIMEOUT_MS: Final = 4_000
"""Bound of one statement that looks something up: a question that takes longer is too broad."""

IDLE_TIMEOUT_MS: Final = 10_000
"""How long a node that stands still may keep others from writing before the server ends it."""

_CALL_TIMEOUT_S: Final = 30.0


class PostgresHistory:
    """The history of any number of clusters in PostgreSQL, written by any number of nodes.

    Meets ``service.history_records.History``. Makes no connection before the first call, and each
    call finds a database that came back by itself. Whoever writes locks the cluster's row of
    ``history_cursors`` first, so writers take turns, and each sees what those before it did.
    """

    def __init__(self, url: str) -> None:
        """Take a PostgreSQL URL; see ``storage.urls.parse`` for what it raises."""
        self._url = parse(url)
        self._engine = make_engine(self._url)

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()

    async def state(self, cluster_id: str) -> HistoryState | None:
        """Return how far the history of a cluster is; None when it has not begun."""
        async with self._transaction(WRITE_TIMEOUT_MS) as connection:
            return await history_rows.read_state(connection, cluster_id)

    async def begin(self, claim: Claim, beginning: Beginning) -> HistoryState:
        """Begin the history of a cluster, unless it has begun."""
        async with self._transaction(WRITE_TIMEOUT_MS) as connection:
            at = moment(beginning.at_ms)
            values = {
                "cluster_id": claim.cluster_id,
                "number": beginning.number,
                "at": at,
                "term": claim.term,
                "began_number": beginning.number + 1,
                "began_at": None if beginning.is_whole else at,
                "unsettled_since": None if beginning.is_whole else at,
                "predecessor": await _predecessor(connection, claim, beginning),
            }
            adding = postgresql.insert(cursors).values(values).on_conflict_do_nothing()
            await connection.execute(adding)
            return await _locked(connection, claim)

    async def append(self, claim: Claim, after: int, changes: Changes) -> HistoryState:
        """Apply changes, if ``after`` is the last event that is in the history."""
        async with self._transaction(WRITE_TIMEOUT_MS) as connection:
            state = await _locked(connection, claim)
            if state.number != after or state.term > claim.term:
                return state
            holds = await _apply_holds(connection, claim, state, changes.holds)
            waits = await _send(connection, ADD_WAITS, claim, changes.waits)
            return await _move(
                connection,
                claim,
                number=changes.last_number,
                at=moment(changes.last_ms),
                hold_count=cursors.c.hold_count + holds,
                wait_count=cursors.c.wait_count + waits,
            )

    async def skip(self, claim: Claim, gap: Gap) -> HistoryState:
        """Record a gap that begins right after the last event; the history is unsettled then."""
        async with self._transaction(WRITE_TIMEOUT_MS) as connection:
            state = await _locked(connection, claim)
            if state.number != gap.first_number - 1 or state.term > claim.term:
                return state
            since_ms = gap.from_ms if state.unsettled_ms is None else state.unsettled_ms
            values = {
                "cluster_id": claim.cluster_id,
                "first_number": gap.first_number,
                "last_number": gap.last_number,
                "from_at": moment(gap.from_ms),
                "to_at": moment(gap.to_ms),
            }
            await connection.execute(insert(history_gaps).values(values))
            return await _move(
                connection,
                claim,
                number=gap.last_number,
                at=moment(gap.to_ms),
                unsettled_since=moment(since_ms),
            )

    async def open_holds(
        self, cluster_id: str, after: int, limit: int
    ) -> Sequence[tuple[int, str]]:
        """Return fencing token and resource of holds that have not ended, in order of tokens."""
        async with self._transaction(WRITE_TIMEOUT_MS) as connection:
            return await history_rows.open_holds(connection, cluster_id, after, limit)

    async def settle(
        self,
        claim: Claim,
        *,
        seen: Sequence[HoldChange] = (),
        lost: Sequence[int] = (),
        now_ms: int = 0,
        is_done: bool = False,
    ) -> HistoryState:
        """Set right what a gap left, little by little; nothing where nothing is unsettled."""
        async with self._transaction(WRITE_TIMEOUT_MS) as connection:
            state = await _locked(connection, claim)
            if state.term > claim.term or state.unsettled_ms is None:
                return state
            added = await _send(connection, ADD_SEEN, claim, seen)
            if lost:
                values = {
                    "cluster": claim.cluster_id,
                    "tokens": list(lost),
                    "now": moment(now_ms),
                    "since": moment(state.unsettled_ms),
                }
                await connection.execute(LOSE_HOLDS, values)
            done = {"unsettled_since": None} if is_done else {}
            return await _move(connection, claim, hold_count=cursors.c.hold_count + added, **done)

    async def prune(self, claim: Claim, keep: Retention, rows_max: int) -> int:
        """Delete at most ``rows_max`` of the oldest rows that are beyond ``keep``."""
        async with self._transaction(WRITE_TIMEOUT_MS) as connection:
            state = await _locked(connection, claim)
            if state.term > claim.term:
                return 0
            holds, waits = await history_pruning.prune(connection, claim, state, keep, rows_max)
            # Under the term of whoever wrote last: this says nothing about events.
            await _move(
                connection,
                Claim(claim.cluster_id, state.term),
                hold_count=cursors.c.hold_count - holds,
                wait_count=cursors.c.wait_count - waits,
            )
            left = rows_max - holds - waits
            others = await history_pruning.prune_others(connection, claim, keep, left)
            return holds + waits + others

    async def find(self, cluster_id: str, question: Question) -> Found:
        """Look something up, in the history of a cluster and of those it was restored from."""
        async with self._transaction(FIND_TIMEOUT_MS) as connection:
            return await history_search.find(connection, cluster_id, question)

    @asynccontextmanager
    async def _transaction(self, statement_ms: int) -> AsyncIterator[AsyncConnection]:
        """Run statements as one transaction, each within its bound; explain what goes wrong."""
        with translated(self._url):
            async with asyncio.timeout(_CALL_TIMEOUT_S), self._engine.begin() as connection:
                # Local to the transaction, so that it also works through a pooler.
                bounds = text(
                    "SELECT set_config('statement_timeout', :statement, true),"
                    " set_config('lock_timeout', :lock, true),"
                    " set_config('idle_in_transaction_session_timeout', :idle, true)"
                )
                limits = {
                    "statement": str(statement_ms),
                    "lock": str(min(statement_ms, LOCK_TIMEOUT_MS)),
                    "idle": str(IDLE_TIMEOUT_MS),
                }
                await connection.execute(bounds, limits)
                yield connection


async def _locked(connection: AsyncConnection, claim: Claim) -> HistoryState:
    """Read the cluster's cursor and keep everybody else from it until the transaction ends."""
    state = await history_rows.read_state(connection, claim.cluster_id, is_locked=True)
    if state is None:
        # Somebody deleted it; the writer begins anew.
        raise ArchiveError("the database has lost the history's cursor of this cluster")
    return state


async def _move(connection: AsyncConnection, claim: Claim, **values: object) -> HistoryState:
    changing = (
        update(cursors)
        .where(cursors.c.cluster_id == claim.cluster_id)
        .values(term=claim.term, written_at=text("now()"), **values)
    )
    await connection.execute(changing)
    state = await history_rows.read_state(connection, claim.cluster_id)
    assert state is not None
    return state


async def _apply_holds(
    connection: AsyncConnection, claim: Claim, state: HistoryState, holds: Sequence[HoldChange]
) -> int:
    """Write what became of holds; return how many rows are new."""
    granted = [hold for hold in holds if hold.is_grant_known]
    others = [hold for hold in holds if not hold.is_grant_known]
    added = await _send(connection, ADD_HOLDS, claim, granted)
    is_settled = state.unsettled_ms is None
    return added + await _send(connection, CHANGE_HOLDS, claim, others, settled=is_settled)


async def _send(
    connection: AsyncConnection,
    statement: TextClause,
    claim: Claim,
    rows: Sequence[msgspec.Struct],
    **more: bool,
) -> int:
    """Run a statement on rows, if there are any; return how many it added."""
    if not rows:
        return 0
    values = {"cluster": claim.cluster_id, "rows": msgspec.json.encode(rows).decode(), **more}
    added: int = (await connection.execute(statement, values)).scalar_one()
    return added


async def _predecessor(
    connection: AsyncConnection, claim: Claim, beginning: Beginning
) -> str | None:
    """Return the cluster whose snapshot this one began with, if it did and this database knows."""
    if not beginning.fencing_floor:
        return None
    wanted = select(restores.c.cluster_id).where(
        restores.c.fencing_floor == beginning.fencing_floor,
        restores.c.cluster_id != claim.cluster_id,
    )
    found: str | None = (await connection.execute(wanted)).scalar_one_or_none()
    return found
