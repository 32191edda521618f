"""Slow, idle and too many clients are cut off, and closing lets what is under way finish."""

import asyncio
import contextlib
import socket

import pytest

from gorilla.api.app import build_app
from gorilla.api.limits import HttpLimits
from gorilla.api.server import ListenError, serve
from tests.support.api import (
    RawAnswer,
    dependencies,
    raw_connection,
    read_raw,
    running_api,
    until,
)
from tests.support.service import Fate, Node

HEALTH = b"GET /_health HTTP/1.1\r\nHost: gorilla\r\n\r\n"
ACQUIRE = b"POST /api/v1/locks/a HTTP/1.1\r\nHost: gorilla\r\n"
QUICK = HttpLimits(
    head_s_max=0.05,
    body_s_max=0.05,
    reader_s_max=0.05,
    linger_s=0.05,
    sweep_s=0.01,
)


def _expect_cut(answer: RawAnswer, word: str) -> None:
    assert (answer.status, answer.json["code"]) == (400, "invalid_request")
    assert word in answer.json["detail"]
    assert answer.closed


async def test_headers_that_do_not_end_are_cut_off() -> None:
    async with running_api(limits=QUICK) as api, raw_connection(api.port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: gor")
        _expect_cut(await read_raw(reader), "headers")


async def test_headers_of_a_second_request_that_do_not_end_are_cut_off() -> None:
    limits = HttpLimits(head_s_max=0.05, sweep_s=0.01)
    async with running_api(limits=limits) as api, raw_connection(api.port) as (reader, writer):
        writer.write(HEALTH)
        assert (await read_raw(reader)).status == 200
        writer.write(b"GET / HT")
        _expect_cut(await read_raw(reader), "headers")


async def test_a_connection_that_never_asks_is_closed_without_a_word() -> None:
    async with running_api(limits=QUICK) as api, raw_connection(api.port) as (reader, _):
        async with asyncio.timeout(5):
            assert await reader.read() == b""


async def test_an_idle_connection_is_kept_for_its_time_and_then_closed() -> None:
    limits = HttpLimits(head_s_max=60, keep_alive_s=0.2, sweep_s=0.01)
    async with running_api(limits=limits) as api, raw_connection(api.port) as (reader, writer):
        for _ in range(3):
            writer.write(HEALTH)
            answer = await read_raw(reader)
            assert (answer.status, answer.closed) == (200, False)
        async with asyncio.timeout(5):
            assert await reader.read() == b""


async def test_a_body_that_does_not_come_is_cut_off() -> None:
    async with running_api(limits=QUICK) as api, raw_connection(api.port) as (reader, writer):
        writer.write(ACQUIRE + b"Content-Length: 40\r\n\r\n{")
        _expect_cut(await read_raw(reader), "body")


async def test_a_reader_that_takes_nothing_is_cut_off() -> None:
    async with running_api(limits=QUICK) as api, raw_connection(api.port) as (reader, writer):
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        with contextlib.suppress(ConnectionError):
            for _ in range(2_000):
                writer.write(b"GET /openapi.json HTTP/1.1\r\nHost: gorilla\r\n\r\n")
                await writer.drain()
                await asyncio.sleep(0)
        await until(lambda: api.server.connections == 0)


async def test_connections_beyond_the_bound_are_told_so_and_make_room_again() -> None:
    limits = HttpLimits(connections_max=2, linger_s=0.05, sweep_s=0.01)
    async with running_api(limits=limits) as api:
        async with (
            raw_connection(api.port) as (first, ask_first),
            raw_connection(api.port) as (second, ask_second),
        ):
            for reader, writer in ((first, ask_first), (second, ask_second)):
                writer.write(HEALTH)
                assert (await read_raw(reader)).status == 200
            async with raw_connection(api.port) as (third, ask_third):
                ask_third.write(HEALTH)
                refused = await read_raw(third)
            async with raw_connection(api.port) as (silent, _), asyncio.timeout(5):
                assert await silent.read() == b""
        await until(lambda: api.server.connections == 0)
        after = await api.ask("GET", "/_health")

    assert (refused.status, refused.json["code"], refused.closed) == (503, "overloaded", True)
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["x-gorilla-node"] == "gorilla-1"
    assert after.status == 200


async def test_closing_lets_a_request_under_way_finish() -> None:
    node = Node()
    node.consensus.fate = Fate.DELAY
    async with running_api(node) as api, raw_connection(api.port) as (reader, writer):
        body = b'{"owner":"anna","timeout":30}'
        writer.write(ACQUIRE + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await until(lambda: bool(node.consensus.offered))
        closing = asyncio.create_task(api.server.close(10.0))
        await asyncio.sleep(0)
        node.consensus.deliver_delayed()
        answer = await read_raw(reader)
        await closing

    assert (answer.status, answer.json["owner"]) == (200, "anna")


async def test_closing_ends_idle_connections_at_once_and_takes_no_more() -> None:
    async with running_api() as api, raw_connection(api.port) as (reader, writer):
        writer.write(HEALTH)
        assert (await read_raw(reader)).status == 200
        async with asyncio.timeout(1):
            await api.server.close(60.0)
            assert await reader.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", api.port)


async def test_closing_cuts_what_does_not_finish_in_time() -> None:
    node = Node()
    node.consensus.fate = Fate.DELAY
    async with running_api(node) as api, raw_connection(api.port) as (reader, writer):
        writer.write(ACQUIRE + b'Content-Length: 29\r\n\r\n{"owner":"anna","timeout":30}')
        await until(lambda: bool(node.consensus.offered))
        async with asyncio.timeout(5):
            await api.server.close(0.1)
            assert await reader.read() == b""


async def test_a_busy_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"127.0.0.1:{port} is in use"):
            await serve(build_app(dependencies(Node())), "127.0.0.1", port)


async def test_an_address_of_another_machine_is_named() -> None:
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:0 is no address of this machine"):
        await serve(build_app(dependencies(Node())), "192.0.2.1", 0)
