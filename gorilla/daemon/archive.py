"""``gorillad snapshots``: what PostgreSQL has to restore from."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

import aiohttp
import msgspec

from gorilla.config import MemberConfig
from gorilla.daemon.database import database_url
from gorilla.daemon.failures import CommandError, Exit
from gorilla.daemon.settings import Settings

if TYPE_CHECKING:
    from gorilla.service.snapshots import StoredSnapshot
    from gorilla.storage.snapshots import PostgresSnapshots

TAKE_TIMEOUT_S: Final = 620.0
"""A little more than a node allows itself for storing one."""

CONNECT_TIMEOUT_S: Final = 3.0
HEADINGS: Final = ("ID", "TAKEN (UTC)", "CLUSTER", "TERM", "INDEX", "LOCKS", "SIZE")

Result = TypeVar("Result")


def snapshots(arguments: argparse.Namespace) -> int:
    """List, take or verify."""
    actions: dict[str, Callable[[argparse.Namespace, Settings], int]] = {
        "list": _list,
        "take": _take,
        "verify": _verify,
    }
    return actions[arguments.action](arguments, Settings(arguments))


def with_archive(
    settings: Settings, work: Callable[["PostgresSnapshots"], Awaitable[Result]]
) -> Result:
    """Run ``work`` on the configured (or embedded) archive and close it."""
    from gorilla.storage.snapshots import PostgresSnapshots  # noqa: PLC0415 - SQLAlchemy

    async def worked(url: str) -> Result:
        archive = PostgresSnapshots(url)
        try:
            return await work(archive)
        finally:
            await archive.close()

    with database_url(settings.config) as url:
        return asyncio.run(worked(url))


def _list(arguments: argparse.Namespace, settings: Settings) -> int:
    found = with_archive(settings, lambda archive: archive.list(arguments.limit))
    if not found:
        sys.stdout.write("no snapshot yet\n")
    else:
        sys.stdout.write(table([HEADINGS, *(_row(snapshot) for snapshot in found)]))
    return Exit.DONE


def _row(snapshot: "StoredSnapshot") -> tuple[str, ...]:
    return (
        str(snapshot.id),
        f"{snapshot.taken_at:%Y-%m-%d %H:%M:%S}",
        snapshot.cluster_id[:8],
        str(snapshot.term),
        str(snapshot.applied_index),
        str(snapshot.lock_count),
        size(snapshot.size_bytes),
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Lay out ``rows`` in columns, the last cell of each without padding."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def size(count: int) -> str:
    """Say a number of bytes for people."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if value < 1_024:  # noqa: PLR2004 - what the units say
            break
        value, unit = value / 1_024, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _verify(arguments: argparse.Namespace, settings: Settings) -> int:
    from gorilla.service.restoring import choose, verify  # noqa: PLC0415 - the lock table

    snapshot = arguments.snapshot if isinstance(arguments.snapshot, int) else None

    async def read(archive: "PostgresSnapshots") -> "StoredSnapshot":
        return (await verify(archive, await choose(archive, snapshot))).meta

    meta = with_archive(settings, read)
    sys.stdout.write(
        f"snapshot {meta.id} is whole: {meta.lock_count} locks, {size(meta.size_bytes)}, "
        f"SHA-256 {meta.digest}\n"
    )
    return Exit.DONE


def _take(arguments: argparse.Namespace, settings: Settings) -> int:
    members: Sequence[MemberConfig] = settings.config.members
    if arguments.node:
        members = [settings.member(arguments.node)]
    answer = asyncio.run(_ask_any(members))
    sys.stdout.write(f"stored snapshot {answer.id}: {answer.lockCount} locks\n")
    return Exit.DONE


class _Stored(msgspec.Struct, frozen=True):
    """What is read of the answer to ``POST /api/v1/snapshots``."""

    id: int
    lockCount: int  # noqa: N815 - as it is spelled in the answer


class _Refused(msgspec.Struct, frozen=True):
    detail: str


async def _ask_any(members: Sequence[MemberConfig]) -> _Stored:
    timeout = aiohttp.ClientTimeout(total=TAKE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for member in members:
            try:
                async with session.post(f"http://{member.http_address}/api/v1/snapshots") as reply:
                    return _stored(reply.ok, await reply.read())
            except aiohttp.ClientConnectorError:
                continue  # not running: ask the next
            except (aiohttp.ClientError, TimeoutError) as error:
                raise CommandError(f"{member.name} did not answer: {error}") from error
    names = ", ".join(member.name for member in members)
    raise CommandError(f"no node answers ({names}): a snapshot is taken by a running node")


def _stored(ok: bool, body: bytes) -> _Stored:  # noqa: FBT001 - private
    try:
        if ok:
            return msgspec.json.decode(body, type=_Stored)
        raise CommandError(msgspec.json.decode(body, type=_Refused).detail)
    except msgspec.DecodeError as error:
        raise CommandError("the node's answer can't be read; is it of another release?") from error
