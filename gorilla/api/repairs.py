"""Calls that look at, and mend, what others hold: parse, call the service, present."""

from typing import Final

from gorilla.api.answers import Answer, answer_json
from gorilla.api.refusing import refused
from gorilla.api.replaying import opened
from gorilla.api.requests import Call
from gorilla.api.route_parts import (
    AGE,
    BODY,
    CONSISTENCY,
    NOT_SERVED,
    WRITE,
    age_header,
    only_consistency,
    replayed_header,
)
from gorilla.api.routing import Parameter, Route, Success
from gorilla.domain.outcomes import ForcedAway, NotFound, ReleaseWished
from gorilla.service.repairs import RepairService
from gorilla.wire.asking import (
    AskedHoldersBody,
    AskReleaseBody,
    CheckFencingBody,
    fencing_token_of,
)
from gorilla.wire.bodies import NO_CONTROL_CHARACTERS
from gorilla.wire.fields import NAME_CHARS_MAX, Body, Query, name_of, owner_of, text_of
from gorilla.wire.looking import FencingBody, ForcedBody, ReleasedHoldBody
from gorilla.wire.problems import ProblemCode as Code, ProblemError

_LOCK: Final = "/api/v1/locks/{resource}"

_TEXT: Final[dict[str, object]] = {
    "type": "string",
    "minLength": 1,
    "maxLength": NAME_CHARS_MAX,
    "pattern": NO_CONTROL_CHARACTERS,
}


class RepairCalls:
    """Handlers of what is done to locks from outside."""

    def __init__(self, repairs: RepairService) -> None:
        """Take the service that they call."""
        self._repairs = repairs

    async def force(self, call: Call) -> Answer:
        """``DELETE /api/v1/locks/{resource}``; the reason is in the query, or in a body."""
        lock, query = call.resource(), call.query()
        body = await call.optional_body()
        is_given = query.has("reason") or body.has("reason")
        reason = _said(call, query, body, "reason")
        by = _said(call, query, body, "by")
        if not is_given:
            call.errors.add("reason", "is required, in the query or in the body")
        query.note_unknown()
        key = call.key(body)
        body.finish()
        asked = self._repairs.force(lock, reason=reason, by=by, key=key)
        outcome, replayed = opened(await asked)
        if not isinstance(outcome, ForcedAway):
            raise refused(outcome, replayed=replayed)
        if not outcome.holders:
            raise _free(replayed=replayed)
        released = tuple(
            ReleasedHoldBody(owner=holder, fencing_token=token)
            for holder, token in zip(outcome.holders, outcome.fencing_tokens, strict=True)
        )
        return answer_json(
            ForcedBody(resource=lock, released=released),
            headers=replayed_header(replayed=replayed),
        )

    async def ask_release(self, call: Call) -> Answer:
        """``POST /api/v1/locks/{resource}/request-release``."""
        lock = call.resource()
        body = await call.body()
        by = body.required("owner", owner_of)
        reason = body.optional("reason", text_of, "")
        key = call.key(body)
        body.finish()
        assert by is not None
        asked = self._repairs.ask_release(lock, by=by, reason=reason, key=key)
        outcome, replayed = opened(await asked)
        if not isinstance(outcome, ReleaseWished):
            raise refused(outcome, replayed=replayed)
        if not outcome.holders:
            raise _free(replayed=replayed)
        return answer_json(
            AskedHoldersBody(holders=outcome.holders), headers=replayed_header(replayed=replayed)
        )

    async def check(self, call: Call) -> Answer:
        """``POST /api/v1/fencing/{resource}``."""
        lock, stale = call.resource(), only_consistency(call)
        body = await call.body()
        token = body.required("fencingToken", fencing_token_of)
        body.finish()
        assert token is not None
        found = await self._repairs.check(lock, token, stale=stale)
        shown = FencingBody(
            resource=lock,
            fencing_token=token,
            current=found.is_current,
            held=found.is_held,
            largest=found.largest,
        )
        return answer_json(shown, headers=age_header(found.age_ms, stale=stale))


def _said(call: Call, query: Query, body: Body, name: str) -> str:
    """Take a text that may be in the query or in the body, but not in both."""
    if body.has(name) and query.has(name):
        call.errors.add(name, "is given in the query and in the body")
    in_query = query.optional(name, name_of, "")
    return body.optional(name, text_of, "") or in_query


def _free(*, replayed: bool) -> ProblemError:
    problem = refused(NotFound(), replayed=replayed)
    return ProblemError(problem.code, "Nobody holds the lock.", headers=problem.headers)


def repair_routes(calls: RepairCalls) -> tuple[Route, ...]:
    """Return the routes of what is done to locks from outside."""
    return (_force_route(calls), *_asking_routes(calls))


def _force_route(calls: RepairCalls) -> Route:
    return Route(
        method="DELETE",
        template=_LOCK,
        operation_id="forceRelease",
        handler=calls.force,
        tag="locks",
        summary="Make all holders let go",
        description="Ends every hold of the lock, whoever has it: their tokens are dead, and the "
        "next in the queue gets it. The event keeps who did it and why. reason and by may also "
        "be the members of a JSON body.",
        takes_key=True,
        query=(
            Parameter(
                name="reason", description="Why, for the record.", schema=_TEXT, required=True
            ),
            Parameter(name="by", description="Who does it, for the record.", schema=_TEXT),
        ),
        success=Success(status=200, description="Who was made to let go.", body=ForcedBody),
        problems=(*BODY, Code.LOCK_NOT_FOUND, *WRITE),
    )


def _asking_routes(calls: RepairCalls) -> tuple[Route, ...]:
    return (
        Route(
            method="POST",
            template=f"{_LOCK}/request-release",
            operation_id="requestRelease",
            handler=calls.ask_release,
            tag="locks",
            summary="Ask the holders to let go",
            description="Leaves word for whoever holds the lock: they see releaseRequested when "
            "they next look at it or extend it, and an event tells at once. Nothing is ended.",
            takes_key=True,
            body=AskReleaseBody,
            example={"owner": "anna", "reason": "a deployment waits"},
            success=Success(status=200, description="Who was asked.", body=AskedHoldersBody),
            problems=(*BODY, Code.LOCK_NOT_FOUND, *WRITE),
        ),
        Route(
            method="POST",
            template="/api/v1/fencing/{resource}",
            operation_id="checkFencingToken",
            handler=calls.check,
            tag="locks",
            summary="Is this number current",
            description="For protected systems that can ask but not remember: says whether a "
            "fencing token is of a present holder, and the largest ever granted. Changes nothing.",
            only_reads=True,
            query=(CONSISTENCY,),
            body=CheckFencingBody,
            example={"fencingToken": 41},
            success=Success(
                status=200, description="What is known of it.", body=FencingBody, headers=AGE
            ),
            problems=(*BODY, *NOT_SERVED),
        ),
    )
