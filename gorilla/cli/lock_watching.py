"""``gorilla lock watch``: what happens to locks, as it happens."""

import itertools
from collections.abc import Iterator
from typing import Final

import click
from msgspec import UnsetType

from gorilla.cli.app import Cli
from gorilla.cli.completing import LOCK
from gorilla.cli.failures import Exit, explained
from gorilla.cli.history_views import WHY
from gorilla.cli.options import Verb
from gorilla.cli.output import Output
from gorilla.cli.tables import GAP, Styled, row_lines, shown_safely
from gorilla.cli.times import told
from gorilla.client.errors import Unavailable
from gorilla.client.events_blocking import Events
from gorilla.wire.asking import SHARED
from gorilla.wire.events import (
    EVENT_BODIES,
    EVENT_NUMBER_MAX,
    AcquiredEventBody,
    EventBody,
    ExpiredEventBody,
    ExtendedEventBody,
    ForcedEventBody,
    GapEventBody,
    LeftEventBody,
    MemberEventBody,
    PositionEventBody,
    QueuedEventBody,
    ReleasedEventBody,
    ReleaseRequestedEventBody,
    StreamBody,
)

_STYLES: Final = {
    "acquired": "good",
    "released": "",
    "extended": "dim",
    "expired": "warn",
    "forced": "bad",
    "queued": "",
    "left": "warn",
    "release_requested": "warn",
    "member": "strong",
    "gap": "bad",
}
_TIME_CELLS: Final = len("10:11:12")
_DAY_CHARS: Final = len("2025-05-04")
_TYPE_CELLS: Final = max(map(len, _STYLES))
_TYPE_CELLS_MIN: Final = len("requested")
_PART_CELLS_MIN: Final = 8
_WIDE: Final = 100
"""From so many cells on, types of events stand in one line."""


@click.command(
    "watch",
    cls=Verb,
    examples=[
        "gorilla lock watch --prefix orders/",
        "gorilla lock watch --type forced --type expired -o json",
        "gorilla lock watch --since 1234 --count 10",
    ],
)
@click.option(
    "--prefix", metavar="TEXT", help="Of locks whose names begin so.", shell_complete=LOCK
)
@click.option("--owner", metavar="NAME", help="Of this owner.")
@click.option(
    "--type",
    "types",
    multiple=True,
    type=click.Choice(list(EVENT_BODIES)),
    metavar="TYPE",
    help=f"Of this type; repeat it for several: {', '.join(EVENT_BODIES)}.",
)
@click.option(
    "--since",
    metavar="ID",
    type=click.IntRange(0, EVENT_NUMBER_MAX),
    help="From the event after this one; 0: all that is remembered.",
)
@click.option("--count", metavar="N", type=click.IntRange(min=1), help="End after so many.")
@click.pass_obj
def watch(
    cli: Cli,
    prefix: str | None,
    owner: str | None,
    *,
    types: tuple[str, ...],
    since: int | None,
    count: int | None,
) -> int:
    """Show what happens to locks as it happens, until Ctrl-C.

    A broken connection is resumed where it broke, on any node. Where events are missing, a gap is
    shown. With -o json each event is one line.
    """
    with cli.client().events(prefix, owner, types or None, since) as stream:
        try:
            for event in itertools.islice(_happening(cli, stream), count):
                cli.out.show_next(event, line(event, cli.out))
        except KeyboardInterrupt:
            last = stream.last_id
            again = "" if last is None else f" --since {last} goes on from here."
            cli.out.remark(f"Stopped.{again}")
            return Exit.INTERRUPTED
    return Exit.OK


def _happening(cli: Cli, stream: Events) -> Iterator[StreamBody]:
    """Yield events; once one came, no node's silence ends it."""
    while True:
        try:
            yield from stream
        except Unavailable as error:
            if stream.last_id is None:
                raise
            cli.out.warn(f"{explained(error).sentence} It goes on from event {stream.last_id}.")
        else:
            return


def line(event: StreamBody, out: Output) -> str:
    """Show an event: in columns on a terminal; elsewhere in one line, with its day."""
    cells = _cells(event)
    if not out.on_terminal:
        day = getattr(event, "at", "")[:_DAY_CHARS]
        whole = GAP.join(cell.text for cell in map(shown_safely, cells) if cell.text)
        return f"{day} {whole}".lstrip()
    return "\n".join(row_lines(cells, _widths(out.width), color=out.color))


def _cells(event: StreamBody) -> list[Styled]:
    if isinstance(event, PositionEventBody):
        return []
    if isinstance(event, GapEventBody):
        text = f"{event.from_} to {event.to}: {event.detail}"
        return [
            Styled("", ""),
            Styled("gap", _STYLES["gap"]),
            Styled("", ""),
            Styled("", ""),
            Styled(text, ""),
        ]
    kind = str(event.__struct_config__.tag)
    head = [Styled(event.at[11:], "dim"), Styled(kind, _STYLES[kind])]
    if isinstance(event, MemberEventBody):
        return [*head, Styled(", ".join(event.members), ""), Styled("", ""), Styled("", "")]
    about = [Styled(event.resource, "strong"), Styled(event.owner, "")]
    return [*head, *about, Styled(_detail(event), "dim")]


def _widths(width: int) -> list[int]:
    """Divide a line of the terminal: time, type, and three parts that are wrapped."""
    kind = _TYPE_CELLS if width >= _WIDE else _TYPE_CELLS_MIN
    left = max(width - _TIME_CELLS - kind - 4 * len(GAP), 3 * _PART_CELLS_MIN)
    resource, owner = left * 2 // 5, left // 4
    return [_TIME_CELLS, kind, resource, owner, left - resource - owner]


def _detail(event: EventBody) -> str:
    parts: list[str | None]
    match event:
        case AcquiredEventBody():
            waited = f"after {told(event.waited)}" if event.waited else None
            parts = [_number(event), _for(event.timeout), waited, _mode(event), _text(event.reason)]
        case ExtendedEventBody():
            parts = [_number(event), _for(event.timeout)]
        case ReleasedEventBody() | ExpiredEventBody():
            session = _text(event.session)
            parts = [
                _number(event),
                f"held {told(event.held)}",
                f"with session {session}" if session else None,
            ]
        case ForcedEventBody():
            by = _text(event.by)
            parts = [
                _number(event),
                f"held {told(event.held)}",
                f"by {by}" if by else None,
                event.reason,
            ]
        case QueuedEventBody():
            behind = f"behind {', '.join(event.blocked_by)}" if event.blocked_by else None
            parts = [
                f"place {event.position}",
                f"for {told(event.wait)} at most",
                behind,
                _text(event.reason),
            ]
        case LeftEventBody():
            parts = [f"after {told(event.waited)}", WHY[event.why]]
        case ReleaseRequestedEventBody():
            parts = [_number(event), f"asked by {event.by}", _text(event.reason)]
        case _:
            parts = []
    return ", ".join(part for part in parts if part)


def _number(event: object) -> str:
    return f"#{getattr(event, 'fencing_token', '')}"


def _for(timeout: float | UnsetType) -> str | None:
    return None if isinstance(timeout, UnsetType) else f"for {told(timeout)}"


def _mode(event: AcquiredEventBody) -> str | None:
    if event.mode == SHARED:
        return SHARED
    limit = event.limit
    return f"limit {limit}" if isinstance(limit, int) and limit > 1 else None


def _text(value: str | int | UnsetType) -> str | None:
    return None if isinstance(value, UnsetType) else str(value)
