"""What the service can't do is answered truthfully: nothing was done, or nobody knows."""

import logging
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry
from typing_extensions import override

from gorilla.domain.outcomes import Full, Recovering
from gorilla.service.cluster import ClusterService
from gorilla.service.errors import StartingError
from gorilla.service.history import HistoryHealth
from gorilla.service.locks import LockService, LockSettings
from gorilla.service.pending import ProposalLimits
from gorilla.service.ports import MemberProgress
from gorilla.service.snapshots import MaybeStoredError, SnapshotHealth, StorageUnavailableError
from gorilla.wire.problems import ProblemCode
from tests.support.api import Snapshots, running_api
from tests.support.api_caller import expect_bad_fields, expect_lock, expect_problem
from tests.support.service import Fate, Node, member, waiting

BODY = {"owner": "anna", "timeout": 30}
LOCK = "/api/v1/locks/a"
WRITES = [
    ("POST", LOCK, BODY),
    ("PUT", f"{LOCK}/token", {"timeout": 30}),
    ("DELETE", f"{LOCK}/token", None),
    ("DELETE", f"{LOCK}?reason=stuck", None),
    ("POST", f"{LOCK}/request-release", {"owner": "anna"}),
    ("PUT", "/api/v1/groups/group", {"timeout": 30}),
    ("DELETE", "/api/v1/groups/group", None),
    ("POST", "/api/v1/sessions", {"owner": "anna", "ttl": 30}),
    ("PUT", "/api/v1/sessions/session", {}),
    ("DELETE", "/api/v1/sessions/session", None),
    ("PUT", "/api/v1/policies?prefix=a", {"maxTimeout": 30}),
    ("DELETE", "/api/v1/policies?prefix=a", None),
]
READS = [
    ("GET", LOCK, None),
    ("GET", f"{LOCK}/token", None),
    ("GET", "/api/v1/locks", None),
    ("POST", "/api/v1/fencing/a", {"fencingToken": 1}),
    ("GET", "/api/v1/sessions/session", None),
    ("GET", "/api/v1/policies", None),
]


def _impatient(**limits: float) -> Node:
    return Node(
        bounds=ProposalLimits(leader_grace_s=0.02, **limits),  # type: ignore[arg-type]
        settings=LockSettings(request_deadline_s=0.1),
    )


@pytest.mark.parametrize(("method", "path", "body"), WRITES + READS)
async def test_without_a_leader_nothing_is_done(method: str, path: str, body: object) -> None:
    node = _impatient()
    node.consensus.lose_leader()
    async with running_api(node) as api:
        answered = await api.ask(method, path, **({"json": body} if body else {}))

    expect_problem(answered, ProblemCode.NO_QUORUM)
    assert int(answered.headers["retry-after"]) >= 1
    assert not node.consensus.offered


async def test_without_a_leader_stale_reads_and_the_cluster_are_still_answered() -> None:
    node = _impatient()
    async with running_api(node) as api:
        await api.ask("POST", LOCK, json=BODY)
        node.consensus.lose_leader()

        shown = await api.ask("GET", f"{LOCK}?consistency=stale")
        listed = await api.ask("GET", "/api/v1/locks?consistency=stale")
        ruled = await api.ask("GET", "/api/v1/policies?consistency=stale")
        path = "/api/v1/fencing/a?consistency=stale"
        checked = await api.ask("POST", path, json={"fencingToken": 1})
        cluster = await api.ask("GET", "/api/v1/cluster")

    assert shown.json["held"]
    assert [lock["resource"] for lock in listed.json["locks"]] == ["a"]
    assert (ruled.status, ruled.json) == (200, {"policies": []})
    assert (checked.json["current"], checked.json["largest"]) == (True, 1)
    assert cluster.json["leader"] is None


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
async def test_a_write_that_got_no_answer_is_unknown(method: str, path: str, body: object) -> None:
    node = _impatient()
    node.consensus.fate = Fate.DROP
    async with running_api(node) as api:
        answered = await api.ask(method, path, **({"json": body} if body else {}))

    expect_problem(answered, ProblemCode.OUTCOME_UNKNOWN)


async def test_a_full_queue_is_overloaded() -> None:
    async with running_api(_impatient(pending_max=0)) as api:
        answered = await api.ask("POST", LOCK, json=BODY)

    expect_problem(answered, ProblemCode.OVERLOADED)
    assert int(answered.headers["retry-after"]) >= 1


async def test_a_stopping_node_is_draining() -> None:
    node = _impatient()
    await node.proposals.drain(0.1)
    node.cluster.start_draining()
    async with running_api(node) as api:
        answered = await api.ask("POST", LOCK, json=BODY)
        ready = await api.ask("GET", "/_ready")

    expect_problem(answered, ProblemCode.DRAINING)
    expect_problem(ready, ProblemCode.DRAINING)


async def test_a_node_without_any_state_is_starting() -> None:
    node = Node(elected=False)
    async with running_api(node) as api:
        answered = await api.ask("GET", f"{LOCK}?consistency=stale")

    expect_problem(answered, ProblemCode.STARTING)


class _Answering(LockService):
    """A lock service whose acquire ends as it is told."""

    def __init__(self, end: object) -> None:
        # Nothing of the real one is used: its parts are the node's own service's.
        self._end = end

    @override
    async def acquire(self, **_asked: object):  # type: ignore[no-untyped-def,override]
        if isinstance(self._end, Exception):
            raise self._end
        return self._end


async def test_after_a_restore_the_caller_is_told_how_long_to_wait() -> None:
    node = Node()
    async with running_api(node, locks=_Answering(Recovering(12_001))) as api:
        answered = await api.ask("POST", LOCK, json=BODY)

    expect_problem(answered, ProblemCode.RECOVERING)
    assert answered.headers["retry-after"] == "13"


async def test_a_full_cluster_names_its_limit() -> None:
    node = Node()
    async with running_api(node, locks=_Answering(Full("locks_max"))) as api:
        answered = await api.ask("POST", LOCK, json=BODY)

    assert "locks_max" in expect_problem(answered, ProblemCode.OVERLOADED)["detail"]


async def test_what_nobody_foresaw_is_logged_and_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    node = Node()
    secret = "the password is swordfish"
    async with running_api(node, locks=_Answering(RuntimeError(secret))) as api:
        with caplog.at_level(logging.ERROR, "gorilla.api"):
            answered = await api.ask("POST", LOCK, json=BODY, headers={"X-Request-Id": "id-7"})
        after = await api.ask("GET", "/_health")

    expect_problem(answered, ProblemCode.INTERNAL)
    assert b"swordfish" not in answered.content
    assert b"Traceback" not in answered.content
    assert "id-7" in caplog.text
    assert secret in caplog.text
    assert after.status == 200


async def test_at_level_debug_every_request_is_logged_by_its_route_and_never_with_its_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running_api() as api:
        with caplog.at_level(logging.DEBUG, "gorilla.api"):
            await api.ask("GET", f"{LOCK}/swordfish", headers={"X-Request-Id": "id-8"})

    told = [record for record in caplog.records if getattr(record, "request_id", "") == "id-8"]
    assert len(told) == 1
    assert told[0].getMessage().startswith("GET /api/v1/locks/{resource}/{token}: 404 in ")
    assert "swordfish" not in caplog.text


# Readiness


async def test_a_follower_is_ready_and_does_not_lead() -> None:
    node = Node()
    node.consensus.leader = member("gorilla-2")
    async with running_api(node) as api:
        ready = await api.ask("GET", "/_ready")
        leads = await api.ask("GET", "/_ready?role=leader&verbose")

    assert ready.json == {"ready": True, "leader": False}
    problem = expect_problem(leads, ProblemCode.NOT_LEADER)
    assert {check["name"] for check in problem["checks"]} >= {"leader_known", "caught_up"}


async def test_a_node_without_a_leader_is_not_ready_and_says_why() -> None:
    node = Node(elected=False)
    async with running_api(node) as api:
        brief = await api.ask("GET", "/_ready")
        verbose = await api.ask("GET", "/_ready?verbose=1")
        alive = await api.ask("GET", "/_health")

    assert "checks" not in expect_problem(brief, ProblemCode.NO_QUORUM)
    checks = expect_problem(verbose, ProblemCode.NO_QUORUM)["checks"]
    assert [check["name"] for check in checks if not check["ok"]] == ["leader_known", "caught_up"]
    assert alive.status == 200


async def test_a_node_that_has_not_caught_up_is_starting() -> None:
    node = Node()
    node.consensus.caught_up = False
    async with running_api(node) as api:
        expect_problem(await api.ask("GET", "/_ready"), ProblemCode.STARTING)


async def test_the_check_names_that_choose_the_code_are_the_services_own() -> None:
    """The API maps names of checks to codes; a renamed check must fail here."""
    readiness = Node().cluster.readiness()
    assert {check.name for check in readiness.checks} == {
        "leader_known",
        "caught_up",
        "not_draining",
    }


async def test_the_cluster_shows_every_member_by_name() -> None:
    node = Node()
    node.consensus.progress = (
        MemberProgress(
            member=member("gorilla-3"), connected=False, match_index=None, heard_s=3.14159
        ),
        MemberProgress(
            member=member("gorilla-0"), connected=True, match_index=0, heard_s=0.1, version="1.2.2"
        ),
    )
    async with running_api(node) as api:
        await api.ask("POST", LOCK, json=BODY)
        cluster = (await api.ask("GET", "/api/v1/cluster")).json

    members = {shown["name"]: shown for shown in cluster["members"]}
    assert list(members) == ["gorilla-0", "gorilla-1", "gorilla-3"]
    assert [shown["role"] for shown in members.values()] == ["follower", "leader", "unknown"]
    assert [shown["lag"] for shown in members.values()] == [1, 0, None]
    assert members["gorilla-3"]["heard"] == 3.142
    assert cluster["leader"] == {
        "id": "id-gorilla-1",
        "name": "gorilla-1",
        "http": "gorilla-1:4000",
    }
    assert cluster["held"] == 1


async def test_the_cluster_shows_since_when_snapshots_fail_and_not_why() -> None:
    node = Node()
    since = datetime(2025, 5, 4, 10, 11, 12, 900_000, tzinfo=UTC)
    health = SnapshotHealth(configured=True, failing_since=since, last_error="db:5432 is down")
    failing = ClusterService(
        node.consensus, node.replica, node.clock, "1", snapshots=lambda: health
    )
    async with running_api(node, cluster=failing) as api:
        alarmed = await api.ask("GET", "/api/v1/cluster")
    async with running_api(node) as api:
        without = await api.ask("GET", "/api/v1/cluster")

    assert alarmed.json["snapshots"] == {
        "configured": True,
        "storedAt": None,
        "failingSince": "2025-05-04T10:11:12",
    }
    assert b"db:5432" not in alarmed.content
    assert without.json["snapshots"]["configured"] is False


async def test_the_cluster_shows_how_far_the_history_is_and_not_why_it_fails() -> None:
    node = Node()
    since = datetime(2025, 5, 4, 10, 11, 12, 900_000, tzinfo=UTC)
    health = HistoryHealth(
        configured=True, behind=3, failing_since=since, last_error="db:5432 is down"
    )
    failing = ClusterService(node.consensus, node.replica, node.clock, "1", history=lambda: health)
    async with running_api(node, cluster=failing) as api:
        alarmed = await api.ask("GET", "/api/v1/cluster")
    async with running_api(node) as api:
        without = await api.ask("GET", "/api/v1/cluster")

    assert alarmed.json["history"] == {
        "configured": True,
        "behind": 3,
        "failingSince": "2025-05-04T10:11:12",
    }
    assert b"db:5432" not in alarmed.content
    assert without.json["history"] == {"configured": False, "behind": None, "failingSince": None}
    assert (without.json["waiting"], without.json["sessions"]) == (0, 0)


async def test_a_list_counts_those_who_hold_a_lock_and_those_who_queue_for_it() -> None:
    node = Node()
    async with running_api(node) as api:
        for owner in ("a", "b"):
            body = {"owner": owner, "timeout": 60, "mode": "shared"}
            await api.ask("POST", "/api/v1/locks/read", json=body)
        await api.ask("POST", "/api/v1/locks/alone", json=BODY)
        queueing = await waiting(node, "c", lock="read")
        listed = await api.ask("GET", "/api/v1/locks?owner=a")
        alone = await api.ask("GET", "/api/v1/locks?prefix=alone")
        queueing.cancel()

    [lock] = listed.json["locks"]
    assert (lock["resource"], lock["holders"], lock["waiting"]) == ("read", 2, 1)
    [other] = alone.json["locks"]
    assert not {"holders", "waiting"} & other.keys()


# Snapshots


async def test_without_a_database_there_are_no_snapshots() -> None:
    async with running_api() as api:
        for method in ("GET", "POST"):
            answered = await api.ask(method, "/api/v1/snapshots")
            problem = expect_problem(answered, ProblemCode.ARCHIVE_UNAVAILABLE)
            assert "no database is configured" in problem["detail"]


async def test_snapshots_are_taken_and_listed() -> None:
    async with running_api(snapshots=Snapshots()) as api:
        first = await api.ask("POST", "/api/v1/snapshots")
        second = await api.ask("POST", "/api/v1/snapshots")
        listed = await api.ask("GET", "/api/v1/snapshots?limit=1")
        bad = await api.ask("GET", "/api/v1/snapshots?limit=0")

    assert (first.status, first.json["id"]) == (201, 1)
    assert first.json["createdAt"] == "2025-05-04T10:11:12"
    assert listed.json == {"snapshots": [second.json]}
    expect_bad_fields(bad, "limit")


async def test_a_node_that_belongs_to_no_cluster_yet_takes_no_snapshot() -> None:
    snapshots = Snapshots()
    snapshots.failure = StartingError("this node belongs to no cluster yet")
    async with running_api(snapshots=snapshots) as api:
        answered = await api.ask("POST", "/api/v1/snapshots")

    expect_problem(answered, ProblemCode.STARTING)


async def test_a_database_that_is_down_is_named_and_locks_go_on() -> None:
    snapshots = Snapshots()
    snapshots.failure = StorageUnavailableError("the database at db:5432 can't be reached")
    async with running_api(snapshots=snapshots) as api:
        answered = await api.ask("POST", "/api/v1/snapshots")
        lock = await api.ask("POST", LOCK, json=BODY)
        ready = await api.ask("GET", "/_ready")

    assert "db:5432" in expect_problem(answered, ProblemCode.ARCHIVE_UNAVAILABLE)["detail"]
    assert expect_lock(lock)
    assert ready.status == 200


async def test_a_snapshot_whose_fate_is_unknown_is_not_called_undone() -> None:
    snapshots = Snapshots()
    snapshots.failure = MaybeStoredError("database db:5432/x does not answer in time")
    async with running_api(snapshots=snapshots) as api:
        answered = await api.ask("POST", "/api/v1/snapshots")

    expect_problem(answered, ProblemCode.OUTCOME_UNKNOWN)


# Metrics


async def test_requests_are_counted_by_route_and_never_by_path() -> None:
    registry = CollectorRegistry()
    async with running_api(registry=registry) as api:
        for number in range(3):
            await api.ask("POST", f"/api/v1/locks/{number}", json=BODY)
            await api.ask("GET", f"/nope/{number}")
        exposed = (await api.ask("GET", "/metrics")).content.decode()

    labels = {"route": "/api/v1/locks/{resource}", "method": "POST", "status": "200"}
    assert registry.get_sample_value("gorilla_http_requests_total", labels) == 3
    latency = registry.get_sample_value(
        "gorilla_http_request_seconds_bucket", {**labels, "le": "+Inf"}
    )
    assert latency == 3
    unknown = {"route": "unknown", "method": "GET", "status": "404"}
    assert registry.get_sample_value("gorilla_http_requests_total", unknown) == 3
    assert 'route="/api/v1/locks/{resource}"' in exposed
    assert "nope" not in exposed
