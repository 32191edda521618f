"""Whoever watches events sees each exactly once, whatever becomes of the node it watches at."""

import asyncio
import contextlib
import json
import signal
import socket
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.support.nodes import Nodes
from tests.support.real_cluster import acquire, call, running_balancer, running_nodes, until
from tests.support.streams import Parser, StreamEvent

pytestmark = pytest.mark.e2e

TIME_S_MAX = 90.0
SILENCE_S_MAX = 15.0
CLIENTS = 4


class Follower:
    """Watches, and comes back to the next address with the last id whenever a stream ends.

    Attributes:
        events: Everything that came.
        streams: How many streams it took.
        at: The address that it watches at.

    """

    def __init__(self, *urls: str) -> None:
        self.events: list[StreamEvent] = []
        self.streams = 0
        self.at = ""
        self._urls = urls
        self._last_id: str | None = None

    @property
    def last(self) -> int:
        return int(self._last_id or 0)

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=2, sock_read=SILENCE_S_MAX)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                for url in self._urls:
                    self.at = url
                    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                        await self._watch(session)
                    await asyncio.sleep(0.05)

    async def _watch(self, session: aiohttp.ClientSession) -> None:
        headers = {} if self._last_id is None else {"Last-Event-ID": self._last_id}
        async with session.get(f"{self.at}/api/v1/events", headers=headers) as stream:
            if stream.status != 200:
                return
            self.streams += 1
            parser = Parser()
            async for data in stream.content.iter_any():
                self.events += parser.feed(data)
                self._last_id = parser.last_id or self._last_id

    def check(self) -> list[int]:
        """Return the numbers of what happened; they must have no hole and no repetition."""
        assert [event for event in self.events if event.type == "gap"] == []
        numbers = [event.number for event in self.events if event.type != "position"]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        return numbers


class Writers:
    """Clients that take locks and give them back, at whatever node answers, until stopped.

    Attributes:
        tokens: Fencing tokens of what they were told they have; some of it more than once, as
            after a release that was not answered the same lock is given again.

    """

    def __init__(self, nodes: Nodes) -> None:
        self.tokens: set[int] = set()
        self._urls = [nodes.url(name) for name in nodes.names]
        self._stopped = False

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            await asyncio.gather(*(self._write(session, number) for number in range(CLIENTS)))

    def stop(self) -> None:
        self._stopped = True

    async def _write(self, session: aiohttp.ClientSession, number: int) -> None:
        turn = number
        while not self._stopped:
            turn += 1
            url = f"{self._urls[turn % len(self._urls)]}/api/v1/locks/lock-{number}"
            try:
                body = {"owner": "me", "timeout": 30}
                async with session.post(url, json=body) as answer:
                    if answer.status != 200:
                        continue
                    lock = await answer.json()
                self.tokens.add(lock["fencingToken"])
                async with session.delete(f"{url}/{lock['token']}"):
                    pass
            except (aiohttp.ClientError, TimeoutError):
                # The node is down: that is what this test is about.
                await asyncio.sleep(0.05)


async def more(what, by: int) -> None:
    """Wait until a figure has grown."""
    async with asyncio.timeout(TIME_S_MAX):
        goal = what() + by
        while what() < goal:
            await asyncio.sleep(0.02)


async def caught_up(nodes: Nodes, follower: Follower) -> None:
    """Let one last event happen, and wait until it has come."""
    url = nodes.url(nodes.names[0])
    locks = await asyncio.to_thread(acquire, url, "the-last")
    async with asyncio.timeout(TIME_S_MAX):
        while not any(
            event.type == "acquired" and event.json["fencingToken"] == locks["fencingToken"]
            for event in follower.events[-50:]
        ):
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def followed(nodes: Nodes, follower: Follower) -> AsyncIterator[Writers]:
    """Let events happen all the time while they are followed, up to the very last."""
    writers = Writers(nodes)
    tasks = [asyncio.ensure_future(follower.run()), asyncio.ensure_future(writers.run())]
    try:
        await more(lambda: follower.last, 20)
        yield writers
        writers.stop()
        await tasks[1]
        await caught_up(nodes, follower)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_a_watcher_sees_every_event_once_while_its_node_and_the_leader_are_killed(tmp_path):
    async def kill_and_watch(nodes: Nodes, follower: Follower) -> set[int]:
        async with followed(nodes, follower) as writers:
            for _ in range(2):
                its_node = next(name for name in nodes.names if nodes.url(name) == follower.at)
                await kill_and_start_again(nodes, its_node, follower)
                leader = await asyncio.to_thread(nodes.leader)
                assert leader is not None
                await kill_and_start_again(nodes, leader, follower)
        return writers.tokens

    with running_nodes(tmp_path) as nodes:
        follower = Follower(*map(nodes.url, nodes.names))
        told = asyncio.run(kill_and_watch(nodes, follower))

    numbers = follower.check()
    assert follower.streams >= 3
    assert len(numbers) > 100
    acquired = [each.json["fencingToken"] for each in follower.events if each.type == "acquired"]
    assert len(acquired) == len(set(acquired))
    # Some were told of their locks before the first stream began.
    assert {token for token in told if token >= acquired[0]} <= set(acquired)


async def kill_and_start_again(nodes: Nodes, name: str, follower: Follower) -> None:
    await asyncio.to_thread(nodes.kill, name)
    await more(lambda: follower.last, 20)
    await asyncio.to_thread(nodes.start, name)
    await nodes.until_ready()


def test_a_node_that_stops_sends_its_watchers_on_and_they_miss_nothing(tmp_path):
    async def stop_and_watch(nodes: Nodes, follower: Follower) -> None:
        async with followed(nodes, follower):
            for name in nodes.names:
                stopping_s = time.monotonic()
                assert await asyncio.to_thread(nodes.stop, name) == [0]
                assert time.monotonic() - stopping_s < 5, "streams kept the node from ending"
                await more(lambda: follower.last, 20)
                await asyncio.to_thread(nodes.start, name)
                await nodes.until_ready()

    with running_nodes(tmp_path) as nodes, running_balancer(nodes) as balancer:
        follower = Follower(balancer.url)
        asyncio.run(stop_and_watch(nodes, follower))

    assert len(follower.check()) > 60


def test_a_node_that_came_back_by_a_snapshot_has_what_happened_meanwhile(tmp_path):
    small = {"GORILLA_JOURNAL_COMPACT_ENTRIES": "100", "GORILLA_JOURNAL_RETAIN_ENTRIES": "20"}
    with running_nodes(tmp_path, **small) as nodes:
        away = next(name for name in nodes.names if name != nodes.leader())
        first = next(name for name in nodes.names if name != away)
        for number in range(5):
            acquire(nodes.url(first), f"before-{number}")
        nodes.signal(away, signal.SIGKILL)
        nodes.processes[away].wait()
        for number in range(400):
            acquire(nodes.url(first), f"meanwhile-{number}")
        nodes.start(away)
        asyncio.run(nodes.until_ready())

        view = nodes.ask(away, "/api/v1/cluster")
        taken = asyncio.run(take(nodes.url(away), "5", 400))

    assert view is not None
    assert view["snapshotIndex"] > 100, "it was to be brought back by a snapshot"
    assert [event.number for event in taken] == list(range(6, 406))
    assert {event.type for event in taken} == {"acquired"}


def test_a_client_that_hangs_up_behind_the_balancer_leaves_the_queue_at_once(tmp_path):
    with running_nodes(tmp_path) as nodes, running_balancer(nodes) as balancer:
        lock = "/api/v1/locks/db"
        acquire(balancer.url, "db", "anna")
        body = json.dumps({"owner": "bert", "timeout": 9, "wait": 60}).encode()
        with socket.create_connection(("127.0.0.1", int(balancer.url.rpartition(":")[2]))) as bert:
            bert.sendall(
                b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (lock.encode(), len(body), body)
            )
            until(lambda: call(balancer.url, "GET", lock).body["waiters"], "bert waits")
        until(lambda: not call(balancer.url, "GET", lock).body["waiters"], "bert left", 2)

        events = asyncio.run(take(nodes.url("n1"), "0", 3))

    assert [event.type for event in events] == ["acquired", "queued", "left"]
    assert (events[1].json["owner"], events[1].json["blockedBy"]) == ("bert", ["anna"])
    assert (events[2].json["owner"], events[2].json["why"]) == ("bert", "hung_up")


async def take(url: str, last_id: str, count: int) -> list[StreamEvent]:
    """Take so many events after an id, by the query."""
    parser, events = Parser(), []
    async with (
        aiohttp.ClientSession() as session,
        asyncio.timeout(TIME_S_MAX),
        session.get(f"{url}/api/v1/events?lastEventId={last_id}") as stream,
    ):
        async for data in stream.content.iter_any():
            events += [event for event in parser.feed(data) if event.type != "position"]
            if len(events) >= count:
                break
    return events


def test_metrics_count_the_streams_and_how_they_ended(tmp_path):
    with running_nodes(tmp_path, count=1) as nodes:
        url = nodes.url("n1")
        acquire(url, "db")
        asyncio.run(take(url, "0", 1))
        until(
            lambda: 'gorilla_event_streams_ended_total{reason="gone"} 1.0' in metrics(url),
            "the stream is counted",
        )
        text = metrics(url)
        refused = call(url, "GET", "/api/v1/events?lastEventId=x")

    assert "gorilla_event_streams 0.0" in text
    assert "gorilla_event_number 1.0" in text
    assert refused.status == 400


def metrics(url: str) -> str:
    async def fetch() -> str:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as answer:
            return await answer.text()

    return asyncio.run(fetch())
