"""``gorilla policy``: the rules of all locks whose names begin alike."""

from collections.abc import Sequence
from typing import Any, Final

import click
import msgspec
from msgspec import UNSET, UnsetType

from gorilla.cli.app import Cli
from gorilla.cli.failures import CommandError, Exit
from gorilla.cli.options import TIMEOUT, WAIT, Noun
from gorilla.cli.tables import Cell, Column, Styled
from gorilla.wire.bodies import HOLDERS_MAX
from gorilla.wire.policies import PolicyBody

_DAY_S: Final = 86_400
_HOUR_S: Final = 3_600
_MINUTE_S: Final = 60


@click.group(cls=Noun)
def policy() -> None:
    """The rules of all locks whose names begin alike.

    Of several prefixes that fit a lock the longest rules alone. Also: gorilla cluster policy.
    """


@policy.command(
    "list", examples=["gorilla policy list", "gorilla policy list --resource deploy/shop"]
)
@click.option("--resource", metavar="NAME", help="Only the one that rules this lock.")
@click.pass_obj
def list_(cli: Cli, resource: str | None) -> None:
    """List the policies."""
    found = cli.client().policies.list(resource).policies
    count = cli.out.show_all(found, _COLUMNS, _row)
    if not count:
        cli.out.say("No policy rules that lock." if resource else "There are no policies.")


@policy.command(
    "set",
    examples=[
        "gorilla policy set deploy/ --max-timeout 15m --max-wait 60 --owner 'ci-*' --owner anna",
        "gorilla policy set '' --max-timeout 1h       # all locks",
        "gorilla policy set deploy/free/ --no-rules   # free of what rules deploy/",
    ],
)
@click.argument("prefix")
@click.option("--max-timeout", type=TIMEOUT, metavar="SECONDS", help="A longer one is lowered.")
@click.option("--max-lifetime", type=TIMEOUT, metavar="SECONDS", help="No hold lasts longer.")
@click.option("--max-wait", type=WAIT, metavar="SECONDS", help="A longer one is lowered.")
@click.option(
    "--max-holders",
    type=click.IntRange(1, HOLDERS_MAX),
    metavar="N",
    help="How many may hold a lock at once.",
)
@click.option(
    "--min-gap", type=WAIT, metavar="SECONDS", help="Least time from one grant to the next."
)
@click.option(
    "--owner",
    "owners",
    metavar="NAME",
    multiple=True,
    help="Who may take the locks, by name or beginning*; repeat it. Others are refused.",
)
@click.option("--no-rules", is_flag=True, help="A policy without rules, which frees its prefix.")
@click.pass_obj
def set_(
    cli: Cli,
    /,
    prefix: str,
    *,
    owners: tuple[str, ...],
    no_rules: bool,
    **rules: Any,  # noqa: ANN401 - of click
) -> None:
    """Set the rules of all locks whose names begin with PREFIX; '' is all locks.

    They replace whatever that prefix had, and hold for every grant from now on; what is held
    already is left alone.
    """
    given = {name: value for name, value in rules.items() if value is not None}
    if owners:
        given["owners"] = owners
    if bool(given) == no_rules:
        raise click.UsageError(
            "Rules and --no-rules exclude each other."
            if no_rules
            else "Give at least one rule; --no-rules sets a policy that frees its prefix."
        )
    made = cli.client().policies.set(prefix, **given)
    cli.out.show_all([made], _COLUMNS, _row)


@policy.command("drop", examples=["gorilla policy drop deploy/"])
@click.argument("prefix")
@click.pass_obj
def drop(cli: Cli, prefix: str) -> None:
    """Drop the policy of PREFIX; a shorter one that fits rules its locks from now on."""
    from gorilla.client.errors import NotFound  # noqa: PLC0415 - loads the client

    try:
        cli.client().policies.drop(prefix)
    except NotFound as error:
        raise CommandError(f"There is no policy of {prefix!r}.", Exit.NOT_FOUND) from error
    cli.out.say(f"The policy of {prefix!r} is dropped.")


_COLUMNS: Final[Sequence[Column]] = (
    Column("PREFIX", flexible=True),
    Column("TIMEOUT", right=True),
    Column("LIFETIME", right=True),
    Column("WAIT", right=True),
    Column("HOLDERS", right=True),
    Column("GAP", right=True),
    Column("OWNERS", flexible=True),
)


def _row(one: PolicyBody) -> list[Cell]:
    owners: Cell = Styled("anybody", "dim")
    if one.owners is not UNSET:
        owners = ", ".join(one.owners)
    return [
        one.prefix or Styled("all locks", "dim"),
        _length(one.max_timeout),
        _length(one.max_lifetime),
        _length(one.max_wait),
        None if one.max_holders is UNSET else one.max_holders,
        _length(one.min_gap),
        owners,
    ]


def _length(seconds: float | UnsetType) -> str | None:
    """Say a rule's length as it may be given again: ``90s``, ``15m``, ``1h``."""
    if isinstance(seconds, msgspec.UnsetType):
        return None
    for size, unit in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
