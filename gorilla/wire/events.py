"""What the event stream says: the data of each kind of event, and how its query is read."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gorilla.wire.bodies import FencingToken, Owner, Resource, Seconds, Timestamp, WireBody
from gorilla.wire.fields import FieldRuleError, bounded_int
from gorilla.wire.looking import LinkBody

EVENT_NUMBER_MAX: Final = (1 << 53) - 1
"""The largest integer that every JSON reader keeps exact."""

EventNumber = Annotated[
    int,
    Meta(
        ge=1,
        le=EVENT_NUMBER_MAX,
        description="Rises by one, the same on every node; the id of the event in the stream.",
    ),
]
SessionNumber = Annotated[int, Meta(ge=1, description="Public number of its session.")]
Mode = Annotated[
    Literal["exclusive", "shared"],
    Meta(description="shared: any number may hold it at once. exclusive: at most limit."),
]
Limit = Annotated[
    int, Meta(ge=1, description="How many may hold it at once; absent when it is shared.")
]
Reason = Annotated[str, Meta(description="What was said for it; absent when nothing was.")]


class _Dated(WireBody, frozen=True, kw_only=True):
    """What every event has."""

    number: EventNumber
    at: Timestamp
    at_ms: Annotated[int, Meta(ge=0, description="The same as milliseconds since 1970 (UTC).")]


class _OfLock(_Dated, frozen=True, kw_only=True):
    """What every event of a lock has."""

    resource: Resource
    owner: Owner


class _OfHold(_OfLock, frozen=True, kw_only=True):
    """What every event of a hold has."""

    fencing_token: FencingToken


class AcquiredEventBody(_OfHold, frozen=True, kw_only=True, tag_field="type", tag="acquired"):
    """Somebody holds a lock from now on."""

    mode: Mode
    limit: Limit | UnsetType = UNSET
    timeout: (
        Annotated[Seconds, Meta(description="Absent: it lives as long as its session.")] | UnsetType
    ) = UNSET
    expire_at: Timestamp | UnsetType = UNSET
    session: SessionNumber | UnsetType = UNSET
    waited: Annotated[Seconds, Meta(description="Seconds that it was queued for.")]
    ticket: (
        Annotated[int, Meta(ge=1, description="Number of its wait; absent when it had none.")]
        | UnsetType
    ) = UNSET
    reason: Reason | UnsetType = UNSET


class ExtendedEventBody(_OfHold, frozen=True, kw_only=True, tag_field="type", tag="extended"):
    """A hold lasts for longer."""

    timeout: Annotated[Seconds, Meta(description="Seconds from this event on.")] | UnsetType = UNSET
    expire_at: Timestamp | UnsetType = UNSET


class ReleasedEventBody(_OfHold, frozen=True, kw_only=True, tag_field="type", tag="released"):
    """The owner let go, or ended the session that the hold lived in."""

    held: Annotated[Seconds, Meta(description="How long it was held.")]
    session: (
        Annotated[int, Meta(ge=1, description="The session that was ended, if one was.")]
        | UnsetType
    ) = UNSET


class ExpiredEventBody(_OfHold, frozen=True, kw_only=True, tag_field="type", tag="expired"):
    """A hold ran out."""

    held: Seconds
    session: (
        Annotated[int, Meta(ge=1, description="The session that ran out, if one did.")] | UnsetType
    ) = UNSET


class ForcedEventBody(_OfHold, frozen=True, kw_only=True, tag_field="type", tag="forced"):
    """An operator ended a hold."""

    held: Seconds
    reason: Reason
    by: Annotated[str, Meta(description="Who did; absent when it wasn't said.")] | UnsetType = UNSET


class HeldBody(WireBody, frozen=True, kw_only=True):
    """A hold that somebody waits behind."""

    owner: Owner
    since: Timestamp
    until: Annotated[Timestamp, Meta(description="At the latest, unless it is extended.")]
    reason: Reason | UnsetType = UNSET


class QueuedEventBody(_OfLock, frozen=True, kw_only=True, tag_field="type", tag="queued"):
    """Somebody (``owner``) began to wait for a lock."""

    ticket: Annotated[
        int, Meta(ge=1, description="The wait's number; the same for all locks of one request.")
    ]
    mode: Mode
    limit: Limit | UnsetType = UNSET
    position: Annotated[int, Meta(ge=1)]
    wait: Annotated[
        Seconds,
        Meta(
            description="How long it will wait at most, the time included that its place is kept."
        ),
    ]
    blocked_by: Annotated[
        tuple[str, ...],
        Meta(
            description="Owners that keep it from this lock: they hold it or are next; ten at most."
        ),
    ]
    reason: Reason | UnsetType = UNSET
    held: (
        Annotated[HeldBody, Meta(description="The hold that ends first; absent when it is free.")]
        | UnsetType
    ) = UNSET
    chain: (
        Annotated[
            tuple[LinkBody, ...],
            Meta(description="What the first in the way waits for itself; absent when it doesn't."),
        ]
        | UnsetType
    ) = UNSET


class LeftEventBody(_OfLock, frozen=True, kw_only=True, tag_field="type", tag="left"):
    """Somebody stopped waiting and did not get the lock."""

    ticket: Annotated[int, Meta(ge=1)]
    waited: Seconds
    why: Literal[
        "timeout",
        "hung_up",
        "node_lost",
        "unclaimed",
        "replaced",
        "session_ended",
        "refused",
    ]


class ReleaseRequestedEventBody(
    _OfHold, frozen=True, kw_only=True, tag_field="type", tag="release_requested"
):
    """Somebody asked the holder (``owner``) to let go."""

    by: str
    reason: Reason | UnsetType = UNSET


class MemberEventBody(_Dated, frozen=True, kw_only=True, tag_field="type", tag="member"):
    """The cluster has other members."""

    members: Annotated[tuple[str, ...], Meta(description="All of them, as they are now.")]


class GapEventBody(WireBody, frozen=True, kw_only=True, tag_field="type", tag="gap"):
    """Events are missing here: what the reader knows of the locks may be wrong."""

    from_: Annotated[int, Meta(ge=0, description="First number that is missing.")] = msgspec.field(
        name="from"
    )
    to: Annotated[int, Meta(ge=0, description="Last number that is missing.")]
    reason: Annotated[
        Literal["history", "unknown_id"],
        Meta(
            description="history: what this node keeps does not reach back so far. unknown_id: no "
            "event of this cluster has the number; it came from another one."
        ),
    ]
    detail: Annotated[str, Meta(description="What to do about it.")]


class PositionEventBody(WireBody, frozen=True, kw_only=True, tag_field="type", tag="position"):
    """Nothing happened that the reader asked for; its id is where to resume."""

    number: Annotated[int, Meta(ge=0, description="The last event that was looked at.")]


EventBody = (
    AcquiredEventBody
    | ExtendedEventBody
    | ReleasedEventBody
    | ExpiredEventBody
    | ForcedEventBody
    | QueuedEventBody
    | LeftEventBody
    | ReleaseRequestedEventBody
    | MemberEventBody
)
"""The data of an event that happened."""

StreamBody = EventBody | GapEventBody | PositionEventBody
"""The data of whatever is in the stream."""

EVENT_BODIES: Final[Mapping[str, type[msgspec.Struct]]] = {
    "acquired": AcquiredEventBody,
    "extended": ExtendedEventBody,
    "released": ReleasedEventBody,
    "expired": ExpiredEventBody,
    "forced": ForcedEventBody,
    "queued": QueuedEventBody,
    "left": LeftEventBody,
    "release_requested": ReleaseRequestedEventBody,
    "member": MemberEventBody,
}
"""What may be asked for by its type, with its shape."""

STREAM_BODIES: Final[Mapping[str, type[msgspec.Struct]]] = {
    **EVENT_BODIES,
    "gap": GapEventBody,
    "position": PositionEventBody,
}

event_number_of: Final = bounded_int(0, EVENT_NUMBER_MAX)
"""Read the number of an event; 0 is before the first."""


def types_of(text: str) -> frozenset[str]:
    """Read types of events, separated by commas."""
    types = frozenset(part.strip() for part in text.split(","))
    if not types <= EVENT_BODIES.keys():
        raise FieldRuleError(f"must be of these, separated by commas: {', '.join(EVENT_BODIES)}")
    return types
