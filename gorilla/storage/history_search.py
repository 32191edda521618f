"""Looks things up in the history: one cluster's, and of those that it was restored from."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Row, Table, and_, case, exists, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from gorilla.domain.events import Left
from gorilla.service.history_records import (
    GAPS_MAX,
    EndedBy,
    Found,
    Gap,
    HeldOnce,
    HistoryState,
    Kind,
    Question,
    WaitedOnce,
)
from gorilla.storage.history_rows import read_state
from gorilla.storage.history_times import milliseconds, moment, optional_milliseconds
from gorilla.storage.tables import history_gaps, history_holds as holds, history_waits as waits

ANCESTORS_MAX: Final = 8
"""Restores that an answer looks back beyond."""


class _Part(msgspec.Struct, frozen=True):
    """A cluster whose history is looked at."""

    cluster_id: str
    state: HistoryState
    until_ms: int
    """When the cluster that was restored from it began; without meaning for the first one."""


async def find(connection: AsyncConnection, cluster_id: str, question: Question) -> Found:
    """Answer a question."""
    line = await _line(connection, cluster_id)
    if not line:
        return Found(state=None, entries=(), has_more=False, gaps=(), began_ms=None)
    entries: tuple[HeldOnce, ...] | tuple[WaitedOnce, ...]
    if question.kind is Kind.WAIT:
        rows = await _rows(connection, waits, line, question)
        entries = tuple(map(_waited, rows[: question.limit]))
    else:
        rows = await _rows(connection, holds, line, question)
        parts = {part.cluster_id: part for part in line}
        entries = tuple(_held(row, parts[row.cluster_id]) for row in rows[: question.limit])
    return Found(
        state=line[0].state,
        entries=entries,
        has_more=len(rows) > question.limit,
        gaps=await _gaps(connection, line, question),
        began_ms=line[-1].state.began_ms,
    )


async def _line(connection: AsyncConnection, cluster_id: str) -> list[_Part]:
    """Return the cluster and those that it comes from, the latest first."""
    line: list[_Part] = []
    wanted: str | None = cluster_id
    until_ms = 0
    while wanted is not None and len(line) <= ANCESTORS_MAX:
        state = await read_state(connection, wanted)
        if state is None or any(part.cluster_id == wanted for part in line):
            break
        line.append(_Part(wanted, state, until_ms))
        wanted, until_ms = state.predecessor, _began_ms(state)
    return line


def _began_ms(state: HistoryState) -> int:
    """Return when a history began; a restored cluster's begins with the restore."""
    return state.at_ms if state.began_ms is None else state.began_ms


async def _rows(
    connection: AsyncConnection, table: Table, line: Sequence[_Part], question: Question
) -> "Sequence[Row[Any]]":
    """Read one row more than are wanted, if there are."""
    is_hold = table is holds
    began = table.c.granted_at if is_hold else table.c.began_at
    number = table.c.fencing_token if is_hold else table.c.number
    wanted = select(table).where(
        _in_line(table, line, began), *_lasted(table, line, question), *_asked(table, question)
    )
    if question.before is not None:
        at_ms, last = question.before
        wanted = wanted.where(tuple_(began, number) < tuple_(moment(at_ms), last))
    ordered = wanted.order_by(began.desc(), number.desc()).limit(question.limit + 1)
    return (await connection.execute(ordered)).all()


def _in_line(
    table: Table, line: Sequence[_Part], began: "ColumnElement[Any]"
) -> "ColumnElement[bool]":
    """Each cluster's rows, but what a later one knows better, or knows nothing of."""
    choices = [table.c.cluster_id == line[0].cluster_id]
    for at, part in enumerate(line[1:], start=1):
        choice = [table.c.cluster_id == part.cluster_id, began < moment(part.until_ms)]
        if table is holds:
            # It came back with the restore, and its row goes on there.
            later = holds.alias("later")
            choice.append(
                ~exists().where(
                    later.c.cluster_id.in_([one.cluster_id for one in line[:at]]),
                    later.c.fencing_token == holds.c.fencing_token,
                )
            )
        choices.append(and_(*choice))
    return or_(*choices)


def _lasted(table: Table, line: Sequence[_Part], question: Question) -> "list[ColumnElement[bool]]":
    """What overlaps the time that is asked for, and has ended as asked."""
    began = table.c.granted_at if table is holds else table.c.began_at
    ended: ColumnElement[Any] = table.c.ended_at
    if len(line) > 1:
        # What was held when its cluster was lost ended then, as far as anybody knows.
        lost = [(table.c.cluster_id == part.cluster_id, moment(part.until_ms)) for part in line[1:]]
        ended = func.coalesce(ended, case(*lost))
    conditions = []
    if question.to_ms is not None:
        conditions.append(began <= moment(question.to_ms))
    if question.from_ms is not None:
        conditions.append(or_(ended.is_(None), ended >= moment(question.from_ms)))
    if question.at_ms is not None:
        at = moment(question.at_ms)
        conditions += [began <= at, or_(ended.is_(None), ended > at)]
    if question.is_ended is not None:
        conditions.append(ended.is_not(None) if question.is_ended else ended.is_(None))
    return conditions


def _asked(table: Table, question: Question) -> "list[ColumnElement[bool]]":
    """What is of the lock and owner that are asked for, and ended in the way that is."""
    conditions = []
    if question.resource is not None:
        conditions.append(table.c.resource == question.resource)
    if question.owner is not None:
        conditions.append(table.c.owner == question.owner)
    if question.prefix:
        conditions.append(func.starts_with(table.c.resource, question.prefix))
    if question.ended_by is not None and table is holds:
        conditions.append(holds.c.ended_by == question.ended_by.value)
    return conditions


async def _gaps(
    connection: AsyncConnection, line: Sequence[_Part], question: Question
) -> tuple[Gap, ...]:
    """Return the gaps of the time that is asked for, those between two clusters among them."""
    low_ms, high_ms = question.from_ms, question.to_ms
    if question.at_ms is not None:
        low_ms = high_ms = question.at_ms
    ids = [part.cluster_id for part in line]
    wanted = select(history_gaps).where(history_gaps.c.cluster_id.in_(ids))
    if low_ms is not None:
        wanted = wanted.where(history_gaps.c.to_at >= moment(low_ms))
    if high_ms is not None:
        wanted = wanted.where(history_gaps.c.from_at <= moment(high_ms))
    ordered = wanted.order_by(history_gaps.c.from_at.desc(), history_gaps.c.first_number.desc())
    rows = (await connection.execute(ordered.limit(GAPS_MAX))).all()
    found = [
        Gap(
            first_number=row.first_number,
            last_number=row.last_number,
            from_ms=milliseconds(row.from_at),
            to_ms=milliseconds(row.to_at),
        )
        for row in rows
    ]
    found += [
        gap
        for gap in map(_lost_between, line, line[1:])
        if (low_ms is None or gap.to_ms >= low_ms) and (high_ms is None or gap.from_ms <= high_ms)
    ]
    found.sort(key=lambda gap: (gap.from_ms, gap.first_number), reverse=True)
    return tuple(found[:GAPS_MAX])


def _lost_between(later: _Part, earlier: _Part) -> Gap:
    """Return what an earlier cluster may have done that no history has."""
    began_ms = earlier.until_ms
    return Gap(
        first_number=earlier.state.number + 1,
        last_number=max(later.state.began_number - 1, earlier.state.number + 1),
        from_ms=min(earlier.state.at_ms, began_ms),
        to_ms=began_ms,
    )


def _held(row: "Row[Any]", part: _Part) -> HeldOnce:
    ended_ms, ended_by = optional_milliseconds(row.ended_at), row.ended_by
    seen_ms = optional_milliseconds(row.last_seen_at)
    granted_ms = milliseconds(row.granted_at)
    if ended_ms is None and part.until_ms:
        # Its cluster was lost, and it did not come back: it ended nobody knows when.
        ended_ms, ended_by = max(part.until_ms, granted_ms), EndedBy.UNKNOWN.value
        seen_ms = max(granted_ms, min(part.state.at_ms, ended_ms))
    return HeldOnce(
        cluster_id=row.cluster_id,
        fencing_token=row.fencing_token,
        resource=row.resource,
        owner=row.owner,
        granted_ms=granted_ms,
        is_grant_known=row.is_grant_known,
        slots=row.slots,
        session=row.session,
        waited_ms=row.waited_ms,
        reason=row.reason,
        until_ms=optional_milliseconds(row.until_at),
        extensions=row.extensions,
        ended_ms=ended_ms,
        ended_by=None if ended_by is None else EndedBy(ended_by),
        end_reason=row.end_reason,
        forced_by=row.forced_by,
        held_ms=row.held_ms,
        last_seen_ms=seen_ms,
    )


def _waited(row: "Row[Any]") -> WaitedOnce:
    return WaitedOnce(
        cluster_id=row.cluster_id,
        number=row.number,
        resource=row.resource,
        owner=row.owner,
        ticket=row.ticket,
        began_ms=milliseconds(row.began_at),
        ended_ms=milliseconds(row.ended_at),
        waited_ms=row.waited_ms,
        why=Left(row.why),
    )
