"""How entries of the history, and what it lacks, are shown to people: pure."""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from gorilla.cli.lock_views import given
from gorilla.cli.tables import Cell, Column, Styled
from gorilla.cli.times import shown, told
from gorilla.wire.asking import SHARED
from gorilla.wire.history import HistoryBody, HistoryGapBody, HoldEntryBody, WaitEntryBody

RowOf: TypeAlias = Callable[[HoldEntryBody | WaitEntryBody], Sequence[Cell]]

COLUMNS: Final = (
    Column("FROM (UTC)"),
    Column("TO (UTC)"),
    Column("HELD", right=True),
    Column("RESOURCE", flexible=True),
    Column("OWNER", flexible=True),
    Column("FENCING", right=True),
    Column("ENDED", flexible=True),
)
WAIT_COLUMNS: Final = (
    Column("FROM (UTC)"),
    Column("TO (UTC)"),
    Column("WAITED", right=True),
    Column("RESOURCE", flexible=True),
    Column("OWNER", flexible=True),
    Column("ENDED BY", flexible=True),
)
_TO: Final = 1
"""Place of the column that a narrow terminal goes without: the one before and after tell it."""

_WIDE: Final = 100
_GAPS_SHOWN: Final = 5
_BEHIND_MUCH: Final = 1_000
"""Events that the history may lack yet without a word of it."""

_ENDED_BY: Final = {
    "released": Styled("released", ""),
    "expired": Styled("expired", "warn"),
    "forced": Styled("forced", "bad"),
    "session": Styled("session", "warn"),
    "unknown": Styled("unknown", "bad"),
}
WHY: Final = {
    "timeout": "waited in vain",
    "hung_up": "hung up",
    "node_lost": "its node was lost",
    "unclaimed": "did not take it",
    "replaced": "asked again",
    "session_ended": "its session ended",
    "refused": "was refused",
}


def columns_of(width: int | None, *, waits: bool) -> tuple[Sequence[Column], RowOf]:
    """Return the columns that fit, and what makes a row of an entry.

    Args:
        width: Cells of a line; None: no bound.
        waits: Whether the entries are waits.

    """
    columns, row_of = (WAIT_COLUMNS, wait_row) if waits else (COLUMNS, row)
    if width is None or width >= _WIDE:
        return columns, row_of

    def narrow(entry: HoldEntryBody | WaitEntryBody) -> Sequence[Cell]:
        cells = row_of(entry)
        return [*cells[:_TO], *cells[_TO + 1 :]]

    return [*columns[:_TO], *columns[_TO + 1 :]], narrow


def row(entry: HoldEntryBody | WaitEntryBody) -> Sequence[Cell]:
    """Show a hold."""
    assert isinstance(entry, HoldEntryBody)
    return (
        shown(entry.granted_at),
        Styled("still", "good") if entry.ended_at is None else shown(entry.ended_at),
        Styled("still", "good") if (held := given(entry.held)) is None else told(held),
        entry.resource,
        entry.owner,
        entry.fencing_token,
        _ended(entry),
    )


def wait_row(entry: HoldEntryBody | WaitEntryBody) -> Sequence[Cell]:
    """Show a wait that ended without the lock."""
    assert isinstance(entry, WaitEntryBody)
    return (
        shown(entry.began_at),
        shown(entry.ended_at),
        told(entry.waited),
        entry.resource,
        entry.owner,
        WHY[entry.why],
    )


def _ended(entry: HoldEntryBody) -> Cell:
    style = "" if entry.ended_by is None else _ENDED_BY[entry.ended_by].style
    by, why, limit = given(entry.forced_by), given(entry.end_reason), given(entry.limit)
    seen, waited, reason = given(entry.last_seen_at), given(entry.waited), given(entry.reason)
    parts = [
        entry.ended_by or "",
        f"by {by}" if by else "",
        why or "",
        f"held for certain until {shown(seen)}" if seen else "",
        "not known whether it was held then" if given(entry.uncertain) else "",
        "its grant is not in the history" if given(entry.grant_missed) else "",
        "shared" if given(entry.mode) == SHARED else "",
        f"limit {limit}" if limit else "",
        f"waited {told(waited)}" if waited else "",
        f"for: {reason}" if reason else "",
    ]
    return Styled("; ".join(part for part in parts if part), style)


def horizon(pages: Sequence[HistoryBody]) -> list[str]:
    """Say what the history lacks, of what was asked for."""
    if not pages:
        return []
    first = pages[0]
    remarks = []
    complete = first.complete_up_to
    if complete is None:
        remarks.append("Nothing was ever written to the history.")
    elif complete.behind > _BEHIND_MUCH:
        remarks.append(
            f"The history is behind: what happened after {shown(complete.at)} UTC is not in it yet."
        )
    gaps = list(dict.fromkeys(gap for page in pages for gap in page.gaps))
    remarks += [_gap(one) for one in gaps[:_GAPS_SHOWN]]
    if len(gaps) > _GAPS_SHOWN:
        remarks.append(f"There are {len(gaps) - _GAPS_SHOWN} more gaps.")
    return remarks


def _gap(gap: HistoryGapBody) -> str:
    return f"What happened from {shown(gap.from_)} to {shown(gap.to)} UTC is not in the history."
