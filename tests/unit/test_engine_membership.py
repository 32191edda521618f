"""Who votes: one change at a time, by what stands in the log. Hazards: docs/track-record.md."""

import pytest

from gorilla.consensus.codec import LogCodec, MemberNode
from gorilla.consensus.library import FailStopError
from gorilla.consensus.roster import RemovedError, RosterRefusedError, decode_roster
from gorilla.consensus.settings import EngineSettings
from gorilla.service.ports import Role
from tests.support.engines import Cluster, append_message, newcomer


def rosters(cluster):
    return {
        name: sorted(p.member.id for p in node.engine.view().progress)
        for name, node in cluster.nodes.items()
    }


WITH_D = {"a": ["b", "c", "d"], "b": ["a", "c", "d"], "c": ["a", "b", "d"]}
WITHOUT_D = {"a": ["b", "c"], "b": ["a", "c"], "c": ["a", "b"]}


def change_command(kind, member):
    return b"\x02" + LogCodec.dumps([kind, member.id, MemberNode(member)])


def test_a_membership_change_counts_on_every_node_and_after_a_restart():  # H13, H14
    cluster = Cluster(settings=EngineSettings(compact_entries=7))
    leader = cluster.elect()
    leader.engine.roster.change("add", newcomer())
    cluster.run(0.5)
    assert rosters(cluster) == WITH_D
    # Two snapshots later, the log has forgotten the change.
    cluster.fill(leader, range(1, 20))
    assert leader.journal.first_index > 3

    for name in cluster.nodes:
        cluster.restart(name, power=True)
        assert rosters(cluster) == WITH_D


def test_a_change_that_is_not_committed_counts_after_a_restart():  # H13
    cluster = Cluster()
    leader = cluster.elect()
    cluster.isolate(leader.name)
    leader.engine.roster.change("add", newcomer())
    leader.turn()
    assert leader.engine.view().commit_index < leader.journal.last_index

    cluster.restart(leader.name, power=True)

    assert rosters(cluster)[leader.name] == WITH_D[leader.name]
    assert leader.engine._core.peer_ids() == set(WITH_D[leader.name])


def test_a_snapshot_holds_the_members_as_of_its_index():  # H14
    cluster = Cluster()
    leader = cluster.elect()
    cluster.fill(leader, range(1, 4))
    cluster.isolate(leader.name)
    leader.engine.roster.change("add", newcomer())
    leader.turn()
    assert "d" in rosters(cluster)[leader.name]

    leader.engine._core.forceLogCompaction()
    leader.turn()
    leader.turn()

    snapshot = leader.store.latest()
    assert snapshot.meta.index < leader.journal.last_index
    assert [member.id for member in decode_roster(snapshot.meta.members).members] == ["a", "b", "c"]


def test_a_received_snapshot_brings_its_members():  # H13, H14
    cluster = Cluster(5, settings=EngineSettings(compact_entries=7))
    leader = cluster.elect()
    away = cluster.followers()[0]
    cluster.isolate(away.name)
    leader.engine.roster.change("add", newcomer("f"))
    cluster.run(0.3)
    cluster.fill(leader, range(1, 20))
    assert leader.journal.first_index > away.journal.last_index
    assert "f" not in rosters(cluster)[away.name]

    cluster.cut.clear()
    cluster.run(2)

    assert "f" in rosters(cluster)[away.name]
    assert away.engine._core.peer_ids() == set(rosters(cluster)[away.name])


def test_a_member_that_a_later_entry_removed_is_not_brought_back_by_applying():  # H13
    cluster = Cluster()
    leader = cluster.elect()
    follower = cluster.followers()[0]

    def hide_commits(_from, to, message):
        if to == follower.name and message["type"] == "append_entries":
            message["commit_index"] = min(message["commit_index"], 4)
        return True

    cluster.filter = hide_commits
    leader.engine.roster.change("add", newcomer())
    cluster.run(0.3)
    cluster.fill(leader, [1])
    leader.engine.roster.change("rem", newcomer())
    cluster.run(0.3)
    assert rosters(cluster) == WITHOUT_D

    cluster.isolate(follower.name)
    cluster.restart(follower.name)

    # It has applied what added the member, and not yet what removed it: the log decides.
    assert follower.applied == 4 < follower.journal.last_index
    assert follower.engine._core.peer_ids() == set(WITHOUT_D[follower.name])


def test_two_membership_changes_are_never_under_way_at_once():  # H12
    cluster = Cluster()
    leader = cluster.elect()
    cluster.isolate(leader.name)
    leader.engine.roster.change("add", newcomer("d"))
    with pytest.raises(RosterRefusedError, match="under way"):
        leader.engine.roster.change("add", newcomer("e"))
    leader.turn()
    with pytest.raises(RosterRefusedError, match="under way"):
        leader.engine.roster.change("add", newcomer("e"))
    with pytest.raises(RosterRefusedError, match="does not lead"):
        cluster.followers()[0].engine.roster.change("add", newcomer("e"))
    assert rosters(cluster)[leader.name] == WITH_D[leader.name]


def test_a_change_that_a_deposed_leader_did_not_write_is_not_written_later():  # H12
    cluster = Cluster()
    leader = cluster.elect()
    leader.engine.roster.change("add", newcomer())
    leader.engine.received(
        cluster.followers()[0].name, {"type": "stale", "term": leader.engine.view().term + 1}
    )
    leader.turn()
    assert not leader.engine._core.is_changing_roster
    cluster.run(5)
    assert rosters(cluster) == WITHOUT_D


@pytest.mark.parametrize(
    ("kind", "who", "why"),
    [("add", "b", "already"), ("rem", "z", "not a member"), ("rem", None, "hand leadership over")],
)
def test_a_membership_change_that_makes_no_sense_is_refused(kind, who, why):
    cluster = Cluster()
    leader = cluster.elect()
    member = newcomer(who or leader.name)
    with pytest.raises(RosterRefusedError, match=why):
        leader.engine.roster.change(kind, member)


def test_a_membership_change_that_was_overwritten_is_forgotten():
    cluster = Cluster()
    old = cluster.elect()
    cluster.isolate(old.name)
    old.engine.roster.change("add", newcomer())
    old.turn()
    assert rosters(cluster)[old.name][-1] == "d"
    cluster.run(4)
    new = next(n for n in cluster.nodes.values() if n.role is Role.LEADER)
    cluster.acquire(new, 1)
    cluster.run(0.3)
    cluster.cut.clear()
    cluster.run(2)
    assert rosters(cluster) == WITHOUT_D
    assert old.engine._core.peer_ids() == set(WITHOUT_D[old.name])
    assert old.replica.table.digest() == new.replica.table.digest()


def test_a_membership_command_beside_the_procedure_stops_the_node():  # H12
    cluster = Cluster()
    leader = cluster.elect()
    with pytest.raises(FailStopError, match="beside"):
        leader.engine._core.addNodeToCluster(MemberNode(newcomer()))


def test_a_node_that_the_roster_does_not_name_does_not_start():  # H16
    cluster = Cluster()
    cluster.elect()
    node = cluster.followers()[0]
    node.kill()
    node.members = [member for member in node.members if member.id != node.name]
    with pytest.raises(FailStopError, match="removed"):
        node.start()


def test_a_removal_that_is_not_committed_does_not_keep_a_node_from_starting():
    cluster = Cluster()
    leader = cluster.elect()
    node = cluster.followers()[0]
    me = next(member for member in node.members if member.id == node.name)
    last, term = leader.journal.last_index, leader.engine.view().term
    removal = append_message(leader, [[change_command("rem", me), last + 1, term]])
    node.engine.received(leader.name, removal)
    node.turn()
    assert node.journal.last_index == last + 1

    cluster.restart(node.name)
    assert node.role is Role.FOLLOWER

    committed = append_message(leader, prevLogIdx=last + 1, commit_index=last + 1, prevLogTerm=term)
    node.engine.received(leader.name, committed)
    with pytest.raises(RemovedError, match="removed"):
        node.turn()
    node.journal.onOneSecondTimer()
    node.journal.sync()
    node.kill()
    with pytest.raises(FailStopError, match="removed"):
        node.start()
