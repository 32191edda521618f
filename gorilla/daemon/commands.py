"""What each command of ``gorillad`` does. Rooms that take time to load are imported on use."""

import argparse
import asyncio
import importlib.metadata
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Final

from gorilla.config import ClusterConfig
from gorilla.daemon.addresses import check_addresses_free
from gorilla.daemon.archive import snapshots
from gorilla.daemon.children import gorillad
from gorilla.daemon.database import database_url
from gorilla.daemon.failures import Exit
from gorilla.daemon.restoring import restore
from gorilla.daemon.settings import Settings
from gorilla.daemon.supervisor import Supervisor


def run(arguments: argparse.Namespace) -> int:
    """Run one node in the foreground; its exit code is ours."""
    settings = Settings(arguments)
    member = settings.member(arguments.node)
    check_addresses_free([member])
    if arguments.stop_with_stdin:
        threading.Thread(target=_stop_with_stdin, name="parent", daemon=True).start()
    from gorilla.daemon.node import run_node  # noqa: PLC0415 - the whole server

    return run_node(settings.config, member.name)


def _stop_with_stdin() -> None:
    """End like at SIGTERM when the other end of our input closes: the supervisor has died."""
    while os.read(sys.stdin.fileno(), 4096):
        continue
    os.kill(os.getpid(), signal.SIGTERM)


def up(arguments: argparse.Namespace) -> int:
    """Run all nodes here, under one supervisor."""
    settings = Settings(arguments)
    same = settings.for_children()

    def node_command(name: str) -> list[str]:
        return gorillad("run", *same, "--node", name, "--stop-with-stdin")

    supervisor = Supervisor(settings.config, settings.environment, node_command, _upgrade)
    return asyncio.run(supervisor.run())


def check_config(arguments: argparse.Namespace) -> int:
    """Say that the configuration is in order, and what it amounts to."""
    settings = Settings(arguments)
    config = settings.config
    names = ", ".join(member.name for member in config.members)
    _say(f"{settings.path or 'the environment'}: in order")
    _say(f"  cluster {config.cluster.name}, {len(config.members)} members: {names}")
    _say(f"  cluster secret: {'set' if config.cluster_secret else 'not set (loopback only)'}")
    _say(f"  database: {'set' if config.database.url else 'not set'}")
    for hint in _hints(config):
        _say(f"  note: {hint}")
    return Exit.DONE


def _hints(config: ClusterConfig) -> list[str]:
    """Return what is allowed and yet rarely meant."""
    count = len(config.members)
    hints = []
    if count == 1:
        hints.append("one member: no lock survives the loss of its disk")
    elif count % 2 == 0:
        hints.append(f"{count} members survive no more losses than {count - 1} would")
    election_s = config.consensus.election_timeout_ms_max / 1_000
    if config.locks.leader_grace_s <= election_s:
        hints.append(
            "locks.leader_grace_s is shorter than an election may take: clients see 503 meanwhile"
        )
    return hints


def doctor(arguments: argparse.Namespace) -> int:
    """Examine a data directory, change nothing."""
    from gorilla.daemon.doctor import doctor as examine  # noqa: PLC0415 - loads the journal

    return examine(arguments)


def migrate(arguments: argparse.Namespace) -> int:
    """Bring the tables up to date."""
    settings = Settings(arguments)
    with database_url(settings.config, make=True) as url:
        _upgrade(url)
    _say("the tables are up to date")
    return Exit.DONE


def _upgrade(url: str) -> None:
    from gorilla.storage.migrating import upgrade  # noqa: PLC0415 - Alembic

    upgrade(url)


def version(_: argparse.Namespace) -> int:
    """Print the version."""
    _say(f"gorillad {importlib.metadata.version('gorilla-lock')}")
    return Exit.DONE


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


COMMANDS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "run": run,
    "up": up,
    "check-config": check_config,
    "doctor": doctor,
    "migrate": migrate,
    "snapshots": snapshots,
    "restore": restore,
    "version": version,
}
