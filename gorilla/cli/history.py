"""``gorilla history``: who held what, when, and why it ended."""

from collections.abc import Iterator
from typing import Any, Final, TypedDict

import click
from typing_extensions import Unpack

from gorilla.cli.app import Cli
from gorilla.cli.completing import LOCK
from gorilla.cli.history_views import columns_of, horizon
from gorilla.cli.options import INSTANT, Verb
from gorilla.wire.history import HistoryBody, HoldEntryBody, WaitEntryBody

LIMIT_DEFAULT: Final = 50
PAGE_MAX: Final = 1_000

ENDED: Final = ("no", "yes", "released", "expired", "forced", "session", "unknown")


class _Asked(TypedDict):
    """Options of ``history``, by the names of the client's."""

    owner: str | None
    prefix: str | None
    since: str | None
    until: str | None
    at: str | None
    ended: str | None


@click.command(
    "history",
    cls=Verb,
    examples=[
        "gorilla history nightly-report",
        "gorilla history nightly-report --at 03:12",
        "gorilla history --owner worker-3 --since 2h",
        "gorilla history --prefix orders/ --ended forced --since 2025-05-04 -o json",
        "gorilla history orders/42 --waits --since 1d",
    ],
)
@click.argument("resource", required=False, shell_complete=LOCK)
@click.option("--owner", metavar="NAME", help="Of this owner.")
@click.option("--prefix", metavar="TEXT", help="Of locks whose names begin so.")
@click.option("--since", metavar="TIME", type=INSTANT, help="What had not ended before.")
@click.option("--until", metavar="TIME", type=INSTANT, help="What had begun by then.")
@click.option("--at", metavar="TIME", type=INSTANT, help="What was going on just then.")
@click.option(
    "--ended",
    metavar="HOW",
    type=click.Choice(ENDED),
    help=f"How it ended, or whether: {', '.join(ENDED)}.",
)
@click.option("--waits", is_flag=True, help="Waits that ended without the lock, instead of holds.")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    default=LIMIT_DEFAULT,
    show_default=True,
    help="At most so many.",
)
@click.pass_obj
def history(
    cli: Cli, /, resource: str | None, *, waits: bool, limit: int, **asked: Unpack[_Asked]
) -> None:
    """Show who held a lock, when, and why it ended; those that began last first.

    A TIME is 2025-05-04T03:12:00, 2025-05-04, 03:12 (the latest that has been), or 2h (two hours
    ago). Without a zone it is UTC, and so are all times that are shown. The history is about a
    second behind; what it lacks is told.
    """
    query: dict[str, Any] = {
        "resource": resource,
        "kind": "wait" if waits else None,
        **asked,
    }
    pages = _Pages(cli, {name: value for name, value in query.items() if value is not None}, limit)
    width = cli.out.width if cli.out.on_terminal else None
    columns, row_of = columns_of(width, waits=waits)
    count = cli.out.show_all(pages.entries(), columns, row_of)
    if not count:
        cli.out.say("There is nothing of that in the history.")
    if pages.has_more:
        cli.out.say(f"These are the latest {count}; --limit N shows more.")
    for remark in horizon(pages.told):
        cli.out.say(remark, "warn")


class _Pages:
    """Follows the history as far as it is wanted, and remembers what it says of itself."""

    def __init__(self, cli: Cli, query: dict[str, Any], limit: int) -> None:
        self._client = cli.client()
        self._query = query
        self._limit = limit
        self.has_more = False
        self.told: list[HistoryBody] = []

    def entries(self) -> Iterator[HoldEntryBody | WaitEntryBody]:
        cursor: str | None = None
        left = self._limit
        while True:
            page = self._client.history_page(
                limit=min(left, PAGE_MAX), cursor=cursor, **self._query
            )
            self.told.append(page)
            yield from page.entries
            left -= len(page.entries)
            cursor = page.cursor
            if cursor is None or left <= 0:
                self.has_more = cursor is not None
                return
