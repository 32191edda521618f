"""Engines in one process, with messages, disks and time in the test's hands."""

import random

import msgspec

from gorilla.consensus.engine import Engine
from gorilla.consensus.journal import Journal
from gorilla.consensus.settings import EngineSettings
from gorilla.consensus.snapshots import SnapshotStore
from gorilla.domain import codec
from gorilla.domain.commands import Acquire, Batch
from gorilla.service.ports import Member, Role
from gorilla.service.replica import LockReplica
from tests.support.simdisk import SimDisk

SETTINGS = EngineSettings(compact_entries=1_000_000)


class TestClock:
    __test__ = False

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now

    def wall_ms(self):
        return int(self.now * 1000)


class Post:
    """The wire of one node: what it sends waits in ``sent`` until the test delivers it."""

    def __init__(self):
        self.sent = []

    def send(self, peer, message):
        self.sent.append((peer, msgspec.msgpack.decode(msgspec.msgpack.encode(message))))

    def flush(self):
        pass


class Node:
    segment_bytes = 1 << 26

    def __init__(self, name, members, clock, disk=None, settings=SETTINGS, seed=0, joining=None):
        self.name, self.members, self.clock, self.settings = name, members, clock, settings
        self.disk = disk or SimDisk()
        self.seed = seed
        self.joining = joining
        self.cluster_id = "cluster"
        self.retain_entries, self.retain_bytes = 4, 1 << 20
        self.holds_offloads = False
        self.start()

    def start(self):
        self.post = Post()
        self.offloaded = []
        self.outcomes = {}
        self.refused = []
        self.replica = LockReplica(
            self.clock, self.outcomes.__setitem__, self.refused.append, f"origin-{self.name}"
        )
        self.journal = Journal.open(
            self.disk,
            node=self.name,
            retain_entries=self.retain_entries,
            retain_bytes=self.retain_bytes,
            segment_bytes=self.segment_bytes,
        )
        self.store = SnapshotStore(self.disk)
        self.engine = Engine(
            me=self.name,
            members=self.members,
            cluster_id=self.cluster_id,
            settings=self.settings,
            replica=self.replica,
            journal=self.journal,
            snapshots=self.store,
            wire=self.post,
            monotonic=self.clock.monotonic,
            random=random.Random(f"{self.name}{self.seed}"),
            offload=self.offload,
            joining=self.joining,
        )
        self.engine.turn()

    def offload(self, work, done):
        if self.holds_offloads:
            self.offloaded.append((work, done))
        else:
            self.run_offload(work, done)

    def release_offloads(self):
        """Let the worker thread do what it was given."""
        self.holds_offloads = False
        held, self.offloaded = self.offloaded, []
        for work, done in held:
            self.run_offload(work, done)

    def run_offload(self, work, done):
        try:
            work()
        except Exception as error:
            done(error)
        else:
            done(None)

    def kill(self, *, power=False, seed=1):
        self.disk.crash(random.Random(seed), power=power)

    def turn(self):
        while self.engine.turn():
            pass

    @property
    def role(self):
        return self.engine.view().role

    @property
    def applied(self):
        return self.engine.view().applied_index

    def sent(self, *kinds):
        """What waits to be delivered, of these types."""
        return [message for _, message in self.post.sent if message["type"] in kinds]


def batch(name, number, lock="lock", holder="holder", ttl_ms=600_000, *, opens=True):
    command = Acquire(lock, holder, ttl_ms, f"secret-{name}-{number}-0123456789")
    return codec.encode_batch(Batch(f"origin-{name}", 0, opens, ((number, command),)))


class Cluster:
    """Nodes that hear each other unless the test cuts a link (a directed pair)."""

    def __init__(self, count=3, **options):
        self.clock = TestClock()
        names = "abcde"[:count]
        members = [Member(id=n, name=n, peer=f"{n}:1", http=f"{n}:2") for n in names]
        self.nodes = {n: Node(n, members, self.clock, **options) for n in names}
        self.cut = set()
        self.filter = lambda _frm, _to, _message: True
        for name in names:
            self.connect(name)

    def connect(self, name):
        for other in self.nodes:
            if other != name:
                self.nodes[name].engine.connected(other)
                self.nodes[other].engine.connected(name)

    def restart(self, name, **crash):
        node = self.nodes[name]
        node.kill(**crash)
        for other in self.nodes.values():
            if other is not node:
                other.engine.disconnected(name)
        node.start()
        self.connect(name)

    def isolate(self, name):
        others = [n for n in self.nodes if n != name]
        self.cut |= {(name, o) for o in others} | {(o, name) for o in others}

    def relink(self, one, two):
        """Break the connection between two nodes, with all that is under way, and make it anew."""
        for name, other in ((one, two), (two, one)):
            node = self.nodes[name]
            node.post.sent = [(to, m) for to, m in node.post.sent if to != other]
            node.engine.disconnected(other)
        self.nodes[one].engine.connected(two)
        self.nodes[two].engine.connected(one)

    def remove(self, name):
        """Let a node die; all others notice."""
        del self.nodes[name]
        for node in self.nodes.values():
            node.engine.disconnected(name)

    def deliver(self):
        moved = False
        for name, node in self.nodes.items():
            box, node.post.sent = node.post.sent, []
            for to, message in box:
                moved = True
                if to not in self.nodes or (name, to) in self.cut:
                    continue
                if self.filter(name, to, message):
                    self.nodes[to].engine.received(name, message)
        return moved

    def settle(self):
        for _ in range(200):
            for node in self.nodes.values():
                node.turn()
            if not self.deliver():
                return
        raise AssertionError("messages never stop")

    def run(self, seconds, step=0.02):
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now += step
            for node in self.nodes.values():
                node.turn()
            self.deliver()

    def leader(self):
        leaders = [n for n in self.nodes.values() if n.role is Role.LEADER]
        assert len(leaders) == 1, [n.name for n in leaders]
        return leaders[0]

    def elect(self):
        self.run(3)
        return self.leader()

    def followers(self):
        leader = self.leader()
        return [n for n in self.nodes.values() if n is not leader]

    def fill(self, node, numbers):
        """Take a lock for each number, one entry each."""
        for number in numbers:
            assert self.acquire(node, number, lock=f"l{number}")
            self.run(0.06)

    def digests(self):
        return {node.replica.table.digest() for node in self.nodes.values()}

    def acquire(self, node, number, **what):
        """Offer an acquire at ``node``; returns whether it was taken."""
        return node.engine.offer(number, batch(node.name, number, **what))


def lagging_follower(entries=30, **options):
    """A cluster whose leader's log no longer has what one follower, cut off, needs next."""
    cluster = Cluster(settings=EngineSettings(compact_entries=7), **options)
    leader = cluster.elect()
    away = cluster.followers()[0]
    cluster.isolate(away.name)
    cluster.fill(leader, range(1, entries))
    assert leader.journal.first_index > away.journal.last_index
    return cluster, leader, away


def newcomer(name="d"):
    return Member(id=name, name=name, peer=f"{name}:1", http=f"{name}:2")


def acknowledgement(node, index, **changes):
    """Make what a follower would say to leader ``node`` when its log reaches ``index``."""
    return {
        "type": "next_node_idx",
        "next_node_idx": index + 1,
        "success": True,
        "reset": False,
        "term": node.engine.view().term,
        "echo": 1,
    } | changes


def snapshot_piece(index, term, data=b"x", **changes):
    """Make a message of a snapshot transfer."""
    whole = {"total": len(data), "offset": 0, "data": data}
    return {"type": "install", "term": term, "index": index} | whole | changes


def append_message(leader, entries=(), **changes):
    """Make an append that ``leader`` might send at the end of its log."""
    return {
        "type": "append_entries",
        "term": leader.engine.view().term,
        "commit_index": 1,
        "entries": list(entries),
        "prevLogIdx": leader.journal.last_index,
        "prevLogTerm": leader.journal.last_term,
        "seq": 1_000,
        "chain": [1, None],
    } | changes
