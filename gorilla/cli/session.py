"""``gorilla session``: one sign of life for many locks."""

import threading
from typing import Final

import click

from gorilla.cli.app import Cli
from gorilla.cli.failures import Exit, explained
from gorilla.cli.inputs import SESSION_VARIABLE, json_or_text, secret
from gorilla.cli.lock_views import given, held_s, metadata_text, time_left
from gorilla.cli.options import SECRET, TIMEOUT, Noun, SecretVerb
from gorilla.cli.tables import Cell, Column, Facts, Table, View
from gorilla.cli.times import shown, told
from gorilla.client.errors import SessionNotFound, Unavailable
from gorilla.wire.sessions import SessionBody, SessionStateBody

ID_HELP: Final = (
    f"ID is what open gave; `-` reads it from stdin, and without one it is taken from "
    f"{SESSION_VARIABLE}, so that `ps` does not show it."
)

_SIGNS_A_TTL: Final = 3
"""Signs of life while one would do: two may be lost."""


@click.group(cls=Noun)
def session() -> None:
    """Keep many locks with one sign of life.

    Locks that are acquired with --session ID live as long as their session.
    """


@session.command(
    "open",
    examples=[
        "gorilla session open --ttl 30",
        "SESSION=$(gorilla session open --ttl 30 --owner worker-3 --quiet)",
    ],
)
@click.option(
    "--ttl",
    metavar="SECONDS",
    type=TIMEOUT,
    required=True,
    help="It lives so long after each sign of life.",
)
@click.option("--owner", metavar="NAME", help="Whose it is; a new name each time when not given.")
@click.option("--metadata", metavar="JSON", help="Attached to it; what is no JSON is text.")
@click.option("-q", "--quiet", is_flag=True, help="Print the id alone.")
@click.pass_obj
def open_(cli: Cli, /, ttl: float, owner: str | None, metadata: str | None, *, quiet: bool) -> None:
    """Open a session, and print its id, which is a secret."""
    value = None if metadata is None else json_or_text(metadata)
    body = cli.client().sessions.open(ttl, cli.owner() if owner is None else owner, metadata=value)
    if quiet:
        cli.out.show(body.id, body.id)
    else:
        cli.out.show(body, _facts(body))


@session.command(
    "keep",
    cls=SecretVerb,
    epilog=ID_HELP,
    examples=['gorilla session keep "$SESSION"', 'gorilla session keep "$SESSION" --watch'],
)
@click.argument("session_id", metavar="[ID]", required=False, type=SECRET)
@click.option("--watch", is_flag=True, help="Keep it alive until Ctrl-C.")
@click.pass_obj
def keep(cli: Cli, /, session_id: str | None, *, watch: bool) -> int:
    """Give a sign of life."""
    secret = _named(session_id)
    body = cli.client().sessions.keep(secret)
    cli.out.show(body, _facts(body, with_id=False))
    if watch:
        return _keep_on(cli, secret, body)
    return Exit.OK


@session.command(
    "show", cls=SecretVerb, epilog=ID_HELP, examples=['gorilla session show "$SESSION"']
)
@click.argument("session_id", metavar="[ID]", required=False, type=SECRET)
@click.pass_obj
def show(cli: Cli, /, session_id: str | None) -> None:
    """Show a session, what it holds, and what it waits for."""
    body = cli.client().sessions.show(_named(session_id))
    cli.out.show(body, *_views(body))


@session.command("end", cls=SecretVerb, epilog=ID_HELP, examples=['gorilla session end "$SESSION"'])
@click.argument("session_id", metavar="[ID]", required=False, type=SECRET)
@click.pass_obj
def end(cli: Cli, /, session_id: str | None) -> None:
    """End a session, and release everything that it holds."""
    cli.client().sessions.end(_named(session_id))
    cli.out.say("Ended.")


def _named(given_id: str | None) -> str:
    return secret(given_id, SESSION_VARIABLE, "the id of the session")


def _keep_on(cli: Cli, secret_id: str, body: SessionBody) -> int:
    """Give signs of life until Ctrl-C, or until the session is over."""
    client, pause = cli.client(), threading.Event()
    cli.out.remark("Ctrl-C stops; the session then lives on for its ttl.")
    try:
        while True:
            pause.wait(body.ttl / _SIGNS_A_TTL)
            try:
                body = client.sessions.keep(secret_id)
            except Unavailable as error:
                # It may live yet, and the next sign may arrive.
                cli.out.warn(explained(error).sentence)
            except SessionNotFound as error:
                cli.out.say(f"gorilla: {error.detail}", "bad")
                return Exit.LOST
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def _facts(body: SessionBody, *, with_id: bool = True) -> Facts:
    return Facts(
        [
            ("id", body.id if with_id else None),
            ("number", body.number),
            ("owner", body.owner),
            ("ttl", told(body.ttl)),
            ("left", time_left(body.remaining)),
            ("metadata", metadata_text(body.metadata)),
            ("begun", f"{shown(body.created_at)} UTC"),
        ]
    )


def _views(body: SessionStateBody) -> list[View]:
    views: list[View] = [_facts(body, with_id=False)]
    if body.locks:
        columns = [
            Column("HOLDS", flexible=True),
            Column("FENCING", right=True),
            Column("HELD", right=True),
            Column("REASON", flexible=True),
        ]
        rows: list[list[Cell]] = [
            [one.resource, one.fencing_token, told(held_s(one)), given(one.reason) or ""]
            for one in body.locks
        ]
        views.append(Table(columns, rows))
    if body.waits:
        columns = [
            Column("WAITS FOR", flexible=True),
            Column("#", right=True),
            Column("SINCE (UTC)"),
            Column("REASON", flexible=True),
        ]
        rows = [
            [", ".join(one.resources), one.position, shown(one.since), given(one.reason) or ""]
            for one in body.waits
        ]
        views.append(Table(columns, rows))
    return views
