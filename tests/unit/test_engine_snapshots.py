"""Snapshots on their way to a follower that is far behind. Hazards: docs/track-record.md."""

import pytest

from gorilla.consensus import shipping
from gorilla.consensus.library import FailStopError
from gorilla.consensus.settings import EngineSettings
from gorilla.consensus.shipping import Installer
from gorilla.consensus.snapshots import CorruptSnapshotError, SnapshotMeta, SnapshotStore
from gorilla.service.ports import Role
from tests.support.engines import Cluster, lagging_follower, snapshot_piece
from tests.support.simdisk import SimDisk


@pytest.fixture
def small_pieces(monkeypatch):
    """Snapshots of a few kilobytes travel in many pieces, and exceed the window by far."""
    monkeypatch.setattr(shipping, "CHUNK_BYTES", 64)
    monkeypatch.setattr(shipping, "WINDOW_BYTES", 128)


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


def test_no_append_without_a_place_in_the_log_ever_leaves_a_node():  # H1, H36
    cluster, _, away = lagging_follower()
    kinds = []

    def look(_from, to, message):
        if to == away.name:
            kinds.append((message["type"], "prevLogIdx" in message))
        return True

    cluster.filter = look
    cluster.cut.clear()
    cluster.run(2)
    assert ("install", False) in kinds
    assert ("append_entries", True) in kinds
    assert ("append_entries", False) not in kinds


@pytest.mark.parametrize("index", [3, 10_000])
def test_a_deposed_leader_does_not_apply_its_tail_on_a_snapshot_message(index):  # H1
    cluster = Cluster()
    old = cluster.elect()
    cluster.fill(old, range(1, 5))
    cluster.isolate(old.name)
    assert cluster.acquire(old, 5, lock="tail")
    old.turn()
    before, term = old.applied, old.engine.view().term + 5

    other = cluster.followers()[0].name
    old.engine.received(other, snapshot_piece(index, term, total=100))
    old.turn()

    assert old.role is Role.FOLLOWER
    assert old.applied == before
    assert 5 not in old.outcomes


def test_a_damaged_snapshot_is_neither_installed_nor_acknowledged():  # H10
    cluster, leader, away = lagging_follower()
    applied = away.applied
    damaged, claims = [], []

    def damage(frm, to, message):
        if message["type"] == "install" and message["data"] and len(damaged) < 3:
            data = bytearray(message["data"])
            data[len(data) // 2] ^= 1
            message["data"] = bytes(data)
            damaged.append(to)
        if frm == away.name and message["type"] == "next_node_idx" and message["success"]:
            claims.append(message["next_node_idx"] - 1 <= away.journal.durable_index)
        return True

    cluster.filter = damage
    cluster.cut.clear()
    cluster.run(0.2)
    assert damaged
    assert away.applied == applied
    assert away.store.latest() is None
    cluster.run(3)
    assert away.replica.table.digest() == leader.replica.table.digest()
    assert all(claims)


def test_a_leader_whose_snapshot_was_damaged_on_its_disk_stops_and_names_the_place():
    cluster, leader, away = lagging_follower()
    snapshot = leader.store.latest()
    data = leader.disk._names[snapshot.name].data
    data[len(data) // 2] ^= 1

    cluster.cut.clear()
    with pytest.raises(CorruptSnapshotError, match=rf"^{snapshot.name} at byte \d+: a section is "):
        cluster.run(3)
    assert away.store.latest() is None

    cluster.remove(leader.name)
    cluster.run(3)
    assert cluster.leader() is not away


def test_an_old_snapshot_does_not_move_the_state_back():  # H11
    cluster = Cluster()
    leader = cluster.elect()
    cluster.fill(leader, range(1, 10))
    follower = cluster.followers()[0]
    applied = follower.applied
    follower.post.sent.clear()
    follower.engine.received(
        leader.name, snapshot_piece(applied - 3, leader.engine.view().term, total=1)
    )
    follower.turn()
    assert follower.sent("next_node_idx")[-1]["next_node_idx"] == applied + 1
    assert follower.sent("installing") == []
    assert follower.applied == applied


def test_a_snapshot_of_what_the_log_has_already_leaves_the_log_as_it_is():  # H11
    cluster = Cluster(settings=EngineSettings(compact_entries=7))
    leader = cluster.elect()
    follower = cluster.followers()[0]

    def hide_commits(_from, to, message):
        if to == follower.name and message["type"] == "append_entries":
            message["commit_index"] = min(message["commit_index"], 2)
        return True

    cluster.filter = hide_commits
    cluster.fill(leader, range(1, 22))
    snapshot, last = leader.store.latest(), follower.journal.last_index
    assert follower.applied == 2 < snapshot.meta.index < last

    follower.post.sent.clear()
    data = snapshot.read(0, snapshot.size)
    piece = snapshot_piece(snapshot.meta.index, leader.engine.view().term, data)
    follower.engine.received(leader.name, piece)
    follower.turn()

    assert follower.sent("next_node_idx")[-1]["next_node_idx"] == snapshot.meta.index + 1
    assert follower.journal.last_index == last
    assert follower.applied == 2


def test_a_snapshot_larger_than_the_window_arrives(small_pieces):
    cluster, leader, away = lagging_follower()
    assert leader.store.latest().size > 5 * shipping.WINDOW_BYTES
    cluster.cut.clear()
    cluster.run(6)
    assert away.replica.table.digest() == leader.replica.table.digest()


def test_a_follower_restarted_in_the_middle_of_a_snapshot_gets_it_anew(small_pieces):
    cluster, leader, away = lagging_follower()
    cluster.cut.clear()
    cluster.run(0.3)
    assert away.engine.view().snapshot_index == 0
    assert any(name.endswith(".part") for name in away.disk.names())
    cluster.restart(away.name, power=True)
    cluster.run(6)
    assert away.replica.table.digest() == leader.replica.table.digest()


def test_a_snapshot_goes_on_from_the_next_leader_when_its_sender_dies(small_pieces):
    cluster, leader, away = lagging_follower()
    cluster.cut.clear()
    cluster.run(0.3)
    assert away.engine.view().snapshot_index == 0
    cluster.remove(leader.name)
    cluster.run(8)
    other = cluster.leader()
    assert other is not away
    assert away.replica.table.digest() == other.replica.table.digest()


def test_a_follower_that_got_a_snapshot_too_late_gets_the_next_one():
    cluster, leader, away = lagging_follower()
    held = []

    def hold_snapshots(_from, _to, message):
        if message["type"] == "install":
            held.append(message)
        return message["type"] != "install"

    cluster.filter = hold_snapshots
    cluster.cut.clear()
    cluster.run(0.3)
    sent = next(message for message in held if message["data"])
    assert sent["total"] == len(sent["data"])
    cluster.fill(leader, range(30, 60))
    assert leader.journal.first_index > sent["index"]

    cluster.filter = lambda *_: True
    away.engine.received(leader.name, sent)
    assert away.applied == sent["index"]
    cluster.run(2)

    assert away.replica.table.digest() == leader.replica.table.digest()


def test_a_snapshot_that_is_replaced_while_it_is_sent_is_followed_by_its_successor(small_pieces):
    cluster, leader, away = lagging_follower()
    cluster.cut.clear()
    cluster.run(0.3)
    first = leader.store.latest().meta.index
    cluster.fill(leader, range(30, 50))
    assert leader.store.latest().meta.index > first
    assert away.engine.view().snapshot_index == 0
    cluster.run(8)
    assert away.replica.table.digest() == leader.replica.table.digest()
    assert away.engine.view().snapshot_index > first


def test_a_leader_that_waits_for_a_follower_to_verify_keeps_its_office():
    cluster, leader, away = lagging_follower()
    away.holds_offloads = True
    cluster.cut.clear()
    cluster.run(0.3)
    third = next(n for n in cluster.nodes if n not in (leader.name, away.name))
    cluster.isolate(third)
    cluster.run(3)
    assert leader.role is Role.LEADER
    away.release_offloads()
    cluster.run(1)
    assert away.replica.table.digest() == leader.replica.table.digest()


def test_a_local_snapshot_of_another_cluster_is_refused():  # H16
    cluster = Cluster(settings=EngineSettings(compact_entries=7))
    leader = cluster.elect()
    cluster.fill(leader, range(1, 20))
    leader.kill()
    leader.cluster_id = "another"
    with pytest.raises(FailStopError, match="of cluster"):
        leader.start()


# -- the receiving side by itself


def snapshot_file(index, chunk):
    store = SnapshotStore(SimDisk())
    previous, last = (b"\x01", index - 1, 1), (b"\x01", index, 1)
    meta = SnapshotMeta(
        index=index, term=1, last=last, previous=previous, members=b"", cluster_id="cluster"
    )
    writer = store.begin(meta)
    writer.write(chunk)
    writer.commit_file()
    snapshot = writer.publish()
    return snapshot.read(0, snapshot.size)


class Receiving:
    def __init__(self):
        self.answers, self.installed, self.offloaded = [], [], []
        self.installer = Installer(
            SnapshotStore(SimDisk()),
            lambda work, done: self.offloaded.append((work, done)),
            lambda peer, message: self.answers.append((peer, message)),
            b"".join,
            lambda meta, _receiver, state: self.installed.append((meta.index, state)),
        )

    def piece(self, peer, index, data, offset, size):
        part = data[offset : offset + size]
        message = snapshot_piece(index, 1, part, total=len(data), offset=offset)
        self.installer.receive(peer, message)
        return self.answers[-1][1]

    def work(self):
        held, self.offloaded = self.offloaded, []
        for work, done in held:
            work()
            done(None)


def test_pieces_of_two_senders_are_never_joined():
    receiving = Receiving()
    one, two = snapshot_file(50, b"short"), snapshot_file(50, bytes(range(200)))
    assert len(one) < len(two)
    receiving.piece("a", 50, one, 0, 64)

    answer = receiving.piece("b", 50, two, 0, 64)
    assert (answer["offset"], answer["again"]) == (64, False)
    receiving.piece("b", 50, two, 64, len(two))
    receiving.work()

    assert receiving.installed == [(50, bytes(range(200)))]


def test_a_piece_that_does_not_fit_asks_to_go_back():
    receiving = Receiving()
    data = snapshot_file(50, bytes(range(200)))
    answer = receiving.piece("a", 50, data, 64, 64)
    assert (answer["offset"], answer["again"]) == (0, True)


def test_a_sender_hears_of_the_follower_also_while_another_snapshot_is_verified():
    receiving = Receiving()
    one, two = snapshot_file(50, b"one"), snapshot_file(80, b"two")
    receiving.piece("a", 50, one, 0, len(one))
    assert receiving.offloaded

    answer = receiving.piece("b", 80, two, 0, 64)

    assert (answer["index"], answer["offset"], answer["again"]) == (80, 0, False)


def test_what_is_retained_behind_a_snapshot_is_no_reason_for_the_next_one():
    settings = EngineSettings(compact_entries=10**9, compact_bytes=20_000)
    cluster = Cluster(1, settings=settings)
    node = cluster.nodes["a"]
    node.kill()
    node.retain_entries, node.retain_bytes = 10_000, 30_000
    node.start()
    written = []
    node.engine.on_apply = lambda _index, _term, payload: written.append(len(payload))
    cluster.run(1.5)
    snapshots = set()

    for number in range(1, 500):
        cluster.acquire(node, number, lock=f"l{number}".ljust(200, "-"))
        cluster.run(0.02)
        snapshots.add(node.engine.view().snapshot_index)

    assert sum(written) > 4 * settings.compact_bytes
    assert 2 <= len(snapshots) <= 1 + sum(written) / settings.compact_bytes
