"""Connections between nodes: in order, or not at all.

A message is delivered on the connection it was sent on, after the ones sent there before it, as
long as its receiver still believes in that connection. Either side may notice a break first. In a
partition bytes are held; they arrive when it heals, unless the connection is reset before.
"""

import random
from collections import deque
from typing import Any, Protocol

import msgspec

from tests.support.sim.scheduler import Scheduler

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Endpoint(Protocol):
    """A node as the network knows it."""

    id: str
    is_paused: bool

    @property
    def is_up(self) -> bool:
        """Whether a process runs there."""
        ...

    def link_up(self, peer: str) -> None:
        """There is a connection to ``peer``."""
        ...

    def link_down(self, peer: str) -> None:
        """It is gone."""
        ...

    def refused(self, peer: str) -> None:
        """Nobody listens at ``peer``."""
        ...

    def dials(self, peer: str) -> bool:
        """Whether its process wants a connection to ``peer``."""
        ...

    def removed(self, peer: str) -> bool:
        """Whether its process knows that ``peer`` was removed for good."""
        ...

    def told_removed(self, by: str) -> None:
        """``by`` refuses the connection, because this node was removed."""
        ...

    def deliver(self, peer: str, message: dict[str, Any]) -> None:
        """A message of ``peer`` arrived."""
        ...


class Weather:
    """How slow the network is: seconds, and the share of messages that are much slower."""

    def __init__(
        self, low_s: float = 0.001, high_s: float = 0.02, slow: float = 0.02, slow_s: float = 0.6
    ) -> None:
        self.low_s = low_s
        self.high_s = high_s
        self.slow = slow
        self.slow_s = slow_s

    def latency(self, rng: random.Random) -> float:
        """Return how long one message takes."""
        if rng.random() < self.slow:
            return rng.uniform(self.high_s, self.slow_s)
        return rng.uniform(self.low_s, self.high_s)


class Network:
    """All connections of the cluster."""

    def __init__(self, scheduler: Scheduler, weather: Weather) -> None:
        self._scheduler = scheduler
        self._rng = scheduler.random("network")
        self.weather = self.usual_weather = weather
        self._nodes: dict[str, Endpoint] = {}
        self._blocked: dict[tuple[str, str], None] = {}
        self._side: dict[tuple[str, str], int] = {}
        self._queues: dict[tuple[str, str, int], deque[tuple[float, bytes]]] = {}
        self._epoch = 0
        self.doubles_until = 0.0
        """Until when offers arrive twice (true seconds)."""
        self.counts = dict.fromkeys(("connections", "messages", "messages held", "doubled"), 0)

    def join(self, node: Endpoint) -> None:
        """Add a node; from now on it is dialled by, and dials, those that want it."""
        for other in self._nodes:
            self._scheduler.after(self._rng.uniform(0, 0.05), self._dial, other, node.id)
        self._nodes[node.id] = node

    def leave(self, node: str) -> None:
        """Take a node away for ever; the others notice as they do when its process ends."""
        self._nodes.pop(node)
        self.lost(node)

    # Connections

    def _dial(self, a: str, b: str) -> None:
        one, two = self._nodes.get(a), self._nodes.get(b)
        if one is None or two is None:
            return
        self._scheduler.after(self._rng.uniform(0.02, 0.2), self._dial, a, b)
        if not one.is_up or not two.is_up:
            self._dial_the_dead(one, two)
            return
        is_linked = (a, b) in self._side and (b, a) in self._side
        if is_linked or (a, b) in self._blocked or (b, a) in self._blocked:
            if is_linked and (one.removed(b) or two.removed(a)):
                self.reset(a, b)
            return
        if not one.is_paused and not two.is_paused and (one.dials(b) or two.dials(a)):
            for node, peer in ((one, two), (two, one)):
                if node.removed(peer.id):
                    peer.told_removed(node.id)
                    return
            self._connect(one, two)

    def _dial_the_dead(self, one: Endpoint, two: Endpoint) -> None:
        for node, peer in ((one, two.id), (two, one.id)):
            ends = ((node.id, peer), (peer, node.id))
            is_cut = any(end in self._blocked for end in ends)
            is_linked = all(end in self._side for end in ends)
            if node.is_up and not is_cut and not is_linked and node.dials(peer):
                node.refused(peer)

    def _connect(self, one: Endpoint, two: Endpoint) -> None:
        self._epoch += 1
        self.counts["connections"] += 1
        self._scheduler.note("connect", one.id, two.id, self._epoch)
        for node, peer in ((one, two.id), (two, one.id)):
            if self._side.pop((node.id, peer), None) is not None:
                node.link_down(peer)
            self._side[node.id, peer] = self._epoch
            node.link_up(peer)

    def reset(self, a: str, b: str) -> None:
        """Break the connection; ``a`` notices now, ``b`` in a while."""
        epoch = self._side.get((a, b))
        if epoch is not None:
            self._close(a, b, epoch)
            self._scheduler.after(self._rng.uniform(0, 0.5), self._close, b, a, epoch)

    def _close(self, a: str, b: str, epoch: int) -> None:
        if self._side.get((a, b)) == epoch:
            del self._side[a, b]
            self._queues.pop((b, a, epoch), None)
            self._scheduler.note("disconnect", a, b, epoch)
            if a in self._nodes:
                self._nodes[a].link_down(b)

    def lost(self, node: str) -> None:
        """A node's process ended: the others notice one by one."""
        for (a, b), epoch in list(self._side.items()):
            if a == node:
                del self._side[a, b]
                self._queues.pop((b, a, epoch), None)
            elif b == node:
                self._scheduler.after(self._rng.uniform(0, 0.8), self._close, a, b, epoch)

    # Messages

    def send(self, sender: str, receiver: str, message: dict[str, Any]) -> None:
        """Put a message on the current connection, or drop it when there is none."""
        epoch = self._side.get((sender, receiver))
        if epoch is None:
            return
        key = (sender, receiver, epoch)
        queue = self._queues.setdefault(key, deque())
        ready = self._scheduler.now + self.weather.latency(self._rng)
        if queue:
            ready = max(ready, queue[-1][0])
        was_empty = not queue
        self.counts["messages"] += 1
        queue.append((ready, _encode(message)))
        if message.get("type") == "offer" and self._scheduler.now < self.doubles_until:
            self.counts["doubled"] += 1
            queue.append(queue[-1])
        if was_empty:
            self._scheduler.after(ready - self._scheduler.now, self._arrive, key)

    def _arrive(self, key: tuple[str, str, int]) -> None:
        queue = self._queues.get(key)
        if not queue:
            return
        sender, receiver, epoch = key
        if (sender, receiver) in self._blocked:
            self.counts["messages held"] += 1
            self._scheduler.after(0.05, self._arrive, key)
            return
        _, data = queue.popleft()
        if queue:
            self._scheduler.after(queue[0][0] - self._scheduler.now, self._arrive, key)
        if self._side.get((receiver, sender)) != epoch:
            del self._queues[key]
            return
        message = _decode(data)
        if self._scheduler.is_tracing:
            self._scheduler.note(sender, "->", receiver, brief(message))
        self._nodes[receiver].deliver(sender, message)

    # Partitions

    def block(self, sender: str, receiver: str) -> None:
        """Hold what ``sender`` sends to ``receiver``, and let them make no new connection."""
        self._blocked[sender, receiver] = None

    def unblock(self, sender: str, receiver: str) -> None:
        """Let what ``sender`` sends to ``receiver`` through."""
        self._blocked.pop((sender, receiver), None)

    def heal(self) -> None:
        """Let everything through."""
        self.doubles_until = 0.0
        self._blocked.clear()

    def calm_down(self) -> None:
        """Be fast for good: slowness that goes on would be a fault that goes on."""
        self.weather = self.usual_weather = Weather(slow=0.0)

    def reset_blocked(self) -> None:
        """Break the connections that are blocked, as a timeout of TCP would."""
        for a, b in list(self._blocked):
            self.reset(a, b)


def brief(message: dict[str, Any]) -> str:
    """Return a message in a few words, for the trace."""
    words = [str(message.get("type"))]
    for name, value in message.items():
        if name == "entries":
            words.append(f"[{value[0][1]}-{value[-1][1]}]" if value else "[]")
        elif name != "type":
            words.append(f"{name}={_short(value)}")
    return " ".join(words)


def _short(value: object) -> str:
    text = f"<{len(value)} bytes>" if isinstance(value, bytes) else str(value)
    return text if len(text) <= 40 else text[:37] + "..."
