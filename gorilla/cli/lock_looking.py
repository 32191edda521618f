"""``gorilla lock list``, ``show``, ``explain``: who holds what, who waits, and why not me."""

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

import click
from typing_extensions import override

from gorilla.cli import lock_views
from gorilla.cli.app import Cli
from gorilla.cli.completing import LOCK
from gorilla.cli.options import Verb

if TYPE_CHECKING:
    from gorilla.cli.tables import View

_T = TypeVar("_T")

LIMIT_DEFAULT: Final = 100
PAGE_MAX: Final = 1_000

STALE: Final = click.option(
    "--stale", is_flag=True, help="From a node's own copy: quick, also without a majority."
)


class Limited(Iterable[_T]):
    """The first items of something long; knows afterwards whether there were more."""

    def __init__(self, items: Iterator[_T], limit: int | None) -> None:
        """Take at most so many; None: all."""
        self._items = items
        self._limit = limit
        self.has_more = False

    @override
    def __iter__(self) -> Iterator[_T]:
        """Yield them, and look whether one is left."""
        if self._limit is None:
            yield from self._items
            return
        yield from itertools.islice(self._items, self._limit)
        self.has_more = next(self._items, None) is not None


def page_of(limit: int | None) -> int:
    """Return how many to ask for at once."""
    return PAGE_MAX if limit is None else min(limit + 1, PAGE_MAX)


@click.command(
    "list",
    cls=Verb,
    examples=[
        "gorilla lock list",
        "gorilla lock list --prefix orders/ --all -o json",
        "gorilla lock list --owner worker-3",
    ],
)
@click.option("--prefix", metavar="TEXT", help="Those whose names begin so.", shell_complete=LOCK)
@click.option("--owner", metavar="NAME", help="Those that this owner holds.")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    default=LIMIT_DEFAULT,
    show_default=True,
    help="At most so many.",
)
@click.option("--all", "everything", is_flag=True, help="All of them, however many.")
@STALE
@click.pass_obj
def list_(
    cli: Cli, /, prefix: str | None, owner: str | None, *, limit: int, everything: bool, stale: bool
) -> None:
    """List the locks that are held, in the order of their names."""
    most = None if everything else limit
    found = Limited(
        cli.client().list_locks(prefix=prefix, owner=owner, page=page_of(most), stale=stale), most
    )
    count = cli.out.show_all(found, lock_views.LIST_COLUMNS, lock_views.list_row)
    if not count:
        cli.out.remark("No such lock is held." if prefix or owner else "No lock is held.")
    if found.has_more:
        cli.out.say(f"These are the first {count}; --limit N or --all shows more.")


@click.command("show", cls=Verb, examples=["gorilla lock show orders/42"])
@click.argument("resource", shell_complete=LOCK)
@STALE
@click.pass_obj
def show(cli: Cli, /, resource: str, *, stale: bool) -> None:
    """Show one lock: who holds it, and who waits for it in which order."""
    body = cli.client().show(resource, stale=stale)
    cli.out.show(body, *lock_views.state(body))


@click.command(
    "explain",
    cls=Verb,
    examples=["gorilla lock explain orders/42", "gorilla lock explain orders/42 --owner worker-3"],
)
@click.argument("resource", shell_complete=LOCK)
@click.option("--owner", metavar="NAME", help="From this owner's side; else from a newcomer's.")
@click.pass_obj
def explain(cli: Cli, /, resource: str, owner: str | None) -> None:
    """Explain why a lock can't be had just now, and when it may be."""
    body = cli.client().explain(resource, owner=owner)
    views: list[View] = [body.sentence]
    if body.holders or body.ahead:
        views.append(lock_views.explanation(body))
    cli.out.show(body, *views)


VERBS: Final = (list_, show, explain)
