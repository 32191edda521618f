"""From events to the rows of the history: what a run of them did to each hold and wait."""

from collections.abc import Sequence
from typing import Final

from gorilla.domain.events import (
    Acquired,
    Event,
    Expired,
    Extended,
    Forced,
    LeftEvent,
    MembersChanged,
    QueuedEvent,
    ReleaseAsked,
    ReleasedEvent,
)
from gorilla.domain.limits import NEVER_MS
from gorilla.domain.outcomes import Lease
from gorilla.service.history_records import Changes, EndedBy, HoldChange, WaitEnd

SESSION_ENDED: Final = "its session was ended"
SESSION_RAN_OUT: Final = "its session ran out"

_End = ReleasedEvent | Expired | Forced


def fold(events: Sequence[Event]) -> Changes:
    """Return what ``events`` did.

    Args:
        events: One or more, in order of their numbers.

    """
    holds: dict[int, HoldChange] = {}
    waits: list[WaitEnd] = []
    for event in events:
        match event:
            case Acquired():
                holds[event.fencing_token] = _grant(event)
            case Extended():
                _extend(_hold_of(holds, event, event.wall_ms), event)
            case ReleasedEvent() | Expired() | Forced():
                _end(_hold_of(holds, event, max(0, event.wall_ms - event.held_ms)), event)
            case LeftEvent():
                waits.append(_wait_end(event))
            case QueuedEvent() | ReleaseAsked() | MembersChanged():
                continue
    return Changes(
        last_number=events[-1].number,
        last_ms=events[-1].wall_ms,
        count=len(events),
        holds=tuple(holds.values()),
        waits=tuple(waits),
    )


def seen(lease: Lease) -> HoldChange:
    """Return what a lease itself says of its hold."""
    return HoldChange(
        fencing_token=lease.fencing_token,
        resource=storable(lease.lock),
        owner=storable(lease.holder),
        granted_ms=lease.created_wall_ms,
        is_grant_known=True,
        slots=lease.slots,
        session=lease.session,
        waited_ms=lease.waited_ms,
        reason=storable(lease.reason),
        until_ms=None if lease.expires_at_ms == NEVER_MS else lease.expires_wall_ms,
    )


def storable(text: str) -> str:
    """Return a text as a database can keep it: PostgreSQL has no character of number 0."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in text else text


def _grant(event: Acquired) -> HoldChange:
    return HoldChange(
        fencing_token=event.fencing_token,
        resource=storable(event.lock),
        owner=storable(event.holder),
        granted_ms=event.wall_ms,
        is_grant_known=True,
        slots=event.slots,
        session=event.session,
        waited_ms=event.waited_ms,
        reason=storable(event.reason),
        until_ms=_until_ms(event),
    )


def _extend(hold: HoldChange, event: Extended) -> None:
    hold.extensions += 1
    hold.until_ms = _until_ms(event)


def _end(hold: HoldChange, event: _End) -> None:
    # Two leaders' wall clocks may differ; nothing ends before it began.
    hold.ended_ms = max(event.wall_ms, hold.granted_ms)
    hold.held_ms = event.held_ms
    if isinstance(event, Forced):
        hold.ended_by = EndedBy.FORCED
        hold.end_reason, hold.forced_by = storable(event.reason), storable(event.by)
    elif event.session:
        is_release = isinstance(event, ReleasedEvent)
        hold.ended_by = EndedBy.SESSION
        hold.end_reason = SESSION_ENDED if is_release else SESSION_RAN_OUT
    else:
        is_release = isinstance(event, ReleasedEvent)
        hold.ended_by = EndedBy.RELEASED if is_release else EndedBy.EXPIRED


def _hold_of(holds: dict[int, HoldChange], event: Extended | _End, granted_ms: int) -> HoldChange:
    """Return the hold that an event is about; its grant may be of earlier events."""
    hold = holds.get(event.fencing_token)
    if hold is None:
        hold = holds[event.fencing_token] = HoldChange(
            fencing_token=event.fencing_token,
            resource=storable(event.lock),
            owner=storable(event.holder),
            granted_ms=granted_ms,
            is_grant_known=False,
        )
    elif not hold.is_grant_known:
        hold.granted_ms = min(hold.granted_ms, granted_ms)
    return hold


def _wait_end(event: LeftEvent) -> WaitEnd:
    return WaitEnd(
        number=event.number,
        resource=storable(event.lock),
        owner=storable(event.holder),
        ticket=event.ticket,
        began_ms=max(0, event.wall_ms - event.waited_ms),
        ended_ms=event.wall_ms,
        waited_ms=event.waited_ms,
        why=event.why,
    )


def _until_ms(event: Acquired | Extended) -> int | None:
    return event.wall_ms + event.ttl_ms if event.ttl_ms else None
