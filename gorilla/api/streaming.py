"""An answer without an end: what is written to it goes out at once, until somebody ends it."""

import asyncio
import socket
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, Final, cast

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from typing_extensions import override

from gorilla.api.answers import Answer, wait_for_reader

if TYPE_CHECKING:
    from gorilla.api.connection import Connection

EVENT_STREAM: Final = "text/event-stream"

UNREAD_BYTES_MAX: Final = 64 * 1024
"""What a reader may leave unread here before it counts as slow; the kernel keeps as much again."""

GONE_S_MAX: Final = 30
"""How long what was sent may stay unacknowledged: a machine that vanished says nothing more."""


class Ended(StrEnum):
    """Why a stream ended."""

    GONE = "gone"
    """The reader closed it."""
    SLOW = "slow"
    """The reader left too much unread for too long."""
    BEHIND = "behind"
    """What is kept no longer has what comes next."""
    STOPPED = "stopped"
    """This node no longer serves it; another one may."""


class StreamAnswer(Answer):
    """An answer that goes on; chunked for HTTP/1.1, up to the connection's end for HTTP/1.0.

    Attributes:
        is_open: Whether something may be written.

    """

    def __init__(
        self,
        media_type: str,
        opened: Callable[["StreamAnswer"], None],
        closed: Callable[["StreamAnswer", Ended], None],
    ) -> None:
        """Prepare it; it is open between the two calls.

        Args:
            media_type: Value of the Content-Type header.
            opened: Called when the head was sent; never for HEAD, or when the client is gone.
            closed: Called once after that, and with why.

        """
        # nginx would hold events back to fill a buffer.
        super().__init__(200, b"", media_type, headers=(("X-Accel-Buffering", "no"),), close=True)
        self._opened = opened
        self._closed = closed
        self._ended: asyncio.Future[Ended] | None = None
        self._transport: asyncio.Transport | None = None
        self._connection: Connection | None = None
        self._is_chunked = True

    @property
    def is_open(self) -> bool:
        """Whether something may be written."""
        return self._ended is not None and not self._ended.done()

    @property
    def is_full(self) -> bool:
        """Whether the reader has left so much unread that nothing more should be written."""
        return self._connection is not None and self._connection.writing_paused

    def on_writable(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever a reader that was full has read most of it."""
        assert self._connection is not None
        self._connection.on_writable = callback

    def send(self, data: bytes) -> None:
        """Write; only while it is open."""
        assert self._transport is not None
        if self._transport.is_closing():
            self.end(Ended.GONE)
        elif self._is_chunked:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self._transport.write(data)

    def end(self, why: Ended) -> None:
        """End it, if it is open."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(why)

    @override
    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Note who asked."""
        self._is_chunked = request.version >= HttpVersion11
        return await super().prepare(request)

    @override
    def encoded(self, *, keep_alive: str, with_body: bool) -> bytes:
        """Return the bytes of the head, which is all that there is now."""
        coding = "Transfer-Encoding: chunked\r\n" if self._is_chunked else ""
        more = "".join([f"{name}: {value}\r\n" for name, value in self.more_headers])
        lines = f"Content-Type: {self._media_type}\r\n{coding}{more}{keep_alive}\r\n"
        return b"".join((b"HTTP/1.1 200 OK\r\n", self._stamp_lines, lines.encode("ascii")))

    @override
    async def write_eof(self, data: bytes = b"") -> None:
        """Send the head, and stay until the stream is ended or the client is gone.

        Raises:
            ConnectionResetError: The client is gone, or did not read for too long.

        """
        await super().write_eof()
        request = self._asked_by
        assert request is not None
        if not self._has_body():
            return
        transport = request.transport
        assert transport is not None
        connection = cast("Connection", request.protocol)
        _bound_buffers(transport)
        self._transport, self._connection = transport, connection
        self._ended = ended = asyncio.get_running_loop().create_future()
        connection.hang_up().add_done_callback(lambda _: self.end(Ended.GONE))
        why = Ended.STOPPED
        self._opened(self)
        try:
            why = await ended
        finally:
            connection.on_writable = None
            self._closed(self, why)
        await self._finish(request, transport, why)

    async def _finish(
        self, request: web.BaseRequest, transport: asyncio.Transport, why: Ended
    ) -> None:
        if why in {Ended.GONE, Ended.SLOW}:
            transport.abort()
            raise ConnectionResetError("the client is gone, or does not read")
        if self._is_chunked:
            transport.write(b"0\r\n\r\n")
        if request.protocol.writing_paused:
            await wait_for_reader(request, transport, self._reader_s_max)


def _bound_buffers(transport: asyncio.Transport) -> None:
    """Let slow and vanished readers be noticed here, not after megabytes in the kernel."""
    transport.set_write_buffer_limits(high=UNREAD_BYTES_MAX)
    connected = transport.get_extra_info("socket")
    if connected is None or connected.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, UNREAD_BYTES_MAX)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, GONE_S_MAX * 1_000)
