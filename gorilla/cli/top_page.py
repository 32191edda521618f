"""The page of ``gorilla lock top``, as lines that fit the terminal: pure."""

from collections.abc import Sequence
from typing import Final

from gorilla.cli.lock_views import time_left
from gorilla.cli.tables import Cell, Column, Styled, Table, count_of, laid_out, painted
from gorilla.cli.times import told
from gorilla.cli.top_figures import Standing

PARTS: Final = 4
ROWS_MIN: Final = 2 * PARTS
ROWS_PLAIN: Final = 10
"""Rows of each part where no terminal bounds them."""

_LINES_OF_PART: Final = 3
"""A blank line, a title, the names of the columns."""

_HEAD_LINES: Final = 2

_NAMES: Final = (Column("RESOURCE", flexible=True), Column("OWNER", flexible=True))


def rows_of(height: int) -> int:
    """Return how many rows all parts together may have on a terminal."""
    return max(height - _HEAD_LINES - PARTS * _LINES_OF_PART - 1, ROWS_MIN)


def page(
    standing: Standing, clock: str, width: int | None, *, rows: int, color: bool = False
) -> list[str]:
    """Return the lines of a page.

    Args:
        standing: What is shown.
        clock: What time it is, for people.
        width: Cells of a line; None: no bound.
        rows: How many all parts together may have.
        color: Whether it is coloured.

    """
    lines = [*_head(standing, clock, width)]
    parts = [
        ("Most contended", _contended(standing), "Nobody waits for a lock."),
        ("Longest waits", _waits(standing), ""),
        ("Longest held", _holds(standing), "No lock is held."),
        ("How long, of late", _lengths(standing), "No lock was let go of late."),
    ]
    shares = _shared([len(table.rows) for _, table, _ in parts], rows)
    for (title, table, nothing), share in zip(parts, shares, strict=True):
        if table.rows:
            lines += ["", painted(title, "strong", color=color)]
            lines += laid_out(table._replace(rows=table.rows[:share]), width, color=color)
        elif nothing:
            lines += ["", painted(nothing, "dim", color=color)]
    return lines


def _shared(wanted: Sequence[int], rows: int) -> list[int]:
    """Divide the rows: who wants few gets them, the others get equal parts."""
    given = [0] * len(wanted)
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    for done, place in enumerate(order):
        given[place] = min(wanted[place], rows // (len(order) - done))
        rows -= given[place]
    return given


def _head(standing: Standing, clock: str, width: int | None) -> list[str]:
    cluster = standing.cluster
    connected = sum(1 for one in cluster.members if one.connected or one.name == cluster.node)
    leader = "no leader" if cluster.leader is None else f"leader {cluster.leader.name}"
    first = (
        f"{cluster.name or 'gorilla'}  {leader}  "
        f"{connected} of {len(cluster.members)} members  {clock} UTC"
    )
    sessions = count_of(range(cluster.sessions), "session")
    second = f"{cluster.held} held  {cluster.waiting} waiting  {sessions}"
    return [*laid_out(first, width), *laid_out(second, width)]


def _contended(standing: Standing) -> Table:
    columns = (
        Column("RESOURCE", flexible=True),
        Column("HOLDER", flexible=True),
        Column("WAITING", right=True),
        Column("LONGEST", right=True),
        Column("HELD", right=True),
        Column("LEFT", right=True),
    )
    return Table(
        columns,
        [
            [
                one.resource,
                _holder(one.holder, one.holders),
                one.waiting,
                told(one.longest_wait),
                told(one.held) if one.holders else "",
                time_left(one.left) if one.holders else "",
            ]
            for one in standing.contended
        ],
        cuts=True,
    )


def _holder(name: str | None, count: int) -> Cell:
    if name is None:
        return Styled("nobody", "dim")
    return name if count == 1 else f"{name} and {count - 1} more"


def _waits(standing: Standing) -> Table:
    columns = (*_NAMES, Column("#", right=True), Column("WAITED", right=True), _reason())
    return Table(
        columns,
        [
            [one.resource, one.owner, one.position, told(one.waited), one.reason or ""]
            for one in standing.waits
        ],
        cuts=True,
    )


def _holds(standing: Standing) -> Table:
    columns = (*_NAMES, Column("HELD", right=True), Column("LEFT", right=True), _reason())
    return Table(
        columns,
        [
            [one.resource, one.owner, told(one.held), time_left(one.left), one.reason or ""]
            for one in standing.holds
        ],
        cuts=True,
    )


def _lengths(standing: Standing) -> Table:
    columns = (
        Column("RESOURCE", flexible=True),
        Column("HOLDS", right=True),
        Column("MEDIAN", right=True),
        Column("LONGEST", right=True),
        Column("WAITS", right=True),
        Column("MEDIAN", right=True),
        Column("LONGEST", right=True),
    )
    return Table(
        columns,
        [
            [
                one.resource,
                one.holds,
                *_pair(one.hold_median, one.hold_longest),
                one.waits,
                *_pair(one.wait_median, one.wait_longest),
            ]
            for one in standing.lengths
        ],
        cuts=True,
    )


def _pair(*values: float | None) -> Sequence[Cell]:
    return ["" if value is None else told(value) for value in values]


def _reason() -> Column:
    return Column("REASON", flexible=True)
