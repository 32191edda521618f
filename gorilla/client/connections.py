"""Connections of urllib3 that tell what becomes of an attempt, and that another thread may end."""

import contextlib
import io
import socket
import threading
from contextvars import ContextVar
from http.client import HTTPResponse
from math import inf
from typing import Any

from typing_extensions import Buffer, override
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from gorilla.client import clock
from gorilla.client.names import Names, connected
from gorilla.client.ports import CONNECT_S_MAX

current: ContextVar["Attempt | None"] = ContextVar("attempt", default=None)
"""The attempt that this thread makes."""


class Attempt:
    """One request on its way, which another thread may end.

    Attributes:
        is_sent: Whether the node may have got any of it.
        is_requesting: Whether it is on its way.
        is_kept: Whether it goes on as a stream.
        is_waiting: Whether its caller queues for a lock.
        ended: Why another thread ended it.
        until_s: When its time is over, on the client's own clock.
        names: Whom to ask for addresses.

    """

    def __init__(self, names: Names | None = None) -> None:
        """Begin without a connection."""
        self.names = names or Names()
        self.until_s = inf
        self.is_sent = False
        self.is_requesting = False
        self.is_kept = False
        self.is_waiting = False
        self.ended: str | None = None
        self._guard = threading.Lock()
        self._socket: socket.socket | None = None

    def connected(self, connection: HTTPConnection) -> None:
        """Take the connection that it is sent over."""
        with self._guard:
            self._socket = connection.sock
            if self.is_requesting:
                self.is_sent = True
            if self.ended is not None:
                self._shut()

    def end(self, why: str) -> None:
        """Let the thread that waits for the answer wait no more; may be called by any thread."""
        with self._guard:
            self.ended = self.ended or why
            self._shut()

    def finish(self) -> None:
        """Let go of the connection: it may serve another request now."""
        with self._guard:
            self._socket = None

    def allow(self, seconds: float) -> None:
        """Say how long it may go on from now."""
        self.until_s = clock.now_s() + seconds

    def left_s(self) -> float:
        """Return how much of its time is left (seconds).

        Raises:
            TimeoutError: Nothing.

        """
        left_s = self.until_s - clock.now_s()
        if left_s <= 0:
            raise TimeoutError("its time is over")
        return left_s

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Not the method of a TLS socket, which would change it under the reader.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Bounded(io.RawIOBase):
    """What is read from a socket, up to the end of the attempt's time, in however many pieces."""

    def __init__(self, place: socket.socket, attempt: Attempt) -> None:
        self._place = place
        self._attempt = attempt
        self._raw = place.makefile("rb", buffering=0)

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Buffer, /) -> int | None:
        left_s = self._attempt.left_s()
        self._place.settimeout(None if left_s == inf else left_s)
        return self._raw.readinto(buffer)

    @override
    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    """An answer that is read in time, from its first byte on."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(sock, *args, **kwargs)
        attempt = current.get()
        if attempt is not None:
            self.fp.close()
            self.fp = io.BufferedReader(_Bounded(sock, attempt))


class _Connection(HTTPConnection):
    """A connection that tells the attempt what becomes of it."""

    response_class = _Response  # type: ignore[mutable-override]  # the library means it so

    @override
    def _new_conn(self) -> socket.socket:
        return _connected(self)

    @override
    def connect(self) -> None:
        super().connect()
        _tell(self)

    @override
    def request(self, *args: Any, **kwargs: Any) -> None:
        _begin(self)
        super().request(*args, **kwargs)


class _TlsConnection(HTTPSConnection):
    """The same over TLS."""

    response_class = _Response  # type: ignore[mutable-override]  # the library means it so

    @override
    def _new_conn(self) -> socket.socket:
        return _connected(self)

    @override
    def connect(self) -> None:
        super().connect()
        _tell(self)

    @override
    def request(self, *args: Any, **kwargs: Any) -> None:
        _begin(self)
        super().request(*args, **kwargs)


def _connected(connection: HTTPConnection) -> socket.socket:
    attempt = current.get() or Attempt()
    timeout_s = min(CONNECT_S_MAX, attempt.left_s())
    options = list(connection.socket_options or ())
    host = connection._dns_host  # noqa: SLF001  as it is told to the resolver
    return connected(attempt.names, host, connection.port, options, timeout_s)


def _tell(connection: HTTPConnection) -> None:
    attempt = current.get()
    if attempt is not None:
        attempt.connected(connection)


def _begin(connection: HTTPConnection) -> None:
    attempt = current.get()
    if attempt is not None:
        attempt.is_requesting = True
        if connection.sock is not None:
            attempt.connected(connection)


class Pool(HTTPConnectionPool):
    """Connections to one endpoint."""

    ConnectionCls = _Connection  # type: ignore[mutable-override]  # likewise


class TlsPool(HTTPSConnectionPool):
    """Connections to one endpoint over TLS."""

    ConnectionCls = _TlsConnection  # type: ignore[mutable-override]  # likewise
