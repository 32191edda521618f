"""What is told of locks: why somebody waits, who was made to let go, whose number is current."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from gorilla.wire.bodies import (
    FencingToken,
    Limit,
    Mode,
    Owner,
    Reason,
    Resource,
    Seconds,
    Timestamp,
    WireBody,
)


class LinkBody(WireBody, frozen=True, kw_only=True):
    """One owner waits for a lock because of another."""

    owner: Owner
    waits_for: Resource
    held_by: Annotated[Owner, Meta(description="Who has it, or is ahead in its queue.")]
    holds: Annotated[bool, Meta(description="Whether it has it; else it queued for it before.")]


class ExplainedHolderBody(WireBody, frozen=True, kw_only=True):
    """Somebody who holds the lock, and what keeps it from letting go."""

    owner: Owner
    since: Timestamp
    until: Timestamp
    remaining: Seconds
    reason: Reason | UnsetType = UNSET
    fencing_token: FencingToken
    mode: Annotated[Mode, Meta(description="When it is shared.")] | UnsetType = UNSET
    limit: Annotated[Limit, Meta(description="When it is above 1.")] | UnsetType = UNSET
    waits_for: Annotated[
        tuple[LinkBody, ...],
        Meta(description="The chain behind it: what it waits for itself, and who has that."),
    ]


class ExplanationBody(WireBody, frozen=True, kw_only=True):
    """Why a lock can't be had just now, and when it may be."""

    resource: Resource
    owner: Annotated[Owner | None, Meta(description="From whose side; null: of a newcomer.")]
    held: bool
    position: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="The owner's place in the queue; null: it does not queue."),
    ]
    ready: Annotated[bool, Meta(description="Whether its turn has come.")]
    ahead: Annotated[int, Meta(ge=0, description="How many come before it in the queue.")]
    holders: Annotated[
        tuple[ExplainedHolderBody, ...],
        Meta(description="Whoever else holds it, also the owner itself in another session."),
    ]
    has_it_for: (
        Annotated[Seconds, Meta(description="The owner itself has it, for so long at most.")]
        | UnsetType
    ) = UNSET
    first_waits_for: (
        Annotated[
            tuple[LinkBody, ...],
            Meta(description="What the first of the queue waits for, here or at other locks."),
        ]
        | UnsetType
    ) = UNSET
    cooling: (
        Annotated[Seconds, Meta(description="For so long a policy keeps it from its next grant.")]
        | UnsetType
    ) = UNSET
    estimate: Annotated[
        Seconds | None,
        Meta(
            description="About how many seconds until its turn, from how long the lock was held "
            "of late; null: not enough is known, or it is held for longer than ever."
        ),
    ]
    sentence: Annotated[str, Meta(description="All of it in words.")]


class ReleasedHoldBody(WireBody, frozen=True, kw_only=True):
    """A hold that was ended."""

    owner: Owner
    fencing_token: FencingToken


class ForcedBody(WireBody, frozen=True, kw_only=True):
    """Who was made to let go."""

    resource: Resource
    released: tuple[ReleasedHoldBody, ...]


class FencingBody(WireBody, frozen=True, kw_only=True):
    """Whether a number is of a present holder."""

    resource: Resource
    fencing_token: FencingToken
    current: Annotated[bool, Meta(description="Whether a holder has this very number now.")]
    held: Annotated[bool, Meta(description="Whether anybody holds the lock.")]
    largest: Annotated[
        FencingToken | None,
        Meta(description="The largest ever granted for it; null when none is remembered."),
    ]
