"""Connections of urllib3 that tell what becomes of an attempt, and that another thread may end."""

import contextlib
import socket
import threading
from contextvars import ContextVar
from typing import Any

from typing_extensions import override
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

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

    """

    def __init__(self) -> None:
        """Begin without a connection."""
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

    def set_timeout(self, seconds: float) -> None:
        """Say how long the next read may take."""
        with self._guard:
            if self._socket is not None:
                self._socket.settimeout(seconds)

    def _shut(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                # Not the method of a TLS socket, which would change it under the reader.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Connection(HTTPConnection):
    """A connection that tells the attempt what becomes of it."""

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

    @override
    def connect(self) -> None:
        super().connect()
        _tell(self)

    @override
    def request(self, *args: Any, **kwargs: Any) -> None:
        _begin(self)
        super().request(*args, **kwargs)


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

    ConnectionCls = _Connection  # type: ignore[mutable-override]  # the library means it so


class TlsPool(HTTPSConnectionPool):
    """Connections to one endpoint over TLS."""

    ConnectionCls = _TlsConnection  # type: ignore[mutable-override]  # likewise
