"""Real peer networks on loopback, a recording handler, and a peer made by hand."""

import asyncio
import functools
from contextlib import asynccontextmanager

import msgspec
import pytest
import uvloop

from gorilla.config.addresses import Address
from gorilla.config.secrets import Secret
from gorilla.consensus.peers.dialing import Pace
from gorilla.consensus.peers.frames import FRAME_BYTES_MAX, FrameDecoder, encode_frame
from gorilla.consensus.peers.handshake import DialerHandshake, Established, Speaker
from gorilla.consensus.peers.network import PeerNetwork, PeerOptions
from gorilla.service.ports import Member

SECRET = Secret("correct horse battery staple")
LOOPBACK = "127.0.0.1"
DEADLINE_S = 10.0
FAST = PeerOptions(
    bind=Address(LOOPBACK, 0),
    version="1.2.3",
    ping_every_s=0.05,
    dead_after_s=2.0,
    handshake_s=2.0,
    pace=Pace(attempt_s=1.0, pause_s_min=0.01, pause_s_max=0.1),
)


def options(**changes):
    return PeerOptions(
        **{name: getattr(FAST, name) for name in FAST.__dataclass_fields__} | changes
    )


def on_both_loops(test):
    """Run an async test on asyncio's own loop and on uvloop, each with a deadline."""

    @pytest.mark.parametrize(
        "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
    )
    def run(new_loop):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(asyncio.wait_for(test(), 3 * DEADLINE_S))

    functools.update_wrapper(run, test, assigned=("__module__", "__name__", "__doc__"))
    del run.__wrapped__
    return run


class Recorder:
    """A handler that remembers what it was told, in order; doubles as formation's listener."""

    def __init__(self):
        self.events = []
        self._changed = asyncio.Event()

    def note(self, *event):
        self.events.append(event)
        self._changed.set()

    def connected(self, peer_id, info):
        self.note("connected", peer_id, info)

    def disconnected(self, peer_id):
        self.note("disconnected", peer_id)

    def received(self, peer_id, message):
        self.note("received", peer_id, message)

    def unreachable(self, peer_id):
        self.note("unreachable", peer_id)

    def refused(self, peer_name, reason, text):
        self.note("refused", peer_name, reason, text)

    def linked(self, info):
        self.note("linked", info.id, info)

    def unlinked(self, peer):
        self.note("unlinked", peer)

    def troubled(self, name, reason):
        self.note("troubled", name, reason)

    def of(self, kind):
        return [event[1:] for event in self.events if event[0] == kind]

    def count(self, *start):
        return sum(event[: len(start)] == start for event in self.events)

    def up(self):
        """The peers connected now, in the order of their last connection."""
        peers = {}
        for kind, peer, *_ in self.events:
            if kind == "connected":
                peers[peer] = None
            elif kind == "disconnected":
                del peers[peer]
        return list(peers)

    async def until(self, condition, deadline_s=DEADLINE_S):
        """Wait for news until the condition holds."""
        try:
            async with asyncio.timeout(deadline_s):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"it did not come true; what was heard: {self.events}") from None


class Cluster:
    """Named networks with a shared roster; the addresses are filled in as they start."""

    def __init__(self, *names, cluster_id="cluster"):
        self.roster = {
            name: Member(id=f"id-{name}", name=name, peer=f"{LOOPBACK}:1", http="")
            for name in names
        }
        self.cluster_id = cluster_id
        self.networks = {}
        self.handlers = {}

    def members(self):
        return tuple(self.roster.values())

    async def start(self, name, *, member=None, secret=SECRET, cluster_id="", **changes):
        """Start a network under a name; again under its old address if it was there before."""
        known = self.roster[name]
        port = int(known.peer.rpartition(":")[2])
        bind = Address(LOOPBACK, 0 if port == 1 else port)
        handler = Recorder()
        network = PeerNetwork(
            member or known,
            self.cluster_id if cluster_id == "" else cluster_id,
            secret,
            self.members,
            handler,
            options(**{"bind": bind} | changes),
        )
        await network.start()
        self.roster[name] = msgspec.structs.replace(known, peer=str(network.address))
        self.networks[name], self.handlers[name] = network, handler
        return network, handler

    async def close(self):
        await asyncio.gather(*(network.close() for network in self.networks.values()))


@asynccontextmanager
async def cluster_of(*names, started=None):
    """A cluster of which ``started`` (all of them by default) run."""
    cluster = Cluster(*names)
    try:
        for name in names if started is None else started:
            await cluster.start(name)
        yield cluster
    finally:
        await cluster.close()


class HandmadePeer:
    """The dialling side of one connection, with nothing going on by itself."""

    def __init__(self, reader, writer, handshake):
        self.reader = reader
        self.writer = writer
        self.handshake = handshake
        self._decoder = FrameDecoder(FRAME_BYTES_MAX)
        self._messages = []

    @classmethod
    async def connect(cls, address, name, *, node_id=None, cluster_id="cluster", secret=SECRET):
        reader, writer = await asyncio.open_connection(address.host, address.port)
        me = Speaker(name=name, id=node_id or f"id-{name}", version="1.2.3", cluster_id=cluster_id)
        peer = cls(reader, writer, DialerHandshake(me, secret, lambda _info: None))
        peer.send(peer.handshake.start())
        return peer

    @classmethod
    async def linked(cls, address, name, **more):
        peer = await cls.connect(address, name, **more)
        await peer.shake_hands()
        assert isinstance(peer.handshake.outcome, Established)
        return peer

    async def shake_hands(self):
        while self.handshake.outcome is None:
            for answer in self.handshake.receive(await self.receive()):
                self.send(answer)

    def send(self, message):
        self.writer.write(encode_frame(message))

    async def receive(self):
        """Return the next message, pings included; None at the end of the connection."""
        async with asyncio.timeout(DEADLINE_S):
            while not self._messages:
                try:
                    data = await self.reader.read(65_536)
                except ConnectionError:
                    return None
                if not data:
                    return None
                self._messages.extend(self._decoder.messages(data))
            return self._messages.pop(0)

    async def at_end(self):
        """Read until the other side ends the connection."""
        while await self.receive() is not None:
            continue
        return True

    async def close(self):
        self.writer.close()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self.writer.wait_closed()
        except ConnectionError:
            return


async def until_all_linked(cluster):
    for name, handler in cluster.handlers.items():
        others = {f"id-{other}" for other in cluster.handlers if other != name}
        await handler.until(lambda up=handler.up, others=others: set(up()) == others)
