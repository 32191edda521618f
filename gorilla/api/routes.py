"""The table of all calls: what is served, and what the API document says of it."""

from typing import Final

from gorilla.api.cluster import ClusterCalls
from gorilla.api.dependencies import ApiDependencies
from gorilla.api.documents import Documents
from gorilla.api.events import event_routes
from gorilla.api.locks import PAGE_DEFAULT, PAGE_MAX, LockCalls
from gorilla.api.machines import METRICS_TYPE, MachineCalls
from gorilla.api.membership import MembershipCalls, membership_routes
from gorilla.api.routing import Parameter, Route, Success
from gorilla.api.snapshots import SnapshotCalls
from gorilla.service.membership import MembershipService
from gorilla.wire.asking import ONE_OF_TIMEOUT_AND_SESSION, AcquireBody, ExtendBody
from gorilla.wire.bodies import (
    NO_CONTROL_CHARACTERS,
    ClusterBody,
    HealthBody,
    LockBody,
    LockListBody,
    LockStateBody,
    ReadyBody,
    SnapshotBody,
    SnapshotListBody,
)
from gorilla.wire.fields import NAME_CHARS_MAX
from gorilla.wire.problems import ProblemCode as Code

HTML: Final = "text/html; charset=utf-8"

_NOT_SERVED: Final = (Code.NO_QUORUM, Code.STARTING, Code.DRAINING, Code.OVERLOADED)
_WRITE: Final = (*_NOT_SERVED, Code.RECOVERING, Code.OUTCOME_UNKNOWN)
_BODY: Final = (Code.INVALID_JSON, Code.BODY_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE)

_LOCK: Final = "/api/v1/locks/{resource}"
_LEASE: Final = "/api/v1/locks/{resource}/{token}"

_AGE: Final = (
    ("X-Gorilla-Age-Ms", "With consistency=stale: about how old the answer is (milliseconds)."),
)
_CONSISTENCY: Final = Parameter(
    name="consistency",
    description="linearizable: as of now, confirmed by a majority. stale: at once, from the "
    "node's own copy; the header X-Gorilla-Age-Ms says about how old it is.",
    schema={"type": "string", "enum": ["linearizable", "stale"], "default": "linearizable"},
)


def _limit(what: str) -> Parameter:
    return Parameter(
        name="limit",
        description=f"How many {what} at most.",
        schema={"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT},
    )


def routes(deps: ApiDependencies, documents: Documents) -> tuple[Route, ...]:
    """Return every route of a node."""
    locks = LockCalls(deps.locks)
    return (
        *_grant_routes(locks),
        *_token_routes(locks),
        *_look_routes(locks),
        *event_routes(deps.feed),
        *_cluster_routes(ClusterCalls(deps.cluster), SnapshotCalls(deps.snapshots)),
        *_change_routes(deps.membership),
        *_machine_routes(MachineCalls(deps.cluster, deps.registry), documents),
        *_page_routes(documents),
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
            "timeout: asking again after a lost answer is safe.",
            body=AcquireBody,
            body_rules=ONE_OF_TIMEOUT_AND_SESSION,
            example={"owner": "worker-1", "timeout": 30, "metadata": ["build", 7]},
            success=Success(status=200, description="The lock is yours.", body=LockBody),
            problems=(*_BODY, Code.LOCK_HELD, *_WRITE),
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
            body=ExtendBody,
            example={"timeout": 60, "owner": "worker-1"},
            success=Success(
                status=200, description="The lock is yours, under a new token.", body=LockBody
            ),
            problems=(
                *_BODY,
                Code.LOCK_NOT_FOUND,
                Code.NOT_OWNER,
                Code.TIMEOUT_TOO_SHORT,
                *_WRITE,
            ),
        ),
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
            success=Success(status=204, description="The lock is free."),
            problems=(Code.LOCK_NOT_FOUND, *_WRITE),
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
            problems=(Code.LOCK_NOT_FOUND, *_NOT_SERVED),
        ),
    )


def _look_routes(calls: LockCalls) -> tuple[Route, ...]:
    prefix = {"type": "string", "maxLength": NAME_CHARS_MAX, "pattern": NO_CONTROL_CHARACTERS}
    name = {**prefix, "minLength": 1}
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
                Parameter(name="prefix", description="How the names begin.", schema=prefix),
                Parameter(name="owner", description="Whose locks.", schema=name),
                _limit("locks"),
                Parameter(
                    name="cursor",
                    description="The cursor of the page before, as it was given.",
                    schema=name,
                ),
                _CONSISTENCY,
            ),
            success=Success(
                status=200, description="Some held locks.", body=LockListBody, headers=_AGE
            ),
            problems=_NOT_SERVED,
        ),
        Route(
            method="GET",
            template=_LOCK,
            operation_id="showLock",
            handler=calls.show,
            tag="locks",
            summary="Look at any lock",
            description="Who holds it, without tokens; a lock that nobody ever held is just free.",
            query=(_CONSISTENCY,),
            success=Success(
                status=200, description="The lock's state.", body=LockStateBody, headers=_AGE
            ),
            problems=_NOT_SERVED,
        ),
    )


def _cluster_routes(cluster: ClusterCalls, snapshots: SnapshotCalls) -> tuple[Route, ...]:
    return (
        Route(
            method="GET",
            template="/api/v1/cluster",
            operation_id="getCluster",
            handler=cluster.view,
            tag="cluster",
            summary="Look at the cluster",
            description="Members, leader, term and progress as this node sees them; answered "
            "without a quorum too.",
            success=Success(status=200, description="The cluster.", body=ClusterBody),
        ),
        Route(
            method="GET",
            template="/api/v1/snapshots",
            operation_id="listSnapshots",
            handler=snapshots.list,
            tag="cluster",
            summary="List snapshots",
            description="Snapshots in the database, the last stored first.",
            query=(_limit("snapshots"),),
            success=Success(status=200, description="Snapshots.", body=SnapshotListBody),
            problems=(Code.ARCHIVE_UNAVAILABLE,),
        ),
        Route(
            method="POST",
            template="/api/v1/snapshots",
            operation_id="takeSnapshot",
            handler=snapshots.take,
            tag="cluster",
            summary="Take a snapshot",
            description="Stores this node's state in the database now. Takes no body.",
            success=Success(status=201, description="What was stored.", body=SnapshotBody),
            problems=(Code.ARCHIVE_UNAVAILABLE, Code.STARTING, Code.OUTCOME_UNKNOWN),
        ),
    )


def _change_routes(membership: MembershipService | None) -> tuple[Route, ...]:
    return () if membership is None else membership_routes(MembershipCalls(membership))


def _machine_routes(machines: MachineCalls, documents: Documents) -> tuple[Route, ...]:
    return (
        Route(
            method="GET",
            template="/_health",
            operation_id="getHealth",
            handler=machines.health,
            tag="machines",
            summary="Is the process alive",
            description="200 for as long as it serves at all.",
            success=Success(status=200, description="It is.", body=HealthBody),
        ),
        Route(
            method="GET",
            template="/_ready",
            operation_id="getReadiness",
            handler=machines.ready,
            tag="machines",
            summary="Should requests be sent to this node",
            description="200 when it knows a leader, has caught up and is not stopping.",
            query=(
                Parameter(
                    name="verbose",
                    description="When given: list the checks.",
                    schema={"type": "string"},
                ),
                Parameter(
                    name="role",
                    description="leader: 200 on the leader alone.",
                    schema={"type": "string", "enum": ["leader"]},
                ),
            ),
            success=Success(status=200, description="They should.", body=ReadyBody),
            problems=(Code.NO_QUORUM, Code.STARTING, Code.DRAINING, Code.NOT_LEADER),
        ),
        Route(
            method="GET",
            template="/metrics",
            operation_id="getMetrics",
            handler=machines.metrics,
            tag="machines",
            summary="Metrics",
            description="What this node counts, for Prometheus.",
            success=Success(status=200, description="Metrics.", media_type=METRICS_TYPE),
        ),
        Route(
            method="GET",
            template="/openapi.json",
            operation_id="getApiDocument",
            handler=documents.openapi,
            tag="machines",
            summary="This document",
            description="The API as OpenAPI 3.1.",
            success=Success(status=200, description="It.", media_type="application/json"),
        ),
    )


def _page_routes(documents: Documents) -> tuple[Route, ...]:
    return (
        Route(
            method="GET",
            template="/docs",
            operation_id="getDocsPage",
            handler=documents.docs,
            tag="people",
            summary="This document as a page",
            description="Every call of the API, to read.",
            success=Success(status=200, description="A page.", media_type=HTML),
        ),
        Route(
            method="GET",
            template="/",
            operation_id="getDashboard",
            handler=documents.dashboard,
            tag="people",
            summary="Dashboard",
            description="Members, leader and held locks, live.",
            success=Success(status=200, description="A page.", media_type=HTML),
        ),
    )
