"""What requests on the cluster's members look like: their fields, and their bodies' shapes."""

import ipaddress
import re
from collections.abc import Callable
from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType

from gorilla.wire.bodies import NO_CONTROL_CHARACTERS, WireBody
from gorilla.wire.fields import NAME_CHARS_MAX, FieldRuleError, name_of, one_of, string_of

CHANGE_S_DEFAULT: Final = 30.0
CHANGE_S_MIN: Final = 1.0
CHANGE_S_MAX: Final = 300.0
"""How long a caller may wait for a change of the cluster (seconds)."""

MEMBER_NAME_PATTERN: Final = r"^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$"

_PORT: Final = (
    r"([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
)
_HOST: Final = r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?"
_GROUP: Final = r"[1-9A-Fa-f][0-9A-Fa-f]{0,3}"
_ADDRESS_PATTERN: Final = (
    rf"^({_HOST}|\[({_GROUP}:){{7}}{_GROUP}\]|\[({_GROUP}:){{1,6}}:({_GROUP})?\]):{_PORT}$"
)
"""What is surely good; of IPv6 addresses the rule takes every form."""

_MEMBER_NAME: Final = re.compile(MEMBER_NAME_PATTERN)
_NAMED_HOST: Final = re.compile(rf"({_HOST}):{_PORT}")
_IPV6_HOST: Final = re.compile(rf"\[([0-9A-Fa-f:.]{{2,45}})\]:{_PORT}")
_SECONDS: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,20})?")

_true_or_false = one_of("true", "false")

MemberName = Annotated[
    str,
    Meta(
        pattern=MEMBER_NAME_PATTERN,
        description="1 to 63 letters, digits, - and _; it begins and ends with none of the signs.",
    ),
]
MemberKey = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=NAME_CHARS_MAX,
        pattern=NO_CONTROL_CHARACTERS,
        description="A member's id or its name.",
    ),
]
HostPort = Annotated[
    str,
    Meta(
        pattern=_ADDRESS_PATTERN,
        description="host:port as others reach it; an IPv6 host in brackets.",
        examples=["10.0.0.7:4100", "[fd00::7]:4100"],
    ),
]


class AddMemberBody(WireBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks to take a node into the cluster."""

    name: MemberName
    peer: Annotated[HostPort, Meta(description="Its address for the other members, host:port.")]
    http: Annotated[HostPort, Meta(description="Address of its REST API, host:port.")]
    replaces: (
        Annotated[MemberKey, Meta(description="Id or name of the member that leaves for it.")]
        | UnsetType
        | None
    ) = UNSET


class MoveMemberBody(WireBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks to change a member's addresses; what is left out stays. At least one is given."""

    peer: HostPort | UnsetType = UNSET
    http: HostPort | UnsetType = UNSET


class TransferBody(WireBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks the leader to hand its office over."""

    to: (
        Annotated[
            MemberKey,
            Meta(description="Id or name of the next leader; without it the best one follows."),
        ]
        | UnsetType
        | None
    ) = UNSET


class RosterMemberBody(WireBody, frozen=True, kw_only=True):
    """A member, as the roster has it."""

    id: str
    name: str
    http: Annotated[str, Meta(description="Address of its REST API.")]
    peer: Annotated[str, Meta(description="Address for the other members.")]


class ChangeReportBody(WireBody, frozen=True, kw_only=True):
    """What a change of the cluster did; for a dry run, what it would do."""

    done: Annotated[bool, Meta(description="False for a dry run: nothing was changed.")]
    steps: Annotated[tuple[str, ...], Meta(description="What was done, in order, in words.")]
    members: Annotated[
        tuple[RosterMemberBody, ...], Meta(description="The members after it, by name.")
    ]
    quorum: Annotated[int, Meta(ge=1, description="How many of them must be up.")]
    tolerates: Annotated[int, Meta(ge=0, description="How many of them may be down at once.")]


def member_name_of(raw: bytes) -> str:
    """Read the name of a new member."""
    text = string_of(raw)
    if not _MEMBER_NAME.fullmatch(text):
        raise FieldRuleError("must be 1 to 63 letters, digits, - and _, no sign first or last")
    return text


def member_key_of(raw: bytes) -> str | None:
    """Read a member's id or name; None stands for null."""
    return None if raw == b"null" else name_of(string_of(raw))


def address_of(raw: bytes) -> str:
    """Read ``host:port`` as others reach it."""
    text = string_of(raw)
    named, numbered = _NAMED_HOST.fullmatch(text), _IPV6_HOST.fullmatch(text)
    found = named or numbered
    if found is None:
        raise FieldRuleError("must be host:port, like 10.0.0.7:4100 or [fd00::7]:4100")
    try:
        number = ipaddress.ip_address(found[1])
    except ValueError:
        number = None  # a name
    if numbered is not None and not isinstance(number, ipaddress.IPv6Address):
        raise FieldRuleError("has no IPv6 address in its brackets")
    if number is not None and number.is_unspecified:
        raise FieldRuleError("means every address of a machine: write the one that others reach")
    return text


def optional_address_of(raw: bytes) -> str | None:
    """Read ``host:port`` where none stands for "as it is"."""
    return address_of(raw)


def flag_of(text: str) -> bool:
    """Read a switch: ``true`` or ``false``."""
    return _true_or_false(text) == "true"


def seconds_of(low: float, high: float) -> Callable[[str], float]:
    """Return the rule of seconds between two bounds, both included."""

    def rule(text: str) -> float:
        if _SECONDS.fullmatch(text) and low <= float(text) <= high:
            return float(text)
        raise FieldRuleError(f"must be a number of seconds from {low:g} to {high:g}")

    return rule
