"""What the history says: bodies of its entries, and how its times and places are read."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gorilla.wire.bodies import (
    FencingToken,
    Limit,
    Mode,
    Owner,
    Reason,
    Resource,
    Seconds,
    SessionNumber,
    Timestamp,
    WireBody,
)
from gorilla.wire.fields import FieldRuleError

_YEAR: Final = "[1-9][0-9]{3}"
_DAY: Final = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    "|(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)-02-29)"
)
_CLOCK: Final = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
TIME_PATTERN: Final = rf"^{_DAY}T{_CLOCK}:[0-5][0-9](?:\.[0-9]{{1,9}})?(?:Z|[+-]{_CLOCK})?$"
PLACE_PATTERN: Final = r"^[0-9]{1,15}\.[0-9]{1,16}$"

_TIME: Final = re.compile(TIME_PATTERN, re.ASCII)
_PLACE: Final = re.compile(PLACE_PATTERN, re.ASCII)
_SECONDS_CHARS: Final = 19
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Milliseconds = Annotated[
    int, Meta(ge=0, description="The same as milliseconds since 1970 (UTC), exactly.")
]


class HoldEntryBody(WireBody, frozen=True, kw_only=True, tag_field="kind", tag="hold"):
    """Somebody held a lock, or does so still."""

    resource: Resource
    owner: Owner
    fencing_token: FencingToken
    cluster_id: Annotated[
        str, Meta(description="Which cluster's: an earlier one's when this one was restored.")
    ]
    granted_at: Timestamp
    granted_at_ms: Milliseconds
    grant_missed: (
        Annotated[
            bool,
            Meta(
                description="true: the grant is not in the history. grantedAt is the earliest time "
                "known, and mode, limit, session, waited and reason are not known."
            ),
        ]
        | UnsetType
    ) = UNSET
    mode: Mode | UnsetType = UNSET
    limit: Annotated[Limit, Meta(description="When it is above 1.")] | UnsetType = UNSET
    session: SessionNumber | UnsetType = UNSET
    waited: (
        Annotated[Seconds, Meta(description="How long it was waited for, if it was.")] | UnsetType
    ) = UNSET
    reason: Reason | UnsetType = UNSET
    extensions: Annotated[
        int | None, Meta(description="How often it was extended; null: not known.")
    ]
    expire_at: (
        Annotated[
            Timestamp,
            Meta(description="When it would have ended by itself; absent: with its session."),
        ]
        | UnsetType
    ) = UNSET
    ended_at: Annotated[
        Timestamp | None,
        Meta(description="null: it has not ended. With endedBy unknown: the latest it can be."),
    ]
    ended_at_ms: Milliseconds | None
    ended_by: Annotated[
        Literal["released", "expired", "forced", "session", "unknown"] | None,
        Meta(
            description="session: the session that it lived in was ended, or ran out. unknown: it "
            "ended within a gap of the history."
        ),
    ]
    end_reason: (
        Annotated[str, Meta(description="Why it was forced, or what became of its session.")]
        | UnsetType
    ) = UNSET
    forced_by: (
        Annotated[str, Meta(description="Who forced it; absent when that wasn't said.")] | UnsetType
    ) = UNSET
    held: (
        Annotated[Seconds, Meta(description="How long it was held, by the cluster's own time.")]
        | UnsetType
    ) = UNSET
    last_seen_at: (
        Annotated[
            Timestamp,
            Meta(description="With endedBy unknown: until then it was held for certain."),
        ]
        | UnsetType
    ) = UNSET
    uncertain: (
        Annotated[
            bool,
            Meta(description="true: whether it was held at the instant asked for is not known."),
        ]
        | UnsetType
    ) = UNSET


class WaitEntryBody(WireBody, frozen=True, kw_only=True, tag_field="kind", tag="wait"):
    """Somebody waited for a lock and did not get it."""

    resource: Resource
    owner: Owner
    cluster_id: str
    number: Annotated[int, Meta(ge=1, description="Number of the event that says so.")]
    ticket: Annotated[
        int, Meta(ge=1, description="The wait's number; the same for all locks of one request.")
    ]
    began_at: Timestamp
    began_at_ms: Milliseconds
    ended_at: Timestamp
    ended_at_ms: Milliseconds
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


class HistoryGapBody(WireBody, frozen=True, kw_only=True):
    """A time of which the history lacks what happened."""

    from_: Timestamp = msgspec.field(name="from")
    to: Timestamp
    from_event: Annotated[int, Meta(description="Number of the first event that is missing.")]
    to_event: Annotated[int, Meta(description="Number of the last event that is missing.")]


class CompleteUpToBody(WireBody, frozen=True, kw_only=True):
    """How far the history is."""

    event: Annotated[int, Meta(ge=0, description="Number of the last event that is in it.")]
    at: Timestamp
    at_ms: Milliseconds
    behind: Annotated[
        int, Meta(ge=0, description="Events that this node knows of and the history has not yet.")
    ]


EntryBody = HoldEntryBody | WaitEntryBody
"""An entry of the history; its ``kind`` says which."""


class HistoryBody(WireBody, frozen=True, kw_only=True):
    """Entries of the history, those that began last first."""

    entries: tuple[EntryBody, ...]
    cursor: Annotated[
        str | None, Meta(description="Pass it on to get the next page; null on the last one.")
    ]
    complete_up_to: Annotated[
        CompleteUpToBody | None,
        Meta(
            description="What happened until then is in the history, but for its gaps; null: "
            "nothing was ever written."
        ),
    ]
    since: Annotated[
        Timestamp | None,
        Meta(description="When the history begins; null: with the first event of the cluster."),
    ]
    gaps: Annotated[
        tuple[HistoryGapBody, ...],
        Meta(description="Those of the time that is asked for, the latest first."),
    ]


def instant_of(text: str) -> int:
    """Read a time as milliseconds since 1970: UTC, unless it says its distance from it."""
    # A plus sign that was not percent-encoded arrives as a space.
    text = f"{text[:-6]}+{text[-5:]}" if text[-6:-5] == " " else text
    if not _TIME.fullmatch(text):
        raise FieldRuleError(
            "must be a time like 2025-05-04T10:11:12, 2025-05-04T10:11:12.345Z or "
            "2025-05-04T12:11:12+02:00"
        )
    whole = datetime.fromisoformat(text[:_SECONDS_CHARS]).replace(tzinfo=UTC)
    instant_ms = (whole - _EPOCH) // timedelta(milliseconds=1)
    fraction = re.match(r"\.([0-9]+)", text[_SECONDS_CHARS:])
    if fraction:
        instant_ms += int(fraction[1][:3].ljust(3, "0"))
    return instant_ms - _offset_ms(text[_SECONDS_CHARS:])


def _offset_ms(rest: str) -> int:
    found = re.search(r"([+-])([0-9]{2}):([0-9]{2})$", rest)
    if found is None:
        return 0
    length_ms = (int(found[2]) * 60 + int(found[3])) * 60_000
    return -length_ms if found[1] == "-" else length_ms


def place_of(text: str) -> tuple[int, int]:
    """Read a cursor."""
    if not _PLACE.fullmatch(text):
        raise FieldRuleError("must be a cursor as it was given")
    at_ms, _, number = text.partition(".")
    return int(at_ms), int(number)


def cursor_of(place: tuple[int, int]) -> str:
    """Write a cursor."""
    return f"{place[0]}.{place[1]}"
