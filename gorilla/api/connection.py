"""Connections: slow clients are cut off, broken requests get a problem, their number is bounded.

A sweep once a second looks at all connections, so that a request costs no timer of its own.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from typing_extensions import override

from gorilla.api.answers import Answer, Stamp
from gorilla.api.limits import (
    HEADER_BYTES_MAX,
    HEADERS_MAX,
    LINE_BYTES_MAX,
    REFUSALS_MAX,
    HttpLimits,
)
from gorilla.api.presenting import problem_answer, problem_of
from gorilla.api.requests import BrokenBodyError
from gorilla.service.errors import OverloadedError
from gorilla.wire.problems import ProblemCode

_HEAD_BYTES_MAX: Final = LINE_BYTES_MAX + HEADER_BYTES_MAX

RequestHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class RequestIds:
    """Makes ids that are unique among all nodes and cheap."""

    __slots__ = ("_numbers", "_prefix")

    def __init__(self) -> None:
        """Start from a random prefix."""
        self._prefix = secrets.token_hex(6)
        self._numbers = count(1)

    def next(self) -> str:
        """Return a new id."""
        return f"{self._prefix}-{next(self._numbers):x}"


class Connection(web.RequestHandler):
    """One client's connection."""

    __slots__ = ("_head_bytes", "_head_since_s", "_hung_up", "_server", "on_writable")

    def __init__(self, server: "HttpServer", loop: asyncio.AbstractEventLoop) -> None:
        """Belong to a server, with its limits."""
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=server.limits.keep_alive_s,
            access_log=None,  # type: ignore[arg-type]  # aiohttp means "none" by it
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
            lingering_time=server.limits.linger_s,
            # A compressed body is refused as a media type; nothing is ever inflated.
            auto_decompress=False,
        )
        self._server = server
        self._head_bytes = 0
        self._head_since_s: float | None = None
        self._hung_up: asyncio.Future[None] | None = None
        self.on_writable: Callable[[], None] | None = None
        """Called when a client that had left too much unread has taken most of it."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start counting: a first request must come soon."""
        super().connection_made(transport)
        self._head_since_s = self._loop.time()

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell the call that is being served; its handler goes on, and decides what that means."""
        super().connection_lost(exc)
        hung_up, self._hung_up = self._hung_up, None
        self.on_writable = None
        if hung_up is not None and not hung_up.done():
            hung_up.set_result(None)

    def hang_up(self) -> asyncio.Future[None]:
        """Return a future for the call that is being served; done when the connection is lost.

        A client that closes only its own half counts as gone: its connection is closed. While
        reading is paused, because more requests are queued behind this one than aiohttp takes,
        nobody can see that it went.
        """
        hung_up = self._loop.create_future()
        if self.transport is None or self.transport.is_closing():
            hung_up.set_result(None)
        else:
            self._hung_up = hung_up
        return hung_up

    @override
    def resume_writing(self) -> None:
        """Go on with a client that reads again."""
        super().resume_writing()
        if self.on_writable is not None:
            self.on_writable()

    @override
    def data_received(self, data: bytes) -> None:
        """Parse what came, and count it while it is no complete head of a request."""
        super().data_received(data)
        if self._messages or self._waiter is None:
            self._break_off_body()
            self._head_bytes = 0
            self._head_since_s = None
            return
        if self._head_since_s is None:
            self._head_since_s = self._loop.time()
        self._head_bytes += len(data)
        if self._head_bytes > _HEAD_BYTES_MAX:
            self._cut(f"The headers together exceed {HEADER_BYTES_MAX} bytes.")

    def _break_off_body(self) -> None:
        """End the body that a handler waits for when the parser gave up on it.

        aiohttp tells nobody but the next request; without this the handler would wait in vain.
        A body is broken exactly when something comes after it before it is complete.
        """
        request = self._current_request
        if request is not None and self._messages and not request.content.is_eof():
            request.content.set_exception(web.RequestPayloadError("broken transfer coding"))

    def sweep(self, now_s: float) -> None:
        """Cut the connection if its next request does not get complete (``now_s``: loop time)."""
        since_s = self._head_since_s
        if since_s is None or now_s - since_s < self._server.limits.head_s_max:
            return
        if self._head_bytes:
            self._cut(f"The headers did not arrive within {self._server.limits.head_s_max:g} s.")
        else:
            self.force_close()

    def _cut(self, detail: str) -> None:
        self._head_since_s = None
        error = BrokenBodyError(ProblemCode.INVALID_REQUEST, detail)
        if self.transport is not None:
            self.transport.write(self._server.refusal(error))
        self.force_close()

    @override
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be parsed; whatever a handler raises never gets this far."""
        if isinstance(exc, LineTooLong):
            detail = f"The request line or a header exceeds {LINE_BYTES_MAX} bytes."
        else:
            detail = "This is not a well-formed HTTP/1.1 request."
        return self._server.problem(BrokenBodyError(ProblemCode.INVALID_REQUEST, detail))


class _Refused(asyncio.Protocol):
    """A connection beyond the bound: it is told so when it asks, and closed."""

    def __init__(self, server: "HttpServer") -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if not self._server.admit_refused(self):
            transport.abort()

    @override
    def data_received(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            error = OverloadedError("this node has as many connections as it takes")
            self._transport.write(self._server.refusal(error))
            self._transport.close()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.forget_refused(self)

    def cut(self) -> None:
        """End it, whatever it waits for."""
        if self._transport is not None:
            self._transport.abort()


class HttpServer(web.Server):
    """Makes a :class:`Connection` for each client, up to a bound, and watches over them."""

    def __init__(
        self, handler: RequestHandler, *, stamp: Stamp, ids: RequestIds, limits: HttpLimits
    ) -> None:
        """Take the handler of all requests.

        Args:
            handler: Called with each request; raises nothing.
            stamp: Header lines of this node.
            ids: Source of request ids.
            limits: What clients may take.

        """
        loop = asyncio.get_running_loop()
        super().__init__(handler, loop=loop)
        self._stamp = stamp
        self._ids = ids
        self.limits = limits
        self._refused: dict[_Refused, float] = {}
        self._sweeping: asyncio.TimerHandle | None = None

    @override
    def __call__(self) -> Any:
        """Make the protocol of a new connection."""
        if len(self._connections) >= self.limits.connections_max:
            return _Refused(self)
        return Connection(self, self._loop)

    def start_sweeping(self) -> None:
        """Look at all connections now, and again and again."""
        now_s = self._loop.time()
        for connection in self.connections:
            assert isinstance(connection, Connection)
            connection.sweep(now_s)
        for refused, since_s in list(self._refused.items()):
            if now_s - since_s > self.limits.linger_s:
                refused.cut()
        self._sweeping = self._loop.call_later(self.limits.sweep_s, self.start_sweeping)

    def stop_sweeping(self) -> None:
        """Leave the connections alone, and cut those that were refused."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        for refused in list(self._refused):
            refused.cut()

    def problem(self, error: Exception) -> Answer:
        """Return the answer to a request that never became one."""
        request_id = self._ids.next()
        answer = problem_answer(problem_of(error, request_id), request_id)
        answer.stamp(self._stamp.lines(request_id), self.limits.reader_s_max)
        return answer

    def refusal(self, error: Exception) -> bytes:
        """Return a complete answer that ends the connection."""
        return self.problem(error).encoded(keep_alive="Connection: close\r\n", with_body=True)

    def admit_refused(self, refused: _Refused) -> bool:
        """Keep a connection beyond the bound for a moment; False when there are too many."""
        if len(self._refused) >= REFUSALS_MAX:
            return False
        self._refused[refused] = self._loop.time()
        return True

    def forget_refused(self, refused: _Refused) -> None:
        """A connection beyond the bound has ended."""
        self._refused.pop(refused, None)
