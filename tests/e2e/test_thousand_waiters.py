"""A thousand owners wait for one lock, and three leaders are killed meanwhile.

Each owner is served once, in the order of the queue: those whose node died ask another one, and
find their place kept. How long a handover takes (release answered to next grant answered) is
printed (``pytest -s``); docs/track-record.md has the figures measured.
"""

import asyncio
import statistics
import time
from dataclasses import dataclass, field

import aiohttp
import pytest

from tests.support.nodes import Nodes
from tests.support.real_cluster import acquire, call

pytestmark = pytest.mark.e2e

WAITERS = 1_000
KILLS = 3
LOCK = "/api/v1/locks/contended"
AGAIN_S = 0.02
TIME_S_MAX = 240.0


@dataclass
class Line:
    """The owners, what they got, and when."""

    nodes: Nodes
    session: aiohttp.ClientSession
    granted: list[tuple[int, str, float]] = field(default_factory=list)
    """(fencing token, owner, loop time of the answer)"""
    released_s: dict[str, float] = field(default_factory=dict)
    asked_again: int = 0

    def url(self, turn: int) -> str:
        names = self.nodes.names
        return self.nodes.url(names[turn % len(names)])

    async def ask(self, method: str, path: str, turn: int, body: object = None):
        """Ask one node after the other until one answers for certain."""
        while True:
            try:
                asked = self.session.request(method, self.url(turn) + path, json=body)
                async with asked as answer:
                    if answer.status < 500:
                        return answer.status, await answer.json() if answer.status == 200 else None
            except aiohttp.ClientError:
                pass
            turn += 1
            self.asked_again += 1
            await asyncio.sleep(AGAIN_S)

    async def wait(self, n: int) -> None:
        owner = f"owner-{n}"
        body = {"owner": owner, "timeout": 60, "wait": 200}
        status, lock = await self.ask("POST", LOCK, n, body)
        assert (status, lock and lock["owner"]) == (200, owner)
        self.granted.append((lock["fencingToken"], owner, time.monotonic()))
        status, _ = await self.ask("DELETE", f"{LOCK}/{lock['token']}", n)
        assert status in {204, 404}  # 404: an earlier try whose answer was lost had done it
        self.released_s[owner] = time.monotonic()


def queue_of(nodes: Nodes) -> list[str]:
    view = call(nodes.url(nodes.names[0]), "GET", LOCK).body
    return [waiter["owner"] for waiter in view["waiters"]]


async def kill_a_leader(line: Line, after: int) -> None:
    """Kill whoever leads once so many were served, and start it again."""
    while len(line.granted) < after:
        await asyncio.sleep(AGAIN_S)
    name = await asyncio.to_thread(line.nodes.leader)
    assert name is not None
    line.nodes.kill(name)
    line.nodes.start(name)
    await line.nodes.until_ready()


async def test_a_thousand_waiters_are_each_served_once_in_order(tmp_path):
    nodes = Nodes(tmp_path)
    try:
        nodes.start()
        await nodes.until_ready()
        held = acquire(nodes.url(nodes.names[0]), "contended", "first")
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            line = Line(nodes, session)
            waits = [asyncio.ensure_future(line.wait(n)) for n in range(WAITERS)]
            deadline_s = time.monotonic() + 60
            while len(queue := await asyncio.to_thread(queue_of, nodes)) < WAITERS:
                assert time.monotonic() < deadline_s, len(queue)
            status, _ = await line.ask("DELETE", f"{LOCK}/{held['token']}", 0)
            assert status == 204
            async with asyncio.timeout(TIME_S_MAX):
                for kill in range(1, KILLS + 1):
                    await kill_a_leader(line, kill * WAITERS // (KILLS + 1))
                await asyncio.gather(*waits)
    finally:
        nodes.close()

    tokens = [token for token, _, _ in line.granted]
    assert len(set(tokens)) == len(tokens) == WAITERS
    assert [owner for _, owner, _ in sorted(line.granted)] == queue
    gaps_ms = sorted(
        1_000 * (next_s - line.released_s[owner])
        for (_, owner, _), (_, _, next_s) in zip(
            sorted(line.granted), sorted(line.granted)[1:], strict=False
        )
    )
    percentiles = statistics.quantiles(gaps_ms, n=100)
    print(
        f"\nhandover of {WAITERS} waiters through {KILLS} leader kills: p50 {percentiles[49]:.1f}"
        f" ms, p99 {percentiles[98]:.1f} ms, longest {gaps_ms[-1]:.0f} ms;"
        f" asked again {line.asked_again} times"
    )
