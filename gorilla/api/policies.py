"""Calls on policies: parse, call the policy service, present."""

from typing import Final

from gorilla.api.answers import Answer, answer_json, no_content
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
    is_stale,
    replayed_header,
)
from gorilla.api.routing import Parameter, Route, Success
from gorilla.api.showing import policy_body
from gorilla.domain.commands import Policy
from gorilla.domain.outcomes import Done, NotFound
from gorilla.service.policies import PolicyService
from gorilla.wire.bodies import HOLDERS_MAX, NO_CONTROL_CHARACTERS
from gorilla.wire.fields import (
    NAME_CHARS_MAX,
    WAIT_MS_MAX,
    Body,
    int_of,
    name_of,
    prefix_of,
    timeout_ms_of,
)
from gorilla.wire.policies import (
    PolicyBody,
    PolicyListBody,
    SetPolicyBody,
    owners_of,
)
from gorilla.wire.problems import ProblemCode as Code, ProblemError

_POLICIES: Final = "/api/v1/policies"

_holders_of = int_of(1, HOLDERS_MAX)

_TEXT: Final[dict[str, object]] = {
    "type": "string",
    "maxLength": NAME_CHARS_MAX,
    "pattern": NO_CONTROL_CHARACTERS,
}
_PREFIX: Final = Parameter(
    name="prefix",
    description="How the names of the locks begin; empty (prefix=): all locks.",
    schema=_TEXT,
    required=True,
)


class PolicyCalls:
    """Handlers of ``/api/v1/policies``."""

    def __init__(self, policies: PolicyService) -> None:
        """Take the service that they call."""
        self._policies = policies

    async def list(self, call: Call) -> Answer:
        """``GET /api/v1/policies``."""
        query = call.query()
        lock = query.optional("resource", name_of, "")
        stale = is_stale(query)
        query.finish()
        found = await self._policies.list(lock=lock or None, stale=stale)
        body = PolicyListBody(policies=tuple(map(policy_body, found.policies)))
        return answer_json(body, headers=age_header(found.age_ms, stale=stale))

    async def set(self, call: Call) -> Answer:
        """``PUT /api/v1/policies?prefix=``."""
        prefix = _prefix(call)
        body = await call.body()
        policy = _policy(prefix, body)
        key = call.key(body)
        body.finish()
        outcome, replayed = opened(await self._policies.set(policy, key=key))
        if isinstance(outcome, Done):
            return answer_json(policy_body(policy), headers=replayed_header(replayed=replayed))
        raise refused(outcome, replayed=replayed)

    async def drop(self, call: Call) -> Answer:
        """``DELETE /api/v1/policies?prefix=``; a body is not read."""
        prefix, key = _prefix(call), call.key()
        call.errors.raise_if_any()
        outcome, replayed = opened(await self._policies.drop(prefix, key=key))
        if isinstance(outcome, Done):
            return no_content(replayed_header(replayed=replayed))
        if isinstance(outcome, NotFound):
            detail = f"There is no policy of exactly the prefix {prefix!r}."
            raise ProblemError(Code.NOT_FOUND, detail, headers=replayed_header(replayed=replayed))
        raise refused(outcome, replayed=replayed)


def _prefix(call: Call) -> str:
    """Take the query, whose prefix must be there; what is wrong is noted."""
    query = call.query()
    prefix = query.required("prefix", prefix_of)
    query.note_unknown()
    return prefix or ""


def _policy(prefix: str, body: Body) -> Policy:
    return Policy(
        prefix,
        ttl_ms_max=body.optional("maxTimeout", timeout_ms_of, 0),
        lifetime_ms_max=body.optional("maxLifetime", timeout_ms_of, 0),
        wait_ms_max=min(body.optional("maxWait", timeout_ms_of, 0), WAIT_MS_MAX),
        holders_max=body.optional("maxHolders", _holders_of, 0),
        gap_ms=body.optional("minGap", timeout_ms_of, 0),
        owners=body.optional("owners", owners_of, ()),
    )


def policy_routes(calls: PolicyCalls) -> tuple[Route, ...]:
    """Return the routes on policies."""
    return (
        Route(
            method="GET",
            template=_POLICIES,
            operation_id="listPolicies",
            handler=calls.list,
            tag="policies",
            summary="List policies",
            description="The policies in the order of their prefixes. Of several whose prefix "
            "fits a lock, the one with the longest rules it alone.",
            query=(
                Parameter(
                    name="resource",
                    description="Only the one that rules the lock of this name, if any does.",
                    schema={**_TEXT, "minLength": 1},
                ),
                CONSISTENCY,
            ),
            success=Success(status=200, description="Policies.", body=PolicyListBody, headers=AGE),
            problems=NOT_SERVED,
        ),
        Route(
            method="PUT",
            template=_POLICIES,
            operation_id="setPolicy",
            handler=calls.set,
            tag="policies",
            summary="Set a policy",
            description="Rules the locks of a prefix from now on, instead of an earlier policy of "
            "exactly this prefix. What is held stays as it was granted. Without any rule it frees "
            "the prefix from the rules of shorter ones.",
            takes_key=True,
            query=(_PREFIX,),
            body=SetPolicyBody,
            example={"maxTimeout": 3600, "maxWait": 60, "owners": ["deploy-*", "anna"]},
            success=Success(status=200, description="It rules.", body=PolicyBody),
            problems=(*BODY, Code.QUOTA_EXCEEDED, *WRITE),
        ),
        Route(
            method="DELETE",
            template=_POLICIES,
            operation_id="dropPolicy",
            handler=calls.drop,
            tag="policies",
            summary="Drop a policy",
            description="Takes back the policy of exactly this prefix.",
            takes_key=True,
            query=(_PREFIX,),
            success=Success(status=204, description="It rules no more."),
            problems=(Code.NOT_FOUND, *WRITE),
        ),
    )
