"""What both transports have in common: headers, TLS, and looking after a node during a wait."""

import socket
import ssl
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from gorilla.client.calls.machines import health
from gorilla.client.ports import AttemptFailed, Io
from gorilla.wire.idempotency import HEADER

if TYPE_CHECKING:
    from gorilla.client.calls import Call
    from gorilla.client.settings import ClientSettings

PROBED_WAIT_S: Final = 10.0
"""During longer waits the node is asked now and then whether it lives (seconds)."""

PROBE_EVERY_S: Final = 5.0
PROBE_AGAIN_S: Final = 1.0
PROBE_S: Final = 3.0
PROBES_FAILED: Final = 2
"""After so many probes in a row without an answer the node counts as dead."""

KEPT_S: Final = 45.0
"""How long an idle connection is kept: shorter than nodes and the usual balancers keep it."""

_KEEPALIVE: Final = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 3}
_UNACKNOWLEDGED_MS: Final = 15_000


class Place(NamedTuple):
    """Where an endpoint is."""

    scheme: str
    host: str
    port: int
    path: str
    """What comes before every path; empty or with a slash at its beginning."""


def place_of(endpoint: str) -> Place:
    """Take the URL of an endpoint apart."""
    parts = urlsplit(endpoint)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Place(parts.scheme, parts.hostname or "", port, parts.path)


def headers_of(settings: "ClientSettings", call: "Call[Any]") -> dict[str, str]:
    """Return the headers that a call is sent with."""
    headers = {
        "Accept": call.accept,
        "Accept-Encoding": "identity",
        "User-Agent": f"gorilla-client/{_version()}",
        **(call.headers or {}),
    }
    if settings.token is not None:
        headers["Authorization"] = f"Bearer {settings.token}"
    if call.body is not None:
        headers["Content-Type"] = "application/json"
    if call.key is not None:
        headers[HEADER] = call.key
    return headers


def tls_of(settings: "ClientSettings") -> ssl.SSLContext:
    """Return whom to trust, and how to say who asks.

    Raises:
        ValueError: A file can't be used; the message begins with the field's name.

    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
    except (ssl.SSLError, OSError) as error:
        raise ValueError(f"ca_file: {settings.ca_file} holds no certificates: {error}") from error
    if settings.cert_file is not None:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file)
        except (ssl.SSLError, OSError) as error:
            where = f"{settings.cert_file}, key_file: {settings.key_file}"
            raise ValueError(f"cert_file: {where} can't be used: {error}") from error
    return context


def socket_options() -> list[tuple[int, int, int]]:
    """Return what lets a connection notice that the other machine is gone."""
    options = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    ]
    for name, value in {**_KEEPALIVE, "TCP_USER_TIMEOUT": _UNACKNOWLEDGED_MS}.items():
        option = getattr(socket, name, None)
        if option is not None:
            options.append((socket.IPPROTO_TCP, option, value))
    return options


async def until_dead(io: Io, endpoint: str) -> None:
    """Return when a node has not answered for a while: it is stopped, or its machine hangs.

    Its kernel keeps the connections of such a node, so nothing else would tell.
    """
    failed = 0
    while failed < PROBES_FAILED:
        await io.pause(PROBE_AGAIN_S if failed else PROBE_EVERY_S)
        try:
            await io.send(endpoint, health(), PROBE_S)
        except AttemptFailed:
            failed += 1
        else:
            failed = 0


DEAD: Final = "the node stopped answering while the request waited there"


@cache
def _version() -> str:
    try:
        return version("gorilla-lock")
    except PackageNotFoundError:
        return "0"
