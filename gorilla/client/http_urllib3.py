"""How the blocking client sends: one attempt over urllib3, whose own retries are off."""

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from http import HTTPStatus
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from typing_extensions import override
from urllib3 import HTTPConnectionPool, Timeout
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from gorilla.client import clock
from gorilla.client.blocking import run_now
from gorilla.client.connections import Attempt, Pool, TlsPool, current
from gorilla.client.errors import ClosedError, ForkedError
from gorilla.client.names import Names
from gorilla.client.ports import (
    BODY_BYTES_MAX,
    CONNECT_S_MAX,
    AnswerLost,
    HttpAnswer,
    Io,
    NotSent,
    Opened,
    Stream,
)
from gorilla.client.reasons import reason_of
from gorilla.client.transport import (
    DEAD,
    PROBED_WAIT_S,
    headers_of,
    place_of,
    socket_options,
    tls_of,
    until_dead,
)

if TYPE_CHECKING:
    import ssl

    from gorilla.client.calls import Call
    from gorilla.client.settings import ClientSettings

POOLS_MAX: Final = 64
"""Endpoints with connections of their own."""

CONNECTIONS_KEPT: Final = 64
"""Idle connections that are kept for each endpoint."""

CLOSED: Final = "the client was closed"

_PIECE_BYTES: Final = 64 * 1024
_FAILURES: Final = (HTTPError, HTTPException, OSError, ValueError)


class BlockingIo(Io):
    """An :class:`Io` that never suspends: it blocks the thread that asks.

    Any number of threads may use one. Requests that are under way end when it is closed.
    """

    def __init__(self, settings: "ClientSettings") -> None:
        """Connect to nothing yet.

        Raises:
            ValueError: A file of the settings can't be used.

        """
        self._settings = settings
        self._pid = os.getpid()
        self._closing = threading.Event()
        self._is_waiting_over = False
        self._guard = threading.Lock()
        self._names = Names()
        self._pools: OrderedDict[str, HTTPConnectionPool] = OrderedDict()
        self._attempts: WeakSet[Attempt] = WeakSet()
        self._streams: WeakSet[_BlockingStream] = WeakSet()
        self._tls: ssl.SSLContext | None = None
        if any(endpoint.startswith("https:") for endpoint in settings.endpoints):
            self._tls = tls_of(settings)

    @override
    def now_s(self) -> float:
        """Return the client's own time (seconds)."""
        return clock.now_s()

    @override
    async def pause(self, seconds: float) -> None:
        """Block for a while, or until the client is closed."""
        self.check()
        self._closing.wait(max(0.0, seconds))
        self.check()

    @override
    async def send(self, endpoint: str, call: "Call[Any]", timeout_s: float) -> HttpAnswer:
        """Ask one node once."""
        is_waiting = call.wait_s > 0
        with (
            self._attempting(timeout_s, is_waiting=is_waiting) as attempt,
            self._watching(endpoint, call, attempt),
        ):
            response = None
            try:
                response = self._request(endpoint, call, timeout_s)
                answer = HttpAnswer(response.status, _lower(response), _read(response))
            except _FAILURES as error:
                _hang_up(response)
                raise self.failure(attempt, error) from error
            except BaseException:
                _hang_up(response)
                raise
            attempt.finish()
            response.release_conn()
            return answer

    @override
    async def open(self, endpoint: str, call: "Call[Any]", timeout_s: float) -> Opened:
        """Ask one node once for a stream."""
        with self._attempting(timeout_s) as attempt:
            response = None
            try:
                response = self._request(endpoint, call, timeout_s)
                headers = _lower(response)
                if response.status == HTTPStatus.OK:
                    stream = _BlockingStream(self, response, attempt)
                    with self._guard:
                        self._streams.add(stream)
                    attempt.is_kept = True
                    return Opened(HttpAnswer(response.status, headers, b""), stream)
                body = _read(response)
            except _FAILURES as error:
                _hang_up(response)
                raise self.failure(attempt, error) from error
            except BaseException:
                _hang_up(response)
                raise
            response.close()
            return Opened(HttpAnswer(response.status, headers, body), None)

    def check(self) -> None:
        """Return when it may be used.

        Raises:
            ForkedError: In another process than the one that made it.
            ClosedError: After :meth:`close`.

        """
        if os.getpid() != self._pid:
            raise ForkedError
        if self._closing.is_set():
            raise ClosedError

    def close(self) -> None:
        """End what is under way, and close all connections; may be called again.

        In another process than the one that made it nothing is done: the connections are not its.
        """
        if os.getpid() != self._pid:
            return
        self._closing.set()
        with self._guard:
            attempts, streams = list(self._attempts), list(self._streams)
            pools = list(self._pools.values())
            self._pools.clear()
        for attempt in attempts:
            attempt.end(CLOSED)
        for stream in streams:
            stream.hang_up()
        for pool in pools:
            pool.close()

    def end_waits(self) -> None:
        """Let nobody wait for a lock any more: it is about to be closed. All else goes on."""
        if os.getpid() != self._pid:
            return
        with self._guard:
            self._is_waiting_over = True
            waiting = [attempt for attempt in self._attempts if attempt.is_waiting]
        for attempt in waiting:
            attempt.end(CLOSED)

    @contextlib.contextmanager
    def _attempting(self, timeout_s: float, *, is_waiting: bool = False) -> Iterator[Attempt]:
        self.check()
        attempt = Attempt(self._names)
        attempt.allow(timeout_s)
        attempt.is_waiting = is_waiting
        with self._guard:
            self._attempts.add(attempt)
        before = current.set(attempt)
        try:
            self.check()
            if is_waiting and self._is_waiting_over:
                raise ClosedError
            yield attempt
        finally:
            current.reset(before)
            if not attempt.is_kept:
                self.forget(attempt)

    def forget(self, attempt: Attempt) -> None:
        """Let go of an attempt that is over."""
        attempt.finish()
        with self._guard:
            self._attempts.discard(attempt)

    @contextlib.contextmanager
    def _watching(self, endpoint: str, call: "Call[Any]", attempt: Attempt) -> Iterator[None]:
        """During a long wait, end the attempt when its node is found dead."""
        if call.wait_s <= PROBED_WAIT_S:
            yield
            return
        done = threading.Event()
        watcher = threading.Thread(
            target=_watch, args=(self, endpoint, attempt, done), name="gorilla-watch", daemon=True
        )
        watcher.start()
        try:
            yield
        finally:
            done.set()

    def _request(self, endpoint: str, call: "Call[Any]", timeout_s: float) -> BaseHTTPResponse:
        place = place_of(endpoint)
        return self._pool(endpoint).urlopen(
            call.method,
            place.path + call.path,
            body=call.body,
            headers=headers_of(self._settings, call),
            retries=False,
            redirect=False,
            assert_same_host=False,
            timeout=Timeout(total=timeout_s, connect=min(timeout_s, CONNECT_S_MAX), read=timeout_s),
            preload_content=False,
            decode_content=False,
        )

    def failure(self, attempt: Attempt, error: Exception) -> Exception:
        """Say what a failed attempt means."""
        if attempt.ended == CLOSED:
            return ClosedError()
        why = attempt.ended or reason_of(error, is_sent=attempt.is_sent)
        return AnswerLost(why) if attempt.is_sent else NotSent(why)

    def _pool(self, endpoint: str) -> HTTPConnectionPool:
        with self._guard:
            pool = self._pools.get(endpoint)
            if pool is None:
                pool = self._pools[endpoint] = self._make_pool(endpoint)
                while len(self._pools) > POOLS_MAX:
                    self._pools.popitem(last=False)[1].close()
            self._pools.move_to_end(endpoint)
            return pool

    def _make_pool(self, endpoint: str) -> HTTPConnectionPool:
        place = place_of(endpoint)
        options: dict[str, Any] = {
            "maxsize": CONNECTIONS_KEPT,
            "block": False,
            "socket_options": socket_options(),
        }
        if place.scheme == "http":
            return Pool(place.host, place.port, **options)
        self._tls = self._tls or tls_of(self._settings)
        return TlsPool(place.host, place.port, ssl_context=self._tls, **options)


class _BlockingStream(Stream):
    """An answer without an end; one thread reads it, and any may close it."""

    def __init__(self, io: BlockingIo, response: BaseHTTPResponse, attempt: Attempt) -> None:
        self._io = io
        self._response = response
        self._attempt = attempt
        self._reading = threading.Lock()
        self._is_closed = False

    @override
    async def read(self, timeout_s: float) -> bytes:
        self._io.check()
        try:
            with self._reading:
                self._attempt.allow(timeout_s)
                return self._response.read1(_PIECE_BYTES, decode_content=False)
        except _FAILURES as error:
            raise self._io.failure(self._attempt, error) from error
        finally:
            if self._is_closed:
                self._let_go()

    @override
    async def close(self) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        """Close it, from whatever thread."""
        self._is_closed = True
        self._attempt.end("the stream was closed")
        self._let_go()

    def _let_go(self) -> None:
        """Close the connection, unless a thread reads it: that will do so, as it comes out."""
        if self._reading.acquire(blocking=False):
            try:
                self._response.close()
                self._io.forget(self._attempt)
            finally:
                self._reading.release()


class _WatchIo(Io):
    """Sends and pauses for a thread that watches an attempt, until that is done."""

    def __init__(self, io: BlockingIo, done: threading.Event) -> None:
        self._io = io
        self._done = done

    @override
    def now_s(self) -> float:
        return self._io.now_s()

    @override
    async def pause(self, seconds: float) -> None:
        if self._done.wait(seconds):
            raise ClosedError

    @override
    async def send(self, endpoint: str, call: "Call[Any]", timeout_s: float) -> HttpAnswer:
        return await self._io.send(endpoint, call, timeout_s)

    @override
    async def open(self, endpoint: str, call: "Call[Any]", timeout_s: float) -> Opened:
        return await self._io.open(endpoint, call, timeout_s)


def _watch(io: BlockingIo, endpoint: str, attempt: Attempt, done: threading.Event) -> None:
    with contextlib.suppress(ClosedError):
        run_now(until_dead(_WatchIo(io, done), endpoint))
        if not done.is_set():
            attempt.end(DEAD)


def _hang_up(response: BaseHTTPResponse | None) -> None:
    """Close the connection: a node that still works on the request sees that nobody waits."""
    if response is not None:
        response.close()


def _read(response: BaseHTTPResponse) -> bytes:
    body = bytearray()
    while piece := response.read1(_PIECE_BYTES, decode_content=False):
        body += piece
        if len(body) > BODY_BYTES_MAX:
            raise OSError(f"the answer has more than {BODY_BYTES_MAX} bytes")
    return bytes(body)


def _lower(response: BaseHTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
