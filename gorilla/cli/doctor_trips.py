"""Takes throw-away locks, to see that it works and how long it takes. All end within seconds."""

import secrets
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gorilla.cli.doctor_evidence import Passed, Trips
from gorilla.client.blocking import run_now
from gorilla.client.calls import Call, locks
from gorilla.client.errors import GorillaError, OutcomeUnknown, RequestRefused
from gorilla.client.http_urllib3 import BlockingIo
from gorilla.client.ports import AttemptFailed, HttpAnswer
from gorilla.client.refusals import refusal_of
from gorilla.client.settings import ClientSettings, own_name
from gorilla.wire.asking import AcquireBody

if TYPE_CHECKING:
    from gorilla.client import Client

PREFIX: Final = "gorilla-doctor/"
TRIPS: Final = 5
TRIP_TIMEOUT_S: Final = 10
ANSWER_S_MAX: Final = 5.0
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


def single_trip(settings: ClientSettings, url: str) -> Trips:
    """Do it once and ask once, where nobody leads: it takes no longer than a node waits for one."""
    io = BlockingIo(settings)
    resource, started_s = _throw_away(), time.monotonic()
    acquiring = locks.acquire(resource, AcquireBody(owner=own_name(), timeout=TRIP_TIMEOUT_S))
    try:
        answer = _answered(io, url, acquiring, ANSWER_S_MAX)
        if answer.status != HTTPStatus.OK:
            refusal = refusal_of(answer)
            detail = f"it answers {answer.status}" if refusal is None else refusal.detail
            return Trips(code=_code_in(answer), detail=detail)
        token = acquiring.decode(answer.body).token
        _answered(io, url, locks.release(resource, token), ANSWER_S_MAX)
    except (AttemptFailed, msgspec.MsgspecError) as error:
        return Trips(code="unavailable", detail=str(error))
    finally:
        io.close()
    return Trips(seconds=(time.monotonic() - started_s,))


def passed_of(settings: ClientSettings, url: str, wait_s: float) -> Passed:
    """Wait for a lock that is held, through one endpoint and once; nobody is to cut it short.

    Args:
        settings: Who asks.
        url: The endpoint.
        wait_s: How long (seconds).

    """
    io = BlockingIo(settings)
    resource = _throw_away()
    try:
        lasts_s = wait_s + _AFTER_WAIT_S
        holding = locks.acquire(resource, AcquireBody(owner="doctor-1", timeout=lasts_s))
        held = _answered(io, url, holding, ANSWER_S_MAX)
        if held.status != HTTPStatus.OK:
            return Passed(asked_s=wait_s, took_s=0.0, code=_code_in(held))
        started_s = time.monotonic()
        body = AcquireBody(owner="doctor-2", timeout=TRIP_TIMEOUT_S, wait=wait_s)
        try:
            code = _code_in(_answered(io, url, locks.acquire(resource, body), lasts_s))
        except AttemptFailed as error:
            code = str(error)
        took_s = time.monotonic() - started_s
        token = holding.decode(held.body).token
        _answered(io, url, locks.release(resource, token), ANSWER_S_MAX)
        return Passed(asked_s=wait_s, took_s=took_s, code=code)
    except (AttemptFailed, msgspec.MsgspecError) as error:
        return Passed(asked_s=wait_s, took_s=0.0, code=str(error))
    finally:
        io.close()


def _answered(io: BlockingIo, url: str, call: Call[Any], timeout_s: float) -> HttpAnswer:
    return run_now(io.send(url, call, timeout_s))


def _code_in(answer: HttpAnswer) -> str:
    refusal = refusal_of(answer)
    return f"an answer {answer.status}" if refusal is None else refusal.code


def code_of(error: GorillaError) -> str:
    """Return the problem code of a failure, or what kind of failure it is."""
    if isinstance(error, RequestRefused):
        return error.code
    if isinstance(error, OutcomeUnknown):
        return "outcome_unknown"
    return getattr(error, "code", None) or "unavailable"


def _throw_away() -> str:
    return f"{PREFIX}{secrets.token_hex(8)}"
