"""Events as the stream writes them; each is encoded once, however many watch."""

from collections.abc import Sequence
from typing import Any, Final, assert_never

import msgspec
from msgspec import UNSET

from gorilla.api.answers import encode_json
from gorilla.api.showing import link_body
from gorilla.domain.events import (
    Acquired,
    Event,
    Expired,
    Extended,
    Forced,
    Hold,
    LeftEvent,
    LockEvent,
    MembersChanged,
    QueuedEvent,
    ReleaseAsked,
    ReleasedEvent,
)
from gorilla.wire.events import (
    AcquiredEventBody,
    EventBody,
    ExpiredEventBody,
    ExtendedEventBody,
    ForcedEventBody,
    GapEventBody,
    HeldBody,
    LeftEventBody,
    MemberEventBody,
    PositionEventBody,
    QueuedEventBody,
    ReleasedEventBody,
    ReleaseRequestedEventBody,
)
from gorilla.wire.times import seconds, timestamp

FRAMES_KEPT: Final = 8_192
"""Encoded events kept; those who resume from further back have theirs encoded anew."""

HEARTBEAT: Final = b": still here\n\n"

TYPES: Final[dict[type[msgspec.Struct], str]] = {
    Acquired: "acquired",
    Extended: "extended",
    ReleasedEvent: "released",
    Expired: "expired",
    Forced: "forced",
    QueuedEvent: "queued",
    LeftEvent: "left",
    ReleaseAsked: "release_requested",
    MembersChanged: "member",
}
"""What each event of the lock table is called in the stream."""

_TO_DO: Final = (
    "Events from {from_} to {to} can't be given here any more. List the locks again: "
    "GET /api/v1/locks. What follows happened after that."
)
_UNKNOWN: Final = (
    "No event of this cluster has the number {to}: it is another cluster's, or one from before it "
    "was set up anew. List the locks again: GET /api/v1/locks. What follows happened after that."
)


class EventFilter(msgspec.Struct, frozen=True):
    """Which events somebody wants to see."""

    prefix: str = ""
    owner: str = ""
    types: frozenset[str] | None = None
    """None: all."""

    @property
    def takes_all(self) -> bool:
        """Whether nothing is left out."""
        return not self.prefix and not self.owner and self.types is None

    def takes(self, event: Event) -> bool:
        """Return whether ``event`` is wanted."""
        if self.types is not None and TYPES[type(event)] not in self.types:
            return False
        if isinstance(event, MembersChanged):
            return not self.prefix and not self.owner
        return (not self.owner or event.holder == self.owner) and event.lock.startswith(self.prefix)


class Frames:
    """Encodes events, and keeps the latest that it encoded."""

    def __init__(self) -> None:
        """Begin with none."""
        self._kept: list[tuple[int, bytes]] = [(0, b"")] * FRAMES_KEPT

    def of(self, event: Event) -> bytes:
        """Return what the stream says of ``event``."""
        slot = event.number % FRAMES_KEPT
        number, frame = self._kept[slot]
        if number != event.number:
            frame = frame_of(event.number, TYPES[type(event)], event_body(event))
            self._kept[slot] = (event.number, frame)
        return frame

    def joined(self, events: Sequence[Event], wanted: EventFilter) -> tuple[bytes, int]:
        """Return what the stream says of what is wanted, and the number of the last one, or 0."""
        chosen = events if wanted.takes_all else [event for event in events if wanted.takes(event)]
        if not chosen:
            return b"", 0
        return b"".join(map(self.of, chosen)), chosen[-1].number


def frame_of(number: int, name: str, body: msgspec.Struct) -> bytes:
    """Return one event of the stream."""
    # JSON has no line breaks of its own, so one line of data is enough.
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (number, name.encode(), encode_json(body))


def position_frame(number: int) -> bytes:
    """Return what only moves the reader's last id on.

    By the standard an ``id`` without ``data`` does that too; not every reader knows.
    """
    return frame_of(number, "position", PositionEventBody(number=number))


def history_gap_frame(after: int, first: int) -> bytes:
    """Return that the events between ``after`` and ``first`` are missing."""
    told = _TO_DO.format(from_=after + 1, to=first - 1)
    body = GapEventBody(from_=after + 1, to=first - 1, reason="history", detail=told)
    return frame_of(first - 1, "gap", body)


def unknown_gap_frame(after: int, last: int) -> bytes:
    """Return that ``after`` is beyond ``last``, the last event of all."""
    told = _UNKNOWN.format(to=after)
    body = GapEventBody(from_=last + 1, to=after, reason="unknown_id", detail=told)
    return frame_of(last, "gap", body)


def event_body(event: Event) -> EventBody:
    """Return the data of an event."""
    if isinstance(event, MembersChanged):
        return MemberEventBody(
            number=event.number,
            at=timestamp(event.wall_ms),
            at_ms=event.wall_ms,
            members=event.members,
        )
    if isinstance(event, QueuedEvent | LeftEvent):
        return _wait_body(event)
    return _hold_body(event)


def _wait_body(event: QueuedEvent | LeftEvent) -> EventBody:
    if isinstance(event, LeftEvent):
        return LeftEventBody(
            **_common(event),
            ticket=event.ticket,
            waited=seconds(event.waited_ms),
            why=event.why.value,
        )
    return QueuedEventBody(
        **_common(event),
        ticket=event.ticket,
        mode="exclusive" if event.slots else "shared",
        limit=event.slots or UNSET,
        position=event.position,
        wait=seconds(event.wait_ms),
        blocked_by=event.blocked_by,
        reason=event.reason or UNSET,
        held=UNSET if event.held is None else _held_body(event.held),
        chain=tuple(map(link_body, event.chain)) or UNSET,
    )


def _held_body(hold: Hold) -> HeldBody:
    return HeldBody(
        owner=hold.holder,
        since=timestamp(hold.since_wall_ms),
        until=timestamp(hold.until_wall_ms),
        reason=hold.reason or UNSET,
    )


def _hold_body(
    event: Acquired | Extended | ReleasedEvent | Expired | Forced | ReleaseAsked,
) -> EventBody:
    common = {**_common(event), "fencing_token": event.fencing_token}
    match event:
        case Acquired():
            return AcquiredEventBody(
                **common,
                **_until(event),
                mode="exclusive" if event.slots else "shared",
                limit=event.slots or UNSET,
                session=event.session or UNSET,
                waited=seconds(event.waited_ms),
                ticket=event.ticket or UNSET,
                reason=event.reason or UNSET,
            )
        case Extended():
            return ExtendedEventBody(**common, **_until(event))
        case ReleasedEvent() | Expired():
            shape = ReleasedEventBody if isinstance(event, ReleasedEvent) else ExpiredEventBody
            return shape(**common, held=seconds(event.held_ms), session=event.session or UNSET)
        case Forced():
            return ForcedEventBody(
                **common,
                held=seconds(event.held_ms),
                reason=event.reason,
                by=event.by or UNSET,
            )
        case ReleaseAsked():
            return ReleaseRequestedEventBody(**common, by=event.by, reason=event.reason or UNSET)
        case _:
            assert_never(event)


def _common(event: LockEvent) -> dict[str, Any]:
    return {
        "number": event.number,
        "at": timestamp(event.wall_ms),
        "at_ms": event.wall_ms,
        "resource": event.lock,
        "owner": event.holder,
    }


def _until(event: Acquired | Extended) -> dict[str, Any]:
    """Return how long it lasts; nothing for what lasts as long as its session."""
    if not event.ttl_ms:
        return {}
    return {
        "timeout": seconds(event.ttl_ms),
        "expire_at": timestamp(event.wall_ms + event.ttl_ms),
    }
