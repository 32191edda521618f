"""``gorilla election``: who leads, and who would like to."""

from typing import Final

import click

from gorilla.cli.app import Cli
from gorilla.cli.lock_looking import LIMIT_DEFAULT, STALE, Limited, page_of
from gorilla.cli.lock_views import given, held_s, state, time_left
from gorilla.cli.options import Noun
from gorilla.cli.tables import Column
from gorilla.cli.times import told
from gorilla.client.options import ELECTIONS

_COLUMNS: Final = (
    Column("ELECTION", flexible=True),
    Column("LEADER", flexible=True),
    Column("TERM", right=True),
    Column("LEADS", right=True),
    Column("LEFT", right=True),
    Column("CANDIDATES", right=True),
)


@click.group(cls=Noun)
def election() -> None:
    """Who leads, and who would like to. To take part: gorilla elect.

    An election is about the lock elections/NAME; its fencing token is the number of the term.
    """


@election.command("list", examples=["gorilla election list"])
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=1),
    default=LIMIT_DEFAULT,
    show_default=True,
    help="At most so many.",
)
@STALE
@click.pass_obj
def list_(cli: Cli, /, *, limit: int, stale: bool) -> None:
    """List the elections that have a leader."""
    locks = cli.client().list_locks(prefix=ELECTIONS, page=page_of(limit), stale=stale)
    found = Limited(locks, limit)
    count = cli.out.show_all(
        found,
        _COLUMNS,
        lambda one: [
            one.resource.removeprefix(ELECTIONS),
            one.owner,
            one.fencing_token,
            told(held_s(one)),
            time_left(one.timeout),
            given(one.waiting) or "",
        ],
    )
    if not count:
        cli.out.remark("Nobody leads anything.")
    if found.has_more:
        cli.out.say(f"These are the first {count}; --limit N shows more.")


def _complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from gorilla.cli.completing import lock_names  # noqa: PLC0415 - at TAB only

    names = lock_names(context, parameter, ELECTIONS + incomplete)
    return [name.removeprefix(ELECTIONS) for name in names]


@election.command("show", examples=["gorilla election show scheduler"])
@click.argument("name", shell_complete=_complete)
@STALE
@click.pass_obj
def show(cli: Cli, /, name: str, *, stale: bool) -> None:
    """Show who leads, and the candidates in the order in which they will."""
    body = cli.client().show(ELECTIONS + name, stale=stale)
    cli.out.show(body, *state(body))
