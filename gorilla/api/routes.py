"""The table of all calls: what is served, and what the API document says of it."""

from typing import Final

from gorilla.api.cluster import ClusterCalls
from gorilla.api.dependencies import ApiDependencies
from gorilla.api.documents import Documents
from gorilla.api.events import event_routes
from gorilla.api.groups import GroupCalls, group_routes
from gorilla.api.history import HistoryCalls, history_routes
from gorilla.api.lock_routes import lock_routes
from gorilla.api.locks import LockCalls
from gorilla.api.machines import METRICS_TYPE, MachineCalls
from gorilla.api.membership import MembershipCalls, membership_routes
from gorilla.api.policies import PolicyCalls, policy_routes
from gorilla.api.repairs import RepairCalls, repair_routes
from gorilla.api.route_parts import page_size
from gorilla.api.routing import Parameter, Route, Success
from gorilla.api.sessions import SessionCalls, session_routes
from gorilla.api.snapshots import SnapshotCalls
from gorilla.service.membership import MembershipService
from gorilla.wire.bodies import (
    ClusterBody,
    HealthBody,
    ReadyBody,
    SnapshotBody,
    SnapshotListBody,
)
from gorilla.wire.problems import ProblemCode as Code

HTML: Final = "text/html; charset=utf-8"


def routes(deps: ApiDependencies, documents: Documents) -> tuple[Route, ...]:
    """Return every route of a node."""
    return (
        # Before the locks: what is named in full is no token.
        *repair_routes(RepairCalls(deps.repairs)),
        *lock_routes(LockCalls(deps.locks)),
        *group_routes(GroupCalls(deps.repairs)),
        *session_routes(SessionCalls(deps.sessions)),
        *policy_routes(PolicyCalls(deps.policies)),
        *event_routes(deps.feed),
        *history_routes(HistoryCalls(deps.history)),
        *_cluster_routes(ClusterCalls(deps.cluster), SnapshotCalls(deps.snapshots)),
        *_change_routes(deps.membership),
        *_machine_routes(MachineCalls(deps.cluster, deps.registry), documents),
        *_page_routes(documents),
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
            query=(page_size("snapshots"),),
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
