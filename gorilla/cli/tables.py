"""Lays out tables and facts as text: pure, whatever the terminal."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len

GAP: Final = "  "
FLEXIBLE_CELLS_MIN: Final = 12
"""Narrower than this a column is not made; the rows are shown one below the other instead."""

STYLES: Final = {
    "good": "32",
    "warn": "33",
    "bad": "31",
    "dim": "2",
    "strong": "1",
}
_BREAK_AFTER: Final = "/-_.:,;@+"


class Styled(NamedTuple):
    """Text of a cell, and how it looks on a terminal: a name of ``STYLES``."""

    text: str
    style: str


Cell = str | int | float | Styled | None


class Column(NamedTuple):
    """A column: its title, whether its cells are numbers, whether they may be wrapped."""

    title: str
    right: bool = False
    flexible: bool = False


class Table(NamedTuple):
    """Rows under titles; what is too long is wrapped, or cut where every row must be one line."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    cuts: bool = False


class Facts(NamedTuple):
    """Names and values, one a line; those whose value is None are left out."""

    pairs: Sequence[tuple[str, Cell]]


View = str | Table | Facts


def visible(text: str) -> str:
    """Show what would steer a terminal, or can't be seen, as an escape."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def laid_out(view: View, width: int | None, *, color: bool = False) -> list[str]:
    """Return the lines of a view.

    Args:
        view: What is shown.
        width: Cells of a line; None: every row is one line, however long.
        color: Whether cells are coloured.

    """
    if isinstance(view, str):
        return _paragraphs(view, width)
    if isinstance(view, Facts):
        return _facts(view.pairs, width, color=color)
    cells = [[shown_safely(cell) for cell in row] for row in view.rows]
    widths = _widths(view.columns, cells, width)
    if widths is None:
        return _records(view.columns, cells, width, color=color)
    head = [Styled(column.title, "strong") for column in view.columns]
    right = [place for place, column in enumerate(view.columns) if column.right]
    lines = []
    for row in [head, *cells]:
        if view.cuts:
            row = [  # noqa: PLW2901 - the same row, as it fits
                Styled(cut(cell.text, room), cell.style)
                for cell, room in zip(row, widths, strict=True)
            ]
        lines += row_lines(row, widths, right=right, color=color)
    return lines


def shown_safely(cell: Cell) -> Styled:
    """Return the text of a cell without anything that would steer a terminal."""
    if isinstance(cell, Styled):
        return Styled(visible(cell.text), cell.style)
    return Styled("-" if cell is None else visible(str(cell)), "")


def _widths(
    columns: Sequence[Column], cells: Sequence[Sequence[Styled]], width: int | None
) -> list[int] | None:
    """Return how wide each column is; None when the width is too small for a table."""
    natural = [
        max(cell_len(column.title), *(cell_len(row[place].text) for row in cells), 0)
        for place, column in enumerate(columns)
    ]
    gaps = len(GAP) * (len(columns) - 1)
    if width is None or sum(natural) + gaps <= width:
        return natural
    flexible = [place for place, column in enumerate(columns) if column.flexible]
    left = width - gaps - sum(natural) + sum(natural[place] for place in flexible)
    shares = _shared([natural[place] for place in flexible], left)
    if shares is None:
        return None
    for place, share in zip(flexible, shares, strict=True):
        natural[place] = share
    return natural


def _shared(wanted: list[int], left: int) -> list[int] | None:
    """Divide what is left: who wants little gets it, the others get equal parts."""
    given = [0] * len(wanted)
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    for done, place in enumerate(order):
        given[place] = min(wanted[place], left // (len(order) - done))
        if given[place] < min(wanted[place], FLEXIBLE_CELLS_MIN):
            return None
        left -= given[place]
    return given if left >= 0 and wanted else None


def row_lines(
    cells: Sequence[Cell],
    widths: Sequence[int],
    *,
    right: Sequence[int] = (),
    color: bool = False,
) -> list[str]:
    """Return the lines of a row.

    Args:
        cells: From left to right.
        widths: Of each column; longer text is wrapped.
        right: Places of the columns that are aligned to the right.
        color: Whether cells are coloured.

    """
    row = [shown_safely(cell) for cell in cells]
    wrapped = [wrapped_to(cell.text, width) for cell, width in zip(row, widths, strict=True)]
    lines = []
    for number in range(max(map(len, wrapped), default=0)):
        parts = []
        for place, (cell, pieces) in enumerate(zip(row, wrapped, strict=True)):
            text = pieces[number] if number < len(pieces) else ""
            space = " " * (widths[place] - cell_len(text))
            painted_text = painted(text, cell.style, color=color)
            parts.append(space + painted_text if place in right else painted_text + space)
        lines.append(GAP.join(parts).rstrip())
    return lines


def _records(
    columns: Sequence[Column],
    cells: Sequence[Sequence[Styled]],
    width: int | None,
    *,
    color: bool,
) -> list[str]:
    lines: list[str] = []
    for row in cells:
        pairs = [(column.title, cell) for column, cell in zip(columns, row, strict=True)]
        lines += [*([""] if lines else []), *_facts(pairs, width, color=color)]
    return lines


def _facts(pairs: Sequence[tuple[str, Cell]], width: int | None, *, color: bool) -> list[str]:
    shown = [(name, shown_safely(cell)) for name, cell in pairs if cell is not None]
    margin = max((cell_len(name) for name, _ in shown), default=0) + len(GAP)
    room = None if width is None else max(width - margin, 1)
    lines = []
    for name, cell in shown:
        pieces = wrapped_to(cell.text, room)
        first = painted(name, "strong", color=color) + " " * (margin - cell_len(name))
        for start, piece in zip([first, *[" " * margin] * len(pieces)], pieces, strict=False):
            lines.append((start + painted(piece, cell.style, color=color)).rstrip())
    return lines


def _paragraphs(text: str, width: int | None) -> list[str]:
    return [piece for line in text.split("\n") for piece in wrapped_to(visible(line), width)]


def painted(text: str, style: str, *, color: bool) -> str:
    """Return the text in its colour."""
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if color and style and text else text


def wrapped_to(text: str, width: int | None) -> list[str]:
    """Cut a text into pieces of at most so many cells, between words where there are any."""
    if width is None or cell_len(text) <= width:
        return [text]
    pieces = []
    while cell_len(text) > width:
        end = _break(text, _fitting(text, width))
        pieces.append(text[:end].rstrip())
        text = text[end:].lstrip(" ")
    return [*pieces, text] if text else pieces


def _break(text: str, end: int) -> int:
    """Return where to break at or before ``end``: between words, else within one, else there."""
    if text[end : end + 1] == " ":
        return end
    for good in (" ", _BREAK_AFTER):
        found = [place for place in range(end // 2, end) if text[place] in good]
        if found:
            return found[-1] + 1
    return end


def cut(text: str, width: int) -> str:
    """Return a text of at most so many cells; what is left out in its middle becomes ``…``."""
    if cell_len(text) <= width:
        return text
    head = text[: _fitting(text, max((width - 1) // 2, 1))]
    left = width - 1 - cell_len(head)
    tail = "" if left <= 0 else text[::-1][: _fitting(text[::-1], left)][::-1]
    return f"{head}…{tail}" if cell_len(f"{head}…{tail}") <= width else "…"


def _fitting(text: str, width: int) -> int:
    """Return how many characters fit; at least one."""
    cells = 0
    for count, one in enumerate(text):
        cells += cell_len(one)
        if cells > width:
            return max(count, 1)
    return len(text)


def count_of(items: Iterable[object], one: str, many: str | None = None) -> str:
    """Say how many there are: ``1 lock``, ``2 locks``."""
    return counted(sum(1 for _ in items), one, many)


def counted(number: int, one: str, many: str | None = None) -> str:
    """Say a number of things: ``1 lock``, ``2 locks``."""
    return f"{number} {one if number == 1 else many or one + 's'}"
