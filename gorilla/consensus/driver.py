"""The engine on an event loop: a turn as soon as there is work, no polling delay."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from gorilla.consensus.engine import Engine
from gorilla.consensus.peers.handshake import PeerInfo, Reason
from gorilla.consensus.ports import Message
from gorilla.consensus.roster import RemovedError
from gorilla.service.errors import NoLeaderError
from gorilla.service.ports import ConsensusView, ReadPoint, Role

log = logging.getLogger(__name__)

READ_SLACK_S: Final = 0.1
"""How much longer than its deadline a read waits for the engine to give it up (seconds)."""

LEAVE_RETRY_S: Final = 0.05
"""How often a leader that leaves asks a follower to take over (seconds)."""

REMOVED_S: Final = 0.5
"""How long a node that was removed lets answers under way go out before it ends (seconds)."""

LEADERLESS_S: Final = 2.0
"""How long nobody may lead before that is a warning: longer than an election, or a handover."""

Condition = tuple[Callable[[], bool], "asyncio.Future[None]"]


class Driver:
    """Runs an engine's turns; what the use cases and the peer network talk to."""

    def __init__(
        self,
        engine: Engine,
        *,
        on_change: Callable[[], None],
        on_failure: Callable[[BaseException], None],
        heard_s: Callable[[str], float | None] | None = None,
    ) -> None:
        """Drive ``engine``.

        Args:
            engine: Built, with nothing sent yet.
            on_change: Called after a turn in which the leader, the term or a link changed.
            on_failure: Called once when the engine can't go on; the process must end.
            heard_s: Tells how long ago a peer was heard, pings included (seconds); by default
                only messages count.

        """
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._on_change = on_change
        self._on_failure = on_failure
        self._heard_s = heard_s
        self._soon: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._has_changed = False
        self._seen: tuple[int, str | None] = (-1, None)
        self._leaderless: asyncio.TimerHandle | None = None
        self._view: ConsensusView | None = None
        self._is_stopped = False
        self._leaving: asyncio.Future[None] | None = None
        self._offloaded: set[asyncio.Future[None]] = set()
        self._conditions: list[Condition] = []
        self._on_linked: Callable[[str], None] = lambda _: None
        self._on_unlinked: Callable[[str], None] = lambda _: None
        self.on_removed: Callable[[], None] = lambda: None
        """Called when this node was removed from the cluster, right before it ends."""

    def start(self) -> None:
        """Run the first turn."""
        self.wake()

    def stop(self) -> None:
        """Run no more turns."""
        self._is_stopped = True
        for handle in (self._soon, self._timer, self._leaderless):
            if handle is not None:
                handle.cancel()

    def wake(self) -> None:
        """Run a turn in the next iteration of the loop: everything of this one goes into it."""
        self._view = None
        if self._soon is None and not self._is_stopped:
            self._soon = self._loop.call_soon(self._run)

    def _run(self) -> None:
        self._soon = None
        if self._is_stopped:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            more = self._engine.turn()
        except Exception as error:
            self._fail(error)
            return
        self._view = None
        self._tell_changes()
        if more:
            self.wake()
        elif not self._is_stopped:
            delay = self._engine.next_due() - self._engine.now()
            self._timer = self._loop.call_later(delay, self.wake)

    def _tell_changes(self) -> None:
        for holds, met in self._conditions:
            if not met.done() and holds():
                met.set_result(None)
        seen = self._engine.leadership()
        if seen != self._seen:
            self._say_leader(seen)
        if seen != self._seen or self._has_changed:
            self._seen, self._has_changed = seen, False
            self._on_change()
            if self._leaving is not None and not self._leaving.done():
                self._leaving.set_result(None)

    def _say_leader(self, seen: tuple[int, str | None]) -> None:
        term, leader_id = seen
        leader = self.view().leader
        if leader is None:
            if self._seen[1] is not None:
                log.info("no leader with a majority is known (term %d)", term)
                self._leaderless = self._loop.call_later(LEADERLESS_S, self._warn)
            return
        if self._leaderless is not None:
            self._leaderless.cancel()
        if leader_id == self._engine.me.id:
            log.info("leads term %d", term)
        else:
            log.info("follows %s in term %d", leader.name, term)

    def _warn(self) -> None:
        term, _ = self._engine.leadership()
        log.warning("no leader with a majority is known for %g s (term %d)", LEADERLESS_S, term)

    def _fail(self, error: BaseException) -> None:
        self.stop()
        if isinstance(error, RemovedError):
            self.on_removed()
            self._loop.call_later(REMOVED_S, self._on_failure, error)
        else:
            self._on_failure(error)

    def _guarded(self, call: Callable[[], None]) -> None:
        if self._is_stopped:
            return
        try:
            call()
        except Exception as error:
            self._fail(error)
            return
        self.wake()

    async def until(self, holds: Callable[[], bool], deadline_s: float) -> bool:
        """Wait until ``holds`` after a turn, at most to ``deadline_s`` (loop time, seconds).

        Returns:
            Whether it came to hold.

        """
        if holds():
            return True
        met: asyncio.Future[None] = self._loop.create_future()
        condition = (holds, met)
        self._conditions.append(condition)
        try:
            await asyncio.wait((met,), timeout=max(0.0, deadline_s - self._loop.time()))
        finally:
            self._conditions.remove(condition)
        return met.done()

    async def leave(self, deadline_s: float) -> None:
        """Hand leadership over, if it is here, until ``deadline_s`` (loop time, seconds)."""
        self._engine.leave()
        while self.view().role is Role.LEADER and self.view().progress:
            left = deadline_s - self._loop.time()
            if left <= 0 or self._is_stopped:
                log.warning("leadership could not be handed over in time")
                self._engine.stay()
                return
            changed = self._loop.create_future()
            self._leaving = changed
            self.wake()
            await asyncio.wait((changed,), timeout=min(left, LEAVE_RETRY_S))

    # -- offload

    def offload(
        self, work: Callable[[], None], done: Callable[[BaseException | None], None]
    ) -> None:
        """Run ``work`` in a thread, then ``done`` on the loop: see ``consensus.ports.Offload``."""
        future = self._loop.run_in_executor(None, work)
        self._offloaded.add(future)
        future.add_done_callback(self._offloaded.discard)
        future.add_done_callback(lambda finished: self._guarded(lambda: done(finished.exception())))

    async def finish(self, timeout_s: float) -> None:
        """Run no more turns, and wait for what runs beside the loop: it still uses the disk."""
        self.stop()
        if self._offloaded:
            await asyncio.wait(self._offloaded, timeout=timeout_s)

    # -- what the peer network calls

    def follow_links(self, linked: Callable[[str], None], unlinked: Callable[[str], None]) -> None:
        """Have links that come and go told, too, after the engine heard of them."""
        self._on_linked, self._on_unlinked = linked, unlinked

    def connected(self, peer_id: str, info: PeerInfo) -> None:
        """Take note of a new connection to a member."""
        self._has_changed = True
        self._guarded(lambda: self._engine.connected(peer_id, info.version, info.level))
        self._on_linked(peer_id)

    def disconnected(self, peer_id: str) -> None:
        """Take note of a broken connection."""
        self._has_changed = True
        self._guarded(lambda: self._engine.disconnected(peer_id))
        self._on_unlinked(peer_id)

    def unreachable(self, peer_id: str) -> None:
        """Take note that a member's process is dead."""
        self._guarded(lambda: self._engine.unreachable(peer_id))

    def refused(self, peer_name: str, reason: str, text: str) -> None:
        """End this node when it was removed; the network has logged any refusal."""
        if reason == Reason.REMOVED and not self._is_stopped:
            self._fail(RemovedError(f"{peer_name} refuses this node: {text}"))

    def received(self, peer_id: str, message: Message) -> None:
        """Take a message."""
        if self._is_stopped:
            return
        try:
            self._engine.received(peer_id, message)
        except Exception as error:
            self._fail(error)
            return
        self.wake()

    # -- service.ports.Consensus

    def view(self) -> ConsensusView:
        """Look at the node as it was after the last turn."""
        if self._view is None:
            self._view = self._with_pings(self._engine.view())
        return self._view

    def _with_pings(self, view: ConsensusView) -> ConsensusView:
        heard_s = self._heard_s
        if heard_s is None:
            return view
        progress = tuple(
            msgspec.structs.replace(one, heard_s=heard_s(one.member.id)) for one in view.progress
        )
        return msgspec.structs.replace(view, progress=progress)

    def offer(self, offer: int, batch: bytes) -> bool:
        """Hand one encoded batch to the leader."""
        taken = not self._is_stopped and self._engine.offer(offer, batch)
        if taken:
            self.wake()
        return taken

    async def read_point(self, deadline_s: float) -> ReadPoint:
        """Wait until this node may answer a linearizable read from its own state."""
        future: asyncio.Future[ReadPoint | None] = self._loop.create_future()

        def done(point: ReadPoint | None) -> None:
            if not future.done():
                future.set_result(point)

        left = deadline_s - self._loop.time()
        self._engine.read(done, self._engine.now() + left)
        self.wake()
        # The engine gives up in time as long as it turns; a node that stops turns no more.
        await asyncio.wait((future,), timeout=max(0.0, left) + READ_SLACK_S)
        point = future.result() if future.done() else None
        if point is None:
            raise NoLeaderError("no leader confirmed the read in time; nothing was changed")
        return point
