"""``gorilla lock request-release``, ``force-release``: when a holder is in the way."""

from typing import Final

import click

from gorilla.cli.app import Cli, person
from gorilla.cli.completing import LOCK
from gorilla.cli.options import Verb
from gorilla.cli.tables import Column, Table, count_of
from gorilla.cli.times import told
from gorilla.wire.bodies import LockStateBody


@click.command(
    "request-release",
    cls=Verb,
    examples=["gorilla lock request-release orders/42 --reason 'a deployment waits'"],
)
@click.argument("resource", shell_complete=LOCK)
@click.option("--owner", metavar="NAME", help="Who asks; you, when not given.")
@click.option("--reason", metavar="TEXT", help="Why; the holder sees it.")
@click.pass_obj
def request_release(cli: Cli, /, resource: str, owner: str | None, reason: str | None) -> None:
    """Ask the holders of a lock to let go. They see it when they extend, and decide themselves."""
    body = cli.client().request_release(resource, owner=owner or person(), reason=reason)
    cli.out.show(body, Table([Column("ASKED", flexible=True)], [[one] for one in body.holders]))
    cli.out.say(f"Asked {count_of(body.holders, 'holder')} of {resource} to let go.")


@click.command(
    "force-release",
    cls=Verb,
    examples=["gorilla lock force-release orders/42 --reason 'its machine burned down'"],
)
@click.argument("resource", shell_complete=LOCK)
@click.option("--reason", metavar="TEXT", required=True, help="Why; events and history keep it.")
@click.option("--by", metavar="NAME", help="Who does it; you, when not given.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def force_release(cli: Cli, /, resource: str, reason: str, by: str | None, *, yes: bool) -> None:
    """Take a lock away from whoever holds it, and give it to who waits next.

    The holder is not stopped: it learns of it when it extends or checks, and may work on until
    then. What the lock protects is safe from it only if it refuses old fencing tokens.
    """
    client = cli.client()
    cli.confirm(lambda: _question(client.show(resource)), yes=yes)
    body = client.force_release(resource, reason=reason, by=by or person())
    columns = [Column("RELEASED", flexible=True), Column("FENCING", right=True)]
    cli.out.show(body, Table(columns, [[one.owner, one.fencing_token] for one in body.released]))
    cli.out.say(f"Took {resource} away from {count_of(body.released, 'holder')}.")


def _question(state: LockStateBody) -> str:
    if not state.holders:
        return f"Nobody holds {state.resource}. Force it all the same?"
    holders = ", ".join(f"{one.owner} ({told(one.timeout)} left)" for one in state.holders)
    return f"Take {state.resource} away from {holders}?"


VERBS: Final = (request_release, force_release)
