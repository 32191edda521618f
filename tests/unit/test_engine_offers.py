"""Batches on their way to the leader: refused is definite. Hazards: docs/track-record.md."""

from gorilla.consensus.settings import EngineSettings
from gorilla.domain.outcomes import Granted
from gorilla.service.ports import Role
from tests.support.engines import Cluster, batch


def holders(cluster):
    return {node.name: node.replica.table.lease("lock") for node in cluster.nodes.values()}


def test_an_offer_to_a_node_that_does_not_lead_is_refused_and_not_done():
    cluster = Cluster()
    cluster.elect()
    one, two = cluster.followers()
    one.post.sent.clear()
    one.engine.received(two.name, {"type": "offer", "id": 9, "batch": b"whatever"})
    one.turn()
    assert (two.name, {"type": "refused", "id": 9}) in one.post.sent


def test_a_refusal_comes_back_to_the_offer_that_was_refused():
    cluster = Cluster()
    leader = cluster.elect()
    follower = cluster.followers()[0]
    leader.engine.leave()
    assert cluster.acquire(follower, 7)
    follower.turn()
    cluster.deliver()
    leader.turn()
    cluster.deliver()
    assert follower.refused == [7]


def test_forwarding_of_the_library_is_neither_sent_nor_answered():  # H17, H28
    cluster = Cluster()
    leader = cluster.elect()
    follower = cluster.followers()[0]
    last = leader.journal.last_index
    outgoing = [{"type": "apply_command", "command": b"\x00Px", "request_id": 1}]
    outgoing.append({"type": "apply_command_response", "request_id": 1, "error": 1})
    follower.post.sent.clear()
    for message in outgoing:
        leader.engine.received(follower.name, message)
        follower.engine.received(leader.name, message)
    follower.engine._core.commit(b"what a follower would forward")
    follower.turn()
    leader.turn()

    assert follower.sent("apply_command", "apply_command_response") == []
    assert leader.sent("apply_command", "apply_command_response") == []
    assert leader.journal.last_index == last


def test_what_waits_when_leadership_is_lost_is_refused_and_never_written():
    cluster = Cluster()
    leader = cluster.elect()
    assert cluster.acquire(leader, 1)
    later = leader.engine.view().term + 1
    leader.engine.received(cluster.followers()[0].name, {"type": "stale", "term": later})
    assert leader.refused == [1]
    cluster.run(5)
    assert cluster.leader().engine.view().commit_index > 1
    assert set(holders(cluster).values()) == {None}
    assert leader.outcomes == {}


def test_what_was_taken_in_the_turn_that_ends_the_leadership_is_left_open():
    cluster = Cluster(settings=EngineSettings(fallback_s=0.8))
    old = cluster.elect()
    cluster.isolate(old.name)
    cluster.run(0.6)
    assert cluster.acquire(old, 1)
    cluster.clock.now += 0.3  # the tick that would write it finds no majority
    old.turn()
    assert old.role is not Role.LEADER
    assert old.refused == []
    assert old.sent("apply_command") == []

    # Asked again, as silence demands, it happens once.
    cluster.run(4)
    new = next(n for n in cluster.nodes.values() if n.role is Role.LEADER)
    new.engine.received(old.name, {"type": "offer", "id": 1, "batch": batch(old.name, 1)})
    cluster.run(0.2)
    cluster.cut.clear()
    cluster.run(2)
    assert isinstance(old.outcomes[1], Granted)
    assert len(cluster.digests()) == 1


def test_a_leader_that_heard_no_majority_lately_takes_nothing():
    cluster = Cluster()
    leader = cluster.elect()
    cluster.isolate(leader.name)
    cluster.run(0.8)
    assert leader.role is Role.LEADER
    assert not cluster.acquire(leader, 1)
