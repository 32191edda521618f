"""The stream of events on real sockets: what is in it, where it begins, how it ends."""

import asyncio
import contextlib
import socket

import msgspec
import pytest

from gorilla.api.feeding import EventFeed
from gorilla.api.limits import HttpLimits
from gorilla.api.streaming import Ended
from gorilla.service.event_log import EventLog
from gorilla.service.watching import EventService
from gorilla.wire.events import StreamBody
from tests.support.api import running_api, until
from tests.support.service import Node
from tests.support.streams import Parser, watching

EVENTS = "/api/v1/events"
WATCHERS = 1_000


@contextlib.asynccontextmanager
async def api_with(*, events_max=None, **limits):
    """An API that keeps so many events, and serves within such limits."""
    node = Node()
    if events_max is not None:
        node.event_log = EventLog(node.replica, events_max=events_max)
        node.events = EventService(node.event_log, node.consensus, node.cluster)
    bounds = HttpLimits(**limits)
    feed = EventFeed(node.events, bounds)
    async with running_api(node, limits=bounds, feed=feed) as api:
        api.feed = feed
        yield api


async def acquire(api, resource, owner="anna"):
    body = {"owner": owner, "timeout": 60}
    answered = await api.ask("POST", f"/api/v1/locks/{resource}", json=body)
    assert answered.status == 200
    return answered.json


async def release(api, lock):
    path = f"/api/v1/locks/{lock['resource']}/{lock['token']}"
    assert (await api.ask("DELETE", path)).status == 204


async def fill(api, count, resource="lock"):
    """Cause so many events, in few requests' time."""
    await asyncio.gather(*(acquire(api, f"{resource}-{n}") for n in range(count)))


def kinds(events):
    return [(event.type, event.number) for event in events]


async def test_events_arrive_as_they_happen_with_their_numbers_as_ids():
    async with api_with() as api, watching(api.port) as stream:
        lock = await acquire(api, "db")
        await release(api, lock)
        position, acquired, released = await stream.take(3)

    assert "200 OK" in stream.head
    assert "Content-Type: text/event-stream\r\n" in stream.head
    assert "Transfer-Encoding: chunked\r\n" in stream.head
    assert "X-Gorilla-Node: gorilla-1\r\n" in stream.head
    assert "X-Request-Id: " in stream.head
    assert "Cache-Control: no-store\r\n" in stream.head
    assert kinds([position, acquired, released]) == [
        ("position", 0),
        ("acquired", 1),
        ("released", 2),
    ]
    assert acquired.json["resource"] == "db"
    assert acquired.json["owner"] == "anna"
    assert acquired.json["fencingToken"] == lock["fencingToken"]
    assert lock["token"] not in acquired.data + released.data
    assert 1_000 <= stream.parser.retry_ms < 2_000
    for event in (position, acquired, released):
        assert msgspec.json.decode(event.data, type=StreamBody)


async def test_without_an_id_a_stream_begins_now_and_with_one_after_it():
    async with api_with() as api:
        await fill(api, 3)
        async with watching(api.port) as now:
            assert kinds(await now.take(1)) == [("position", 3)]
        for path, headers in (
            (EVENTS, "Last-Event-ID: 1\r\n"),
            (f"{EVENTS}?lastEventId=1", ""),
            (f"{EVENTS}?lastEventId=3", "Last-Event-ID: 1\r\n"),
        ):
            async with watching(api.port, path, headers) as stream:
                taken = kinds(await stream.take(3))
                assert taken == [("position", 1), ("acquired", 2), ("acquired", 3)]


@pytest.mark.parametrize(
    "given", ["-1", "x", "1.5", "", "99999999999999999999", "9007199254740992"]
)
async def test_a_bad_id_is_refused_by_its_name(given):
    async with api_with() as api:
        by_header = await api.ask("GET", EVENTS, headers={"Last-Event-ID": given})
        by_query = await api.ask("GET", f"{EVENTS}?lastEventId={given}")

    assert (by_header.status, by_query.status) == (400, 400)
    assert [error["field"] for error in by_header.json["errors"]] == ["Last-Event-ID"]
    assert [error["field"] for error in by_query.json["errors"]] == ["lastEventId"]


async def test_every_bad_filter_is_named_at_once():
    long = "x" * 256
    async with api_with() as api:
        answered = await api.ask("GET", f"{EVENTS}?prefix={long}&owner=&types=acquired,lost&from=2")

    assert answered.status == 400
    fields = [error["field"] for error in answered.json["errors"]]
    assert fields == ["prefix", "owner", "types", "from"]
    assert "release_requested" in answered.json["errors"][2]["message"]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("prefix=team%2F", [1, 2, 4, 5]),
        ("owner=bert", [2, 3, 5, 6]),
        ("types=released", [4, 5, 6]),
        ("types=released,acquired&owner=bert&prefix=team", [2, 5]),
    ],
)
async def test_only_what_was_asked_for_is_sent(query, numbers):
    async with api_with() as api:
        held = [
            await acquire(api, "team%2Fa", "anna"),
            await acquire(api, "team%2Fb", "bert"),
            await acquire(api, "other", "bert"),
        ]
        for lock, path in zip(held, ("team%2Fa", "team%2Fb", "other"), strict=True):
            await release(api, {**lock, "resource": path})
        async with watching(api.port, f"{EVENTS}?{query}&lastEventId=0") as stream:
            taken = await stream.take(1 + len(numbers))

    assert [event.number for event in taken[1:]] == numbers


async def test_the_id_moves_on_where_nothing_was_asked_for():
    async with api_with(heartbeat_s=0.3, sweep_s=0.05) as api:
        async with watching(api.port, f"{EVENTS}?prefix=nothing-like-it") as stream:
            await fill(api, 5)
            first, moved = await stream.take(2)
            assert kinds([first, moved]) == [("position", 0), ("position", 5)]
            assert stream.parser.last_id == "5"
            assert stream.parser.comments >= 1
        async with watching(api.port, EVENTS, "Last-Event-ID: 5\r\n") as resumed:
            await acquire(api, "next")
            assert kinds(await resumed.take(2)) == [("position", 5), ("acquired", 6)]


async def test_a_stream_in_which_nothing_happens_shows_that_it_lives():
    async with api_with(heartbeat_s=0.1, sweep_s=0.02) as api, watching(api.port) as stream:
        await stream.take(1)
        while stream.parser.comments < 3:
            stream.parser.feed(await stream.chunk())
        assert stream.parser.last_id == "0"


async def test_what_is_not_kept_any_more_is_a_gap_that_says_what_to_do():
    async with api_with(events_max=4) as api:
        await fill(api, 10)
        async with watching(api.port, EVENTS, "Last-Event-ID: 3\r\n") as stream:
            gap, *rest = await stream.take(5)

    assert (gap.type, gap.number) == ("gap", 6)
    assert {**gap.json, "detail": ""} == {
        "type": "gap", "from": 4, "to": 6, "reason": "history", "detail": "",
    }  # fmt: skip
    assert "GET /api/v1/locks" in gap.json["detail"]
    assert [event.number for event in rest] == [7, 8, 9, 10]


async def test_the_oldest_event_kept_is_reached_without_a_gap():
    async with api_with(events_max=4) as api:
        await fill(api, 10)
        async with watching(api.port, EVENTS, "Last-Event-ID: 6\r\n") as stream:
            assert [event.number for event in await stream.take(5)] == [6, 7, 8, 9, 10]


async def test_an_id_that_this_node_has_not_heard_of_yet_is_no_gap():
    async with api_with() as api:
        await fill(api, 2)
        node = api.node
        hold = node.consensus.read_point
        asked = []

        async def lagging(deadline_s):
            # The node hears of what the others have, and then has it too.
            asked.append(deadline_s)
            await fill(api, 3, "later")
            return await hold(deadline_s)

        node.consensus.read_point = lagging
        opening = asyncio.ensure_future(open_and_take(api, "Last-Event-ID: 4\r\n", 2))
        taken = await opening

    assert len(asked) == 1
    assert kinds(taken) == [("position", 4), ("acquired", 5)]


async def open_and_take(api, headers, count):
    async with watching(api.port, EVENTS, headers) as stream:
        return await stream.take(count)


async def test_an_id_that_no_node_ever_gave_is_told_from_one_that_is_merely_new():
    async with api_with() as api:
        await fill(api, 2)
        async with watching(api.port, EVENTS, "Last-Event-ID: 900\r\n") as stream:
            await acquire(api, "next")
            gap, following = await stream.take(2)

    assert (gap.type, gap.number, gap.json["reason"]) == ("gap", 2, "unknown_id")
    assert (gap.json["from"], gap.json["to"]) == (3, 900)
    assert (following.type, following.number) == ("acquired", 3)


async def test_a_node_that_is_no_place_to_watch_says_why():
    async with api_with() as api:
        api.node.cluster.drain(True)
        draining = await api.ask("GET", EVENTS)
        api.node.cluster.drain(False)
        api.node.consensus.lose_leader()
        leaderless = await api.ask("GET", EVENTS)

    assert (draining.status, draining.json["code"]) == (503, "draining")
    assert (leaderless.status, leaderless.json["code"]) == (503, "no_quorum")
    assert "Retry-After".lower() in leaderless.headers


async def test_a_node_that_is_cut_off_for_long_ends_its_streams_and_not_at_once():
    async with api_with(unserved_s_max=0.3, sweep_s=0.05) as api, watching(api.port) as stream:
        api.node.consensus.lose_leader()
        await asyncio.sleep(0.1)
        api.node.consensus.elect()
        await acquire(api, "still-there")
        assert kinds(await stream.take(2)) == [("position", 0), ("acquired", 1)]

        api.node.consensus.lose_leader()

        assert await stream.until_end() == []
        assert stream.ended
        assert api.feed.counts.ended[Ended.STOPPED] == 1


async def test_a_node_that_stops_ends_its_streams_promptly():
    async with api_with() as api, watching(api.port) as stream:
        await stream.take(1)

        api.feed.end_all()

        assert await stream.until_end() == []
        assert stream.ended
        await until(lambda: api.feed.watching == 0)


async def test_one_watcher_more_than_a_node_takes_is_told_so():
    async with api_with(watchers_max=2) as api:
        async with watching(api.port), watching(api.port):
            await until(lambda: api.feed.watching == 2)
            refused = await api.ask("GET", EVENTS)
        assert (refused.status, refused.json["code"]) == (503, "overloaded")
        assert "http.max_watchers" in refused.json["detail"]
        await until(lambda: api.feed.watching == 0)
        async with watching(api.port) as again:
            assert "200 OK" in again.head


async def test_a_reader_that_leaves_is_forgotten_at_once():
    async with api_with() as api:
        async with watching(api.port) as stream:
            await stream.take(1)
            assert api.feed.watching == 1
        await until(lambda: api.feed.watching == 0)
        assert api.feed.counts.ended[Ended.GONE] == 1


async def test_head_has_the_head_alone_and_opens_no_stream():
    async with api_with() as api:
        answered = await api.ask("HEAD", EVENTS)

        assert answered.status == 200
        assert answered.headers["content-type"] == "text/event-stream"
        assert answered.content == b""
        assert api.feed.counts.opened == 0


async def test_http_1_0_gets_the_stream_without_chunks():
    async with api_with() as api, watching(api.port, version="1.0") as stream:
        await acquire(api, "db")
        parser, events = Parser(), []
        while len(events) < 2:
            events += parser.feed(await stream._reader.read(4_096))

        assert "Transfer-Encoding" not in stream.head
        assert "Connection: close" in stream.head
        assert kinds(events) == [("position", 0), ("acquired", 1)]


async def test_a_reader_that_does_not_read_is_cut_off_and_others_do_not_notice():
    name = "x" * 200
    async with (
        api_with(reader_s_max=0.3, sweep_s=0.05) as api,
        watching(api.port) as good,
        slow_connection(api.port) as slow,
    ):
        await until(lambda: api.feed.watching == 2)
        seen = asyncio.ensure_future(read_until_cut(api, good))
        round_number = 0
        while not api.feed.counts.ended[Ended.SLOW]:
            await fill(api, 100, f"{name}-{round_number}")
            round_number += 1
            assert round_number < 200
        assert api.feed.watching == 1
        numbers = await seen
        assert slow is not None

    assert numbers == list(range(1, numbers[-1] + 1))


async def read_until_cut(api, stream):
    """Read until the other one was cut off, and everything up to then."""
    await stream.take(1)
    numbers = []
    while not api.feed.counts.ended[Ended.SLOW] or numbers[-1] < api.node.event_log.last_number:
        numbers.append((await stream.take(1))[0].number)
    return numbers


@contextlib.asynccontextmanager
async def slow_connection(port):
    """Ask for events and never read them."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, ("127.0.0.1", port))
    await loop.sock_sendall(connection, b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
    try:
        yield connection
    finally:
        connection.close()


async def test_a_thousand_watchers_at_once_get_every_event_in_order():
    events = 300
    async with api_with() as api, contextlib.AsyncExitStack() as opened:
        streams = [await opened.enter_async_context(watching(api.port)) for _ in range(WATCHERS)]
        await until(lambda: api.feed.watching == WATCHERS)

        async def read(stream):
            return [event.number for event in (await stream.take(1 + events))[1:]]

        reading = [asyncio.ensure_future(read(stream)) for stream in streams]
        for part in range(3):
            await fill(api, events // 3, f"part-{part}")
        async with asyncio.timeout(60):
            seen = await asyncio.gather(*reading)

    assert seen == [list(range(1, events + 1))] * WATCHERS
