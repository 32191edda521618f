"""Nodes in one process on a real event loop, whose membership can be changed at any of them."""

import asyncio
import random
import time

import msgspec

from gorilla.consensus.driver import Driver
from gorilla.consensus.engine import Engine
from gorilla.consensus.journal import Journal
from gorilla.consensus.membership.asking import ClusterChanges
from gorilla.consensus.peers.handshake import PeerInfo
from gorilla.consensus.peers.joining import InviteError
from gorilla.consensus.settings import EngineSettings
from gorilla.consensus.snapshots import SnapshotStore
from gorilla.service.ports import Member, Role
from gorilla.service.replica import LockReplica
from tests.support.engines import batch
from tests.support.simdisk import SimDisk

# Fast, and still slow beside what a busy machine holds up.
FAST = EngineSettings(heartbeat_s=0.05, election_s_min=0.35, election_s_max=0.7, fallback_s=0.6)
DEADLINE_S = 10.0


def member(name):
    return Member(id=f"id-{name}", name=name, peer=f"{name}:1", http=f"{name}:2")


class RealClock:
    monotonic = staticmethod(time.monotonic)

    @staticmethod
    def wall_ms():
        return 0


class ChangingNode:
    """One node; as its own ``PeerAccess`` it finds newcomers in the town."""

    def __init__(self, town, name, members, *, joining=None):
        self.town, self.name, self.member = town, name, joining or member(name)
        self.dialled = ()
        self.failures = []
        self.drains = []
        self.outcomes = {}
        self.joining = joining
        clock, disk = RealClock(), SimDisk()
        self.replica = LockReplica(
            clock, self.outcomes.__setitem__, lambda _: None, f"origin-{name}"
        )
        self.journal = Journal.open(
            disk, node=self.member.id, retain_entries=4, retain_bytes=1 << 20, segment_bytes=1 << 26
        )
        self.engine = Engine(
            me=self.member.id,
            members=members,
            cluster_id="c",
            settings=FAST,
            replica=self.replica,
            journal=self.journal,
            snapshots=SnapshotStore(disk),
            wire=self,
            monotonic=clock.monotonic,
            random=random.Random(name),
            offload=lambda work, done: self.driver.offload(work, done),  # noqa: PLW0108  not there yet
            joining=joining,
        )
        self.driver = Driver(self.engine, on_change=lambda: None, on_failure=self.failures.append)
        self.changes = ClusterChanges(
            self.engine, self.driver, self, random.Random(name), on_drain=self.drains.append
        )
        self.driver.start()

    # -- consensus.ports.Wire

    def send(self, peer, message):
        self.town.carry(self.member.id, peer, msgspec.msgpack.encode(message))

    def flush(self):
        pass

    # -- consensus.peers.joining.PeerAccess

    def dial(self, nodes):
        self.dialled = tuple(nodes)

    def unformed(self, name):
        is_dialled = any(one.name == name for one in self.dialled)
        return self.town.waiting.get(name) if is_dialled else None

    async def invite(self, joiner, members, deadline_s):
        if joiner.name in self.town.declining:
            raise InviteError(f"{joiner.name} does not come: it belongs to another cluster")
        if joiner.name not in self.town.nodes:
            self.town.start(joiner.name, members, joining=joiner)

    # -- looking

    @property
    def role(self):
        return self.driver.view().role

    def names(self):
        """Names of the members by this node's newest roster."""
        return sorted(one.name for one in self.engine.roster.members)


class Town:
    """Nodes and the connections between them; ``cut`` holds pairs of names that hear nothing."""

    def __init__(self, names="abc"):
        self.loop = asyncio.get_running_loop()
        self.nodes = {}
        self.waiting = {}
        self.declining = set()
        self.linked = set()
        members = [member(name) for name in names]
        for name in names:
            self.start(name, members)

    def start(self, name, members, *, joining=None):
        """Start a node, and link it with all others."""
        node = ChangingNode(self, name, members, joining=joining)
        self.nodes[name] = node
        for other in self.nodes.values():
            if other is not node:
                self.link(node, other)
        return node

    def link(self, one, two):
        self.linked |= {(one.member.id, two.member.id), (two.member.id, one.member.id)}
        one.driver.connected(two.member.id, info(two.name))
        two.driver.connected(one.member.id, info(one.name))

    def unlink(self, one, two):
        self.linked -= {(one.member.id, two.member.id), (two.member.id, one.member.id)}
        one.driver.disconnected(two.member.id)
        two.driver.disconnected(one.member.id)

    def isolate(self, node):
        for other in self.nodes.values():
            if other is not node and (node.member.id, other.member.id) in self.linked:
                self.unlink(node, other)

    def rejoin(self, node):
        for other in self.nodes.values():
            if other is not node:
                self.link(node, other)

    def stop(self, node):
        """The process of a node is gone."""
        node.driver.stop()
        del self.nodes[node.name]
        for other in self.nodes.values():
            if (node.member.id, other.member.id) in self.linked:
                self.linked -= {
                    (node.member.id, other.member.id),
                    (other.member.id, node.member.id),
                }
                other.driver.disconnected(node.member.id)

    def carry(self, frm, to, data):
        if (frm, to) in self.linked:
            self.loop.call_soon(self._arrive, frm, to, data)

    def _arrive(self, frm, to, data):
        node = next((one for one in self.nodes.values() if one.member.id == to), None)
        if node is not None and (frm, to) in self.linked:
            node.driver.received(frm, msgspec.msgpack.decode(data))

    def newcomer(self, name, its_id=None):
        """A node that waits to be added: it is seen by whoever dials it."""
        self.waiting[name] = info(name, cluster_id=None, its_id=its_id)

    def close(self):
        for node in self.nodes.values():
            node.driver.stop()

    # -- looking

    async def until(self, condition, what="it"):
        async with asyncio.timeout(DEADLINE_S):
            while not (found := condition()):
                await asyncio.sleep(0.005)
        return found

    def leading(self):
        return next((n for n in self.nodes.values() if n.engine.roster.leads), None)

    async def leader(self):
        return await self.until(self.leading)

    async def follower(self):
        leader = await self.leader()
        return await self.until(
            lambda: next(
                (
                    one
                    for one in self.nodes.values()
                    if one is not leader and one.driver.view().leader == leader.member
                ),
                None,
            )
        )

    async def roster(self, names):
        """Wait until every node's newest roster is this."""
        wanted = sorted(names)
        await self.until(
            lambda: all(self.nodes[n].names() == wanted for n in wanted),
        )

    async def change(self, node, change, *, force=False, dry_run=False, within_s=DEADLINE_S):
        deadline_s = self.loop.time() + within_s
        return await node.changes.change(
            change, force=force, dry_run=dry_run, deadline_s=deadline_s
        )

    async def acquire(self, node, number):
        """Take a lock; returns its outcome."""
        assert node.driver.offer(number, batch(node.name, number, lock=f"l{number}"))
        return await self.until(lambda: node.outcomes.get(number))


def info(name, cluster_id="c", its_id=None):
    its_id = its_id or f"id-{name}"
    return PeerInfo(name=name, id=its_id, version="1", cluster_id=cluster_id, protocol=1)


__all__ = ["DEADLINE_S", "Role", "Town", "info", "member"]
