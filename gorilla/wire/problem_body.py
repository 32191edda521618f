"""The body of every answer that is not a success."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from gorilla.wire.bodies import (
    CheckBody,
    HolderBody,
    Limit,
    Mode,
    Owner,
    Resource,
    Seconds,
    Timestamp,
    WireBody,
)
from gorilla.wire.looking import ExplanationBody, LinkBody
from gorilla.wire.problems import FieldError, ProblemCode


class ConflictBody(WireBody, frozen=True, kw_only=True):
    """How what was asked for does not go with a lock."""

    resource: Resource
    why: Literal["slots", "upgrade", "downgrade", "partly_held", "held_apart"]
    mode: Annotated[Mode, Meta(description="In which it is held or queued for.")]
    limit: (
        Annotated[Limit, Meta(description="With mode exclusive: how many may hold it.")] | UnsetType
    ) = UNSET


class BrokenRuleBody(WireBody, frozen=True, kw_only=True):
    """Which rule of which policy refused."""

    prefix: Annotated[str, Meta(description="Of the policy.")]
    rule: Literal["owners", "maxHolders"]
    allowed: Annotated[int, Meta(description="What the rule allows.")] | UnsetType = UNSET


class PlaceBody(WireBody, frozen=True, kw_only=True):
    """Where in the queue a wait ended, and for how long the place is kept."""

    position: Annotated[
        int, Meta(ge=1, description="In the queue, from 1; of several locks the largest.")
    ]
    kept_for: (
        Annotated[
            Seconds,
            Meta(description="For so long the same owner may ask again from it; absent: not."),
        ]
        | UnsetType
    ) = UNSET
    kept_until: Annotated[Timestamp, Meta(description="When that is over.")] | UnsetType = UNSET


class ProblemBody(WireBody, frozen=True, kw_only=True):
    """An RFC 9457 problem; ``code`` is the part to switch on."""

    type: Annotated[str, Meta(extra_json_schema={"format": "uri"})]
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    code: ProblemCode
    error_message: Annotated[str, Meta(description="The same text as detail.")]
    request_id: str
    errors: tuple[FieldError, ...] | UnsetType = UNSET
    holder: HolderBody | UnsetType = UNSET
    retry_after: (
        Annotated[Seconds, Meta(description="With lock_held and cooling_down.")] | UnsetType
    ) = UNSET
    remaining: Annotated[Seconds, Meta(description="With timeout_too_short.")] | UnsetType = UNSET
    reason: (
        Annotated[str, Meta(description="With change_refused: why, for machines.")] | UnsetType
    ) = UNSET
    checks: tuple[CheckBody, ...] | UnsetType = UNSET
    resource: (
        Annotated[Resource, Meta(description="Which one of several locks it is about.")] | UnsetType
    ) = UNSET
    reserved_for: (
        Annotated[Owner, Meta(description="With lock_held: who comes first in its queue.")]
        | UnsetType
    ) = UNSET
    explain: (
        Annotated[
            ExplanationBody,
            Meta(description="With lock_held and wait_timeout: what /explain says."),
        ]
        | UnsetType
    ) = UNSET
    waited: (
        Annotated[
            Seconds,
            Meta(
                description="With wait_timeout: how long it stood in the queue, all requests from "
                "the same place together."
            ),
        ]
        | UnsetType
    ) = UNSET
    place: (
        Annotated[PlaceBody, Meta(description="With wait_timeout, unless it is given again.")]
        | UnsetType
    ) = UNSET
    cycle: (
        Annotated[
            tuple[LinkBody, ...],
            Meta(description="With deadlock: who waits for whom, round to the caller."),
        ]
        | UnsetType
    ) = UNSET
    conflict: ConflictBody | UnsetType = UNSET
    policy: BrokenRuleBody | UnsetType = UNSET
    bound: (
        Annotated[str, Meta(description="With quota_exceeded: the name of the limit.")] | UnsetType
    ) = UNSET
