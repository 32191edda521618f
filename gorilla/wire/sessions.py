"""What requests on sessions look like."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from gorilla.wire.asking import AnyMetadata, AskedSeconds
from gorilla.wire.bodies import (
    HeldLockBody,
    Metadata,
    Owner,
    Reason,
    Resource,
    Seconds,
    SessionNumber,
    Timestamp,
    WireBody,
)


class OpenSessionBody(WireBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for a session."""

    owner: Owner
    ttl: Annotated[
        AskedSeconds, Meta(description="How long it lives after each sign of life (seconds).")
    ]
    metadata: AnyMetadata = UNSET


class KeepSessionBody(WireBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sign of life; nothing is to be said."""


class SessionBody(WireBody, frozen=True, kw_only=True):
    """A session, as its owner sees it."""

    id: Annotated[str, Meta(min_length=1, description="The secret that proves it.")]
    number: SessionNumber
    owner: Owner
    ttl: Annotated[Seconds, Meta(description="How long it lives after each sign of life.")]
    metadata: Metadata
    created_at: Timestamp
    updated_at: Annotated[Timestamp, Meta(description="When its last sign of life came.")]
    expire_at: Timestamp
    remaining: Annotated[
        Seconds,
        Meta(
            description="Seconds that it lives yet, from this answer on. 0 in an answer that is "
            "given again, when the session has ended since."
        ),
    ]


class SessionWaitBody(WireBody, frozen=True, kw_only=True):
    """What a session waits for."""

    resources: tuple[Resource, ...]
    position: Annotated[int, Meta(ge=1, description="In the queue; of several the largest.")]
    since: Timestamp
    reason: Reason | UnsetType = UNSET


class SessionStateBody(SessionBody, frozen=True, kw_only=True):
    """A session, with what lives in it."""

    locks: Annotated[
        tuple[HeldLockBody, ...],
        Meta(description="What it holds, the oldest first; without tokens."),
    ]
    waits: tuple[SessionWaitBody, ...]
