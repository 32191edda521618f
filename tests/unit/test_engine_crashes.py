"""Kill -9 and power loss at any moment: what was acknowledged is there. docs/track-record.md."""

import errno
import os
import re

import pytest

from gorilla.consensus.journal import CorruptJournalError
from gorilla.consensus.settings import EngineSettings
from gorilla.consensus.snapshots import SnapshotFailedError
from gorilla.service.ports import Role
from tests.support.engines import Cluster
from tests.support.journals import Killed, kill_at

LOCKS = 14


@pytest.mark.parametrize("power", [False, True])
def test_every_acknowledged_grant_is_there_after_all_nodes_were_killed(power):  # H2, H3, H8
    cluster = Cluster(settings=EngineSettings(compact_entries=7))
    leader = cluster.elect()
    cluster.fill(leader, range(1, 40))
    assert len(leader.outcomes) == 39
    assert leader.engine.view().snapshot_index > 20

    for seed, name in enumerate(cluster.nodes):
        cluster.restart(name, power=power, seed=seed)
    cluster.elect()

    assert {node.replica.table.held for node in cluster.nodes.values()} == {39}
    assert len(cluster.digests()) == 1


def small_node():
    """One node alone, which shortens its log and rotates its journal all the time."""
    cluster = Cluster(1, settings=EngineSettings(compact_entries=4))
    node = cluster.nodes["a"]
    node.segment_bytes = 600
    cluster.restart("a")
    cluster.run(0.1)
    return cluster, node


def work_until_killed(cluster, node):
    """Take locks one by one; returns the numbers that were acknowledged."""
    try:
        for number in range(1, LOCKS + 1):
            cluster.acquire(node, number, lock=f"l{number}")
            node.turn()
            node.turn()
    except Killed:
        node.disk.on_op = None
    return dict(node.outcomes)


def moments():
    """Count the moments of a disk at which the work may be killed."""
    cluster, node = small_node()
    operations = []
    node.disk.on_op = operations.append
    work_until_killed(cluster, node)
    assert any("rename" in what for what in operations)
    assert sum("remove" in what for what in operations) > 4
    return len(operations)


@pytest.mark.parametrize("power", [False, True])
def test_killed_at_any_moment_of_its_disk_a_node_keeps_what_it_acknowledged(power):
    # H2, H3, H4, H7, H8, H9, H21
    for moment in range(moments()):
        cluster, node = small_node()
        term = node.journal.getCurrentTerm()
        kill_at(node.disk, moment)
        acknowledged = work_until_killed(cluster, node)

        cluster.restart("a", power=power, seed=moment)
        cluster.run(0.1)

        table = node.replica.table
        lost = [n for n in acknowledged if table.lease(f"l{n}") is None]
        assert not lost, (moment, lost)
        assert node.role is Role.LEADER
        assert node.journal.getCurrentTerm() > term
        tokens = {table.lease(f"l{n}").fencing_token for n in acknowledged}
        assert cluster.acquire(node, 99, lock="next")
        node.turn()
        assert node.outcomes[99].lease.fencing_token > max(tokens, default=0)


def test_a_vote_survives_a_restart():  # H9
    cluster = Cluster()
    cluster.elect()
    node = cluster.followers()[0]
    term, vote = node.journal.getCurrentTerm(), node.journal.getVotedForNodeId()
    assert vote is not None
    cluster.restart(node.name, power=True)
    assert (node.journal.getCurrentTerm(), node.journal.getVotedForNodeId()) == (term, vote)

    other = next(name for name in cluster.nodes if name not in (vote, node.name))
    node.post.sent.clear()
    candidacy = {"type": "request_vote", "term": term, "last_log_index": 99, "last_log_term": term}
    node.engine.received(other, candidacy | {"forced": True})
    node.turn()
    assert node.sent("response_vote") == []


def test_a_restarted_node_takes_nothing_for_committed_that_was_not():  # H8
    cluster = Cluster()
    leader = cluster.elect()
    cluster.fill(leader, range(1, 10))
    cluster.isolate(leader.name)
    cluster.acquire(leader, 10, lock="tail")
    leader.turn()
    tail, applied = leader.journal.last_index, leader.applied
    assert leader.journal.durable_index == tail > applied

    cluster.restart(leader.name, power=True)
    cluster.run(2)

    assert leader.journal.last_index == tail
    assert leader.applied <= applied
    assert leader.replica.table.lease("tail") is None


def test_the_log_is_shortened_only_after_the_snapshot_is_on_disk():  # H3, H21
    cluster = Cluster(1, settings=EngineSettings(compact_entries=10))
    node = cluster.elect()
    node.holds_offloads = True
    cluster.fill(node, range(1, 20))
    assert node.offloaded
    assert node.journal.first_index == 1
    assert node.store.latest() is None

    node.release_offloads()
    cluster.run(0.1)
    snapshot = node.store.latest()
    assert snapshot is not None
    assert node.engine.view().snapshot_index == snapshot.meta.index
    assert 1 < node.journal.first_index < snapshot.meta.index


def test_a_node_killed_while_its_snapshot_is_written_has_its_log():  # H21
    cluster = Cluster(1, settings=EngineSettings(compact_entries=4))
    node = cluster.elect()
    node.holds_offloads = True
    cluster.fill(node, range(1, 20))
    assert node.offloaded
    cluster.restart("a", power=True)
    assert node.store.latest() is None
    cluster.run(0.1)
    assert node.replica.table.held == 19


def test_a_log_whose_snapshot_is_gone_is_refused():  # H2, H22
    cluster = Cluster(1, settings=EngineSettings(compact_entries=4))
    node = cluster.elect()
    cluster.fill(node, range(1, 20))
    node.kill()
    node.disk.remove(node.store.latest().name)
    with pytest.raises(CorruptJournalError, match="no snapshot"):
        node.start()


def test_a_snapshot_ahead_of_the_journal_is_taken_and_the_node_goes_on():  # H2
    cluster = Cluster(settings=EngineSettings(compact_entries=7))
    leader = cluster.elect()
    away = cluster.followers()[0]
    cluster.isolate(away.name)
    cluster.fill(leader, range(1, 30))
    cluster.cut.clear()
    # Killed when the received snapshot has its name and the journal does not know of it yet.
    renames = []

    def on_op(what):
        if what.startswith("rename") and what.endswith("after"):
            renames.append(what)
        elif renames and what.startswith("write journal"):
            raise Killed(what)

    away.disk.on_op = on_op
    with pytest.raises(Killed):
        cluster.run(2)
    cluster.restart(away.name, power=True)

    assert away.applied >= away.store.latest().meta.index > 20
    cluster.run(1)
    assert away.replica.table.digest() == leader.replica.table.digest()


# -- the disk refuses something of a snapshot


def refusing(node, code, where):
    """Refuse what ``where`` matches, once; tells what was asked of the disk afterwards."""
    asked = []

    def on_op(what):
        if asked:
            asked.append(what)
        elif re.fullmatch(where, what):
            asked.append(what)
            raise OSError(code, os.strerror(code))

    node.disk.on_op = on_op
    return asked


def work(cluster, node, *numbers):
    for number in numbers:
        assert cluster.acquire(node, number, lock=f"l{number}")
        node.turn()
        node.turn()


@pytest.mark.parametrize(
    "where", [r"write snapshot-\d\.part within", r"sync snapshot-\d\.part before"]
)
def test_a_snapshot_that_finds_no_room_is_made_later(where):
    cluster, node = small_node()
    asked = refusing(node, errno.ENOSPC, where)
    work(cluster, node, *range(1, 8))
    assert asked
    assert node.engine.view().snapshot_index < 4
    assert not [name for name in node.disk.names() if name.endswith(".part")]
    assert len(node.outcomes) == 7

    cluster.run(11)
    assert node.engine.view().snapshot_index > 7


@pytest.mark.parametrize(
    "where",
    [
        r"write snapshot-\d\.part within",
        r"sync snapshot-\d\.part before",
        r"rename snapshot-\d\.part before",
        r"sync_directory \. before",
    ],
)
@pytest.mark.parametrize("code", [errno.EIO, errno.EROFS], ids=["broken", "read-only"])
def test_what_a_disk_refuses_of_a_snapshot_stops_the_node_and_is_not_asked_again(code, where):
    cluster, node = small_node()
    asked = refusing(node, code, where)

    with pytest.raises(SnapshotFailedError, match=r"the snapshot of entry \d+ can't be written: "):
        work(cluster, node, *range(1, 8))

    assert [what for what in asked[1:] if what.startswith(("sync", "rename", "write"))] == []
    answered = set(node.outcomes)
    cluster.restart("a", power=True)
    cluster.run(0.1)
    assert {f"l{number}" for number in answered} <= set(held(node))


def held(node):
    return [f"l{n}" for n in range(1, 8) if node.replica.table.lease(f"l{n}") is not None]
