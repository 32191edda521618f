"""Watches a running cluster from outside, through its own API, and tells who leads."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

import aiohttp
import msgspec

from gorilla.config import MemberConfig

POLL_S: Final = 0.5
ANSWER_TIMEOUT_S: Final = 2.0
LEADERLESS_S: Final = 15.0
"""Silence about a leader after which it is worth a line."""


class _Leader(msgspec.Struct, frozen=True):
    name: str


class _Cluster(msgspec.Struct, frozen=True):
    """What is read of ``GET /api/v1/cluster``."""

    term: int
    leader: _Leader | None


async def watch_cluster(
    members: Sequence[MemberConfig], tell: Callable[[str], None], stop: asyncio.Event
) -> None:
    """Tell of the first leader (with where to look) and of every later one, until ``stop``."""
    loop = asyncio.get_running_loop()
    known: tuple[str, int] | None = None
    heard_s = loop.time()
    timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        while not stop.is_set():
            seen = await _leader(session, members)
            if seen is not None:
                heard_s = loop.time()
                if known is None:
                    _welcome(members, seen, tell)
                elif seen != known:
                    tell(f"{seen[0]} leads now (term {seen[1]})")
                known = seen
            elif loop.time() - heard_s > LEADERLESS_S:
                heard_s = loop.time()
                tell(f"no leader for {LEADERLESS_S:.0f} s; the nodes' lines say why")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), POLL_S)


async def _leader(
    session: aiohttp.ClientSession, members: Sequence[MemberConfig]
) -> tuple[str, int] | None:
    """Return name and term of the newest leader that any node knows of."""
    answers = await asyncio.gather(*(_ask(session, member) for member in members))
    known = [(a.term, a.leader.name) for a in answers if a is not None and a.leader is not None]
    if not known:
        return None
    term, name = max(known)
    return name, term


async def _ask(session: aiohttp.ClientSession, member: MemberConfig) -> _Cluster | None:
    url = f"http://{member.http_address}/api/v1/cluster"
    try:
        async with session.get(url) as response:
            body = await response.read()
        return msgspec.json.decode(body, type=_Cluster)
    except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError, OSError):
        return None  # not up (yet): the others are asked as well


def _welcome(
    members: Sequence[MemberConfig], leader: tuple[str, int], tell: Callable[[str], None]
) -> None:
    first = members[0].http_address
    tell(f"ready: {leader[0]} leads {len(members)} nodes (term {leader[1]})")
    for member in members:
        tell(f"  {member.name:<8} http://{member.http_address}/")
    tell(
        f"try: curl -X POST http://{first}/api/v1/locks/demo -H 'Content-Type: application/json' \\"
    )
    tell("""       -d '{"owner": "me", "timeout": 60}'""")
    tell("Ctrl-C stops all; the locks are there again at the next start")
