"""Feeds all who watch events from one place.

Not a task for each: an event wakes one callback, which goes round the watchers and writes each what
it has not had yet. A round takes the loop for a few milliseconds at a time, and for half of it at
most; what happens meanwhile is in the next round, in one piece.
"""

import asyncio
from collections import deque
from functools import partial
from typing import Final

import msgspec

from gorilla.api.event_frames import (
    HEARTBEAT,
    EventFilter,
    Frames,
    history_gap_frame,
    position_frame,
    unknown_gap_frame,
)
from gorilla.api.limits import HttpLimits
from gorilla.api.streaming import Ended, StreamAnswer
from gorilla.service.errors import OverloadedError
from gorilla.service.watching import EventService, Start

SLICE_S: Final = 0.002
"""How long watchers are fed before others have their turn."""

PAUSE_S_MAX: Final = 0.1
"""Longest pause between two rounds."""

PIECE_EVENTS_MAX: Final = 256
"""Events looked at for a watcher before it is another one's turn."""

PIECES_KEPT_MAX: Final = 64
"""Pieces of the stream kept within a round, for others that stand at the same place."""

RETRY_MS_MIN: Final = 1_000
RETRY_MS_STEP: Final = 373
RETRY_MS_SPREAD: Final = 1_000
"""After a node's end not all of its watchers come back at the same moment."""


class Piece(msgspec.Struct, frozen=True):
    """What a watcher gets next."""

    data: bytes
    told: int
    """Number of the last event in ``data``; 0: none of them is wanted."""
    end: int
    """Number of the last event that was looked at."""


class Watcher:
    """One stream: where it stands, and what it wants."""

    __slots__ = ("beat_due", "full_since_s", "is_due", "position", "stream", "told", "wanted",
                 "written_s")  # fmt: skip

    def __init__(self, stream: StreamAnswer, wanted: EventFilter, position: int) -> None:
        """Stand after the event ``position``."""
        self.stream = stream
        self.wanted = wanted
        self.position = position
        self.told = position
        self.written_s = 0.0
        self.full_since_s: float | None = None
        self.is_due = False
        self.beat_due = False


class FeedCounts(msgspec.Struct):
    """What happened to watchers since the node started."""

    opened: int = 0
    sent_bytes: int = 0
    ended: dict[Ended, int] = msgspec.field(default_factory=lambda: dict.fromkeys(Ended, 0))


class EventFeed:
    """All who watch at this node."""

    def __init__(self, events: EventService, limits: HttpLimits) -> None:
        """Feed what ``events`` has, within ``limits``."""
        self.events = events
        self.counts = FeedCounts()
        self._source = events.source
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._watchers: dict[StreamAnswer, Watcher] = {}
        self._due: deque[Watcher] = deque()
        self._pieces: dict[tuple[EventFilter, int], Piece] = {}
        self._is_turning = False
        self._is_armed = False
        self._round_s = 0.0
        self._next_round_s = 0.0
        self._seen = 0
        self._unserved_s: float | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    @property
    def watching(self) -> int:
        """How many watch."""
        return len(self._watchers)

    def check_room(self) -> None:
        """Refuse one more watcher when there are as many as this node takes.

        Raises:
            OverloadedError: There are.

        """
        if len(self._watchers) >= self._limits.watchers_max:
            raise OverloadedError(
                f"{self._limits.watchers_max} already watch at this node (http.max_watchers)"
            )

    def open(self, stream: StreamAnswer, wanted: EventFilter, start: Start) -> None:
        """Say first where a stream begins, and whether anything is missing before that; feed it."""
        first, number = self._source.first_number, start.number
        if start.unknown is not None:
            opening = unknown_gap_frame(start.unknown, number)
        elif number + 1 < first:
            opening = history_gap_frame(number, first)
            number = first - 1
        else:
            opening = position_frame(number)
        self.add(stream, wanted, number, opening)

    def add(self, stream: StreamAnswer, wanted: EventFilter, position: int, first: bytes) -> None:
        """Begin to feed a stream that is open.

        Args:
            stream: Where to.
            wanted: Which events.
            position: The event before the first one to send.
            first: What to send before anything else.

        """
        watcher = self._watchers[stream] = Watcher(stream, wanted, position)
        self.counts.opened += 1
        retry_ms = RETRY_MS_MIN + self.counts.opened * RETRY_MS_STEP % RETRY_MS_SPREAD
        self._write(watcher, b"retry: %d\n\n%b" % (retry_ms, first))
        stream.on_writable(partial(self._feed_soon, watcher))
        self._feed_soon(watcher)
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(self._limits.sweep_s, self._sweep)

    def remove(self, stream: StreamAnswer, why: Ended) -> None:
        """A stream has ended."""
        del self._watchers[stream]
        self.counts.ended[why] += 1
        if not self._watchers and self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
            self._unserved_s = None

    def end_all(self) -> None:
        """End every stream, so that its reader goes on at another node."""
        for stream in list(self._watchers):
            stream.end(Ended.STOPPED)

    # Rounds

    def _feed_soon(self, watcher: Watcher) -> None:
        self._make_due(watcher)
        if not self._is_turning:
            self._begin()

    def _make_due(self, watcher: Watcher) -> None:
        if not watcher.is_due:
            watcher.is_due = True
            self._due.append(watcher)

    def _begin(self) -> None:
        self._is_turning = True
        self._round_s = self._loop.time()
        self._seen = self._source.last_number
        self._loop.call_soon(self._turn)

    def _begin_round(self) -> None:
        """Feed everybody."""
        self._is_armed = False
        for watcher in self._watchers.values():
            self._make_due(watcher)
        if not self._is_turning:
            self._begin()

    def _turn(self) -> None:
        until_s = self._loop.time() + SLICE_S
        while self._due:
            watcher = self._due.popleft()
            watcher.is_due = False
            if watcher.stream.is_open:
                self._feed(watcher)
            if self._loop.time() >= until_s:
                self._loop.call_soon(self._turn)
                return
        self._is_turning = False
        self._pieces.clear()
        now_s = self._loop.time()
        self._next_round_s = now_s + min(PAUSE_S_MAX, now_s - self._round_s)
        self._arm()

    def _arm(self) -> None:
        """Wait for the next event, unless it is there already or nobody watches."""
        if self._is_armed or not self._watchers:
            return
        self._is_armed = True
        if self._source.last_number > self._seen:
            self._loop.call_at(self._next_round_s, self._begin_round)
        else:
            self._source.wakeup().add_done_callback(self._on_news)

    def _on_news(self, _news: asyncio.Future[None]) -> None:
        self._loop.call_at(self._next_round_s, self._begin_round)

    def _feed(self, watcher: Watcher) -> None:
        if watcher.stream.is_full:
            return
        last = self._source.last_number
        if watcher.position < last:
            if watcher.position + 1 < self._source.first_number:
                watcher.stream.end(Ended.BEHIND)
                return
            piece = self._piece(watcher.wanted, watcher.position)
            watcher.position = piece.end
            if piece.told:
                watcher.told = piece.told
                self._write(watcher, piece.data)
            if piece.end < last:
                self._make_due(watcher)
                return
        if watcher.beat_due:
            self._beat(watcher)

    def _piece(self, wanted: EventFilter, position: int) -> Piece:
        key = (wanted, position)
        piece = self._pieces.get(key)
        if piece is None:
            events = self._source.after(position, PIECE_EVENTS_MAX)
            data, told = self._frames.joined(events, wanted)
            piece = Piece(data, told, events[-1].number)
            if len(self._pieces) >= PIECES_KEPT_MAX:
                self._pieces.clear()
            self._pieces[key] = piece
        return piece

    def _beat(self, watcher: Watcher) -> None:
        """Show that the stream lives, and move the reader's id on where events were left out."""
        watcher.beat_due = False
        if watcher.told < watcher.position:
            watcher.told = watcher.position
            self._write(watcher, HEARTBEAT + position_frame(watcher.position))
        else:
            self._write(watcher, HEARTBEAT)

    def _write(self, watcher: Watcher, data: bytes) -> None:
        watcher.stream.send(data)
        watcher.written_s = self._loop.time()
        watcher.beat_due = False
        self.counts.sent_bytes += len(data)

    # The sweep

    def _sweep(self) -> None:
        """Look at all of them: who is slow, who has heard nothing for long; is this node served."""
        self._sweeping = self._loop.call_later(self._limits.sweep_s, self._sweep)
        now_s = self._loop.time()
        if self._is_unserved(now_s):
            self.end_all()
            return
        for watcher in self._watchers.values():
            self._look_at(watcher, now_s)
        if self._due and not self._is_turning:
            self._begin()

    def _look_at(self, watcher: Watcher, now_s: float) -> None:
        if not watcher.stream.is_full:
            watcher.full_since_s = None
            if now_s - watcher.written_s >= self._limits.heartbeat_s:
                watcher.beat_due = True
                self._make_due(watcher)
        elif watcher.full_since_s is None:
            watcher.full_since_s = now_s
        elif (
            now_s - watcher.full_since_s >= self._limits.reader_s_max
            or watcher.position + 1 < self._source.first_number
        ):
            watcher.stream.end(Ended.SLOW)

    def _is_unserved(self, now_s: float) -> bool:
        """Return whether no events may have come here for so long that readers must go."""
        if self.events.is_served:
            self._unserved_s = None
            return False
        if self._unserved_s is None:
            self._unserved_s = now_s
        return now_s - self._unserved_s >= self._limits.unserved_s_max
