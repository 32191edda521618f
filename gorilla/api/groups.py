"""Calls on several locks that were granted at once: parse, call the service, present."""

from typing import Final

from gorilla.api.answers import Answer, answer_json, no_content
from gorilla.api.refusing import refused
from gorilla.api.replaying import opened
from gorilla.api.requests import Call
from gorilla.api.route_parts import BODY, WRITE, follows, replayed_header
from gorilla.api.routing import Route, Success
from gorilla.api.showing import lock_body
from gorilla.domain import lease_clock
from gorilla.domain.limits import NEVER_MS
from gorilla.domain.outcomes import Lease, NotFound, ReleasedAll, RenewedAll
from gorilla.service.repairs import RepairService
from gorilla.wire.asking import ExtendBody, GroupBody
from gorilla.wire.fields import optional_owner_of, timeout_ms_of
from gorilla.wire.problems import ProblemCode as Code, ProblemError

_GROUP: Final = "/api/v1/groups/{group}"

GROUP_FOLLOWS: Final = follows({"group": "$response.body#/group"}, "extendGroup", "releaseGroup")


class GroupCalls:
    """Handlers of ``/api/v1/groups``."""

    def __init__(self, repairs: RepairService) -> None:
        """Take the service that they call."""
        self._repairs = repairs

    async def release(self, call: Call) -> Answer:
        """``DELETE /api/v1/groups/{group}``; a body is not read."""
        secret, key = call.secret("group"), call.key()
        call.errors.raise_if_any()
        outcome, replayed = opened(await self._repairs.release_all(secret, key=key))
        if isinstance(outcome, ReleasedAll):
            return no_content(replayed_header(replayed=replayed))
        raise _refused(outcome, replayed=replayed)

    async def extend(self, call: Call) -> Answer:
        """``PUT /api/v1/groups/{group}``."""
        secret = call.secret("group")
        body = await call.body()
        ttl_ms = body.required("timeout", timeout_ms_of)
        holder = body.optional("owner", optional_owner_of, None)
        key = call.key(body)
        body.finish()
        assert ttl_ms is not None
        asked = self._repairs.renew_all(secret, ttl_ms=ttl_ms, holder=holder, key=key)
        outcome, replayed = opened(await asked)
        if isinstance(outcome, RenewedAll):
            return answer_group(outcome.leases, outcome.remaining_ms, replayed=replayed)
        raise _refused(outcome, replayed=replayed)


def answer_group(leases: tuple[Lease, ...], remaining_ms: int, *, replayed: bool) -> Answer:
    """Answer with locks that were given at once; ``remaining_ms`` is of the one that ends first."""
    least_ms = 0 if replayed else 1
    locks = tuple(
        lock_body(lease, left_ms, lease.expires_wall_ms, least_ms=least_ms)
        for lease, left_ms in zip(leases, _left_ms(leases, remaining_ms), strict=True)
    )
    body = GroupBody(locks=locks, group=leases[0].group)
    return answer_json(body, headers=replayed_header(replayed=replayed))


def _left_ms(leases: tuple[Lease, ...], remaining_ms: int) -> list[int]:
    """Return what is left of each; a policy may let some of them last for longer than others."""
    first_ms = min(lease.expires_at_ms for lease in leases)
    if not remaining_ms:
        return [0] * len(leases)
    return [
        remaining_ms
        if lease.expires_at_ms == NEVER_MS
        else remaining_ms + lease_clock.remaining_ms(first_ms, lease.expires_at_ms)
        for lease in leases
    ]


def _refused(outcome: object, *, replayed: bool) -> ProblemError:
    problem = refused(outcome, replayed=replayed)
    if isinstance(outcome, NotFound):
        detail = "The group proves no lock that is still held."
        return ProblemError(problem.code, detail, headers=problem.headers)
    return problem


def group_routes(calls: GroupCalls) -> tuple[Route, ...]:
    """Return the routes on several locks that were granted at once."""
    return (
        Route(
            method="PUT",
            template=_GROUP,
            operation_id="extendGroup",
            handler=calls.extend,
            tag="locks",
            summary="Extend several locks at once",
            description="Holds what is left of the group for timeout from now on, all of it or "
            "nothing, under a new group and new tokens; the old ones are dead from then on.",
            takes_key=True,
            body=ExtendBody,
            example={"timeout": 60, "owner": "worker-1"},
            success=Success(
                status=200,
                description="The locks are yours, under new tokens.",
                body=GroupBody,
                follows=GROUP_FOLLOWS,
            ),
            problems=(
                *BODY,
                Code.LOCK_NOT_FOUND,
                Code.NOT_OWNER,
                Code.TIMEOUT_TOO_SHORT,
                *WRITE,
            ),
        ),
        Route(
            method="DELETE",
            template=_GROUP,
            operation_id="releaseGroup",
            handler=calls.release,
            tag="locks",
            summary="Release several locks at once",
            description="Ends what is left of the group.",
            takes_key=True,
            success=Success(status=204, description="All of them are free."),
            problems=(Code.LOCK_NOT_FOUND, *WRITE),
        ),
    )
