"""Changes that reached some nodes only, and nodes that come into a cluster that was restored."""

import pytest

from gorilla.consensus.codec import RosterChange, _encoder
from gorilla.consensus.genesis import GENESIS_FILE
from gorilla.consensus.identity import GenesisRef, Identity
from gorilla.consensus.library import FailStopError
from gorilla.consensus.restoring import _MAGIC, seed_snapshot
from gorilla.consensus.snapshots import SnapshotStore
from gorilla.service.packing import pack_chunks
from gorilla.service.ports import Role
from tests.support.engines import Cluster, append_message, lagging_follower, newcomer
from tests.support.simdisk import SimDisk
from tests.unit.test_engine_membership_growth import add, join, remove, roster


def deaf(name):
    return lambda _from, to, _message: to != name


def hears_all(*_):
    return True


def leads(cluster):
    return [node for node in cluster.nodes.values() if node.role is Role.LEADER]


def test_a_cluster_of_one_grows_although_the_newcomer_missed_that_it_counts():
    cluster = Cluster()
    alone = cluster.elect()
    for name in "abc".replace(alone.name, ""):
        remove(cluster, name)
    join(cluster, "d")
    cluster.run(1)
    cluster.filter = deaf("d")
    alone.engine.roster.change("add", newcomer("d"))
    cluster.run(2)
    assert leads(cluster) == []  # two are needed, and there is no link

    cluster.filter = hears_all
    cluster.relink(alone.name, "d")
    cluster.run(5)

    assert leads(cluster)
    assert {tuple(roster(node)) for node in cluster.nodes.values()} == {(alone.name, "d")}


def test_a_newcomer_that_missed_that_it_counts_helps_to_replace_the_leader():
    cluster = Cluster()
    leader = cluster.elect()
    remove(cluster, cluster.followers()[0].name)
    other = cluster.followers()[0]
    new = join(cluster, "d")
    cluster.run(1)
    cluster.filter = deaf("d")
    leader.engine.roster.change("add", newcomer("d"))
    cluster.run(0.3)
    assert leader.engine.view().commit_index == leader.journal.last_index  # by the other two
    assert not new.engine._voters.counts_me

    cluster.remove(leader.name)
    cluster.filter = hears_all
    cluster.relink(other.name, "d")
    cluster.run(5)

    assert leads(cluster) == [other]
    assert roster(new) == sorted([leader.name, other.name, "d"])


def test_a_node_that_does_not_count_yet_waits_without_turning_all_the_time():
    cluster = Cluster()
    cluster.elect()
    new = join(cluster, "d")
    cluster.run(1)
    cluster.isolate("d")
    cluster.run(5)
    assert new.engine.next_due() - new.engine.now() == pytest.approx(new.settings.turn_s)


def test_a_member_whose_removal_was_overwritten_gets_the_log_again():
    cluster, leader, away = lagging_follower()
    cluster.cut.clear()
    away.holds_offloads = True
    cluster.run(0.5)
    assert away.name in leader.engine._leading._parked
    cluster.isolate(leader.name)
    leader.engine.roster.change("rem", newcomer(away.name))
    cluster.run(0.3)
    assert away.name not in roster(leader)
    away.release_offloads()
    cluster.run(4)
    cluster.cut.clear()
    cluster.run(4)

    if leads(cluster) != [leader]:
        cluster.leader().engine.roster.transfer(leader.name)
        cluster.run(1)
    assert cluster.leader() is leader
    cluster.fill(leader, range(100, 103))

    assert roster(leader) == list("abc")
    assert away.applied == leader.applied


def test_a_change_of_a_kind_that_is_unknown_here_stops_the_node_before_it_is_in_its_log():
    cluster = Cluster()
    leader = cluster.elect()
    node = cluster.followers()[0]
    last, term = leader.journal.last_index, leader.engine.view().term
    command = b"\x02R" + _encoder.encode(RosterChange(1, "witness", newcomer()))
    with pytest.raises(FailStopError, match="upgrade this node first"):
        node.engine.received(leader.name, append_message(leader, [[command, last + 1, term]]))
    assert node.journal.last_index == last


def restored_from(node, name, members):
    """Make the disk of a member of a new cluster that begins with the state of ``node``."""
    disk = SimDisk()
    file = disk.append(GENESIS_FILE)
    for piece in (_MAGIC, *pack_chunks(node.replica.freeze().chunks()).pieces):
        file.write(piece)
    file.sync()
    disk.sync_directory()
    identity = Identity(
        node_id=name,
        name=name,
        cluster_id="cluster",
        members=tuple(members),
        genesis=GenesisRef(size=1, sha256=""),
    )
    assert seed_snapshot(disk, SnapshotStore(disk), identity)
    return disk


def test_a_node_that_is_added_to_a_restored_cluster_gets_the_restored_state():
    cluster = Cluster()
    leader = cluster.elect()
    cluster.fill(leader, range(1, 5))
    for node in cluster.nodes.values():
        node.disk = restored_from(leader, node.name, node.members)
    for node in cluster.nodes.values():
        node.start()
    cluster.connect("a")
    cluster.relink("b", "c")
    leader = cluster.elect()
    assert leader.replica.table.held == 4

    new = add(cluster, "d")

    assert new.replica.table.held == 4
    assert len(cluster.digests()) == 1
    assert roster(new) == list("abcd")
