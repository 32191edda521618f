"""What is no proper request still gets a proper problem, and odd but legal ones are served."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from gorilla.api.limits import HttpLimits
from gorilla.wire.problems import ProblemCode
from tests.support.api import (
    RawAnswer,
    raw_connection,
    read_raw,
    running_api,
    send_raw,
    until,
)
from tests.support.api_caller import expect_problem

HOST = b"Host: gorilla\r\n"
LONG = b"x" * 9_000


def _expect_refusal(answer: RawAnswer, code: ProblemCode = ProblemCode.INVALID_REQUEST) -> None:
    problem = answer.json
    assert (answer.status, problem["code"]) == (problem["status"], code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-gorilla-node"] == "gorilla-1"
    assert answer.headers["x-request-id"] == problem["requestId"]
    assert answer.closed


def _acquire(body: bytes, *headers: bytes, path: bytes = b"/api/v1/locks/a") -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + lines + b"\r\n" + body


BODY = b'{"owner":"anna","timeout":30}'
LENGTH = b"Content-Length: %d" % len(BODY)

BROKEN = {
    "no request line": b"\r\n\r\nnonsense\r\n\r\n",
    "tls hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    "http2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "unknown method": b"GRAB / HTTP/1.1\r\n" + HOST + b"\r\n",
    "no version": b"GET /\r\n\r\n",
    "bad version": b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
    "no host": b"GET /_health HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /_health HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "space in target": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "fragment": b"GET /_health#x HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n",
    "long target": b"GET /" + LONG + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "long query": b"GET /?" + LONG + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "long header": b"GET / HTTP/1.1\r\n" + HOST + b"X: " + LONG + b"\r\n\r\n",
    "long header name": b"GET / HTTP/1.1\r\n" + HOST + LONG + b": x\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + HOST + b"X: y\r\n" * 101 + b"\r\n",
    "large headers": b"GET / HTTP/1.1\r\n" + HOST + (b"X: " + b"y" * 4_000 + b"\r\n") * 5 + b"\r\n",
    "space before colon": b"GET / HTTP/1.1\r\n" + HOST + b"X : y\r\n\r\n",
    "folded header": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n",
    "nul in header": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n",
    "bare carriage return": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n",
    "bad length": _acquire(BODY, b"Content-Length: many"),
    "negative length": _acquire(BODY, b"Content-Length: -1"),
    "two lengths": _acquire(BODY, LENGTH, LENGTH),
    "huge length": _acquire(BODY, b"Content-Length: 99999999999999999999999"),
    "length and chunks": _acquire(BODY, LENGTH, b"Transfer-Encoding: chunked"),
    "unknown coding": _acquire(BODY, b"Transfer-Encoding: chunked, chonked"),
    "two content types": _acquire(
        BODY, LENGTH, b"Content-Type: application/json", b"Content-Type: text/plain"
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_broken_requests_get_a_problem_and_the_connection_ends(name: str) -> None:
    async with running_api() as api:
        _expect_refusal(await send_raw(api.port, BROKEN[name]))


async def test_endless_headers_are_cut_off_before_they_end() -> None:
    async with running_api() as api, raw_connection(api.port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n" + HOST)
        for _ in range(30):
            writer.write(b"X: " + b"y" * 1_000 + b"\r\n")
            await writer.drain()
        _expect_refusal(await read_raw(reader))


@pytest.mark.parametrize(
    "chunks", [b"zz\r\nabc\r\n0\r\n\r\n", b"2\r\n{}xx0\r\n\r\n", b"-1\r\n\r\n"]
)
async def test_broken_chunks_are_refused(chunks: bytes) -> None:
    async with running_api() as api:
        request = _acquire(chunks, b"Transfer-Encoding: chunked")
        _expect_refusal(await send_raw(api.port, request))


async def test_a_chunk_that_breaks_off_a_body_is_refused_at_once() -> None:
    async with running_api() as api, raw_connection(api.port) as (reader, writer):
        writer.write(_acquire(b'6\r\n{"owne\r\n', b"Transfer-Encoding: chunked"))
        await until(lambda: api.server.requests == 1)
        writer.write(b"zz\r\n\r\n")
        _expect_refusal(await read_raw(reader))


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_error_of_the_node(
    caplog: pytest.LogCaptureFixture,
) -> None:
    registry = CollectorRegistry()
    labels = {"route": "/api/v1/locks/{resource}", "method": "POST", "status": "400"}

    def answered() -> bool:
        return registry.get_sample_value("gorilla_http_requests_total", labels) == 1

    async with running_api(registry=registry) as api:
        async with raw_connection(api.port) as (_, writer):
            writer.write(_acquire(b"{", LENGTH))
            await until(lambda: api.server.requests == 1)
        await until(answered)

    assert not caplog.records


async def test_a_body_announced_too_large_is_refused_before_it_comes() -> None:
    async with running_api(limits=HttpLimits(linger_s=0.05)) as api:
        request = _acquire(b"", b"Content-Length: 65537", b"Expect: 100-continue")
        _expect_refusal(await send_raw(api.port, request), ProblemCode.BODY_TOO_LARGE)


async def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    async with running_api() as api, raw_connection(api.port) as (reader, writer):
        writer.write(_acquire(b"", LENGTH, b"Expect: 100-continue"))
        async with asyncio.timeout(5):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        answer = await read_raw(reader)

        assert (answer.status, answer.json["owner"]) == (200, "anna")


async def test_a_request_may_come_byte_by_byte() -> None:
    async with running_api() as api, raw_connection(api.port) as (reader, writer):
        for byte in _acquire(BODY, LENGTH, b"Content-Type: application/json"):
            writer.write(bytes([byte]))
            await writer.drain()
        answer = await read_raw(reader)

        assert (answer.status, answer.json["owner"]) == (200, "anna")
        assert not answer.closed


async def test_requests_in_one_write_are_answered_in_order() -> None:
    async with running_api() as api, raw_connection(api.port) as (reader, writer):
        for number in range(40):
            writer.write(_acquire(BODY, LENGTH, path=b"/api/v1/locks/%d" % number))
        answers = [await read_raw(reader) for _ in range(40)]

        assert [answer.json["resource"] for answer in answers] == [str(n) for n in range(40)]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"..", ".."),
        (b".", "."),
        (b"%2E%2E", ".."),
        (b"%2e", "."),
        (b"..%2F..", "../.."),
        (b"a;b=c", "a;b=c"),
        (b"a+b", "a+b"),
        (b"%2525", "%25"),
        (b"~*'()!$&,=:@", "~*'()!$&,=:@"),
    ],
)
async def test_paths_are_never_normalised(path: bytes, name: str) -> None:
    async with running_api() as api:
        answer = await send_raw(api.port, _acquire(BODY, LENGTH, path=b"/api/v1/locks/" + path))
        assert answer.json["resource"] == name
        token = answer.json["token"].encode()
        request = b"GET /api/v1/locks/" + path + b"/" + token + b" HTTP/1.1\r\n" + HOST + b"\r\n"
        assert (await send_raw(api.port, request)).json["resource"] == name


async def test_a_path_that_would_climb_out_is_an_unknown_one() -> None:
    async with running_api() as api:
        for path in (b"/api/v1/locks/a/../../../_health", b"/./_health", b"//_health"):
            answer = await send_raw(api.port, b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"\r\n")
            assert answer.json["code"] == "not_found"


@pytest.mark.parametrize("name", [b"\xff", "grüße".encode()])
async def test_bytes_beyond_ascii_must_be_percent_encoded(name: bytes) -> None:
    async with running_api() as api:
        answer = await send_raw(api.port, _acquire(BODY, LENGTH, path=b"/api/v1/locks/" + name))
        assert (answer.status, answer.json["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"GET http://elsewhere/_health", 200),
        (b"GET HTTP://elsewhere:80/_ready?verbose", 200),
        (b"GET http://elsewhere", 200),
        (b"GET ftp://elsewhere/_health", 404),
        (b"OPTIONS *", 404),
    ],
)
async def test_other_forms_of_a_target_are_understood(target: bytes, status: int) -> None:
    async with running_api() as api:
        answer = await send_raw(api.port, target + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert answer.status == status


async def test_a_tunnel_is_refused() -> None:
    async with running_api() as api:
        request = b"CONNECT elsewhere:443 HTTP/1.1\r\n" + HOST + b"\r\n"
        assert (await send_raw(api.port, request)).status == 404


async def test_an_upgrade_is_ignored() -> None:
    async with running_api() as api, raw_connection(api.port) as (reader, writer):
        upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        health = b"GET /_health HTTP/1.1\r\n" + HOST
        writer.write(health + upgrade)
        assert (await read_raw(reader)).status == 200
        writer.write(health + b"\r\n")
        assert (await read_raw(reader)).status == 200


async def test_http_1_0_is_served_and_closed_unless_asked_otherwise() -> None:
    async with running_api() as api, raw_connection(api.port) as (reader, writer):
        writer.write(b"GET /_health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        kept = await read_raw(reader)
        writer.write(b"GET /_health HTTP/1.0\r\n\r\n")
        closed = await read_raw(reader)

        assert (kept.status, kept.headers["connection"]) == (200, "keep-alive")
        assert (closed.status, closed.closed) == (200, True)


async def test_a_caller_that_hangs_up_leaves_no_half_done_write() -> None:
    async with running_api() as api:
        async with raw_connection(api.port) as (_, writer):
            writer.write(_acquire(BODY, LENGTH, path=b"/api/v1/locks/left"))
            await writer.drain()
        async with asyncio.timeout(5):
            while not (await api.ask("GET", "/api/v1/locks/left")).json["held"]:
                continue

        other = await api.ask("POST", "/api/v1/locks/left", json={"owner": "bert", "timeout": 1})
        assert expect_problem(other, ProblemCode.LOCK_HELD)["holder"]["owner"] == "anna"
