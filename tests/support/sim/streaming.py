"""Streams of events without HTTP: a node's feed at one end, bytes that arrive late at the other.

The feed, the service that finds where to begin and the frames are the real ones. What the API does
around them is done here: it asks where to begin, sends the head, opens the stream, and ends it.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from gorilla.api.feeding import EventFeed
from gorilla.api.limits import HttpLimits
from gorilla.api.streaming import Ended
from gorilla.service.cluster import ClusterService
from gorilla.service.errors import NotServedError
from gorilla.service.members_noting import MembersNoting
from gorilla.service.watching import EventService, Start
from tests.support.sim.watch_history import LogKept, Watch

if TYPE_CHECKING:
    from tests.support.sim.node import SimNode
    from tests.support.sim.parts import Process
    from tests.support.sim.world import World

LIMITS = HttpLimits(heartbeat_s=0.8, sweep_s=0.2, unserved_s_max=0.7, reader_s_max=0.8)
FULL_BYTES = 3_000
"""What a reader may leave unread until it counts as full, and has a quarter of it left again."""
HEAD_S_MAX = 0.01
"""How long the head of an answer may take, after which the stream is open."""


class EventEdge:
    """What serves events on a node, and tells of its members, as its daemon builds it."""

    def __init__(self, process: "Process", node: "SimNode") -> None:
        self.cluster = ClusterService(process.driver, process.replica, node.machine.clock, "1")
        service = EventService(process.events, process.driver, self.cluster)
        self.feed = EventFeed(service, LIMITS)
        noting = MembersNoting(process.driver, process.replica, process.proposals)
        node.run_task(noting.run(asyncio.Event()))


def log_of(node: "SimNode", *, with_events: bool = False) -> LogKept | None:
    """Return what the event log of a node says of itself; None where no process runs."""
    process = node.process
    if process is None:
        return None
    log, most = process.events, node.machine.events_kept
    return LogKept(
        at=node.scheduler.now,
        node=node.id,
        life=node.life,
        index=process.replica.applied_index,
        first=log.first_number,
        last=log.last_number,
        kept_max=most,
        events=tuple(log.after(0, 2 * most)) if with_events else (),
    )


class Stream:
    """A connection. The node's side is what the feed sees of an answer without an end."""

    def __init__(self, world: "World", node: "SimNode", watch: Watch) -> None:
        self.watch = watch
        self.is_closed = False
        """Whether its reader has gone, or knows that the node has ended it."""
        self.arrived = bytearray()
        """What the reader may read."""
        self._world = world
        self._node = node
        self._rng = world.scheduler.random(f"{watch.watcher} {watch.number}")
        self._feed: EventFeed | None = None
        self._why: Ended | None = None
        self._unread = 0
        self._is_full = False
        self._is_gone = False
        """Whether the node has heard that its reader has gone."""
        self._room: Callable[[], None] | None = None
        self._next_at = 0.0
        world.scheduler.after(world.client_latency(), self._asked)

    # The node's side

    def _asked(self) -> None:
        if not self._node.is_up:
            self._close()
            return
        self.watch.life = self._node.life
        self._node.post(0.0, self._begin)

    def _begin(self) -> None:
        process = self._node.process
        if process is not None and process.edge is not None:
            self.watch.asked = log_of(self._node)
            self._node.run_task(self._serve(process.edge.feed))

    async def _serve(self, feed: EventFeed) -> None:
        try:
            feed.check_room()
            start = await feed.events.start(self.watch.after)
        except NotServedError as error:
            self._world.happens(f"watch: {type(error).__name__}")
            self._later(self._close)
            return
        self._node.post(self._rng.uniform(0.0, HEAD_S_MAX), self._open, feed, start)

    def _open(self, feed: EventFeed, start: Start) -> None:
        if self._is_gone:
            return
        self._feed = feed
        self.watch.opened = log_of(self._node)
        feed.open(self, self.watch.wanted, start)  # type: ignore[arg-type]  # all that it needs

    @property
    def is_open(self) -> bool:
        """Whether something may be written."""
        return self._feed is not None and self._why is None

    @property
    def is_full(self) -> bool:
        """Whether the reader has left too much unread."""
        return self._is_full

    def on_writable(self, callback: Callable[[], None]) -> None:
        """Call back whenever a reader that was full has read most of it."""
        self._room = callback

    def send(self, data: bytes) -> None:
        """Write; it arrives after what was written before."""
        self._unread += len(data)
        self._is_full = self._unread >= FULL_BYTES
        self._later(self._arrive, data)

    def end(self, why: Ended) -> None:
        """End it, if it is open."""
        if not self.is_open:
            return
        self._why, self.watch.ended_at = why, self._world.scheduler.now
        self._world.happens(f"watch: ended, {why}")
        assert self._feed is not None
        asyncio.get_running_loop().call_soon(self._feed.remove, self, why)
        if why is Ended.SLOW:
            self._world.scheduler.after(self._world.client_latency(), self._reset)
        else:
            self._later(self._close)

    def _has_room(self) -> None:
        if self.is_open and self._room is not None:
            self._room()

    # On the way

    def _later(self, call: Callable[..., None], *args: object) -> None:
        """Do something at the reader's side, after all that was sent before."""
        now = self._world.scheduler.now
        self._next_at = max(self._next_at, now + self._world.client_latency())
        self._world.scheduler.after(self._next_at - now, call, *args)

    def _arrive(self, data: bytes) -> None:
        if not self.is_closed:
            self.arrived += data

    def _close(self) -> None:
        self.is_closed = True

    def _reset(self) -> None:
        """Lose some of what the reader has not read yet, and the rest of the stream."""
        if not self.is_closed:
            del self.arrived[self._rng.randint(0, len(self.arrived)) :]
            self.is_closed = True

    # The reader's side

    def read(self, most: int) -> bytes:
        """Return at most so much of what has arrived."""
        if not self._is_alive():
            self.watch.ended_at = min(self.watch.ended_at, self._world.scheduler.now)
            self._reset()
        data = bytes(self.arrived[:most])
        del self.arrived[:most]
        self._unread -= len(data)
        if self._is_full and self._unread <= FULL_BYTES // 4:
            self._is_full = False
            self._post(self._has_room)
        return data

    def leave(self) -> None:
        """Go away; the node hears of it later."""
        self.is_closed = True
        self._world.scheduler.after(self._world.client_latency(), self._post, self._hear)

    def _hear(self) -> None:
        self._is_gone = True
        self.end(Ended.GONE)

    def _is_alive(self) -> bool:
        """Whether the process is still there that serves it, or will."""
        return self._node.is_up and self.watch.life in {0, self._node.life}

    def _post(self, call: Callable[..., None], *args: object) -> None:
        if self._node.is_up and self.watch.life == self._node.life:
            self._node.post(0.0, call, *args)
