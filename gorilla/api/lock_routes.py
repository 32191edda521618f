"""The calls on single locks: what is served, and what the API document says of it."""

from typing import Final

from gorilla.api.groups import GROUP_FOLLOWS
from gorilla.api.locks import LockCalls
from gorilla.api.route_parts import AGE, BODY, CONSISTENCY, NOT_SERVED, WRITE, follows, page_size
from gorilla.api.routing import Parameter, Route, Success
from gorilla.wire.asking import (
    ONE_OF_TIMEOUT_AND_SESSION,
    AcquireAllBody,
    AcquireBody,
    ExtendBody,
    GroupBody,
)
from gorilla.wire.bodies import NO_CONTROL_CHARACTERS, LockBody, LockListBody, LockStateBody
from gorilla.wire.fields import NAME_CHARS_MAX
from gorilla.wire.looking import ExplanationBody
from gorilla.wire.problems import ProblemCode as Code

_LOCK: Final = "/api/v1/locks/{resource}"
_LEASE: Final = "/api/v1/locks/{resource}/{token}"

_PREFIX: Final = {
    "type": "string",
    "maxLength": NAME_CHARS_MAX,
    "pattern": NO_CONTROL_CHARACTERS,
}
_NAME: Final = {**_PREFIX, "minLength": 1}

_NOT_GRANTED: Final = (
    *BODY,
    Code.LOCK_HELD,
    Code.MODE_CONFLICT,
    Code.NOT_OWNER,
    Code.DEADLOCK,
    Code.WAIT_TIMEOUT,
    Code.WAIT_REPLACED,
    Code.COOLING_DOWN,
    Code.POLICY_REFUSED,
    Code.FORBIDDEN,
    Code.SESSION_NOT_FOUND,
    Code.QUOTA_EXCEEDED,
    *WRITE,
    Code.RECOVERING,
)

LEASE_FOLLOWS: Final = follows(
    {"resource": "$response.body#/resource", "token": "$response.body#/token"},
    "getLock",
    "extendLock",
    "releaseLock",
)


def lock_routes(calls: LockCalls) -> tuple[Route, ...]:
    """Return the routes on single locks."""
    return (
        *_grant_routes(calls),
        _several_route(calls),
        *_token_routes(calls),
        *_look_routes(calls),
        _explain_route(calls),
    )


def _grant_routes(calls: LockCalls) -> tuple[Route, ...]:
    return (
        Route(
            method="POST",
            template=_LOCK,
            operation_id="acquireLock",
            handler=calls.acquire,
            tag="locks",
            summary="Acquire a lock",
            description="Grants the lock if nobody holds it. The owner that holds it already gets "
            "the same id and token again, held until the later of the old expiry and now + "
            "timeout: asking again after a lost answer is safe. With wait it queues, first come, "
            "first served; with keepPlace whoever asks again goes on from its place.",
            takes_key=True,
            body=AcquireBody,
            body_rules=ONE_OF_TIMEOUT_AND_SESSION,
            example={"owner": "worker-1", "timeout": 30, "metadata": ["build", 7]},
            success=Success(
                status=200, description="The lock is yours.", body=LockBody, follows=LEASE_FOLLOWS
            ),
            problems=_NOT_GRANTED,
        ),
        Route(
            method="PUT",
            template=_LEASE,
            operation_id="extendLock",
            handler=calls.extend,
            tag="locks",
            summary="Extend a lock",
            description="Holds the lock for timeout from now on, under a new token; the old one "
            "is dead from then on. The id and createdAt stay.",
            takes_key=True,
            body=ExtendBody,
            example={"timeout": 60, "owner": "worker-1"},
            success=Success(
                status=200,
                description="The lock is yours, under a new token.",
                body=LockBody,
                follows=LEASE_FOLLOWS,
            ),
            problems=(
                *BODY,
                Code.LOCK_NOT_FOUND,
                Code.NOT_OWNER,
                Code.TIMEOUT_TOO_SHORT,
                *WRITE,
            ),
        ),
    )


def _several_route(calls: LockCalls) -> Route:
    return Route(
        method="POST",
        template="/api/v1/locks",
        operation_id="acquireLocks",
        handler=calls.acquire_all,
        tag="locks",
        summary="Acquire several locks at once",
        description="Grants all of them or none. With wait it queues for all of them, and "
        "such requests never block each other for good, whatever order they name locks in.",
        takes_key=True,
        body=AcquireAllBody,
        body_rules=ONE_OF_TIMEOUT_AND_SESSION,
        example={"resources": ["a", "b"], "owner": "worker-1", "timeout": 30, "wait": 10},
        success=Success(
            status=200, description="All are yours.", body=GroupBody, follows=GROUP_FOLLOWS
        ),
        problems=_NOT_GRANTED,
    )


def _token_routes(calls: LockCalls) -> tuple[Route, ...]:
    return (
        Route(
            method="DELETE",
            template=_LEASE,
            operation_id="releaseLock",
            handler=calls.release,
            tag="locks",
            summary="Release a lock",
            description="Ends the hold that the token proves.",
            takes_key=True,
            success=Success(status=204, description="The lock is free."),
            problems=(Code.LOCK_NOT_FOUND, *WRITE),
        ),
        Route(
            method="GET",
            template=_LEASE,
            operation_id="getLock",
            handler=calls.status,
            tag="locks",
            summary="Look at a lock that you hold",
            description="Says how long the hold that the token proves still lasts; linearizable.",
            success=Success(status=200, description="The lock is yours.", body=LockBody),
            problems=(Code.LOCK_NOT_FOUND, *NOT_SERVED),
        ),
    )


def _look_routes(calls: LockCalls) -> tuple[Route, ...]:
    return (
        Route(
            method="GET",
            template="/api/v1/locks",
            operation_id="listLocks",
            handler=calls.list,
            tag="locks",
            summary="List held locks",
            description="Held locks in the order of their names, without tokens.",
            query=(
                Parameter(name="prefix", description="How the names begin.", schema=_PREFIX),
                Parameter(name="owner", description="Whose locks.", schema=_NAME),
                page_size("locks"),
                Parameter(
                    name="cursor",
                    description="The cursor of the page before, as it was given.",
                    schema=_NAME,
                ),
                CONSISTENCY,
            ),
            success=Success(
                status=200, description="Some held locks.", body=LockListBody, headers=AGE
            ),
            problems=NOT_SERVED,
        ),
        Route(
            method="GET",
            template=_LOCK,
            operation_id="showLock",
            handler=calls.show,
            tag="locks",
            summary="Look at any lock",
            description="Who holds it, without tokens; a lock that nobody ever held is just free.",
            query=(CONSISTENCY,),
            success=Success(
                status=200, description="The lock's state.", body=LockStateBody, headers=AGE
            ),
            problems=NOT_SERVED,
        ),
    )


def _explain_route(calls: LockCalls) -> Route:
    return Route(
        method="GET",
        template=f"{_LOCK}/explain",
        operation_id="explainLock",
        handler=calls.explain,
        tag="locks",
        summary="Ask why a lock can't be had",
        description="Who holds it, for how long at most, what they wait for themselves, who "
        "comes first in the queue, and about how long it takes.",
        query=(
            Parameter(name="owner", description="Who asks; else a newcomer.", schema=_NAME),
            CONSISTENCY,
        ),
        success=Success(status=200, description="Why.", body=ExplanationBody, headers=AGE),
        problems=NOT_SERVED,
    )
