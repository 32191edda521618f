"""What ``gorillad doctor`` says of a member's history: is its database there, how far is it.

It reads one row of the database and asks the node, if it runs. Nothing is changed or started.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import aiohttp
import msgspec

from gorilla.config import ClusterConfig, MemberConfig
from gorilla.consensus.examining import Finding, Grade
from gorilla.consensus.identity import IDENTITY_FILE, IdentityError, load
from gorilla.consensus.ports import Readable
from gorilla.daemon.database import embedded_directory
from gorilla.service.event_log import EVENTS_KEPT_MAX
from gorilla.service.history_reading import NOT_CONFIGURED, SWITCHED_OFF
from gorilla.service.history_records import HistoryState
from gorilla.service.snapshots import ArchiveError, SchemaOutdatedError

PLACE: Final = "history"

LOOK_S_MAX: Final = 15.0
"""How long the database may take; a node allows itself about as long."""

NODE_S_MAX: Final = 7.0
"""How long the node may take: a little more than it allows itself for an answer."""

BEHIND_MAX: Final = EVENTS_KEPT_MAX // 8
"""From so many missing events on it is trouble: what a node no longer remembers is a gap."""

_REACH: Final = (
    "See that the database runs and that this machine reaches it, with the URL, user and password"
    " of database.url (GORILLA_DATABASE_URL); locks go on meanwhile, and the history catches up by"
    " itself if that is not too late (docs/operations/history.md)"
)
_MIGRATE: Final = "Run gorillad migrate, of the release that the nodes are of"
_CATCH_UP: Final = (
    "Look at the leader's log, at gorilla_history_failing and at the load of the database;"
    f" beyond {EVENTS_KEPT_MAX} events there will be a gap (docs/operations/history.md)"
)


class _CompleteUpTo(msgspec.Struct, frozen=True):
    behind: int


class _Told(msgspec.Struct, frozen=True):
    """What is read of the answer to ``GET /api/v1/history``."""

    gaps: list[msgspec.Raw]
    completeUpTo: _CompleteUpTo | None = None  # noqa: N815 - as it is spelled in the answer


def examine_history(
    config: ClusterConfig, member: MemberConfig, directory: Readable
) -> list[Finding]:
    """Return what was found about the history of a member's cluster.

    Args:
        config: Says which database.
        member: Whom to ask, if it runs.
        directory: Its data directory: it knows the cluster.

    """
    return list(_examine(config, member, directory))


def _examine(config: ClusterConfig, member: MemberConfig, directory: Readable) -> Iterator[Finding]:
    if not config.history.enabled:
        yield Finding(Grade.NOTE, PLACE, SWITCHED_OFF)
        return
    url, why_none = _url(config)
    if url is None:
        yield Finding(Grade.NOTE, PLACE, why_none)
        return
    try:
        cluster_id = _cluster_id(directory)
        state = asyncio.run(_state(url, cluster_id))
    except SchemaOutdatedError as error:
        yield Finding(Grade.TROUBLE, PLACE, str(error), _MIGRATE)
    except (ArchiveError, TimeoutError) as error:
        text = str(error) or f"the database had no answer within {LOOK_S_MAX:.0f} s"
        yield Finding(Grade.TROUBLE, PLACE, text, _REACH)
    else:
        yield from _judged(cluster_id, state, asyncio.run(_ask(member)))


def _url(config: ClusterConfig) -> tuple[str | None, str]:
    """Return the database's URL, or why there is none to look at."""
    if config.database.url:
        return config.database.url.reveal(), ""
    directory = embedded_directory(config)
    if not (directory / "data").exists():
        return None, NOT_CONFIGURED
    from gorilla.storage.embedded import running_url  # noqa: PLC0415 - psycopg

    return running_url(directory), "the embedded PostgreSQL does not run: gorillad up starts it"


def _cluster_id(directory: Readable) -> str:
    """Return the cluster's id; empty when there is none yet, or the identity is damaged."""
    try:
        return (load(directory).cluster_id or "") if IDENTITY_FILE in directory.names() else ""
    except (IdentityError, OSError):
        return ""  # what is wrong with the file is told where the directory is examined


async def _state(url: str, cluster_id: str) -> HistoryState | None:
    from gorilla.storage.history import PostgresHistory  # noqa: PLC0415 - SQLAlchemy

    history = PostgresHistory(url)
    try:
        async with asyncio.timeout(LOOK_S_MAX):
            return await history.state(cluster_id)
    finally:
        await history.close()


async def _ask(member: MemberConfig) -> _Told | None:
    """Ask the node how far the history is; None when it does not run, or can't say."""
    timeout = aiohttp.ClientTimeout(total=NODE_S_MAX)
    url = f"http://{member.http_address}/api/v1/history?limit=1"
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url) as reply,
        ):
            return msgspec.json.decode(await reply.read(), type=_Told) if reply.ok else None
    except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError):
        return None


def _judged(cluster_id: str, state: HistoryState | None, told: _Told | None) -> Iterator[Finding]:
    if state is None:
        which = f"cluster {cluster_id}" if cluster_id else "a cluster: this node is in none yet"
        yield Finding(Grade.NOTE, PLACE, f"the database is there, with nothing of {which}")
        return
    at = datetime.fromtimestamp(state.at_ms / 1_000, UTC)
    text = f"the database is there; event {state.number} of {at:%Y-%m-%d %H:%M:%S} UTC is the last"
    behind = told.completeUpTo.behind if told is not None and told.completeUpTo else None
    if behind is None:
        unsaid = "how many are missing is told while the node runs"
        yield Finding(Grade.NOTE, PLACE, f"{text}; {unsaid}")
    else:
        much = behind > BEHIND_MAX
        grade = Grade.TROUBLE if much else Grade.OK
        yield Finding(grade, PLACE, f"{text}; {behind} behind", _CATCH_UP if much else "")
    if state.unsettled_ms is not None:
        yield Finding(Grade.NOTE, PLACE, "holds are being looked through after a gap")
    if told is not None and told.gaps:
        yield Finding(Grade.NOTE, PLACE, f"gaps, of which events are missing: {len(told.gaps)}")
