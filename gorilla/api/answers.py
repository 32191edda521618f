"""Answers: a status, a body and headers, written to the connection in one piece.

aiohttp's own ``Response`` builds a header map for every answer. Most of what one lock call costs
is HTTP, so the constant lines are bytes from the start, and the rest is put behind them.
"""

import asyncio
import time
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from typing_extensions import override

JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}

encode_json = msgspec.json.Encoder().encode


class Stamp:
    """The header lines that every answer of a node carries."""

    __slots__ = ("_constant", "_date", "_date_s")

    def __init__(self, node: str) -> None:
        """Take the node's name, which must fit a header."""
        assert node.isascii()
        assert node.isprintable()
        self._constant = (
            f"X-Gorilla-Node: {node}\r\n"
            # Answers hold tokens and the state of a moment: nobody in between may keep them.
            "Cache-Control: no-store\r\n"
            "X-Content-Type-Options: nosniff\r\n"
        ).encode()
        self._date_s = -1
        self._date = b""

    def lines(self, request_id: str) -> bytes:
        """Return the lines for one answer."""
        second = int(time.monotonic())
        if second != self._date_s:
            self._date_s = second
            self._date = f"Date: {formatdate(usegmt=True)}\r\n".encode()
        return b"%b%bX-Request-Id: %b\r\n" % (self._constant, self._date, request_id.encode())


class Answer(web.StreamResponse):
    """An answer whose body is complete."""

    def __init__(
        self,
        status: int = 200,
        body: bytes = b"",
        media_type: str = JSON,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        close: bool = False,
    ) -> None:
        """Take what the answer says.

        Args:
            status: HTTP status; 204 has no body.
            body: As it is sent, except to HEAD.
            media_type: Value of the Content-Type header.
            headers: More headers; ASCII without line breaks.
            close: Whether the connection ends with this answer.

        """
        super().__init__(status=status)
        self.content = body
        self._media_type = media_type
        self._more = headers
        self._close = close
        self._stamp_lines = b""
        self._reader_s_max = 0.0
        self._asked_by: web.BaseRequest | None = None

    def stamp(self, lines: bytes, reader_s_max: float) -> None:
        """Add the node's header lines (see :class:`Stamp`); the client reads it in time or never.

        Args:
            lines: From :meth:`Stamp.lines`.
            reader_s_max: How long the client may leave the answer unread (seconds).

        """
        self._stamp_lines = lines
        self._reader_s_max = reader_s_max

    def add_header(self, name: str, value: str) -> None:
        """Add a header."""
        self._more = (*self._more, (name, value))

    @property
    def more_headers(self) -> tuple[tuple[str, str], ...]:
        """The headers that only this answer has."""
        return self._more

    def encoded(self, *, keep_alive: str, with_body: bool) -> bytes:
        """Return the bytes of the whole answer.

        Args:
            keep_alive: The Connection header's line, or nothing.
            with_body: False for an answer to HEAD.

        """
        parts = [_STATUS_LINES[self.status], self._stamp_lines]
        if self.status != HTTPStatus.NO_CONTENT:
            length = len(self.content)
            parts.append(
                f"Content-Type: {self._media_type}\r\nContent-Length: {length}\r\n".encode()
            )
        if keep_alive or self._more:
            lines = "".join([f"{name}: {value}\r\n" for name, value in self._more])
            parts.append((lines + keep_alive).encode("ascii"))
        parts.append(b"\r\n")
        if with_body:
            parts.append(self.content)
        return b"".join(parts)

    @override
    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Note who asked; nothing is sent before the body is."""
        self._asked_by = request
        self._keep_alive = request.keep_alive and not self._close
        return request.writer

    @override
    async def write_eof(self, data: bytes = b"") -> None:
        """Send the answer, and wait until a slow reader has taken most of it.

        Raises:
            ConnectionResetError: The client is gone, or did not read for too long.

        """
        request = self._asked_by
        assert request is not None
        self._eof_sent = True
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client is gone")
        transport.write(
            self.encoded(keep_alive=self._connection_line(request), with_body=self._has_body())
        )
        if request.protocol.writing_paused:
            await wait_for_reader(request, transport, self._reader_s_max)

    def _connection_line(self, request: web.BaseRequest) -> str:
        if not self._keep_alive:
            return "Connection: close\r\n"
        return "" if request.version >= HttpVersion11 else "Connection: keep-alive\r\n"

    def _has_body(self) -> bool:
        assert self._asked_by is not None
        return self._asked_by.method != "HEAD" and self.status != HTTPStatus.NO_CONTENT


async def wait_for_reader(
    request: web.BaseRequest, transport: asyncio.Transport, reader_s_max: float
) -> None:
    """Wait until a slow reader has taken most of what was written.

    Raises:
        ConnectionResetError: It did not for ``reader_s_max`` seconds; the connection is cut.

    """
    try:
        async with asyncio.timeout(reader_s_max):
            await request.writer.drain()
    except TimeoutError as error:
        transport.abort()
        raise ConnectionResetError("the client does not read its answer") from error


def answer_json(
    body: msgspec.Struct, status: int = 200, headers: tuple[tuple[str, str], ...] = ()
) -> Answer:
    """Answer with a body of the contract."""
    return Answer(status, encode_json(body), headers=headers)


def no_content(headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """Answer that it was done and there is nothing to say."""
    return Answer(204, headers=headers)
