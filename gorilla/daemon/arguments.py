"""The command line of ``gorillad``."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

DESCRIPTION: Final = "Gorilla, a distributed lock service: the program of a node."
EPILOG: Final = """\
Settings come from the environment (GORILLA_...), then the --env-file, then the --config file, then
the defaults; .env.example and cluster.example.toml in the source tree explain every one.

exit codes: 0 done, 1 it could not be done, 2 the command line or the configuration is wrong,
70 (run) the node stopped itself rather than risk what it promised, 71 (run) the node was removed
from its cluster
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; ``command`` names the command."""
    top = argparse.ArgumentParser(
        prog="gorillad",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_nodes(commands)
    _add_checks(commands)
    _add_snapshots(commands)
    _add_restore(commands)
    return top


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - argparse has no other name


def _add_nodes(commands: Commands) -> None:
    run = _command(commands, "run", "run one node, until SIGTERM or Ctrl-C")
    _add_node(run)
    # For the supervisor: when its end of our input closes, it has died, and so do we.
    run.add_argument("--stop-with-stdin", action="store_true", help=argparse.SUPPRESS)
    _command(
        commands,
        "up",
        "run all nodes on this machine, and a PostgreSQL if none is configured",
    )


def _add_checks(commands: Commands) -> None:
    _command(commands, "check-config", "check the configuration, start nothing")
    doctor = _command(commands, "doctor", "examine a data directory, change nothing")
    _add_node(doctor, text="name of the member whose directory it is (default $GORILLA_NODE)")
    doctor.add_argument(
        "directory",
        type=Path,
        nargs="?",
        default=None,
        metavar="DIRECTORY",
        help="a data directory, instead of a member's",
    )
    _command(commands, "migrate", "bring the tables of the database up to date")
    commands.add_parser("version", help="print the version", description="Print the version.")


def _add_snapshots(commands: Commands) -> None:
    text = "list, take and verify the snapshots in PostgreSQL"
    group = commands.add_parser("snapshots", help=text, description=_sentence(text))
    actions = group.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = _command(actions, "list", "list them, the latest first")
    listing.add_argument(
        "--limit", type=_count, default=20, metavar="N", help="at most so many (default 20)"
    )
    take = _command(actions, "take", "ask a running node to store one now")
    _add_node(take, required=False, text="which node to ask (default: the first that answers)")
    verify = _command(actions, "verify", "read one back and compare its digest")
    verify.add_argument("snapshot", type=_snapshot, metavar="ID", help="its number, or latest")


def _add_restore(commands: Commands) -> None:
    restore = _command(
        commands, "restore", "prepare an empty node to form a new cluster from a snapshot"
    )
    _add_node(restore, text="the node to prepare: the first member (default $GORILLA_NODE)")
    restore.add_argument(
        "--snapshot",
        type=_snapshot,
        default="latest",
        metavar="ID",
        help="its number, or latest (the default)",
    )
    restore.add_argument(
        "--hold",
        type=_seconds,
        default=None,
        metavar="SECONDS",
        help="grant no new lock for so long after the start; default: the longest timeout that a "
        "lost grant may have had (locks.max_timeout_s)",
    )
    restore.add_argument("--yes", action="store_true", help="do not ask, do it")


def _command(commands: Commands, name: str, text: str) -> argparse.ArgumentParser:
    made = commands.add_parser(name, help=text, description=_sentence(text))
    made.add_argument(
        "--config",
        type=Path,
        default=_from_environment("GORILLA_CONFIG", Path),
        metavar="FILE",
        help="the TOML file (default $GORILLA_CONFIG, else cluster.toml)",
    )
    made.add_argument(
        "--env-file",
        type=Path,
        default=None,
        metavar="FILE",
        help="NAME=value lines, read as if they were in the environment",
    )
    return made


def _add_node(
    command: argparse.ArgumentParser,
    *,
    required: bool = True,
    text: str = "name of the member to be (default $GORILLA_NODE)",
) -> None:
    default = os.environ.get("GORILLA_NODE") or None
    command.add_argument("--node", default=default if required else None, metavar="NAME", help=text)


def _from_environment(name: str, kind: Callable[[str], Path]) -> Path | None:
    value = os.environ.get(name)
    return kind(value) if value else None


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError("must be 0 or more")
    return value


def _snapshot(text: str) -> int | str:
    if text == "latest":
        return text
    try:
        return _count(text)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a number, or latest") from None
