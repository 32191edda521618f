"""``gorilla snapshot``: what PostgreSQL has to restore from.

Listing and storing go through the API. Reading one back, and restoring, need the database and the
node's disk, which only ``gorillad`` reaches: those commands become it, where it is installed.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click

from gorilla.cli.app import Cli
from gorilla.cli.failures import CommandError, Exit
from gorilla.cli.options import WAIT, Noun
from gorilla.cli.tables import Cell, Column, View
from gorilla.wire.problems import ProblemCode

if TYPE_CHECKING:
    from gorilla.wire.bodies import SnapshotBody

LIMIT_DEFAULT: Final = 20
LIMIT_MAX: Final = 1_000
PROGRAM: Final = "gorillad"

_SERVER_PART: Final = "pysyncobj"
"""A package that the server needs and this program does not."""

_UNIT: Final = 1_024
_ID_CHARS: Final = 8


@click.group(cls=Noun)
def snapshot() -> None:
    """The snapshots in PostgreSQL, for the day when every disk is lost."""


# -- through the API


@snapshot.command("list", examples=["gorilla snapshot list", "gorilla snapshot list --limit 3"])
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=LIMIT_DEFAULT,
    show_default=True,
    metavar="N",
    help="At most so many.",
)
@click.pass_obj
def list_(cli: Cli, limit: int) -> None:
    """List the snapshots, the latest first."""
    with _database_told():
        found = cli.client().snapshots.list(limit).snapshots
    count = cli.out.show_all(found, _COLUMNS, _row)
    if not count:
        cli.out.say("There is no snapshot yet. Store one: gorilla snapshot create")


@snapshot.command("create", examples=["gorilla snapshot create"])
@click.pass_obj
def create(cli: Cli) -> None:
    """Store one now, for example before an upgrade; it may take a while."""
    client = cli.client()
    # Storing one may take long, and so may asking for it; where nobody answers it is told soon.
    client.cluster.status()
    with _database_told():
        made = client.snapshots.take()
    cli.out.show(made, *_made_views(made))


@contextmanager
def _database_told() -> Iterator[None]:
    """Say what is wrong with the database once, and not for each node that was asked."""
    from gorilla.client.errors import Unavailable  # noqa: PLC0415 - loads the client

    try:
        yield
    except Unavailable as error:
        if error.code != ProblemCode.ARCHIVE_UNAVAILABLE or error.refusal is None:
            raise
        raise CommandError(error.refusal.detail, Exit.UNAVAILABLE) from error


_COLUMNS: Final[Sequence[Column]] = (
    Column("ID", right=True),
    Column("TAKEN (UTC)"),
    Column("NODE"),
    Column("CLUSTER"),
    Column("TERM", right=True),
    Column("INDEX", right=True),
    Column("LOCKS", right=True),
    Column("SIZE", right=True),
)


def _row(one: "SnapshotBody") -> list[Cell]:
    return [
        one.id,
        one.created_at.replace("T", " "),
        one.node,
        one.cluster_id[:_ID_CHARS],
        one.term,
        one.applied_index,
        one.lock_count,
        _size(one.size_bytes),
    ]


def _made_views(made: "SnapshotBody") -> list[View]:
    locks = f"{made.lock_count} {'lock' if made.lock_count == 1 else 'locks'}"
    return [f"Stored snapshot {made.id}: {locks}, {_size(made.size_bytes)}."]


def _size(count: int) -> str:
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if value < _UNIT:
            break
        value, unit = value / _UNIT, larger
    return f"{count} B" if unit == "B" else f"{value:.1f} {unit}"


# -- through gorillad

_CONFIG = click.option(
    "--config", metavar="FILE", help="The nodes' TOML file (default $GORILLA_CONFIG)."
)
_ENV_FILE = click.option("--env-file", metavar="FILE", help="NAME=value lines, for gorillad.")


@snapshot.command(
    "verify",
    examples=[
        "gorilla snapshot verify latest --config cluster.toml",
        "gorilla snapshot verify 17 --config cluster.toml",
    ],
)
@click.argument("snapshot_id", metavar="ID|latest", default="latest")
@_CONFIG
@_ENV_FILE
def verify(snapshot_id: str, config: str | None, env_file: str | None) -> None:
    """Read a snapshot back from the database, and compare its digest.

    Becomes `gorillad snapshots verify`, whose exit code it ends with: it needs the database, so
    run it on a node's machine.
    """
    _become(["snapshots", "verify", *_settings(config, env_file), "--", snapshot_id])


@snapshot.command(
    "restore",
    examples=[
        "gorilla snapshot restore --config cluster.toml --node n1",
        "gorilla snapshot restore --config cluster.toml --node n1 --snapshot 17 --hold 3600",
    ],
)
@_CONFIG
@_ENV_FILE
@click.option("--node", metavar="NAME", help="The first member that the configuration lists.")
@click.option(
    "--snapshot",
    "snapshot_id",
    metavar="ID|latest",
    default="latest",
    show_default=True,
    help="Which one.",
)
@click.option(
    "--hold",
    type=WAIT,
    metavar="SECONDS",
    help="How long to grant no new lock; by default the longest timeout that there may be.",
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def restore(
    config: str | None,
    env_file: str | None,
    node: str | None,
    snapshot_id: str,
    hold: float | None,
    *,
    yes: bool,
) -> None:
    """Make a new cluster out of a snapshot, after the loss of every disk.

    Becomes `gorillad restore`, whose exit code it ends with: run it on the machine of the first
    member, with every node stopped. It says what will happen, and asks.
    """
    more = [
        *(["--node", node] if node else []),
        *(["--hold", str(hold)] if hold is not None else []),
        *(["--yes"] if yes else []),
    ]
    _become(["restore", *_settings(config, env_file), "--snapshot", snapshot_id, *more])


def _settings(config: str | None, env_file: str | None) -> list[str]:
    return [
        *(["--config", config] if config else []),
        *(["--env-file", env_file] if env_file else []),
    ]


def gorillad() -> Path | None:
    """Return where ``gorillad`` is on this machine: beside this program, or in the PATH."""
    beside = Path(sys.executable).parent / PROGRAM
    # Both programs come with the package; only one of them may have all that it needs.
    if beside.is_file() and find_spec(_SERVER_PART) is not None:
        return beside
    found = shutil.which(PROGRAM)
    if found is None or Path(found).resolve() == beside.resolve():
        return None
    return Path(found)


def _become(arguments: list[str]) -> NoReturn:
    """Let ``gorillad`` do it, in the place of this process.

    Raises:
        CommandError: It is not on this machine, or can't be run.

    """
    program = gorillad()
    if program is None:
        raise CommandError(
            f"This needs {PROGRAM}, which reaches database and disk, and it is not installed here. "
            f"On the machine of a node: {PROGRAM} {' '.join(arguments)}",
            Exit.NOT_COMMAND,
        )
    try:
        os.execv(program, [str(program), *arguments])  # noqa: S606 - no shell is meant
    except OSError as error:
        raise CommandError(
            f"{program} can't be run: {error.strerror}.", Exit.NOT_EXECUTABLE
        ) from error
