"""Takes throw-away locks, to see that it works and how long it takes. All end within seconds."""

import secrets
import time
from typing import TYPE_CHECKING, Final

from gorilla.cli.doctor_evidence import Passed, Trips
from gorilla.client.errors import GorillaError, OutcomeUnknown, RequestRefused, WaitTimeout
from gorilla.client.settings import own_name

if TYPE_CHECKING:
    from gorilla.client import Client

PREFIX: Final = "gorilla-doctor/"
TRIPS: Final = 5
TRIP_TIMEOUT_S: Final = 10
_AFTER_WAIT_S: Final = 10.0
"""How long the lock that is waited for outlives the wait."""


def trips_of(client: "Client", count: int = TRIPS) -> Trips:
    """Acquire and release a lock that nobody else wants, several times; say how long each took."""
    resource, owner = _throw_away(), own_name()
    took: list[float] = []
    try:
        for _ in range(count):
            started_s = time.monotonic()
            lock = client.acquire(resource, owner=owner, timeout=TRIP_TIMEOUT_S)
            client.release(resource, lock.token)
            took.append(time.monotonic() - started_s)
    except GorillaError as error:
        return Trips(seconds=tuple(took), code=code_of(error), detail=str(error))
    return Trips(seconds=tuple(took))


def passed_of(client: "Client", wait_s: float) -> Passed:
    """Wait for a lock that is held, as long as said; the answer must be that it was in vain.

    Args:
        client: Of the one endpoint that it is to go through; its attempts are not repeated.
        wait_s: How long (seconds).

    """
    resource = _throw_away()
    started_s = time.monotonic()
    try:
        holder = client.acquire(resource, owner=f"{own_name()}/1", timeout=wait_s + _AFTER_WAIT_S)
        started_s = time.monotonic()
        try:
            client.acquire(resource, owner=f"{own_name()}/2", timeout=TRIP_TIMEOUT_S, wait=wait_s)
            code = "granted"
        except WaitTimeout as error:
            code = error.code
        took_s = time.monotonic() - started_s
        client.release(resource, holder.token)
    except GorillaError as error:
        took_s, code = time.monotonic() - started_s, code_of(error)
    return Passed(asked_s=wait_s, took_s=took_s, code=code)


def code_of(error: GorillaError) -> str:
    """Return the problem code of a failure, or what kind of failure it is."""
    if isinstance(error, RequestRefused):
        return error.code
    if isinstance(error, OutcomeUnknown):
        return "outcome_unknown"
    return getattr(error, "code", None) or "unavailable"


def _throw_away() -> str:
    return f"{PREFIX}{secrets.token_hex(8)}"
