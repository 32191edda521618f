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
    def __init__(self, name, members, clock, disk=None, settings=SETTINGS, seed=0):
        self.name, self.members, self.clock, self.settings = name, members, clock, settings
        self.disk = disk or SimDisk()
        self.seed = seed
        self.cluster_id = "cluster"
        self.offloaded = []
        self.start()

    def start(self):
        self.post = Post()
        self.outcomes = {}
        self.refused = []
        self.replica = LockReplica(
            self.clock, self.outcomes.__setitem__, self.refused.append, f"origin-{self.name}"
        )
        self.journal = Journal.open(
            self.disk,
            node=self.name,
            retain_entries=4,
            retain_bytes=1 << 20,
            segment_bytes=1 << 26,
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
        )
        self.engine.turn()

    def offload(self, work, done):
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

    def acquire(self, node, number, **what):
        """Offer an acquire at ``node``; returns whether it was taken."""
        return node.engine.offer(number, batch(node.name, number, **what))
