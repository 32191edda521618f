"""Both transports against servers that misbehave: what was sent, what may have acted, how long."""

import asyncio
import socket
import threading
import time

import pytest

from gorilla.client import (
    OutcomeUnknown,
    Unavailable,
    UnexpectedAnswer,
    http_aiohttp,
    http_urllib3,
    transport,
)
from gorilla.client.ports import BODY_BYTES_MAX
from tests.support.faces import FACES, face_of
from tests.support.local_cluster import free_ports
from tests.support.scripted import problem
from tests.support.stub_server import (
    OK,
    Act,
    answers,
    drips,
    hangs_up,
    is_silent,
    says,
    stub,
)

LOCK = (
    b'{"id":7,"owner":"o","resource":"a","token":"t","timeout":30,"metadata":[],"createdAt":'
    b'"2025-05-04T10:11:12","updatedAt":"2025-05-04T10:11:12","expireAt":"2025-05-04T10:11:42",'
    b'"fencingToken":7}'
)
GRANTED = answers(200, LOCK)


def refuses(code: str, **headers: str) -> Act:
    answer = problem(code)
    return answers(answer.status, answer.body, Content_Type="application/problem+json", **headers)


@pytest.fixture(params=FACES)
def kind(request) -> str:
    return request.param


async def test_a_port_where_nobody_listens_is_told_at_once_as_nothing_done(kind):
    async with face_of(kind, f"http://127.0.0.1:{free_ports(1)[0]}", deadline_s=0.3) as face:
        with pytest.raises(Unavailable) as caught:
            await face(lambda c: c.release("a", "t"))

    assert caught.value.code is None
    assert "connection refused" in str(caught.value)


async def test_a_name_that_nobody_has_is_told_as_nothing_done(kind):
    async with face_of(kind, "http://no-such-host.invalid:4000", deadline_s=0.3) as face:
        with pytest.raises(Unavailable, match="its name is not known"):
            await face(lambda c: c.release("a", "t"))


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c.acquire("a", owner="o", timeout=30),
        lambda c: c.extend("a", "t", 30),
        lambda c: c.status("a", "t"),
    ],
    ids=["POST", "PUT", "GET"],
)
async def test_a_node_that_hangs_up_is_asked_again_with_the_same_bytes_and_key(kind, ask):
    async with stub(hangs_up, hangs_up, GRANTED) as node, face_of(kind, node.url) as face:
        answer = await face(ask)

    assert answer.fencing_token == 7
    assert len(node.requests) == 3, "each attempt is sent once"
    assert len({request.sent for request in node.requests}) == 1


async def test_a_release_that_was_cut_off_is_asked_again_with_the_same_key(kind):
    async with stub(hangs_up, says(OK)) as node, face_of(kind, node.url) as face:
        await face(lambda c: c.release("a", "t"))

    assert [request.method for request in node.requests] == ["DELETE", "DELETE"]
    assert len({request.sent for request in node.requests}) == 1
    assert node.requests[0].headers["idempotency-key"]


@pytest.mark.parametrize(
    "ask",
    [lambda c: c.cluster.remove("n4"), lambda c: c.cluster.move("n4", peer="h:1")],
    ids=["DELETE", "PUT"],
)
async def test_a_change_of_the_cluster_is_sent_once_and_never_again_by_itself(kind, ask):
    # On a connection that was used before, where aiohttp would ask again.
    async with stub(says(OK), hangs_up) as node, face_of(kind, node.url) as face:
        await face(lambda c: c.release("a", "t"))
        with pytest.raises(OutcomeUnknown):
            await face(ask)

    assert len(node.requests) == 2
    assert "idempotency-key" not in node.requests[1].headers


async def test_a_connection_is_kept_and_one_that_the_node_closed_costs_one_attempt_more(kind):
    async with (
        stub(says(OK), says(OK), hangs_up, says(OK)) as node,
        face_of(kind, node.url) as face,
    ):
        started_s = time.monotonic()
        for _ in range(3):
            await face(lambda c: c.release("a", "t"))
        took_s = time.monotonic() - started_s

    assert [request.connection for request in node.requests[:3]] == [1, 1, 1]
    assert node.requests[3].connection > 1
    assert node.requests[2].sent == node.requests[3].sent
    assert took_s < 1.0


@pytest.mark.parametrize(
    "garbage",
    [
        says(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
        says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),
        says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        answers(200, b"\xff\xfe{"),
        answers(200, b"{}"),
        answers(502, b"<html>"),
        answers(503, b"<html>", Retry_After="1"),
    ],
    ids=["another protocol", "cut short", "bad chunk", "no UTF-8", "no lock", "502", "503"],
)
async def test_what_a_node_never_says_leaves_a_write_unknown(kind, garbage):
    async with (
        stub(garbage) as node,
        face_of(kind, node.url, attempt_s=0.3, deadline_s=0.5) as face,
    ):
        with pytest.raises(OutcomeUnknown):
            await face(lambda c: c.acquire("a", owner="o", timeout=30))

    assert len(node.requests) >= 1


async def test_an_answer_without_a_bound_is_not_read_to_its_end(kind):
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {BODY_BYTES_MAX + 1}\r\n\r\n"
    huge = says(head.encode() + b"x" * (BODY_BYTES_MAX + 1))
    async with stub(huge) as node, face_of(kind, node.url, deadline_s=1.0) as face:
        with pytest.raises(Unavailable, match=f"more than {BODY_BYTES_MAX} bytes"):
            await face(lambda c: c.metrics())


async def test_an_answer_that_drips_is_given_up_in_time(kind):
    slow = drips(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5_000, 0.01)
    async with stub(slow) as node, face_of(kind, node.url, attempt_s=0.5, deadline_s=0.8) as face:
        started_s = time.monotonic()
        with pytest.raises(Unavailable):
            await face(lambda c: c.metrics())

    assert time.monotonic() - started_s < 3.0


async def test_headers_that_drip_are_given_up_in_time(kind):
    slow = drips(b"HTTP/1.1 200 OK\r\n" + b"X-More: and more\r\n" * 200, 0.01)
    async with stub(slow) as node, face_of(kind, node.url, attempt_s=0.5, deadline_s=0.8) as face:
        started_s = time.monotonic()
        with pytest.raises(Unavailable, match="no answer in time"):
            await face(lambda c: c.metrics())

    assert time.monotonic() - started_s < 3.0


async def test_a_resolver_that_says_nothing_is_given_up_in_time(kind, monkeypatch):
    may_end, system = threading.Event(), socket.getaddrinfo

    def resolver(host: str, *args: object, **how: object) -> object:
        if host == "node.example" and not how.get("flags"):
            assert may_end.wait(30)
        return system(host, *args, **how)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    async with face_of(kind, "http://node.example:4000", attempt_s=0.3, deadline_s=0.8) as face:
        started_s = time.monotonic()
        with pytest.raises(Unavailable, match="no connection in time"):
            await face(lambda c: c.release("a", "t"))
        took_s = time.monotonic() - started_s
    may_end.set()

    assert took_s < 3.0


async def test_a_node_that_says_nothing_is_left_for_another_one_that_is_asked_the_same(kind):
    async with (
        stub(is_silent) as mute,
        stub(GRANTED) as node,
        face_of(kind, mute.url, node.url, attempt_s=0.3) as face,
    ):
        face.client._asker.endpoints.good(mute.url)
        await face(lambda c: c.acquire("a", owner="o", timeout=30))

    assert mute.requests[-1].sent == node.requests[-1].sent


async def test_retry_after_is_obeyed(kind):
    busy = refuses("overloaded", Retry_After="1")
    async with stub(busy, GRANTED) as node, face_of(kind, node.url) as face:
        started_s = time.monotonic()
        await face(lambda c: c.acquire("a", owner="o", timeout=30))

    assert time.monotonic() - started_s >= 1.0
    assert len({request.sent for request in node.requests}) == 1


async def test_a_redirect_is_not_followed(kind):
    async with (
        stub(GRANTED) as other,
        stub(answers(307, Location=other.url + "/x")) as node,
        face_of(kind, node.url) as face,
    ):
        with pytest.raises(UnexpectedAnswer):
            await face(lambda c: c.acquire("a", owner="o", timeout=30))

    assert other.requests == []


async def test_a_compressed_answer_is_not_asked_for(kind):
    async with stub(GRANTED) as node, face_of(kind, node.url) as face:
        await face(lambda c: c.status("a", "t"))

    assert node.requests[0].headers["accept-encoding"] == "identity"
    assert node.requests[0].headers["user-agent"].startswith("gorilla-client/")


async def test_a_token_is_sent_and_a_path_before_all_paths_is_kept(kind):
    async with (
        stub(GRANTED) as node,
        face_of(kind, f"{node.url}/below/it/", token="hush") as face,
    ):
        await face(lambda c: c.status("../a/ü", "."))

    assert node.requests[0].headers["authorization"] == "Bearer hush"
    assert node.requests[0].target == "/below/it/api/v1/locks/..%2Fa%2F%C3%BC/%2E"


async def test_proxies_of_the_environment_are_not_asked(kind, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with stub(GRANTED) as node, face_of(kind, node.url) as face:
        assert (await face(lambda c: c.status("a", "t"))).id == 7


async def test_many_requests_at_once_have_a_connection_each(kind):
    async with stub(GRANTED) as node, face_of(kind, node.url) as face:
        asked = [face(lambda c: c.status("a", "t")) for _ in range(12)]
        locks = await asyncio.gather(*asked)

    assert len(locks) == len(node.requests) == 12


# During a long wait


@pytest.fixture
def quick_probes(monkeypatch):
    monkeypatch.setattr(transport, "PROBE_EVERY_S", 0.2)
    monkeypatch.setattr(transport, "PROBE_AGAIN_S", 0.1)
    monkeypatch.setattr(transport, "PROBE_S", 0.2)
    monkeypatch.setattr(http_urllib3, "PROBED_WAIT_S", 1.0)
    monkeypatch.setattr(http_aiohttp, "PROBED_WAIT_S", 1.0)


async def test_a_node_that_stands_still_during_a_wait_is_left_for_another_one(kind, quick_probes):
    async with stub(is_silent) as still, stub(GRANTED) as node:
        still.is_healthy = False
        async with face_of(kind, still.url, node.url) as face:
            face.client._asker.endpoints.good(still.url)
            started_s = time.monotonic()
            lock = await face(lambda c: c.acquire("a", owner="o", timeout=30, wait=60))
            took_s = time.monotonic() - started_s

    assert lock.id == 7
    assert took_s < 5.0
    assert still.requests[0].sent == node.requests[0].sent


async def test_a_node_that_lives_is_waited_for(kind, quick_probes):
    async def grants_late(writer: asyncio.StreamWriter) -> bool:
        while node.probes < 5:
            await asyncio.sleep(0.01)
        return await GRANTED(writer)

    async with stub(grants_late) as node, face_of(kind, node.url) as face:
        await face(lambda c: c.acquire("a", owner="o", timeout=30, wait=60))

    assert len(node.requests) == 1


async def test_a_short_wait_is_not_watched_over(kind, quick_probes):
    async with stub(GRANTED) as node, face_of(kind, node.url) as face:
        await face(lambda c: c.acquire("a", owner="o", timeout=30, wait=1))

    assert node.probes == 0


async def test_a_node_that_stands_still_everywhere_ends_a_wait_in_time(kind, quick_probes):
    async with stub(is_silent) as still:
        still.is_healthy = False
        async with face_of(kind, still.url, deadline_s=0.5) as face:
            started_s = time.monotonic()
            with pytest.raises(OutcomeUnknown):
                await face(lambda c: c.acquire("a", owner="o", timeout=30, wait=1.5))

    assert time.monotonic() - started_s < 4.0
    assert len(still.requests) > 2, "left before its time was over"
    assert len({request.sent for request in still.requests}) == 1
