"""Serving an API on an address."""

import asyncio
import errno
from typing import Final

from gorilla.api.app import Api
from gorilla.api.connection import HttpServer

BACKLOG: Final = 1_024


class ListenError(Exception):
    """The address can't be listened on; the message says which, why, and what to do."""


class ApiServer:
    """A server that listens; made by :func:`serve`."""

    def __init__(self, server: HttpServer, listening: asyncio.Server) -> None:
        """Take a server whose listening socket is open."""
        self._server = server
        self._listening = listening

    @property
    def port(self) -> int:
        """The port that it listens on, also when any free one was asked for."""
        port = self._listening.sockets[0].getsockname()[1]
        assert isinstance(port, int)
        return port

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._server.connections)

    @property
    def requests(self) -> int:
        """How many requests have come since it started."""
        return self._server.requests_count

    def stop_listening(self) -> None:
        """Take no new connection; those that exist go on."""
        self._listening.close()

    async def close(self, grace_s: float) -> None:
        """Stop listening, let what is being served finish for ``grace_s`` seconds, then cut it."""
        self.stop_listening()
        self._server.stop_sweeping()
        self._server.pre_shutdown()
        # aiohttp waits up to this long twice: for the answer, and for what comes after it.
        await self._server.shutdown(grace_s / 2)


async def serve(api: Api, host: str, port: int) -> ApiServer:
    """Serve an API until :meth:`ApiServer.close`.

    Args:
        api: From :func:`gorilla.api.app.build_app`.
        host: Address to bind.
        port: 0 for any free one.

    Raises:
        ListenError: The address is taken, or is none of this machine.

    """
    server = HttpServer(api.handle, stamp=api.stamp, ids=api.ids, limits=api.limits)
    loop = asyncio.get_running_loop()
    try:
        # Never shared: a second node on the same port must fail, not take half of the requests.
        listening = await loop.create_server(
            server, host, port, backlog=BACKLOG, reuse_address=True, reuse_port=False
        )
    except OSError as error:
        raise ListenError(_reason(error, host, port)) from error
    server.start_sweeping()
    return ApiServer(server, listening)


def _reason(error: OSError, host: str, port: int) -> str:
    where = f"the HTTP address {host}:{port}"
    if error.errno == errno.EADDRINUSE:
        return f"{where} is in use: stop what listens there, or set another port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where} is no address of this machine: set one that is, or 0.0.0.0"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return f"{where} may not be used by this user: ports below 1024 need more rights"
    return f"{where} can't be listened on: {error.strerror or error}"
