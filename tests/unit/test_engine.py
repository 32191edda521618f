"""The engine with real PySyncObj, journal and lock table; the test delivers the messages.

Hazard numbers (H1 …) refer to docs/track-record.md: each test fails when its guard is taken away.
"""

import pytest

from gorilla.consensus.codec import MemberNode
from gorilla.consensus.journal import JournalFailedError
from gorilla.consensus.library import FailStopError
from gorilla.consensus.roster import RosterRefusedError
from gorilla.consensus.settings import EngineSettings
from gorilla.domain.outcomes import Granted, Held
from gorilla.service.ports import Member, Role
from tests.support.engines import Cluster


def test_three_nodes_elect_one_leader_and_apply_the_same_commands():
    cluster = Cluster()
    leader = cluster.elect()
    follower = cluster.followers()[0]

    assert cluster.acquire(leader, 1, lock="x", holder="a")
    assert cluster.acquire(follower, 1, lock="x", holder="b")
    cluster.run(0.5)

    assert isinstance(leader.outcomes[1], Granted)
    assert isinstance(follower.outcomes[1], Held)
    assert len({n.replica.table.digest() for n in cluster.nodes.values()}) == 1


def test_one_node_alone_serves_at_once():
    cluster = Cluster(1)
    node = cluster.nodes["a"]
    cluster.run(0.1)
    assert cluster.acquire(node, 1)
    node.turn()
    assert isinstance(node.outcomes[1], Granted)


def test_nothing_is_acknowledged_before_it_is_on_disk():  # H4, H7
    cluster = Cluster()
    leader = cluster.elect()
    follower = cluster.followers()[0]
    synced_when_sent = []
    original = follower.post.send

    def send(peer, message):
        if message["type"] == "next_node_idx" and message["success"]:
            claimed = message["next_node_idx"] - 1
            synced_when_sent.append(follower.journal.durable_index >= claimed)
        original(peer, message)

    follower.post.send = send
    for number in range(1, 6):
        cluster.acquire(leader, number, lock=f"l{number}")
        cluster.run(0.1)
    assert len(synced_when_sent) > 5
    assert all(synced_when_sent)


def test_a_deposed_leader_does_not_apply_its_tail_on_a_snapshot_message():  # H1
    cluster = Cluster()
    old = cluster.elect()
    cluster.isolate(old.name)
    assert cluster.acquire(old, 1, lock="tail")
    old.turn()
    before = old.engine.view().applied_index
    term = old.engine.view().term + 5

    other = cluster.followers()[0].name
    piece = {
        "type": "install",
        "term": term,
        "index": 10_000,
        "total": 100,
        "offset": 0,
        "data": b"x",
    }
    old.engine.received(other, piece)
    old.turn()

    assert old.role is Role.FOLLOWER
    assert old.engine.view().applied_index == before
    assert old.outcomes == {}


def test_an_acknowledgement_from_an_earlier_term_commits_nothing():  # H6
    cluster = Cluster()
    leader = cluster.elect()
    for follower in cluster.followers():
        cluster.cut.add((leader.name, follower.name))
    cluster.acquire(leader, 1)
    leader.turn()
    commit = leader.engine.view().commit_index
    for follower in cluster.followers():
        leader.engine.received(
            follower.name,
            {
                "type": "next_node_idx",
                "next_node_idx": leader.journal.last_index + 1,
                "success": True,
                "reset": False,
                "term": leader.engine.view().term - 1,
                "echo": 1,
            },
        )
    leader.turn()
    assert leader.engine.view().commit_index == commit
    assert leader.outcomes == {}


def test_a_stranger_neither_acknowledges_nor_votes():  # H41, H49
    cluster = Cluster()
    leader = cluster.elect()
    last = leader.journal.last_index
    message = {
        "type": "next_node_idx",
        "next_node_idx": last + 1,
        "success": True,
        "reset": False,
        "term": leader.engine.view().term,
        "echo": 1,
    }
    leader.engine.received("stranger", message)
    leader.turn()
    assert leader.role is Role.LEADER


@pytest.mark.parametrize("power", [False, True])
def test_every_acknowledged_grant_is_there_after_all_nodes_were_killed(power):  # H2, H3, H8
    cluster = Cluster(settings=EngineSettings(compact_entries=7))
    leader = cluster.elect()
    for number in range(1, 40):
        cluster.acquire(leader, number, lock=f"l{number}")
        cluster.run(0.06)
    assert len(leader.outcomes) == 39
    assert leader.engine.view().snapshot_index > 20

    for seed, name in enumerate(cluster.nodes):
        cluster.restart(name, power=power, seed=seed)
    cluster.elect()

    for node in cluster.nodes.values():
        assert node.replica.table.held == 39
    assert len({n.replica.table.digest() for n in cluster.nodes.values()}) == 1


def test_a_vote_survives_a_restart():  # H9
    cluster = Cluster()
    cluster.elect()
    node = cluster.followers()[0]
    term, vote = node.journal.getCurrentTerm(), node.journal.getVotedForNodeId()
    assert vote is not None
    cluster.restart(node.name, power=True)
    assert (node.journal.getCurrentTerm(), node.journal.getVotedForNodeId()) == (term, vote)


def lagging_follower(entries=30):
    cluster = Cluster(settings=EngineSettings(compact_entries=7))
    leader = cluster.elect()
    away = cluster.followers()[0]
    cluster.isolate(away.name)
    for number in range(1, entries):
        cluster.acquire(leader, number, lock=f"l{number}")
        cluster.run(0.06)
    return cluster, leader, away


def test_a_follower_far_behind_gets_a_snapshot_and_then_the_rest():
    cluster, leader, away = lagging_follower()
    cluster.cut.clear()
    cluster.run(2)
    assert away.engine.view().snapshot_index >= leader.journal.first_index
    assert away.replica.table.digest() == leader.replica.table.digest()
    assert cluster.leader() is leader
    cluster.restart(away.name)
    cluster.run(1)
    assert away.replica.table.digest() == leader.replica.table.digest()


def test_a_damaged_snapshot_is_neither_installed_nor_acknowledged():  # H10
    cluster, leader, away = lagging_follower()
    applied = away.engine.view().applied_index
    damaged = []

    def damage(_frm, to, message):
        if message["type"] == "install" and message["data"] and len(damaged) < 3:
            data = bytearray(message["data"])
            data[len(data) // 2] ^= 1
            message["data"] = bytes(data)
            damaged.append(to)
        return True

    cluster.filter = damage
    cluster.cut.clear()
    cluster.run(0.2)
    assert damaged
    assert away.engine.view().applied_index == applied
    cluster.run(3)
    assert away.replica.table.digest() == leader.replica.table.digest()


def test_an_old_snapshot_does_not_move_the_state_back():  # H11
    cluster = Cluster()
    leader = cluster.elect()
    for number in range(1, 10):
        cluster.acquire(leader, number, lock=f"l{number}")
        cluster.run(0.06)
    follower = cluster.followers()[0]
    applied = follower.engine.view().applied_index
    piece = {
        "type": "install",
        "term": leader.engine.view().term,
        "index": applied - 3,
        "total": 1,
        "offset": 0,
        "data": b"x",
    }
    follower.post.sent.clear()
    follower.engine.received(leader.name, piece)
    follower.turn()
    acks = [m for _, m in follower.post.sent if m["type"] == "next_node_idx"]
    assert acks[-1]["next_node_idx"] == applied + 1
    assert follower.engine.view().applied_index == applied


def test_a_returning_node_does_not_depose_the_leader():  # H32
    cluster = Cluster()
    leader = cluster.elect()
    term = leader.engine.view().term
    away = cluster.followers()[0]
    cluster.isolate(away.name)
    cluster.run(6)
    cluster.cut.clear()
    cluster.run(3)
    assert cluster.leader() is leader
    assert leader.engine.view().term == term
    assert away.engine.view().leader is not None


def test_a_leader_without_a_majority_steps_down_and_refuses():  # H43
    cluster = Cluster()
    leader = cluster.elect()
    cluster.isolate(leader.name)
    cluster.run(1.3)
    assert leader.role is not Role.LEADER
    assert not cluster.acquire(leader, 1)
    assert leader.engine.view().leader is None


def test_a_node_of_an_earlier_term_learns_the_later_one():  # H33
    cluster = Cluster()
    leader = cluster.elect()
    follower = cluster.followers()[0]
    term = leader.engine.view().term
    follower.engine.received("x", {"type": "stale", "term": term + 3})
    follower.turn()
    assert follower.engine.view().term == term + 3
    cluster.run(4)
    assert cluster.leader().engine.view().term > term + 3


def test_the_leader_hands_its_office_over_without_a_gap():
    cluster = Cluster()
    leader = cluster.elect()
    leader.engine.leave()
    assert not cluster.acquire(leader, 1)
    cluster.run(0.3)
    assert cluster.leader() is not leader


def test_a_dead_leader_is_replaced_before_the_election_timeout():
    cluster = Cluster()
    leader = cluster.elect()
    del cluster.nodes[leader.name]
    for node in cluster.nodes.values():
        node.engine.disconnected(leader.name)
    cluster.run(0.6)
    assert cluster.leader() is not leader


def test_an_offer_to_a_node_that_does_not_lead_is_refused_and_not_done():
    cluster = Cluster()
    cluster.elect()
    one, two = cluster.followers()
    one.post.sent.clear()
    one.engine.received(two.name, {"type": "offer", "id": 9, "batch": b"whatever"})
    one.turn()
    assert (two.name, {"type": "refused", "id": 9}) in one.post.sent


def test_reads_see_every_acknowledged_write_on_every_node():  # H24
    cluster = Cluster()
    leader = cluster.elect()
    points = {}
    cluster.acquire(leader, 1, lock="seen")
    while 1 not in leader.outcomes:
        leader.turn()
        cluster.deliver()
        for follower in cluster.followers():
            follower.engine.turn()
    for node in cluster.nodes.values():
        deadline = cluster.clock.now + 1

        def done(point, node=node):
            points[node.name] = (point, node.replica.table.lease("seen"))

        node.engine.read(done, deadline)
    cluster.run(0.5)
    assert len(points) == 3
    assert all(point is not None and lease is not None for point, lease in points.values())


def test_an_isolated_leader_confirms_no_read():  # H24
    cluster = Cluster()
    leader = cluster.elect()
    cluster.isolate(leader.name)
    points = []
    leader.engine.read(points.append, cluster.clock.now + 1.0)
    cluster.run(1.5)
    assert points == [None]


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
    for _, now_ms, lease in seen:
        assert lease is None or lease.expires_at_ms > now_ms - 30


def test_two_leaders_in_one_term_stop_the_node():
    cluster = Cluster()
    leader = cluster.elect()
    message = {
        "type": "append_entries",
        "term": leader.engine.view().term,
        "commit_index": 1,
        "entries": [],
        "prevLogIdx": 1,
        "prevLogTerm": 0,
        "seq": 1,
        "chain": [1, None],
    }
    with pytest.raises(FailStopError, match="two leaders"):
        leader.engine.received(cluster.followers()[0].name, message)


def test_a_state_that_differs_from_the_leaders_stops_the_node():
    cluster = Cluster()
    leader = cluster.elect()
    follower = cluster.followers()[0]
    cluster.acquire(leader, 1)
    cluster.run(0.3)
    follower.replica._chains[-1] = (follower.replica._chains[-1][0], b"another state...")
    with pytest.raises(FailStopError, match="differs"):
        cluster.run(0.5)


def test_a_command_of_a_later_version_never_enters_the_log():  # H19
    cluster = Cluster()
    leader = cluster.elect()
    follower = cluster.followers()[0]
    last, term = leader.journal.last_index, leader.engine.view().term
    message = {
        "type": "append_entries",
        "term": term,
        "commit_index": last,
        "entries": [[b"\x07new", last + 1, term]],
        "prevLogIdx": last,
        "prevLogTerm": leader.journal.last_term,
        "seq": 99,
        "chain": [1, None],
    }
    with pytest.raises(FailStopError, match="upgrade"):
        follower.engine.received(leader.name, message)


def test_a_failing_sync_stops_the_node_before_it_promises():  # H47
    cluster = Cluster()
    leader = cluster.elect()
    follower = cluster.followers()[0]
    cluster.run(0.3)
    cluster.acquire(leader, 1)
    leader.turn()
    cluster.deliver()
    follower.disk.fail_at("sync", 1)

    with pytest.raises(JournalFailedError):
        follower.turn()

    claims = [m for _, m in follower.post.sent if m["type"] == "next_node_idx"]
    assert all(m["next_node_idx"] <= leader.journal.last_index for m in claims)
    with pytest.raises(JournalFailedError):
        follower.turn()


def newcomer(name="d"):
    return Member(id=name, name=name, peer=f"{name}:1", http=f"{name}:2")


def rosters(cluster):
    return {
        name: sorted(p.member.id for p in node.engine.view().progress)
        for name, node in cluster.nodes.items()
    }


def test_a_membership_change_counts_on_every_node_and_after_a_restart():  # H13, H14
    cluster = Cluster(settings=EngineSettings(compact_entries=7))
    leader = cluster.elect()
    leader.engine.change_roster("add", newcomer())
    cluster.run(0.5)
    assert rosters(cluster) == {
        "a": ["b", "c", "d"],
        "b": ["a", "c", "d"],
        "c": ["a", "b", "d"],
    }
    for number in range(1, 20):
        cluster.acquire(leader, number, lock=f"l{number}")
        cluster.run(0.06)
    assert leader.engine.view().snapshot_index > 3

    cluster.restart("a", power=True)
    assert rosters(cluster)["a"] == ["b", "c", "d"]


def test_two_membership_changes_are_never_under_way_at_once():  # H12
    cluster = Cluster()
    leader = cluster.elect()
    cluster.isolate(leader.name)
    leader.engine.change_roster("add", newcomer("d"))
    leader.turn()
    with pytest.raises(RosterRefusedError, match="under way"):
        leader.engine.change_roster("add", newcomer("e"))
    with pytest.raises(RosterRefusedError, match="does not lead"):
        cluster.followers()[0].engine.change_roster("add", newcomer("e"))


@pytest.mark.parametrize(
    ("kind", "who", "why"),
    [("add", "b", "already"), ("rem", "z", "not a member"), ("rem", None, "hand leadership over")],
)
def test_a_membership_change_that_makes_no_sense_is_refused(kind, who, why):
    cluster = Cluster()
    leader = cluster.elect()
    member = newcomer(who or leader.name)
    with pytest.raises(RosterRefusedError, match=why):
        leader.engine.change_roster(kind, member)


def test_a_membership_change_that_was_overwritten_is_forgotten():
    cluster = Cluster()
    old = cluster.elect()
    cluster.isolate(old.name)
    old.engine.change_roster("add", newcomer())
    old.turn()
    assert rosters(cluster)[old.name][-1] == "d"
    cluster.run(4)
    new = next(n for n in cluster.nodes.values() if n.role is Role.LEADER)
    cluster.acquire(new, 1)
    cluster.run(0.3)
    cluster.cut.clear()
    cluster.run(2)
    assert "d" not in rosters(cluster)[old.name]
    assert old.replica.table.digest() == new.replica.table.digest()


def test_a_membership_command_beside_the_procedure_stops_the_node():  # H12
    cluster = Cluster()
    leader = cluster.elect()
    with pytest.raises(FailStopError, match="beside"):
        leader.engine._core.addNodeToCluster(MemberNode(newcomer()))


def test_a_node_that_the_roster_does_not_name_does_not_start():
    cluster = Cluster()
    cluster.elect()
    node = cluster.followers()[0]
    node.kill()
    node.members = [member for member in node.members if member.id != node.name]
    with pytest.raises(FailStopError, match="removed"):
        node.start()


def test_a_local_snapshot_of_another_cluster_is_refused():  # H16
    cluster = Cluster(settings=EngineSettings(compact_entries=7))
    leader = cluster.elect()
    for number in range(1, 20):
        cluster.acquire(leader, number, lock=f"l{number}")
        cluster.run(0.06)
    leader.kill()
    leader.cluster_id = "another"
    with pytest.raises(FailStopError, match="of cluster"):
        leader.start()
