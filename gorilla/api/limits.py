"""How much, and how long, a client may take; sizes of fields are in ``gorilla.wire.fields``."""

from typing import Final

import msgspec

LINE_BYTES_MAX: Final = 8 * 1024
"""Longest request line, and longest single header."""

HEADER_BYTES_MAX: Final = 16 * 1024
"""All headers of a request together."""

HEADERS_MAX: Final = 100

REFUSALS_MAX: Final = 128
"""Connections beyond the bound that are told so; still more are cut without a word."""


class HttpLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of one node's HTTP server; lengths of time in seconds."""

    connections_max: int = 10_000
    """Connections at once; those beyond get a 503."""
    head_s_max: float = 10.0
    """How long a request's headers may take, from the connection or their first byte on."""
    body_s_max: float = 10.0
    """How long a body may take to arrive, from the end of the headers on."""
    reader_s_max: float = 10.0
    """How long a client may leave an answer unread."""
    keep_alive_s: float = 75.0
    """How long a connection may be idle between two requests."""
    linger_s: float = 2.0
    """How long what is left of a refused body is read and thrown away, so the answer arrives."""
    sweep_s: float = 1.0
    """How often all connections are looked at."""
    watchers_max: int = 2_000
    """Event streams at once; one more gets a 503."""
    heartbeat_s: float = 10.0
    """After so long without an event its reader is shown that the stream lives."""
    unserved_s_max: float = 3.0
    """How long a node that is not ready keeps its event streams: longer than a failover takes."""
