"""Linearizable reads on whole engines. Hazards: docs/track-record.md."""

import pytest

from gorilla.service.ports import Role
from tests.support.engines import Cluster


def read_on(cluster, node, lock, seconds=1.0):
    """Ask for a read on ``node``; the list gets (index, lease) or None once it is decided."""
    seen = []

    def done(point):
        seen.append(None if point is None else (point.index, node.replica.table.lease(lock)))

    node.engine.read(done, node.engine.now() + seconds)
    return seen


def test_reads_see_every_acknowledged_write_on_every_node():  # H24
    cluster = Cluster()
    leader = cluster.elect()
    cluster.acquire(leader, 1, lock="seen")
    while 1 not in leader.outcomes:
        leader.turn()
        cluster.deliver()
        for follower in cluster.followers():
            follower.engine.turn()
    reads = [read_on(cluster, node, "seen") for node in cluster.nodes.values()]
    cluster.run(0.5)
    assert all(len(seen) == 1 and seen[0] and seen[0][1] is not None for seen in reads)


def test_a_restarted_node_reads_nothing_of_the_past():  # H24
    cluster = Cluster()
    leader = cluster.elect()
    cluster.fill(leader, range(1, 4))
    follower = cluster.followers()[0]
    # It has the last entry, and does not know that it is committed and was acknowledged.
    cluster.acquire(leader, 4, lock="last")
    leader.turn()
    cluster.deliver()
    cluster.settle()
    cluster.restart(follower.name)
    follower = cluster.nodes[follower.name]
    seen = read_on(cluster, follower, "last")
    cluster.run(0.6)
    assert len(seen) == 1
    index, lease = seen[0]
    assert lease is not None
    assert index >= leader.applied


def test_an_isolated_leader_confirms_no_read():  # H24
    cluster = Cluster()
    leader = cluster.elect()
    cluster.isolate(leader.name)
    seen = read_on(cluster, leader, "any")
    cluster.run(1.5)
    assert seen == [None]


def test_a_deposed_leader_that_does_not_know_it_confirms_no_read():  # H24
    cluster = Cluster()
    old = cluster.elect()
    cluster.isolate(old.name)
    paused = cluster.nodes.pop(old.name)
    cluster.run(4)
    new = cluster.leader()
    assert cluster.acquire(new, 1, lock="taken")
    cluster.run(0.2)
    assert new.replica.table.lease("taken") is not None

    cluster.nodes[old.name] = paused
    seen = read_on(cluster, old, "taken", seconds=0.4)
    assert old.role is Role.LEADER
    old.engine.turn()
    cluster.run(0.6)
    assert seen == [None]


def test_a_new_leader_confirms_no_read_before_it_has_committed_in_its_term():  # H24
    cluster = Cluster()
    leader = cluster.elect()
    cluster.fill(leader, [1])
    cluster.remove(leader.name)
    cluster.filter = lambda _from, _to, message: message["type"] != "next_node_idx"
    cluster.run(0.6)
    new = cluster.leader()
    follower = next(node for node in cluster.nodes.values() if node is not new)
    new.post.sent.clear()
    new.engine.received(follower.name, {"type": "read", "id": 77})
    new.engine.turn()
    assert new.sent("read_reply") == [{"type": "read_reply", "id": 77, "point": None}]
    seen = read_on(cluster, new, "l1")
    cluster.run(0.2)
    assert seen == []


def test_an_answer_to_an_earlier_process_confirms_no_read_of_this_one():  # H17, H24
    cluster = Cluster()
    leader = cluster.elect()
    follower = cluster.followers()[0]
    read_on(cluster, follower, "any")
    follower.turn()
    earlier = follower.sent("read")[0]["id"]
    follower.seed += 1  # another process draws other numbers
    cluster.restart(follower.name)
    cluster.run(0.3)

    seen = read_on(cluster, follower, "any")
    follower.turn()
    late = {"type": "read_reply", "id": earlier, "point": [1, 1]}
    follower.engine.received(leader.name, late)
    follower.turn()
    assert seen == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_only_answers_to_appends_sent_after_the_question_confirm_a_read(when):  # H24
    cluster = Cluster()
    leader = cluster.elect()
    held = []

    def hold(frm, _to, message):
        if message["type"] == "next_node_idx":
            held.append((frm, message))
        return message["type"] != "next_node_idx"

    seen = []
    if when == "after":
        seen = read_on(cluster, leader, "any")
    cluster.filter = hold
    cluster.run(0.3)
    assert held
    if when == "before":
        seen = read_on(cluster, leader, "any")
        leader.turn()
    cluster.isolate(leader.name)
    for frm, message in held:
        leader.engine.received(frm, message)
    leader.turn()
    assert bool(seen) == (when == "after")


def test_a_read_waits_for_an_expiry_that_is_due():
    cluster = Cluster()
    leader = cluster.elect()
    cluster.acquire(leader, 1, lock="short", ttl_ms=300)
    cluster.run(0.2)
    seen = []
    for _ in range(30):
        cluster.clock.now += 0.02
        point_at = cluster.clock.now
        leader.engine.read(
            lambda point, at=point_at: seen.append(
                (at, point.now_ms, leader.replica.table.lease("short"))
            ),
            cluster.clock.now + 1,
        )
        cluster.settle()
    held = [lease is not None for _, _, lease in seen]
    assert held == sorted(held, reverse=True)
    assert held[0]
    assert not held[-1]
    for _, now_ms, lease in seen:
        assert lease is None or lease.expires_at_ms > now_ms - 30
