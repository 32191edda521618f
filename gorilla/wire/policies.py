"""What requests on policies look like: their fields, and their bodies' shapes."""

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gorilla.wire.asking import AskedSeconds
from gorilla.wire.bodies import (
    HOLDERS_MAX,
    NO_CONTROL_CHARACTERS,
    Seconds,
    WireBody,
)
from gorilla.wire.fields import NAME_CHARS_MAX, FieldRuleError, each_of, name_of

OWNERS_MAX: Final = 64
"""Owners that one policy lists."""

Prefix = Annotated[
    str,
    Meta(
        max_length=NAME_CHARS_MAX,
        pattern=NO_CONTROL_CHARACTERS,
        description="How the names of the locks begin that it rules; empty: all.",
    ),
]
OwnerOrPrefix = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=NAME_CHARS_MAX,
        pattern=r"^[^*\u0000-\u001f\u007f-\u009f]*\*?$",
    ),
]
Owners = Annotated[
    tuple[OwnerOrPrefix, ...],
    Meta(
        min_length=1,
        max_length=OWNERS_MAX,
        description="Who may take the locks: names, or beginnings of names that end in *.",
        examples=[["deploy-*", "anna"]],
    ),
]
Holders = Annotated[
    int,
    Meta(ge=1, le=HOLDERS_MAX, description="How many may hold a lock at once, whatever they ask."),
]


class SetPolicyBody(WireBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules of a policy; what is left out is no rule."""

    max_timeout: (
        Annotated[AskedSeconds, Meta(description="A longer timeout is lowered to it (seconds).")]
        | UnsetType
    ) = UNSET
    max_lifetime: (
        Annotated[
            AskedSeconds,
            Meta(description="No hold lasts longer, however often it is extended (seconds)."),
        ]
        | UnsetType
    ) = UNSET
    max_wait: (
        Annotated[AskedSeconds, Meta(description="A longer wait is lowered to it (seconds).")]
        | UnsetType
    ) = UNSET
    max_holders: Holders | UnsetType = UNSET
    min_gap: (
        Annotated[
            AskedSeconds,
            Meta(description="Least time from one grant of a lock to its next (seconds)."),
        ]
        | UnsetType
    ) = UNSET
    owners: Owners | UnsetType = UNSET


class PolicyBody(WireBody, frozen=True, kw_only=True):
    """A policy: the rules of all locks whose names begin so, unless a longer prefix has its own."""

    prefix: Prefix
    max_timeout: Seconds | UnsetType = UNSET
    max_lifetime: Seconds | UnsetType = UNSET
    max_wait: Seconds | UnsetType = UNSET
    max_holders: Holders | UnsetType = UNSET
    min_gap: Seconds | UnsetType = UNSET
    owners: Owners | UnsetType = UNSET


class PolicyListBody(WireBody, frozen=True, kw_only=True):
    """Policies in the order of their prefixes."""

    policies: tuple[PolicyBody, ...]


def owners_of(raw: bytes) -> tuple[str, ...]:
    """Read who may take the locks of a policy."""
    try:
        names = msgspec.json.decode(raw, type=tuple[str, ...])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FieldRuleError("must be a list of strings") from error
    if not 1 <= len(names) <= OWNERS_MAX:
        raise FieldRuleError(f"must be 1 to {OWNERS_MAX} owners")
    each_of(names, _owner_of)
    return names


def _owner_of(text: str) -> str:
    if "*" in text[:-1]:
        raise FieldRuleError("must have a * as its last character, if at all")
    return name_of(text)
