"""The engine with real PySyncObj, journal and lock table; the test delivers the messages.

Hazard numbers (H1 …) refer to docs/track-record.md: each test fails when its guard is taken away.
Its parts: test_engine_appends, _crashes, _elections, _membership, _offers, _reads, _snapshots.
"""

import pytest

from gorilla.consensus.driver import Driver
from gorilla.consensus.journal import JournalFailedError
from gorilla.consensus.library import FailStopError
from gorilla.domain.outcomes import Granted, Held
from gorilla.service.ports import Role
from tests.support.engines import Cluster, acknowledgement, append_message, batch

PROMISES = ("next_node_idx", "request_vote", "response_vote")


def test_three_nodes_elect_one_leader_and_apply_the_same_commands():
    cluster = Cluster()
    leader = cluster.elect()
    follower = cluster.followers()[0]

    assert cluster.acquire(leader, 1, lock="x", holder="a")
    assert cluster.acquire(follower, 1, lock="x", holder="b")
    cluster.run(0.5)

    assert isinstance(leader.outcomes[1], Granted)
    assert isinstance(follower.outcomes[1], Held)
    assert len(cluster.digests()) == 1


def test_one_node_alone_serves_at_once():
    cluster = Cluster(1)
    node = cluster.nodes["a"]
    cluster.run(0.1)
    assert cluster.acquire(node, 1)
    node.turn()
    assert isinstance(node.outcomes[1], Granted)


def test_acknowledgements_votes_and_candidacies_leave_only_when_they_are_on_disk():  # H4, H9
    cluster = Cluster()
    promised = []
    for node in cluster.nodes.values():

        def send(peer, message, node=node, original=node.post.send):
            if message["type"] in PROMISES:
                promised.append((message["type"], not node.journal.dirty))
            original(peer, message)

        node.post.send = send
    leader = cluster.elect()
    cluster.fill(leader, range(1, 6))

    assert {kind for kind, _ in promised} == set(PROMISES)
    assert all(is_durable for _, is_durable in promised)


@pytest.mark.parametrize("count", [1, 3])
def test_a_leader_counts_its_own_copy_only_when_it_is_on_disk(count):  # H4, H7
    cluster = Cluster(count)
    leader = cluster.elect()
    durable_when_applied = []
    leader.engine.on_apply = lambda index, _term, _payload: durable_when_applied.append(
        leader.journal.durable_index >= index
    )
    cluster.fill(leader, range(1, 6))
    assert durable_when_applied == [True] * 5


def test_an_entry_is_under_way_to_the_followers_while_the_leader_syncs_it():
    cluster = Cluster()
    leader = cluster.elect()
    durable_when_sent = []
    original = leader.post.send

    def send(peer, message):
        if message["type"] == "append_entries" and message["entries"]:
            durable_when_sent.append(leader.journal.durable_index >= message["entries"][-1][1])
        original(peer, message)

    leader.post.send = send
    cluster.fill(leader, [1])
    assert durable_when_sent == [False, False]


def test_a_stranger_neither_acknowledges_nor_votes():  # H41, H49
    cluster = Cluster()
    leader = cluster.elect()
    for follower in cluster.followers():
        cluster.isolate(follower.name)
    cluster.acquire(leader, 1)
    leader.turn()
    commit = leader.engine.view().commit_index

    for stranger in ("x", "y"):
        leader.engine.received(stranger, acknowledgement(leader, leader.journal.last_index))
    leader.turn()

    assert leader.engine.view().commit_index == commit
    assert leader.role is Role.LEADER


def test_two_leaders_in_one_term_stop_the_node():
    cluster = Cluster()
    leader = cluster.elect()
    with pytest.raises(FailStopError, match="two leaders"):
        leader.engine.received(cluster.followers()[0].name, append_message(leader))


def test_a_state_that_differs_from_the_leaders_stops_the_node():
    cluster = Cluster()
    leader = cluster.elect()
    follower = cluster.followers()[0]
    cluster.acquire(leader, 1)
    cluster.run(0.3)
    follower.replica._chains[-1] = (follower.replica._chains[-1][0], b"another state...")
    with pytest.raises(FailStopError, match="differs"):
        cluster.run(0.5)


def test_a_failing_sync_stops_the_node_before_it_promises():  # H47
    cluster = Cluster()
    leader = cluster.elect()
    follower = cluster.followers()[0]
    cluster.run(0.3)
    last = leader.journal.last_index
    cluster.acquire(leader, 1)
    leader.turn()
    cluster.deliver()
    follower.disk.fail_at("sync", 1)

    with pytest.raises(JournalFailedError):
        follower.turn()

    assert all(m["next_node_idx"] <= last + 1 for m in follower.sent("next_node_idx"))
    with pytest.raises(JournalFailedError):
        follower.turn()


async def test_what_raises_while_an_entry_is_applied_stops_the_node_at_that_entry():  # H18, H30
    cluster = Cluster(1)
    node = cluster.elect()
    seen, failures = [], []

    def watcher(index, _events):
        seen.append(index)
        raise ValueError("a callback of ours that fails")

    node.replica.watch(watcher)
    driver = Driver(node.engine, on_change=lambda: None, on_failure=failures.append)
    assert driver.offer(1, batch(node.name, 1))
    for _ in range(4):
        driver._run()
    driver.received("b", append_message(node))

    assert [str(error) for error in failures] == ["a callback of ours that fails"]
    assert len(seen) == 1
    assert not driver.offer(2, b"anything")
