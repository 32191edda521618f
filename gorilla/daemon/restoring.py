"""``gorillad restore``: prepares the first member's empty directory from a snapshot."""

import argparse
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gorilla.config import MemberConfig
from gorilla.daemon.addresses import check_addresses_free
from gorilla.daemon.archive import with_archive
from gorilla.daemon.failures import CommandError, Exit
from gorilla.daemon.settings import Settings

if TYPE_CHECKING:
    from gorilla.service.restoring import PreparedRestore
    from gorilla.storage.snapshots import PostgresSnapshots

WIDTH: Final = 98


def restore(arguments: argparse.Namespace) -> int:
    """Check, prepare, ask, write."""
    settings = Settings(arguments)
    member = settings.member(arguments.node)
    _check_first(settings, member)
    data_dir = settings.config.data_dir(member.name)
    _check_empty(data_dir)
    check_addresses_free([member])

    prepared = _prepare(arguments, settings, member.name)
    _tell(prepared)
    if not arguments.yes:
        _confirm(data_dir)
    _write(data_dir, member.name, prepared)
    _tell_next(settings, member.name)
    return Exit.DONE


def _check_first(settings: Settings, member: MemberConfig) -> None:
    first = settings.config.members[0]
    if member.name != first.name:
        raise CommandError(
            f"restore on {first.name}, the first member listed: it forms the new cluster and "
            f"brings the state to the others ({member.name} starts empty)",
            Exit.USAGE,
        )


def _check_empty(data_dir: Path) -> None:
    """Refuse early what :func:`write_genesis` would; a broken-off restore may be done again."""
    from gorilla.consensus.disk import LOCK_NAME  # noqa: PLC0415 - loads the journal
    from gorilla.consensus.identity import GENESIS_FILE, IDENTITY_FILE, PART_SUFFIX  # noqa: PLC0415

    unfinished = {LOCK_NAME, IDENTITY_FILE, IDENTITY_FILE + PART_SUFFIX, GENESIS_FILE + PART_SUFFIX}
    names = {path.name for path in data_dir.iterdir()} if data_dir.exists() else set()
    if not names <= unfinished:
        raise CommandError(
            f"{data_dir} holds the data of a node. A restore makes a NEW cluster, so the old one "
            "must be gone: stop every node, move every node's directory away (keep it until all "
            "is well), and restore then"
        )


def _prepare(arguments: argparse.Namespace, settings: Settings, node: str) -> "PreparedRestore":
    from gorilla.service.restoring import prepare_restore  # noqa: PLC0415 - the lock table

    snapshot = arguments.snapshot if isinstance(arguments.snapshot, int) else None
    longest_ms = int(settings.config.locks.max_timeout_s * 1_000)

    async def work(archive: "PostgresSnapshots") -> "PreparedRestore":
        return await prepare_restore(
            archive,
            snapshot,
            hold_s=arguments.hold,
            max_timeout_ms=longest_ms,
            node=node,
            wall_ms=time.time_ns() // 1_000_000,  # for display only
        )

    try:
        return with_archive(settings, work)
    except ValueError as error:
        raise CommandError(str(error), Exit.USAGE) from error


def _tell(prepared: "PreparedRestore") -> None:
    source = prepared.source
    sys.stdout.write(
        f"snapshot {source.id} of cluster {source.cluster_id}, taken by {source.node}: whole\n"
        f"{textwrap.fill(prepared.reason, WIDTH)}\n"
        f"Fencing tokens go on above {prepared.fencing_floor}.\n"
    )


def _confirm(data_dir: Path) -> None:
    if not sys.stdin.isatty():
        raise CommandError("nobody to ask here: add --yes to go on", Exit.USAGE)
    sys.stdout.write(
        "No node of the old cluster may run any more, nor ever again with its old data.\n"
        f"Prepare {data_dir}? Type yes: "
    )
    sys.stdout.flush()
    if sys.stdin.readline().strip().lower() != "yes":
        raise CommandError("not done")


def _write(data_dir: Path, node: str, prepared: "PreparedRestore") -> None:
    # Only here: consensus loads the whole replication.
    from gorilla.consensus.disk import DiskInUseError  # noqa: PLC0415
    from gorilla.consensus.identity import IdentityError  # noqa: PLC0415
    from gorilla.consensus.restoring import write_genesis  # noqa: PLC0415

    try:
        write_genesis(data_dir, node, prepared.genesis)
    except (IdentityError, DiskInUseError) as error:
        raise CommandError(str(error)) from error


def _tell_next(settings: Settings, node: str) -> None:
    others = [member.name for member in settings.config.members if member.name != node]
    empty = f" The others ({', '.join(others)}) must have empty directories." if others else ""
    sys.stdout.write(f"{node} is prepared.{empty} Now start every node.\n")
