"""What is asked for: one lock, several at once, more time; and the rules of those fields."""

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gorilla.wire.bodies import (
    HOLDERS_MAX,
    NO_CONTROL_CHARACTERS,
    Limit,
    LockBody,
    Mode,
    Owner,
    Reason,
    Resource,
    WireBody,
)
from gorilla.wire.fields import (
    KEPT_PLACE_S_MAX,
    NUMBER_STRING_CHARS_MAX,
    TOKEN_CHARS_MAX,
    Errors,
    FieldRuleError,
    each_of,
    int_of,
    name_of,
    one_of,
    printable,
    string_of,
)

RESOURCES_MAX: Final = 64
"""Locks of one request that wants several."""

SHARED: Final = "shared"
EXCLUSIVE: Final = "exclusive"

_POSITIVE_NUMBER: Final = r"^([1-9][0-9]*(\.[0-9]+)?|0\.[0-9]*[1-9][0-9]*)([eE][+-]?[0-9]{1,2})?$"
"""What is written of numbers in strings: all that is surely finite and more than 0."""

_KEPT_NUMBER: Final = rf"^([0-{KEPT_PLACE_S_MAX - 1}](\.[0-9]+)?|{KEPT_PLACE_S_MAX}(\.0+)?)$"
"""What is written of numbers up to the longest time that a place is kept."""

_NUMBER: Final = r"^(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,2})?$"

AskedSeconds = Annotated[
    Annotated[int, Meta(ge=1)]
    | Annotated[float, Meta(gt=0)]
    | Annotated[str, Meta(pattern=_POSITIVE_NUMBER, max_length=NUMBER_STRING_CHARS_MAX)],
    Meta(
        description="Seconds, more than 0; lowered to the cluster's maximum.",
        examples=[30, 1.5, "30"],
    ),
]
Wait = Annotated[
    Annotated[int, Meta(ge=0)]
    | Annotated[float, Meta(ge=0)]
    | Annotated[str, Meta(pattern=_NUMBER, max_length=NUMBER_STRING_CHARS_MAX)],
    Meta(
        description="Seconds to queue for it, first come, first served; 0: not at all. Lowered to "
        "the cluster's maximum. Hanging up leaves the queue.",
        examples=[10],
    ),
]
KeepPlace = Annotated[
    Annotated[int, Meta(ge=0, le=KEPT_PLACE_S_MAX)]
    | Annotated[float, Meta(ge=0, le=KEPT_PLACE_S_MAX)]
    | Annotated[str, Meta(pattern=_KEPT_NUMBER, max_length=NUMBER_STRING_CHARS_MAX)],
    Meta(
        description="Seconds that the place in the queue stays after a wait_timeout, for the same "
        "owner asking again, at any node; 0: it is given up. With wait only.",
        examples=[5],
    ),
]
AnyMetadata = Annotated[
    Any,
    Meta(
        description="Any JSON value of at most 4 KiB; a list stays, anything else becomes "
        "a list of one.",
        examples=[["build", 7]],
    ),
]
Secret = Annotated[
    str, Meta(min_length=1, max_length=TOKEN_CHARS_MAX, pattern=NO_CONTROL_CHARACTERS)
]
SessionId = Annotated[
    Secret,
    Meta(description="Id of the owner's session, with which the lock ends."),
]

ONE_OF_TIMEOUT_AND_SESSION: Final[dict[str, object]] = {
    "if": {"required": ["session"]},
    "else": {"required": ["timeout"]},
    "dependentRequired": {"keepPlace": ["wait"]},
    "dependentSchemas": {
        "limit": {
            "if": {"required": ["mode"], "properties": {"mode": {"const": SHARED}}},
            "then": {"properties": {"limit": {"maximum": 1}}},
        }
    },
}
"""What the shapes of requests for locks can't say."""


class AcquireBody(WireBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for a lock."""

    owner: Owner
    timeout: (
        Annotated[AskedSeconds, Meta(description="May be left out when session is given.")]
        | UnsetType
    ) = UNSET
    metadata: AnyMetadata = UNSET
    wait: Wait | UnsetType = UNSET
    keep_place: KeepPlace | UnsetType = UNSET
    mode: Mode | UnsetType = UNSET
    limit: (
        Annotated[
            Limit,
            Meta(
                description="How many may hold it at once (1: one). Everybody must name the same "
                "while it is held or queued for. Not with mode shared."
            ),
        ]
        | UnsetType
    ) = UNSET
    session: SessionId | UnsetType = UNSET
    reason: Reason | UnsetType = UNSET


class AcquireAllBody(WireBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for several locks at once: all of them, or none."""

    resources: Annotated[
        tuple[Resource, ...],
        Meta(
            min_length=1,
            max_length=RESOURCES_MAX,
            extra_json_schema={"uniqueItems": True},
            description="Their names, each once.",
        ),
    ]
    owner: Owner
    timeout: (
        Annotated[AskedSeconds, Meta(description="May be left out when session is given.")]
        | UnsetType
    ) = UNSET
    metadata: AnyMetadata = UNSET
    wait: Wait | UnsetType = UNSET
    keep_place: KeepPlace | UnsetType = UNSET
    mode: Mode | UnsetType = UNSET
    limit: Limit | UnsetType = UNSET
    session: SessionId | UnsetType = UNSET
    reason: Reason | UnsetType = UNSET


class ExtendBody(WireBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks to hold a lock, or several that were given at once, for longer."""

    timeout: AskedSeconds
    owner: Owner | UnsetType | None = UNSET


class GroupBody(WireBody, frozen=True, kw_only=True):
    """Locks that were given at once, as their owner sees them."""

    locks: Annotated[
        tuple[LockBody, ...],
        Meta(description="In the order in which they were asked for; of fewer, that order."),
    ]
    group: Annotated[
        str,
        Meta(min_length=1, description="The secret that proves them all; extending replaces it."),
    ]


class AskReleaseBody(WireBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks the holders of a lock to let go."""

    owner: Annotated[Owner, Meta(description="Who asks.")]
    reason: Reason | UnsetType = UNSET


class AskedHoldersBody(WireBody, frozen=True, kw_only=True):
    """Who was asked to let go."""

    holders: tuple[Owner, ...]


class CheckFencingBody(WireBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks whether a number is of a present holder."""

    fencing_token: Annotated[int, Meta(ge=1, le=(1 << 53) - 1)]


limit_of = int_of(1, HOLDERS_MAX)
fencing_token_of = int_of(1, (1 << 53) - 1)

_mode_of = one_of(EXCLUSIVE, SHARED)


def mode_of(raw: bytes) -> str:
    """Read the mode of a lock."""
    return _mode_of(string_of(raw))


def session_of(raw: bytes) -> str:
    """Read the id of a session."""
    text = printable(string_of(raw))
    if not 0 < len(text) <= TOKEN_CHARS_MAX:
        raise FieldRuleError(f"must have 1 to {TOKEN_CHARS_MAX} characters")
    return text


def resources_of(raw: bytes) -> tuple[str, ...]:
    """Read the names of several locks."""
    try:
        names = msgspec.json.decode(raw, type=tuple[str, ...])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FieldRuleError("must be a list of strings") from error
    if not 1 <= len(names) <= RESOURCES_MAX:
        raise FieldRuleError(f"must be 1 to {RESOURCES_MAX} names")
    if len(set(names)) < len(names):
        raise FieldRuleError("must name each lock once")
    each_of(names, name_of)
    return names


def slots_of(mode: str, limit: int, errors: Errors) -> int:
    """Return how many may hold a lock at once as commands say it; 0: any number of sharers."""
    if mode != SHARED:
        return limit
    if limit > 1:
        errors.add("limit", "must not be above 1 with mode shared, which has no limit")
    return 0
