"""Calls on sessions: parse, call the session service, present."""

from typing import Final

from gorilla.api.answers import Answer, answer_json, no_content
from gorilla.api.refusing import refused
from gorilla.api.replaying import opened
from gorilla.api.requests import Call
from gorilla.api.route_parts import BODY, NOT_SERVED, WRITE, follows, replayed_header
from gorilla.api.routing import Route, Success
from gorilla.api.showing import session_body, session_state_body
from gorilla.domain.outcomes import SessionAlive, SessionEnded, SessionNotFound
from gorilla.service.sessions import SessionService
from gorilla.wire.fields import metadata_of, owner_of, timeout_ms_of
from gorilla.wire.problems import ProblemCode as Code
from gorilla.wire.sessions import (
    KeepSessionBody,
    OpenSessionBody,
    SessionBody,
    SessionStateBody,
)

_SESSIONS: Final = "/api/v1/sessions"
_SESSION: Final = f"{_SESSIONS}/{{session}}"

_FOLLOWS: Final = follows(
    {"session": "$response.body#/id"}, "keepSession", "showSession", "endSession"
)


class SessionCalls:
    """Handlers of ``/api/v1/sessions``."""

    def __init__(self, sessions: SessionService) -> None:
        """Take the service that they call."""
        self._sessions = sessions

    async def open(self, call: Call) -> Answer:
        """``POST /api/v1/sessions``."""
        body = await call.body()
        holder = body.required("owner", owner_of)
        ttl_ms = body.required("ttl", timeout_ms_of)
        metadata = body.optional("metadata", metadata_of, b"[]")
        key = call.key(body)
        body.finish()
        assert holder is not None
        assert ttl_ms is not None
        asked = self._sessions.open(holder=holder, ttl_ms=ttl_ms, metadata=metadata, key=key)
        return _answer(opened(await asked), status=201)

    async def keep(self, call: Call) -> Answer:
        """``PUT /api/v1/sessions/{session}``; the body may be left out."""
        session = call.secret("session")
        body = await call.optional_body()
        key = call.key(body)
        body.finish()
        return _answer(opened(await self._sessions.keep(session, key=key)), status=200)

    async def show(self, call: Call) -> Answer:
        """``GET /api/v1/sessions/{session}``."""
        session = call.secret("session")
        call.errors.raise_if_any()
        found = await self._sessions.show(session)
        if isinstance(found, SessionNotFound):
            raise refused(found, replayed=False)
        return answer_json(session_state_body(found))

    async def end(self, call: Call) -> Answer:
        """``DELETE /api/v1/sessions/{session}``; a body is not read."""
        session, key = call.secret("session"), call.key()
        call.errors.raise_if_any()
        outcome, replayed = opened(await self._sessions.end(session, key=key))
        if isinstance(outcome, SessionEnded):
            return no_content(replayed_header(replayed=replayed))
        raise refused(outcome, replayed=replayed)


def _answer(given: tuple[object, bool], *, status: int) -> Answer:
    outcome, replayed = given
    if not isinstance(outcome, SessionAlive):
        raise refused(outcome, replayed=replayed)
    least_ms = 0 if replayed else 1
    body = session_body(outcome.session, outcome.remaining_ms, least_ms=least_ms)
    return answer_json(body, status, replayed_header(replayed=replayed))


def session_routes(calls: SessionCalls) -> tuple[Route, ...]:
    """Return the routes on sessions."""
    return (*_life_routes(calls), *_end_routes(calls))


def _life_routes(calls: SessionCalls) -> tuple[Route, ...]:
    return (
        Route(
            method="POST",
            template=_SESSIONS,
            operation_id="openSession",
            handler=calls.open,
            tag="sessions",
            summary="Begin a session",
            description="Locks that are acquired with its id live for as long as it does. It "
            "lives for ttl after each sign of life; when it ends, all of them are released.",
            takes_key=True,
            body=OpenSessionBody,
            example={"owner": "worker-1", "ttl": 15, "metadata": ["host-a"]},
            success=Success(
                status=201, description="It has begun.", body=SessionBody, follows=_FOLLOWS
            ),
            problems=(*BODY, Code.QUOTA_EXCEEDED, *WRITE),
        ),
        Route(
            method="PUT",
            template=_SESSION,
            operation_id="keepSession",
            handler=calls.keep,
            tag="sessions",
            summary="Keep a session alive",
            description="A sign of life: it, and all that lives in it, lives for ttl from now on.",
            takes_key=True,
            body=KeepSessionBody,
            body_required=False,
            example={},
            success=Success(
                status=200, description="It lives on.", body=SessionBody, follows=_FOLLOWS
            ),
            problems=(*BODY, Code.SESSION_NOT_FOUND, *WRITE),
        ),
    )


def _end_routes(calls: SessionCalls) -> tuple[Route, ...]:
    return (
        Route(
            method="GET",
            template=_SESSION,
            operation_id="showSession",
            handler=calls.show,
            tag="sessions",
            summary="Look at a session",
            description="How long it lives yet, which locks live in it and what it waits for; "
            "linearizable. No sign of life.",
            success=Success(status=200, description="It lives.", body=SessionStateBody),
            problems=(Code.SESSION_NOT_FOUND, *NOT_SERVED),
        ),
        Route(
            method="DELETE",
            template=_SESSION,
            operation_id="endSession",
            handler=calls.end,
            tag="sessions",
            summary="End a session",
            description="Releases all that lives in it; what it waits for, it waits for no more.",
            takes_key=True,
            success=Success(status=204, description="It has ended."),
            problems=(Code.SESSION_NOT_FOUND, *WRITE),
        ),
    )
