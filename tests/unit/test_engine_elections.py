"""Elections: no leader is deposed without need, and there is always one in the end."""

import itertools

import pytest

from gorilla.domain.outcomes import Granted
from gorilla.service.ports import Role
from tests.support.engines import Cluster


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


def log_end(node):
    return {"last_log_index": node.journal.last_index, "last_log_term": node.journal.last_term}


def test_nobody_who_hears_the_leader_would_have_another():  # H32
    cluster = Cluster()
    leader = cluster.elect()
    asker, other = cluster.followers()
    term = leader.engine.view().term
    question = {"type": "prevote", "round": 1, "term": term + 1, **log_end(asker)}
    for node in (leader, other):
        node.post.sent.clear()
        node.engine.received(asker.name, question)
        assert [m["granted"] for m in answers(node, "prevoted")] == [False]

    cluster.isolate(other.name)
    cluster.run(0.75)
    other.engine.received(asker.name, question)
    assert [m["granted"] for m in answers(other, "prevoted")] == [True]


def answers(node, kind):
    node.post.sent.clear()
    node.engine.turn()
    return node.sent(kind)


def test_nobody_who_hears_the_leader_votes_unless_the_leader_wants_it():  # H32
    cluster = Cluster()
    leader = cluster.elect()
    asker, other = cluster.followers()
    term = leader.engine.view().term
    candidacy = {"type": "request_vote", "term": term + 1, "forced": False, **log_end(asker)}
    for node in (leader, other):
        node.engine.received(asker.name, candidacy)
        assert answers(node, "response_vote") == []
        assert node.engine.view().term == term

    other.engine.received(asker.name, candidacy | {"forced": True})
    assert len(answers(other, "response_vote")) == 1


def test_no_candidacy_slips_in_between_two_looks_at_the_clock():  # H32
    cluster = Cluster()
    leader = cluster.elect()
    away = cluster.followers()[0]
    term = away.engine.view().term
    cluster.isolate(away.name)
    looks = itertools.count()

    def creeping():
        return cluster.clock.now + next(looks) / 1_000

    away.engine._now = creeping
    for _ in range(3_000):
        cluster.clock.now += 0.005
        away.engine.turn()
        away.post.sent.clear()
    assert away.engine.view().term == term
    assert leader.engine.view().term == term


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


def test_a_vote_that_comes_twice_counts_once():  # H49
    cluster = Cluster(5)
    leader = cluster.elect()
    cluster.isolate(leader.name)
    candidate, voter, *_ = cluster.followers()
    for name in cluster.nodes:
        cluster.isolate(name)
    candidate.engine._election.forced = True
    candidate.engine._core.election_deadline = 0.0
    candidate.engine.turn()
    assert candidate.role is Role.CANDIDATE

    vote = {"type": "response_vote", "term": candidate.engine.view().term}
    old = {"type": "response_vote", "term": candidate.engine.view().term - 1}
    later = {"type": "response_vote", "term": candidate.engine.view().term + 9}
    for message in (vote, old, later, vote, vote):
        candidate.engine.received(voter.name, message)
    candidate.engine.received("stranger", vote)
    assert candidate.role is Role.CANDIDATE
    candidate.engine.received(
        next(n for n in "abcde" if n not in (candidate.name, voter.name)), vote
    )
    assert candidate.role is Role.LEADER


def test_the_leader_hands_its_office_over_without_a_gap():
    cluster = Cluster()
    leader = cluster.elect()
    leader.engine.leave()
    assert not cluster.acquire(leader, 1)
    cluster.run(0.3)
    assert cluster.leader() is not leader


def test_an_office_is_handed_over_only_when_nothing_is_under_way():  # H44
    cluster = Cluster()
    leader = cluster.elect()
    assert cluster.acquire(leader, 1)
    leader.engine.leave()
    leader.engine.turn()
    assert leader.sent("timeout_now") == []
    cluster.run(0.5)
    assert isinstance(leader.outcomes[1], Granted)
    assert cluster.leader() is not leader
    assert len(cluster.digests()) == 1


def test_an_office_is_not_handed_over_while_an_entry_lacks_its_majority():  # H44
    cluster = Cluster(5)
    leader = cluster.elect()
    furthest, *others = cluster.followers()
    cluster.cut = {(leader.name, other.name) for other in others}
    assert cluster.acquire(leader, 1)
    cluster.settle()
    assert leader.engine._core.match_index(furthest.name) == leader.journal.last_index

    leader.engine.leave()
    leader.engine.turn()
    assert leader.sent("timeout_now") == []
    cluster.cut.clear()
    cluster.run(0.5)
    assert isinstance(leader.outcomes[1], Granted)
    assert cluster.leader() is not leader


@pytest.mark.parametrize("seed", range(12))
def test_a_dead_leader_is_replaced_before_the_election_timeout(seed):
    cluster = Cluster(seed=seed)
    leader = cluster.elect()
    cluster.remove(leader.name)
    cluster.run(0.6)
    assert cluster.leader() is not leader


@pytest.mark.parametrize("seed", range(12))
def test_votes_for_the_office_of_a_dead_leader_that_are_split_are_asked_for_again_soon(seed):
    cluster = Cluster(seed=seed)
    cluster.remove(cluster.elect().name)
    for node in cluster.nodes.values():
        election = node.engine._election
        election._granted = set(cluster.nodes) - {node.name}
        election._asked_in = node.engine.view().term
        node.turn()
    assert {node.role for node in cluster.nodes.values()} == {Role.CANDIDATE}
    cluster.run(0.65)
    assert cluster.leader().engine.known_leader(cluster.leader().engine.now())


def test_a_broken_link_to_one_follower_costs_the_leader_nothing():
    cluster = Cluster()
    leader = cluster.elect()
    term = leader.engine.view().term
    follower = cluster.followers()[0]
    for _ in range(5):
        cluster.relink(leader.name, follower.name)
        cluster.run(0.5)
    assert cluster.leader() is leader
    assert leader.engine.view().term == term


PAIRS = [(one, two) for one in "abc" for two in "abc" if one != two]


@pytest.mark.parametrize("cut", PAIRS, ids="-x-".join)
def test_a_link_that_carries_one_way_only_keeps_nobody_from_leading_for_long(cut):
    cluster = Cluster()
    cluster.cut = {cut}
    cluster.run(6)
    serving = [n for n in cluster.nodes.values() if n.engine.view().leader == n.engine.me]
    assert len(serving) == 1
    term = serving[0].engine.view().term
    assert cluster.acquire(serving[0], 1)
    cluster.run(5)
    assert isinstance(serving[0].outcomes[1], Granted)
    assert serving[0].engine.view().term == term


def test_a_leader_that_hears_nobody_is_replaced_although_it_is_heard():
    cluster = Cluster()
    deaf = cluster.elect()
    cluster.cut = {(n.name, deaf.name) for n in cluster.followers()}
    cluster.run(6)
    assert cluster.leader() is not deaf
    assert deaf.engine.view().leader != deaf.engine.me


def test_nodes_that_all_restart_at_once_elect_a_leader():
    cluster = Cluster(5)
    leader = cluster.elect()
    cluster.fill(leader, range(1, 4))
    for name in list(cluster.nodes):
        cluster.restart(name, power=True)
    cluster.run(3)
    assert cluster.leader().engine.view().leader is not None
    assert len(cluster.digests()) == 1


def test_an_up_to_date_node_is_elected_though_the_others_ask_first():
    cluster = Cluster()
    leader = cluster.elect()
    behind, ahead = cluster.followers()
    cluster.isolate(behind.name)
    cluster.fill(leader, range(1, 4))
    cluster.remove(leader.name)
    cluster.cut.clear()
    behind.engine._core.election_deadline = 0.0
    cluster.run(4)
    assert cluster.leader() is ahead
    assert behind.replica.table.digest() == ahead.replica.table.digest()
