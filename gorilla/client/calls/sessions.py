"""Calls on sessions."""

from typing import Final

from msgspec import UNSET

from gorilla.client.calls.call import (
    Call,
    decoder,
    never_twice,
    nothing,
    read,
    segment,
    write,
)
from gorilla.wire.sessions import OpenSessionBody, SessionBody, SessionStateBody

_SESSIONS: Final = "/api/v1/sessions"


def open(  # noqa: A001  the name of the operation
    owner: str, ttl_s: float, metadata: object = UNSET, key: str | None = None
) -> Call[SessionBody]:
    """Begin a session that lives ``ttl_s`` after each sign of life."""
    body = OpenSessionBody(owner=owner, ttl=ttl_s, metadata=metadata)
    return never_twice(write("POST", _SESSIONS, decoder(SessionBody), body, key=key))


def keep(session: str, key: str | None = None) -> Call[SessionBody]:
    """Give a sign of life."""
    return write("PUT", _session(session), decoder(SessionBody), key=key)


def show(session: str) -> Call[SessionStateBody]:
    """Ask how long a session lives yet, and what lives in it."""
    return read(_session(session), SessionStateBody)


def end(session: str, key: str | None = None) -> Call[None]:
    """Release everything that lives in a session."""
    return write("DELETE", _session(session), nothing, key=key)


def _session(session: str) -> str:
    return f"{_SESSIONS}/{segment(session)}"
