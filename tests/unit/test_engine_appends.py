"""Appends and their acknowledgements between whole engines. Hazards: docs/track-record.md."""

import pytest

from gorilla.consensus import leading, library
from gorilla.consensus.library import FailStopError
from gorilla.domain.outcomes import Granted
from gorilla.service.ports import Role
from tests.support.engines import Cluster, acknowledgement, append_message


def test_an_acknowledgement_from_an_earlier_term_commits_nothing():  # H6
    cluster = Cluster()
    leader = cluster.elect()
    for follower in cluster.followers():
        cluster.cut.add((leader.name, follower.name))
    cluster.acquire(leader, 1)
    leader.turn()
    commit, last = leader.engine.view().commit_index, leader.journal.last_index

    for follower in cluster.followers():
        old = acknowledgement(leader, last, term=leader.engine.view().term - 1)
        leader.engine.received(follower.name, old)
    leader.turn()
    assert leader.engine.view().commit_index == commit
    assert leader.outcomes == {}

    leader.engine.received(cluster.followers()[0].name, acknowledgement(leader, last))
    leader.turn()
    assert isinstance(leader.outcomes[1], Granted)


def test_an_append_that_comes_again_drops_nothing_that_was_acknowledged():  # H5
    cluster = Cluster()
    leader = cluster.elect()
    follower = cluster.followers()[0]
    kept = []

    def keep(_from, to, message):
        if to == follower.name and message["type"] == "append_entries" and message["entries"]:
            kept.append(message)
        return True

    cluster.filter = keep
    cluster.fill(leader, range(1, 6))
    last = follower.journal.last_index

    for message in kept:
        follower.post.sent.clear()
        follower.engine.received(leader.name, message)
        follower.turn()
        proven = message["entries"][-1][1]
        assert follower.journal.last_index == last
        assert [m["next_node_idx"] for m in follower.sent("next_node_idx")] == [proven + 1]


def test_an_old_append_takes_no_commit_index_over_that_it_does_not_prove():  # H5
    cluster = Cluster()
    old = cluster.elect()
    cluster.isolate(old.name)
    cluster.acquire(old, 1, lock="tail")
    old.turn()
    before, last = old.applied, old.journal.last_index
    other = cluster.followers()[0].name

    message = append_message(
        old, prevLogIdx=last - 1, prevLogTerm=old.journal.term_at(last - 1), commit_index=last
    )
    old.engine.received(other, message | {"term": old.engine.view().term + 1})
    old.turn()

    assert old.applied == before
    assert old.journal.last_index == last


def test_a_leader_that_contradicts_what_is_committed_stops_the_node():  # H5
    cluster = Cluster()
    leader = cluster.elect()
    cluster.fill(leader, range(1, 4))
    follower = cluster.followers()[0]
    last, term = follower.applied, leader.engine.view().term
    message = append_message(
        leader,
        [[b"\x01", last, term + 1]],
        term=term + 1,
        prevLogIdx=last - 1,
        prevLogTerm=follower.journal.term_at(last - 1),
    )
    with pytest.raises(FailStopError, match="contradicts"):
        follower.engine.received(leader.name, message)


def test_a_command_of_a_later_version_never_enters_the_log():  # H19
    cluster = Cluster()
    leader = cluster.elect()
    follower = cluster.followers()[0]
    last = leader.journal.last_index
    for command in (b"\x07new", b"\x03version"):
        message = append_message(leader, [[command, last + 1, leader.engine.view().term]])
        with pytest.raises(FailStopError, match="upgrade"):
            follower.engine.received(leader.name, message)
        assert follower.journal.last_index == last


def test_a_diverged_follower_is_caught_up_in_a_few_heartbeats():  # H27
    cluster = Cluster()
    old = cluster.elect()
    cluster.isolate(old.name)
    for number in range(1, 60):
        cluster.acquire(old, number, lock=f"lost{number}")
        old.turn()
    cluster.run(4)
    second = next(n for n in cluster.nodes.values() if n is not old and n.role is Role.LEADER)
    cluster.fill(second, range(1, 60))
    # A leader that comes later begins at the end of its log: all of that is in conflict.
    second.engine.leave()
    cluster.run(1)
    third = next(n for n in cluster.nodes.values() if n not in (old, second))
    assert third.role is Role.LEADER
    assert third.journal.last_index >= old.journal.last_index > 60

    cluster.cut.clear()
    cluster.run(0.8)
    assert old.replica.table.digest() == third.replica.table.digest()
    assert old.replica.table.held == 59


def test_a_search_for_the_conflict_never_goes_back_over_what_was_acknowledged():
    """A follower steps back over a term as a whole, entries that it acknowledged included."""
    cluster = Cluster()
    old = cluster.elect()
    # Entries that both others have, and do not know to be committed; then one that they lack.
    cluster.filter = lambda _from, to, message: (
        message["type"] == "append_entries" and message.get("commit_index", 0) <= 2
    )
    for number in range(1, 6):
        cluster.acquire(old, number, lock=f"l{number}")
        old.turn()
        cluster.deliver()
    cluster.isolate(old.name)
    cluster.acquire(old, 6, lock="lost")
    old.turn()
    cluster.filter = lambda *_: True
    cluster.run(4)
    new = next(n for n in cluster.nodes.values() if n is not old and n.role is Role.LEADER)
    assert new.journal.term_at(old.journal.last_index) != old.journal.last_term

    # The entries that the old leader has come again; the link breaks before the one in conflict.
    shared = old.journal.last_index - 1

    def first_part_only(_from, to, message):
        if to != old.name or message["type"] != "append_entries":
            return True
        if message["prevLogIdx"] >= shared:
            return not new.engine._core.match_index(old.name)
        message["entries"] = [entry for entry in message["entries"] if entry[1] <= shared]
        message["commit_index"] = 2  # as it is before the leader commits in its own term
        return True

    cluster.filter = first_part_only
    cluster.cut.clear()
    cluster.run(0.5)
    assert new.engine._core.match_index(old.name) == shared
    assert old.journal.last_index > shared
    cluster.relink(old.name, new.name)
    cluster.filter = lambda *_: True
    cluster.run(2)

    assert old.replica.table.digest() == new.replica.table.digest()


def test_a_follower_restarted_in_the_same_term_is_caught_up():
    cluster = Cluster()
    leader = cluster.elect()
    follower = cluster.followers()[0]
    cluster.fill(leader, range(1, 6))
    # What is under way to it is lost; the leader takes it for sent.
    cluster.cut.add((leader.name, follower.name))
    cluster.fill(leader, range(6, 10))
    cluster.cut.clear()
    cluster.restart(follower.name, power=True)
    term = leader.engine.view().term
    cluster.run(1)
    assert leader.engine.view().term == term
    assert follower.replica.table.digest() == leader.replica.table.digest()


def test_a_follower_far_behind_is_not_sent_everything_in_one_turn(monkeypatch):
    monkeypatch.setattr(leading, "TURN_BYTES_MAX", 2_000)
    monkeypatch.setattr(library, "APPEND_BYTES_MAX", 500)
    cluster = Cluster()
    leader = cluster.elect()
    away = cluster.followers()[0]
    cluster.isolate(away.name)
    cluster.fill(leader, range(1, 60))
    cluster.relink(away.name, leader.name)
    cluster.cut.clear()
    most = 0
    for _ in range(200):
        cluster.clock.now += 0.02
        for node in cluster.nodes.values():
            node.turn()
        ours = [m for to, m in leader.post.sent if to == away.name and m.get("entries")]
        most = max(most, sum(len(entry[0]) for m in ours for entry in m["entries"]))
        cluster.deliver()
    assert away.replica.table.digest() == leader.replica.table.digest()
    assert 2_000 <= most < 3_000
