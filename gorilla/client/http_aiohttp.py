"""How the client for asyncio sends: one attempt over aiohttp, whose own retries are stopped."""

import asyncio
import contextlib
import os
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet, finalize

from aiohttp import (
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    TraceConfig,
    TraceRequestHeadersSentParams,
)
from typing_extensions import override
from yarl import URL

from gorilla.client import clock
from gorilla.client.errors import ClosedError, ForkedError
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
from gorilla.client.reasons import HUNG_UP, reason_of
from gorilla.client.transport import (
    DEAD,
    KEPT_S,
    PROBED_WAIT_S,
    headers_of,
    socket_options,
    tls_of,
    until_dead,
)

if TYPE_CHECKING:
    import ssl

    from gorilla.client.calls import Call
    from gorilla.client.settings import ClientSettings

_PIECE_BYTES: Final = 64 * 1024
_FAILURES: Final = (ClientError, OSError, TimeoutError, ValueError)


class Attempt:
    """One request on its way; ``is_sent`` once the node may have got any of it."""

    def __init__(self) -> None:
        """Begin without a connection."""
        self.is_sent = False


class AsyncIo(Io):
    """An :class:`Io` for one event loop: the one in which it is used first."""

    def __init__(self, settings: "ClientSettings") -> None:
        """Connect to nothing yet.

        Raises:
            ValueError: A file of the settings can't be used.

        """
        self._settings = settings
        self._pid = os.getpid()
        self._closing = asyncio.Event()
        self._is_waiting_over = False
        self._waits: set[asyncio.Timeout] = set()
        self._streams: WeakSet[_AsyncStream] = WeakSet()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        if any(endpoint.startswith("https:") for endpoint in settings.endpoints):
            self._tls = tls_of(settings)

    @override
    def now_s(self) -> float:
        """Return the client's own time (seconds)."""
        return clock.now_s()

    @override
    async def pause(self, seconds: float) -> None:
        """Let time pass, or until the client is closed."""
        self.check()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        self.check()

    @override
    async def send(self, endpoint: str, call: "Call[Any]", timeout_s: float) -> HttpAnswer:
        """Ask one node once."""
        if call.wait_s <= PROBED_WAIT_S:
            return await self._send(endpoint, call, timeout_s)
        sending = asyncio.create_task(self._send(endpoint, call, timeout_s))
        watching = asyncio.create_task(until_dead(self, endpoint))
        try:
            await asyncio.wait({sending, watching}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                return sending.result()
            watching.result()
            raise AnswerLost(DEAD)
        finally:
            sending.cancel()
            watching.cancel()
            await asyncio.gather(sending, watching, return_exceptions=True)

    async def _send(self, endpoint: str, call: "Call[Any]", timeout_s: float) -> HttpAnswer:
        self.check()
        attempt = Attempt()
        waiting = asyncio.timeout(timeout_s)
        if call.wait_s:
            self._waits.add(waiting)
        try:
            async with waiting:
                if call.wait_s and self._is_waiting_over:
                    raise ClosedError
                response = await self._request(endpoint, call, attempt, timeout_s)
                async with response:
                    return HttpAnswer(response.status, _lower(response), await _read(response))
        except _FAILURES as error:
            if call.wait_s and self._is_waiting_over:
                raise ClosedError from error
            raise self.failure(attempt, error) from error
        finally:
            self._waits.discard(waiting)

    def end_waits(self) -> None:
        """Let nobody wait for a lock any more: it is about to be closed. All else goes on."""
        if os.getpid() != self._pid:
            return
        self._is_waiting_over = True
        for waiting in self._waits:
            # One whose time has just run out ends anyway, and can't be changed any more.
            if not waiting.expired():
                waiting.reschedule(0.0)

    @override
    async def open(self, endpoint: str, call: "Call[Any]", timeout_s: float) -> Opened:
        """Ask one node once for a stream."""
        self.check()
        attempt = Attempt()
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._request(endpoint, call, attempt, timeout_s)
                headers = _lower(response)
                if response.status == 200:  # noqa: PLR2004  of HTTP
                    stream = _AsyncStream(self, response, attempt)
                    self._streams.add(stream)
                    return Opened(HttpAnswer(response.status, headers, b""), stream)
                async with response:
                    return Opened(HttpAnswer(response.status, headers, await _read(response)), None)
        except _FAILURES as error:
            raise self.failure(attempt, error) from error

    def check(self) -> None:
        """Return when it may be used here.

        Raises:
            ForkedError: In another process than the one that made it.
            ClosedError: After :meth:`close`.
            RuntimeError: In another event loop than the first one.

        """
        if os.getpid() != self._pid:
            raise ForkedError
        if self._closing.is_set():
            raise ClosedError
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError(
                "this AsyncClient was first used in another event loop, which its connections "
                "belong to: make one in each loop"
            )

    async def close(self) -> None:
        """End what is under way, and close all connections; may be called again.

        In another process than the one that made it nothing is done: the connections are not its.
        """
        if os.getpid() != self._pid:
            return
        self._closing.set()
        for stream in list(self._streams):
            await stream.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _request(
        self, endpoint: str, call: "Call[Any]", attempt: Attempt, timeout_s: float
    ) -> ClientResponse:
        if self._session is None:
            self._session = self._make_session()
        return await self._session.request(
            call.method,
            URL(endpoint + call.path, encoded=True),
            data=call.body,
            headers=headers_of(self._settings, call),
            allow_redirects=False,
            timeout=ClientTimeout(total=None, sock_connect=min(timeout_s, CONNECT_S_MAX)),
            trace_request_ctx=attempt,
        )

    def _make_session(self) -> ClientSession:
        tracing = TraceConfig()
        tracing.on_request_headers_sent.append(_on_sending)
        if self._tls is None:
            # For an endpoint that only one call names.
            self._tls = tls_of(self._settings)
        connector = TCPConnector(
            limit=0, keepalive_timeout=KEPT_S, ssl=self._tls, socket_factory=_socket_of
        )
        return ClientSession(
            connector=connector,
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
            trace_configs=[tracing],
        )

    def failure(self, attempt: Attempt, error: Exception) -> Exception:
        """Say what a failed attempt means."""
        if self._closing.is_set():
            return ClosedError()
        why = reason_of(error, is_sent=attempt.is_sent)
        return AnswerLost(why) if attempt.is_sent else NotSent(why)


class _AsyncStream(Stream):
    """An answer without an end."""

    def __init__(self, io: AsyncIo, response: ClientResponse, attempt: Attempt) -> None:
        self._io = io
        self._response = response
        self._attempt = attempt
        # Whoever leaves a loop over events by an exception closes nothing.
        self._dropped = finalize(self, _close_later, asyncio.get_running_loop(), response)
        self._dropped.atexit = False

    @override
    async def read(self, timeout_s: float) -> bytes:
        self._io.check()
        try:
            async with asyncio.timeout(timeout_s):
                return await self._response.content.readany()
        except _FAILURES as error:
            raise self._io.failure(self._attempt, error) from error

    @override
    async def close(self) -> None:
        self._dropped.detach()
        self._response.close()


def _close_later(loop: asyncio.AbstractEventLoop, response: ClientResponse) -> None:
    """Hang up; the collector may run in another thread."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(response.close)


async def _on_sending(
    _session: ClientSession, context: SimpleNamespace, _params: TraceRequestHeadersSentParams
) -> None:
    """Note that an attempt is about to be sent; stop it when it was sent before.

    aiohttp asks again by itself when a connection breaks. What may be asked again, and when, is
    decided elsewhere.
    """
    attempt: Attempt = context.trace_request_ctx
    if attempt.is_sent:
        raise AnswerLost(HUNG_UP)
    attempt.is_sent = True


def _socket_of(
    address: tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]],
) -> socket.socket:
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    for option in socket_options():
        made.setsockopt(*option)
    return made


async def _read(response: ClientResponse) -> bytes:
    body = bytearray()
    while piece := await response.content.read(_PIECE_BYTES):
        body += piece
        if len(body) > BODY_BYTES_MAX:
            raise OSError(f"the answer has more than {BODY_BYTES_MAX} bytes")
    return bytes(body)


def _lower(response: ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
