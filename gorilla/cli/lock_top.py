"""``gorilla lock top``: where it is tight, again and again."""

import itertools
import shutil
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import click

from gorilla.cli.app import Cli
from gorilla.cli.failures import Exit, explained
from gorilla.cli.options import Seconds, Verb
from gorilla.cli.output import WIDTH_DEFAULT
from gorilla.cli.renewing import Renewing
from gorilla.cli.tables import laid_out
from gorilla.cli.times import wall_now, wire_time
from gorilla.cli.top_figures import Samples, Standing, most_contended, plain, standing
from gorilla.cli.top_page import PARTS, ROWS_PLAIN, page, rows_of
from gorilla.client.errors import GorillaError, RequestRefused, Unavailable

if TYPE_CHECKING:
    from rich.live import Live

    from gorilla.client import Client

REFRESH_S: Final = 2.0
PAGE_S_MAX: Final = 3.0
"""Longest time for what a page shows, before it tells that nobody answers (seconds)."""

Page = Standing | RequestRefused | Unavailable
"""What is shown next."""

LOCKS_MAX: Final = 5_000
"""Locks that are listed for a page."""

STATES_MAX: Final = 20
"""Locks of which the queue is asked for."""

ENTRIES_MAX: Final = 1_000
LOOK_BACK: Final = timedelta(minutes=15)
HEIGHT_DEFAULT: Final = 24


class Looking:
    """Asks the cluster for what a page shows."""

    def __init__(self, client: "Client", prefix: str | None) -> None:
        """Begin to ask."""
        self._client = client
        self._prefix = prefix
        self._guard = threading.Lock()
        self._samples = Samples()

    def recall(self) -> None:
        """Learn from the history how long locks were held and waited for; without one, nothing."""
        since = wire_time(wall_now() - LOOK_BACK)
        try:
            entries = self._client.history(prefix=self._prefix, since=since)
            for entry in itertools.islice(entries, ENTRIES_MAX):
                with self._guard:
                    self._samples.note_entry(entry)
        except (RequestRefused, Unavailable):
            return

    def follow(self) -> None:
        """Learn from what happens from now on, in a thread of its own."""
        threading.Thread(target=self._follow, name="gorilla-top-events", daemon=True).start()

    def _follow(self) -> None:
        with self._client.events(prefix=self._prefix) as stream:
            while True:
                try:
                    for event in stream:
                        with self._guard:
                            self._samples.note_event(event)
                except Unavailable:
                    continue
                except GorillaError:
                    # Refused, or the client was closed; the page goes on without what happens.
                    return
                else:
                    return

    def look_or_tell(self) -> Page:
        """Return how things stand, or why that can't be seen just now."""
        try:
            return self.look()
        except (RequestRefused, Unavailable) as error:
            return error

    def look(self) -> Standing:
        """Return how things stand."""
        cluster = self._client.cluster.status()
        found = self._client.list_locks(prefix=self._prefix, page=1_000, stale=True)
        locks = list(itertools.islice(found, LOCKS_MAX))
        states = [self._client.show(name, stale=True) for name in most_contended(locks, STATES_MAX)]
        with self._guard:
            return standing(cluster, locks, states, self._samples, wall_now())


@click.command(
    "top",
    cls=Verb,
    examples=["gorilla lock top", "gorilla lock top --prefix orders/ --once"],
)
@click.option("--prefix", metavar="TEXT", help="Of locks whose names begin so.")
@click.option("--once", is_flag=True, help="One page, and end.")
@click.option(
    "--interval",
    metavar="SECONDS",
    type=Seconds(least=0.2),
    default=REFRESH_S,
    show_default=True,
    help="How often it is shown anew.",
)
@click.pass_obj
def top(cli: Cli, /, prefix: str | None, *, once: bool, interval: float) -> int:
    """Show where it is tight: the locks most waited for, the longest waits and holds.

    On a terminal the page renews itself until Ctrl-C; elsewhere one page follows the other. How
    long locks were held and waited for is known from the history of the last 15 minutes, and from
    what happens while it runs.
    """
    deadline_s = cli.settings.deadline_s if once else min(cli.settings.deadline_s, PAGE_S_MAX)
    looking = Looking(cli.client(deadline_s=deadline_s), prefix)
    # The first look fails at once where nobody answers.
    looking.look()
    looking.recall()
    if once:
        found = looking.look()
        if cli.out.form == "table":
            _show_plain(cli, found)
        else:
            cli.out.show(plain(found, ROWS_PLAIN))
        return Exit.OK
    looking.follow()
    with Renewing(looking.look_or_tell, interval) as renewing:
        if cli.out.on_terminal and cli.out.form == "table":
            _live(cli, renewing)
        else:
            _pages(cli, renewing)
    return 128 + renewing.ended_by


def _show_plain(cli: Cli, found: Standing) -> None:
    """Show one page among other output."""
    width = cli.out.width if cli.out.on_terminal else None
    lines = page(found, _clock(), width, rows=ROWS_PLAIN * PARTS, color=cli.out.color)
    cli.out.show_next(plain(found, ROWS_PLAIN), "\n".join(lines))


def _pages(cli: Cli, renewing: Renewing[Page]) -> None:
    for count, one in enumerate(renewing):
        if isinstance(one, GorillaError):
            raise one
        if count and cli.out.form == "table":
            cli.out.write("\n")
        _show_plain(cli, one)


def _live(cli: Cli, renewing: Renewing[Page]) -> None:
    from rich.console import Console  # noqa: PLC0415 - only a live page needs it
    from rich.live import Live  # noqa: PLC0415

    console = Console(no_color=not cli.out.color, highlight=False, markup=False)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        last: Standing | None = None
        for one in renewing:
            trouble = explained(one).sentence if isinstance(one, GorillaError) else ""
            last = last if isinstance(one, GorillaError) else one
            _draw(live, last, trouble, color=cli.out.color)


def _draw(live: "Live", found: Standing | None, trouble: str, *, color: bool) -> None:
    from rich.text import Text  # noqa: PLC0415 - as above

    size = shutil.get_terminal_size((WIDTH_DEFAULT, HEIGHT_DEFAULT))
    lines = laid_out(trouble, size.columns) if trouble else []
    if found is not None:
        lines += page(found, _clock(), size.columns, rows=rows_of(size.lines), color=color)
    live.update(Text.from_ansi("\n".join(lines[: size.lines - 1]), no_wrap=True), refresh=True)


def _clock() -> str:
    return wall_now().strftime("%H:%M:%S")
