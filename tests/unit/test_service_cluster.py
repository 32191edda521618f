"""What a node says of itself."""

import asyncio
from datetime import UTC, datetime

from gorilla.consensus.gate import ConsensusGate
from gorilla.domain.outcomes import Granted
from gorilla.service.cluster import ClusterService, Readiness
from gorilla.service.history import HistoryHealth
from gorilla.service.snapshots import SnapshotHealth
from tests.support.service import Node, acquired, member, on_virtual_time, waiting


def failing(readiness: Readiness) -> list[str]:
    return [check.name for check in readiness.checks if not check.ok]


@on_virtual_time
async def test_a_leader_that_has_caught_up_is_ready():
    node = Node()

    readiness = node.cluster.readiness()

    assert readiness.ready
    assert readiness.is_leader
    assert [check.name for check in readiness.checks] == [
        "leader_known",
        "caught_up",
        "not_draining",
    ]


@on_virtual_time
async def test_a_follower_of_a_known_leader_is_ready_and_no_leader():
    node = Node()

    node.consensus.elect(member("gorilla-2"))

    assert node.cluster.readiness().ready
    assert not node.cluster.readiness().is_leader


@on_virtual_time
async def test_without_a_leader_a_node_is_not_ready_and_says_so():
    node = Node()

    node.consensus.lose_leader()

    assert failing(node.cluster.readiness()) == ["leader_known"]
    assert not node.cluster.readiness().ready
    assert not node.cluster.readiness().is_leader


@on_virtual_time
async def test_a_node_that_has_not_caught_up_is_not_ready():
    node = Node()

    node.consensus.caught_up = False

    assert failing(node.cluster.readiness()) == ["caught_up"]


@on_virtual_time
async def test_a_draining_node_is_not_ready_and_still_serves():
    node = Node()

    node.cluster.start_draining()
    outcome = await node.locks.acquire(lock="db", holder="ann", ttl_ms=1_000)

    assert failing(node.cluster.readiness()) == ["not_draining"]
    assert not node.cluster.readiness().ready
    assert isinstance(outcome, Granted)


@on_virtual_time
async def test_the_status_tells_what_the_state_holds():
    node = Node()
    await node.locks.acquire(lock="db", holder="ann", ttl_ms=60_000)
    granted = await node.locks.acquire(lock="other", holder="ann", ttl_ms=60_000)
    assert isinstance(granted, Granted)
    await node.locks.release("other", granted.lease.secret)
    await asyncio.sleep(1)

    status = node.cluster.view()

    assert (status.held, status.fencing_counter, status.applied_index) == (1, 2, 3)
    assert status.chain == node.replica.table.chain.hex()
    assert status.version == "1.2.3"
    assert 0.99 < status.uptime_s < 1.1
    assert status.now_ms == node.replica.now_ms()
    assert status.consensus == node.consensus.view()


@on_virtual_time
async def test_the_status_has_the_cluster_s_name_and_the_alarm_of_its_snapshots():
    node = Node()
    health = SnapshotHealth(configured=True, failing_since=datetime(2025, 5, 4, tzinfo=UTC))
    cluster = ClusterService(
        node.consensus, node.replica, node.clock, "1.2.3", name="night", snapshots=lambda: health
    )

    assert (cluster.view().name, cluster.view().snapshots) == ("night", health)


@on_virtual_time
async def test_the_status_counts_waits_and_sessions_and_has_the_alarm_of_the_history():
    node = Node()
    health = HistoryHealth(
        configured=True, behind=7, failing_since=datetime(2025, 5, 4, tzinfo=UTC)
    )
    cluster = ClusterService(
        node.consensus, node.replica, node.clock, "1.2.3", history=lambda: health
    )
    await acquired(node, "a")
    call = await waiting(node, "b")
    await node.sessions.open(holder="a", ttl_ms=10_000)

    status = cluster.view()

    assert (status.held, status.waiting, status.sessions) == (1, 1, 1)
    assert status.history == health
    call.cancel()


@on_virtual_time
async def test_a_node_that_waits_to_be_in_a_cluster_is_not_ready_and_says_where_it_is_told():
    node = Node()
    gate = ConsensusGate(member("gorilla-4"))

    readiness = ClusterService(gate, node.replica, node.clock, "1.2.3").readiness()

    assert failing(readiness) == ["in_cluster"]
    assert "its log says what it waits for" in readiness.checks[0].detail
