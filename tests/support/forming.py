"""A world of nodes that form clusters: real rules, real admission, made-up links and crashes."""

import hashlib
import itertools
from collections import deque
from dataclasses import dataclass, field

import msgspec

from gorilla.consensus.formation_actions import (
    Answered,
    Close,
    Fail,
    Join,
    KeepChunk,
    KeepGenesis,
    Save,
    Send,
    ServeChunk,
)
from gorilla.consensus.formation_messages import Chunk, encode
from gorilla.consensus.formation_rules import Formation
from gorilla.consensus.genesis import GenesisFile, prepare_genesis
from gorilla.consensus.identity import GENESIS_FILE, GenesisRef, load, load_or_create, save
from gorilla.consensus.peers.admission import decide
from gorilla.consensus.peers.handshake import PeerInfo
from gorilla.service.ports import Member
from tests.support.disks import MemoryDisk

SERVED_BYTES = 4


def member(name, node_id=""):
    return Member(id=node_id, name=name, peer=f"{name}:4100", http=f"{name}:4000")


def members(*names):
    return tuple(member(name) for name in names)


def genesis_of(data):
    return GenesisRef(size=len(data), sha256=hashlib.sha256(data).hexdigest())


@dataclass(eq=False)
class Line:
    """One direction of a link: what is under way to ``to``; ``open`` until ``to`` saw its end."""

    sender: "Process"
    to: "Process"
    said_at_hello: PeerInfo
    under_way: deque = field(default_factory=deque)
    open: bool = True
    back: "Line | None" = None


class BytesReader:
    """A genesis in memory."""

    def __init__(self, data):
        self._data = data
        self.size = len(data)

    def read(self, offset, size):
        return self._data[offset : offset + size]


class Process:
    """A running node over a data directory."""

    def __init__(self, world, disk, name, names, genesis=None):
        self.world = world
        self.disk = disk
        self.alive = True
        self.joined = False
        self.failure = None
        self.answers = []
        self.lines = {}  # peer id -> the line on which this process hears it
        self.names = names
        identity = load_or_create(disk, name)
        self.genesis = GenesisFile(disk)
        ref = prepare_genesis(disk, BytesReader(genesis) if genesis else None)
        self.rules = Formation(identity, members(*names), world.new_cluster_id, ref)
        self.act(self.rules.start())

    @property
    def identity(self):
        return self.rules.identity

    def info(self):
        me = self.identity
        return PeerInfo(
            name=me.name, id=me.node_id, version="1", cluster_id=me.cluster_id, protocol=1
        )

    def refuses(self, peer):
        me = self.identity
        roster = me.members if me.formed else members(*self.names)
        return decide(member(me.name, me.node_id), me.cluster_id, roster, peer)

    def act(self, actions):
        for action in actions:
            if not self.alive:
                return
            if self.world.crash_before(action):
                self.crash()
                return
            self.do(action)

    def do(self, action):
        match action:
            case Send():
                self.send(action.peer, action.message)
            case Save():
                save(self.disk, action.identity)
                self.world.check(action.identity)
                self.check_genesis(action.identity.genesis)
            case Close():
                self.unlink(action.peer)
            case Join():
                self.joined = True
            case Answered():
                self.answers.append((action.peer, action.objection))
            case Fail():
                self.failure = action.text
                self.crash()
            case _:
                self.do_with_genesis(action)

    def check_genesis(self, ref):
        if ref is not None:
            assert genesis_of(self.disk.crash().read(GENESIS_FILE)) == ref

    def do_with_genesis(self, action):
        match action:
            case KeepChunk():
                self.genesis.keep(action.offset, action.data)
            case KeepGenesis():
                self.genesis.finish()
            case ServeChunk():
                data = self.genesis.read(action.offset, SERVED_BYTES)
                self.send(action.peer, encode(Chunk(action.offset, data)))

    def send(self, peer, message):
        line = self.lines.get(peer)
        if line is not None and line.back.open:
            line.back.under_way.append(msgspec.msgpack.decode(msgspec.msgpack.encode(message)))

    def unlink(self, peer):
        """This side sees the end of its link to the peer."""
        line = self.lines.pop(peer, None)
        if line is not None:
            line.open = False
            line.under_way.clear()
            self.act(self.rules.unlinked(peer))

    def crash(self):
        self.alive = False
        for line in self.lines.values():
            line.open = False
        self.lines.clear()


class World:
    """Processes, links, and the checks that hold at every moment."""

    def __init__(self):
        self.processes = []
        self.clusters = {}  # cluster id -> (members, genesis)
        self.formed = {}  # node id -> cluster id, of every directory there ever was
        self.crash_at = None
        self._numbers = itertools.count(1)

    def new_cluster_id(self):
        return f"cluster-{next(self._numbers)}"

    def crash_before(self, _action):
        if self.crash_at is None:
            return False
        self.crash_at -= 1
        if self.crash_at >= 0:
            return False
        self.crash_at = None
        return True

    def check(self, identity):
        if not identity.formed:
            return
        if identity.joining:
            assert identity.cluster_id in self.clusters
            known = self.formed.setdefault(identity.node_id, identity.cluster_id)
            assert known == identity.cluster_id
            return
        fixed = (identity.members, identity.genesis)
        assert self.clusters.setdefault(identity.cluster_id, fixed) == fixed
        assert self.formed.setdefault(identity.node_id, identity.cluster_id) == identity.cluster_id
        assert identity.node_id in [one.id for one in identity.members]
        for (first, _), (second, _) in itertools.combinations(self.clusters.values(), 2):
            assert not {one.id for one in first} & {one.id for one in second}

    # Events.

    def start(self, name, names, disk=None, genesis=None):
        process = Process(self, disk or MemoryDisk(), name, names, genesis)
        self.processes.append(process)
        return process

    def restart(self, process, names=None):
        process.crash()
        self.processes.remove(process)
        disk = process.disk.crash()  # what was not made durable is gone
        return self.start(process.identity.name, names or process.names, disk)

    def wipe(self, process):
        process.crash()
        self.processes.remove(process)
        return self.start(process.identity.name, process.names)

    def connect(self, one, other):
        """Both handshake; a refusal is told to the other side."""
        infos = {one: one.info(), other: other.info()}
        for side, peer in ((one, other), (other, one)):
            refusal = side.refuses(infos[peer])
            if refusal is not None:
                peer.act(peer.rules.refused(infos[side].name, refusal.reason, refusal.text))
                return
        if infos[one].cluster_id is not None and infos[other].cluster_id is not None:
            return  # a link between members: not formation's
        self.link(one, other, infos)

    def link(self, one, other, infos):
        to_other = Line(one, other, infos[one])
        to_one = Line(other, one, infos[other])
        to_other.back, to_one.back = to_one, to_other
        for line in (to_other, to_one):
            line.to.unlink(line.said_at_hello.id)  # superseded
            if line.to.alive:
                line.to.lines[line.said_at_hello.id] = line
        for line in (to_other, to_one):
            if line.to.alive:
                line.to.act(line.to.rules.linked(line.said_at_hello))

    def lines(self):
        return [line for one in self.running() for line in one.lines.values()]

    def running(self):
        return [one for one in self.processes if one.alive]

    def deliver(self, line):
        """The next thing on a line happens: a message arrives, or its end is seen."""
        peer = line.said_at_hello.id
        if line.under_way:
            message = line.under_way.popleft()
            line.to.act(line.to.rules.received(peer, message))
        elif not line.back.open:
            line.to.unlink(peer)

    def settle(self):
        """Connect everybody who isn't, deliver all there is, until nothing changes."""
        for _ in range(12):
            for one, other in itertools.combinations(self.running(), 2):
                if one.alive and other.alive and other.identity.node_id not in one.lines:
                    self.connect(one, other)
            self.drain()

    def drain(self):
        for _ in range(10_000):
            busy = [line for line in self.lines() if line.under_way or not line.back.open]
            if not busy:
                return
            self.deliver(busy[0])
        raise AssertionError("the nodes never stop talking")


def stored(process):
    """Return the identity as a restart would find it."""
    return load(process.disk.crash())
