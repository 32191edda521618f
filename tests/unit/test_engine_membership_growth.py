"""Nodes that learn before they count, and nodes that leave. Hazards: docs/track-record.md."""

import pytest

from gorilla.consensus.roster import RemovedError, RosterRefusedError
from gorilla.consensus.settings import EngineSettings
from gorilla.service.ports import Member, Role
from tests.support.engines import Cluster, Node, newcomer


def roster(node):
    others = [p.member.id for p in node.engine.view().progress]
    return sorted([*others, node.name] if node.engine._voters.counts_me else others)


def join(cluster, name, **options):
    """Start a node that was invited, linked with everybody, and let the leader teach it."""
    leader = cluster.leader()
    members = [leader.engine.me, *leader.engine._voters.members.values()]
    node = Node(name, members, cluster.clock, joining=newcomer(name), **options)
    cluster.nodes[name] = node
    cluster.connect(name)
    leader.engine.roster.add_learner(newcomer(name))
    return node


def add(cluster, name, **options):
    node = join(cluster, name, **options)
    cluster.run(1)
    cluster.leader().engine.roster.change("add", newcomer(name))
    cluster.run(0.5)
    return node


def remove(cluster, name):
    """Take a member out; it stops when it is told."""
    cluster.leader().engine.roster.change("rem", newcomer(name))
    with pytest.raises(RemovedError, match="removed"):
        cluster.run(1)
    cluster.remove(name)
    cluster.run(0.5)


def test_a_learner_gets_the_log_and_counts_for_nothing():
    cluster = Cluster()
    leader = cluster.elect()
    learner = join(cluster, "d")
    cluster.fill(leader, range(1, 4))
    assert learner.journal.last_index == leader.journal.last_index
    assert learner.replica.table.digest() == leader.replica.table.digest()

    for follower in "abc".replace(leader.name, ""):
        cluster.isolate(follower)
    committed = leader.engine.view().commit_index
    points = []
    cluster.acquire(leader, 9)
    leader.engine.read(points.append, cluster.clock.now + 1)
    cluster.run(0.5)

    # The learner has the entry and answers; no majority does.
    assert learner.journal.last_index == leader.journal.last_index > committed
    assert leader.engine.view().commit_index == committed
    assert points == []
    cluster.run(2)
    assert points == [None]
    assert leader.engine.view().leader is None


def test_a_learner_that_is_far_behind_gets_a_snapshot_and_becomes_a_member():
    cluster = Cluster(settings=EngineSettings(compact_entries=7))
    leader = cluster.elect()
    cluster.fill(leader, range(1, 30))
    assert leader.journal.first_index > 2
    new = join(cluster, "d", settings=EngineSettings(compact_entries=7))
    cluster.run(2)
    assert new.applied == leader.applied
    leader.engine.roster.change("add", newcomer("d"))
    cluster.run(0.5)
    assert {tuple(roster(node)) for node in cluster.nodes.values()} == {tuple("abcd")}
    assert leader.engine.roster.learners == {}
    cluster.fill(leader, range(50, 53))
    assert len(cluster.digests()) == 1


def test_a_joining_node_does_not_campaign_before_its_log_names_it_and_its_vote_is_none():
    cluster = Cluster()
    leader = cluster.elect()
    learner = join(cluster, "d")
    cluster.run(0.5)
    cluster.isolate(leader.name)
    survivor = cluster.followers()[0] if leader.name != "a" else cluster.nodes["b"]
    for other in "abc".replace(leader.name, "").replace(survivor.name, ""):
        cluster.isolate(other)
    term = learner.engine.view().term
    cluster.run(10)
    # One voter and the learner hear each other: no majority of three.
    assert [n.name for n in cluster.nodes.values() if n.role is Role.LEADER] in ([], [leader.name])
    assert learner.role is Role.FOLLOWER
    assert learner.engine.view().term == term
    for target in (survivor, learner):
        asked = target.engine._election._round
        vote = {"type": "prevoted", "round": asked, "granted": True, "term": term}
        target.engine.received(survivor.name if target is learner else "d", vote)
        target.turn()
        assert target.engine.view().term == term
        assert target.role is Role.FOLLOWER


def test_a_joining_node_that_restarts_goes_on_learning_and_then_counts():
    cluster = Cluster()
    cluster.elect()
    new = join(cluster, "d")
    cluster.run(0.5)
    cluster.restart("d", power=True)
    assert not new.engine._voters.counts_me
    cluster.run(0.5)
    cluster.leader().engine.roster.change("add", newcomer("d"))
    cluster.run(0.5)
    cluster.restart("d", power=True)
    assert new.engine._voters.counts_me
    assert roster(new) == list("abcd")


def test_a_cluster_grows_to_five_and_shrinks_to_one_and_grows_again():
    cluster = Cluster()
    leader = cluster.elect()
    for name in "de":
        add(cluster, name)
    cluster.fill(leader, range(1, 4))
    assert len(cluster.digests()) == 1
    assert {tuple(roster(node)) for node in cluster.nodes.values()} == {tuple("abcde")}

    left = [name for name in "abcde" if name != leader.name]
    while left:
        remove(cluster, left.pop())
    assert roster(leader) == [leader.name]
    cluster.fill(leader, range(4, 6))
    assert leader.applied == leader.journal.last_index

    for name in "fg":
        add(cluster, name)
    cluster.fill(leader, range(6, 9))
    assert len(cluster.digests()) == 1
    assert {tuple(roster(node)) for node in cluster.nodes.values()} == {
        tuple(sorted([leader.name, "f", "g"]))
    }


def test_a_removed_id_is_refused_for_ever_whatever_the_log_has_forgotten():
    cluster = Cluster(5, settings=EngineSettings(compact_entries=7))
    leader = cluster.elect()
    gone = cluster.followers()[0].name
    remove(cluster, gone)
    cluster.fill(leader, range(1, 30))
    for name in list(cluster.nodes):
        cluster.restart(name, power=True)
    leader = cluster.elect()
    assert leader.journal.first_index > 3
    assert gone not in roster(leader)
    for propose in (
        lambda: leader.engine.roster.change("add", newcomer(gone)),
        lambda: leader.engine.roster.add_learner(newcomer(gone)),
    ):
        with pytest.raises(RosterRefusedError, match="removed for good"):
            propose()


def test_a_member_that_moves_keeps_its_vote_and_everybody_knows_its_new_address():
    cluster = Cluster(settings=EngineSettings(compact_entries=7))
    leader = cluster.elect()
    who = cluster.followers()[0]
    moved = Member(id=who.name, name=who.name, peer="x:1", http="x:2")
    leader.engine.roster.change("set", moved)
    cluster.run(0.5)
    assert who.engine.me == moved
    for node in cluster.nodes.values():
        if node is not who:
            assert moved in [p.member for p in node.engine.view().progress]
    cluster.fill(leader, range(1, 20))
    for name in cluster.nodes:
        cluster.restart(name, power=True)
    assert who.engine.me == moved
    assert roster(leader) == ["a", "b", "c"]


def test_a_member_that_was_away_hears_a_leader_that_was_added_meanwhile():
    cluster = Cluster()
    leader = cluster.elect()
    away = cluster.followers()[0]
    join(cluster, "d")
    cluster.isolate(away.name)
    cluster.run(1)
    leader.engine.roster.change("add", newcomer("d"))
    cluster.run(0.5)
    leader.engine.roster.transfer("d")
    cluster.run(1)
    assert cluster.nodes["d"].role is Role.LEADER
    assert "d" not in roster(away)

    cluster.cut.clear()
    cluster.relink(away.name, "d")
    cluster.run(2)

    assert roster(away) == list("abcd")
    assert away.engine.view().leader == newcomer("d")
    assert len(cluster.digests()) == 1


def test_a_leader_hands_over_to_the_member_that_was_named_and_can_then_be_removed():
    cluster = Cluster()
    old = cluster.elect()
    target = cluster.followers()[-1]
    with pytest.raises(RosterRefusedError, match="hand leadership over first"):
        old.engine.roster.change("rem", newcomer(old.name))
    old.engine.roster.transfer(target.name)
    cluster.run(1)
    assert cluster.leader() is target
    remove(cluster, old.name)
    assert old.name not in roster(target)
    cluster.fill(target, [1, 2])
    assert len(cluster.digests()) == 1


def test_a_node_that_learned_from_a_deposed_leader_is_let_go():
    cluster = Cluster()
    old = cluster.elect()
    join(cluster, "d")
    cluster.run(0.3)
    target = next(n for n in cluster.followers() if n.name != "d")
    old.engine.roster.transfer(target.name)
    cluster.run(1)
    assert cluster.leader() is target
    assert old.engine.roster.learners == {}
    target.engine.roster.transfer(old.name)
    cluster.run(1)
    assert cluster.leader() is old
    add_again = newcomer("d")
    old.engine.roster.add_learner(add_again)
    cluster.fill(old, [1])
    assert cluster.nodes["d"].journal.last_index == old.journal.last_index


def test_a_node_is_told_of_no_roster_that_may_still_be_overwritten():
    cluster = Cluster(4)
    leader = cluster.elect()
    leaving = cluster.followers()[0].name
    cluster.isolate(leader.name)
    leader.engine.roster.change("rem", newcomer(leaving))
    leader.turn()

    with pytest.raises(RosterRefusedError, match="another membership change is under way"):
        leader.engine.roster.add_learner(newcomer("e"))
    assert leader.engine.roster.learners == {}
