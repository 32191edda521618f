"""A handler hears at once that its client is gone; real sockets, on both event loops."""

import asyncio
import contextlib
import socket

import pytest
import uvloop
from msgspec.structs import replace

from gorilla.api.answers import no_content
from tests.support.api import raw_connection, read_raw, running_api, until

REQUEST = b"GET /_health HTTP/1.1\r\nHost: x\r\n\r\n"
TIME_S_MAX = 5.0


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def on_loop(request):
    def run(test):
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(test())

    return run


class Waiting:
    """Serves ``/_health`` with a handler that goes on until its client is gone, or it may end."""

    def __init__(self):
        self.started = 0
        self.gone = 0
        self.served = 0
        self.may_end = asyncio.Event()

    async def health(self, call):
        self.started += 1
        assert call.hung_up() is call.hung_up()
        allowed = asyncio.ensure_future(self.may_end.wait())
        await asyncio.wait((call.hung_up(), allowed), return_when=asyncio.FIRST_COMPLETED)
        self.gone += call.hung_up().done()
        self.served += not call.hung_up().done()
        allowed.cancel()
        return no_content()


def serve_health_by(api, handler):
    place = api.api.router._exact["/_health"]
    place.routes["GET"] = replace(place.routes["GET"], handler=handler)


@contextlib.asynccontextmanager
async def waiting_api():
    async with running_api() as api:
        waiting = Waiting()
        serve_health_by(api, waiting.health)
        yield waiting, api


def close(writer):
    writer.close()


def reset(writer):
    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


def close_half(writer):
    writer.write_eof()


@pytest.mark.parametrize("leave", [close, reset, close_half])
def test_a_handler_hears_that_its_client_closed_the_connection(on_loop, leave):
    async def test():
        async with waiting_api() as (waiting, api), raw_connection(api.port) as (_, writer):
            writer.write(REQUEST)
            await until(lambda: waiting.started == 1)
            assert waiting.gone == 0

            leave(writer)

            await until(lambda: waiting.gone == 1, TIME_S_MAX)

    on_loop(test)


def test_a_handler_hears_it_with_other_requests_queued_behind_it_and_they_are_not_served(on_loop):
    async def test():
        async with waiting_api() as (waiting, api), raw_connection(api.port) as (_, writer):
            writer.write(REQUEST * 3)
            await until(lambda: waiting.started == 1)

            writer.close()

            await until(lambda: waiting.gone == 1, TIME_S_MAX)
        assert waiting.started == 1

    on_loop(test)


def test_a_client_that_stays_is_answered_and_its_next_request_has_a_future_of_its_own(on_loop):
    async def test():
        async with waiting_api() as (waiting, api), raw_connection(api.port) as (reader, writer):
            waiting.may_end.set()
            for _ in range(2):
                writer.write(REQUEST)
                assert (await read_raw(reader)).status == 204
            waiting.may_end.clear()
            writer.write(REQUEST)
            await until(lambda: waiting.started == 3)
            assert (waiting.served, waiting.gone) == (2, 0)

            writer.close()

            await until(lambda: waiting.gone == 1, TIME_S_MAX)

    on_loop(test)


def test_a_client_that_left_before_the_handler_asks_is_gone_at_once(on_loop):
    async def test():
        async with running_api() as api, raw_connection(api.port) as (_, writer):
            asked = asyncio.Event()
            seen = []

            async def health(call):
                call._request.transport.abort()
                await asyncio.sleep(0.01)
                seen.append(call.hung_up().done())
                asked.set()
                return no_content()

            serve_health_by(api, health)
            writer.write(REQUEST)
            await asyncio.wait_for(asked.wait(), TIME_S_MAX)
            assert seen == [True]

    on_loop(test)
