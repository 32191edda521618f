"""Bugs to plant in events: how they come about, how nodes keep them, how readers are told."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from msgspec.structs import replace

from gorilla.api.feeding import EventFeed
from gorilla.domain.book import Book
from gorilla.domain.events import Event, Extended
from gorilla.service.event_log import EventLog
from gorilla.service.members_noting import MembersNoting
from gorilla.service.watching import EventService, Start
from tests.support.sim.patching import both, replaced
from tests.support.sim.planted_queues import frozen_without


def extension_not_told() -> AbstractContextManager[None]:
    """Say nothing of a lease that is extended."""

    def record(self: Any, event: Event) -> None:
        if isinstance(event, Extended):
            self.event_counter -= 1
        else:
            original(self, event)

    original = Book.record
    return replaced(Book, record=record)


def end_in_a_session_told_twice() -> AbstractContextManager[None]:
    """Say of what ends with its session that it ended, and that it was let go as well."""

    def record_end(self: Any, lease: Any, *, expired: bool, session: int = 0) -> None:
        original(self, lease, expired=expired, session=session)
        if session:
            original(self, lease, expired=expired)

    original = Book.record_end
    return replaced(Book, record_end=record_end)


def members_not_noted() -> AbstractContextManager[None]:
    """Say nothing of members that come and go."""

    async def step(_self: Any) -> None:
        pass

    return replaced(MembersNoting, step=step)


def events_lost_at_snapshot() -> AbstractContextManager[None]:
    """Leave the latest events out of every snapshot."""
    return frozen_without(events=[])


def state_not_taken_over() -> AbstractContextManager[None]:
    """Pass over what a state remembers that is taken over later than at the start."""

    def reload(self: Any) -> None:
        if not self._last:
            original(self)

    original = EventLog._reload
    return replaced(EventLog, _reload=reload)


def events_numbered_by_node() -> AbstractContextManager[None]:
    """Count events from the start of each process on."""

    def applied(self: Any, _index: int, events: Sequence[Event]) -> None:
        self._take(replace(event, number=self._last + n) for n, event in enumerate(events, 1))

    def reload(_self: Any) -> None:
        pass

    return replaced(EventLog, _applied=applied, _reload=reload)


def ring_off_by_one() -> AbstractContextManager[None]:
    """Pass over the first place of the ring where it is read round."""

    def after(self: Any, number: int, limit: int) -> Sequence[Event]:
        found = original(self, number, limit)
        return [one for one in found if one.number % len(self._ring)] or found

    original = EventLog.after
    return replaced(EventLog, after=after)


def leader_not_asked() -> AbstractContextManager[None]:
    """Take a number that this node has not heard of for one that nobody gave."""

    async def start(self: Any, after: int | None) -> Start:
        last = self.source.last_number
        if after is None or after <= last:
            return await original(self, after)
        self._require_served()
        return Start(last, unknown=after)

    original = EventService.start
    return replaced(EventService, start=start)


def gap_not_told() -> AbstractContextManager[None]:
    """Begin with what there is, and say nothing of what is missing before that."""

    def begin(self: Any, stream: Any, wanted: Any, start: Start) -> None:
        first = max(start.number, self._source.first_number - 1)
        original(self, stream, wanted, Start(first, start.unknown))

    original = EventFeed.open
    return replaced(EventFeed, open=begin)


def unknown_not_told() -> AbstractContextManager[None]:
    """Begin now where a number was asked for that nobody gave, and say nothing of it."""

    def begin(self: Any, stream: Any, wanted: Any, start: Start) -> None:
        original(self, stream, wanted, Start(start.number))

    original = EventFeed.open
    return replaced(EventFeed, open=begin)


def hole_in_a_stream() -> AbstractContextManager[None]:
    """Go on with what there is when what comes next is no longer there."""

    def feed(self: Any, watcher: Any) -> None:
        if not watcher.stream.is_full:
            watcher.position = max(watcher.position, self._source.first_number - 1)
        original(self, watcher)

    original = EventFeed._feed
    return replaced(EventFeed, _feed=feed)


def rest_of_a_piece_lost() -> AbstractContextManager[None]:
    """Take a reader for one that has had everything after each piece of it."""

    def piece(self: Any, *args: Any) -> Any:
        return replace(original(self, *args), end=self._source.last_number)

    original = EventFeed._piece
    return replaced(EventFeed, _piece=piece)


def slow_readers_passed_over() -> AbstractContextManager[None]:
    """Leave out what happens while a reader is full."""

    def feed(self: Any, watcher: Any) -> None:
        if watcher.stream.is_full:
            watcher.position = self._source.last_number
        original(self, watcher)

    original = EventFeed._feed
    return replaced(EventFeed, _feed=feed)


def news_not_told() -> AbstractContextManager[None]:
    """Wake nobody when something happens."""
    return replaced(EventLog, _wake=lambda _self: None)


def streams_kept_while_cut_off() -> AbstractContextManager[None]:
    """Keep the readers of a node that hears nothing any more."""
    return replaced(EventFeed, _is_unserved=lambda _self, _now_s: False)


def served_while_cut_off() -> AbstractContextManager[None]:
    """Take readers, and keep them, at a node that is not ready."""
    return both(
        streams_kept_while_cut_off(), replaced(EventService, _require_served=lambda _self: None)
    )
