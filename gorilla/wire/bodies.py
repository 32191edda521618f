"""The bodies of requests and answers, as JSON shapes.

The API document is generated from them, and clients encode requests with them. Requests are read
by ``gorilla.wire.fields``, which names every bad field at once rather than the first.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gorilla.wire.fields import NAME_CHARS_MAX

HOLDERS_MAX: Final = 1_024
"""Largest ``limit`` of a lock."""

NO_CONTROL_CHARACTERS = r"^[^\u0000-\u001f\u007f-\u009f]*$"

Name = Annotated[str, Meta(min_length=1, max_length=NAME_CHARS_MAX, pattern=NO_CONTROL_CHARACTERS)]
Owner = Annotated[Name, Meta(description="Who holds the lock, or asks for it.")]
Resource = Annotated[Name, Meta(description="The name of the lock.")]
Timestamp = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}$",
        description="UTC, without fraction and zone suffix.",
        examples=["2025-05-04T10:11:12"],
    ),
]
Metadata = Annotated[
    msgspec.Raw,
    Meta(
        extra_json_schema={"type": "array", "description": "What the owner attached."},
    ),
]
FencingToken = Annotated[
    int,
    Meta(
        ge=1,
        description="The grant's number. Protected systems refuse anything smaller than the "
        "largest that they have seen.",
    ),
]
Seconds = Annotated[
    int | float, Meta(description="Seconds: an integer when whole, else with three decimals.")
]
Mode = Annotated[
    Literal["exclusive", "shared"],
    Meta(description="shared: any number of owners may hold it, as long as all of them share."),
]
Limit = Annotated[
    int,
    Meta(ge=1, le=HOLDERS_MAX, description="How many may hold the lock at once."),
]
SessionNumber = Annotated[
    int, Meta(ge=1, description="Public number of the session that it lives in.")
]
Reason = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=NAME_CHARS_MAX,
        pattern=NO_CONTROL_CHARACTERS,
        description="What for, in words; everybody may see it.",
    ),
]


class WireBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of every body."""


class ReleaseRequestBody(WireBody, frozen=True, kw_only=True):
    """Somebody asked the holder to let go."""

    by: Annotated[Owner, Meta(description="Who asked.")]
    reason: Reason | UnsetType = UNSET
    at: Timestamp


class LockBody(WireBody, frozen=True, kw_only=True):
    """A lock that somebody holds, as its owner sees it."""

    id: Annotated[int, Meta(ge=1, description="The grant's number, never used twice.")]
    owner: Owner
    resource: Resource
    token: Annotated[
        str,
        Meta(min_length=1, description="The secret that proves the hold; extending replaces it."),
    ]
    timeout: Annotated[
        Seconds,
        Meta(
            description="Seconds that the lock can be held, from this answer on. 0 in an answer "
            "that is given again, when the lock has ended since."
        ),
    ]
    metadata: Metadata
    created_at: Timestamp
    updated_at: Timestamp
    expire_at: Timestamp
    fencing_token: FencingToken
    mode: Annotated[Mode, Meta(description="When it is shared.")] | UnsetType = UNSET
    limit: Annotated[Limit, Meta(description="When it is above 1.")] | UnsetType = UNSET
    session: SessionNumber | UnsetType = UNSET
    waited: (
        Annotated[Seconds, Meta(description="How long it was waited for, if it was.")] | UnsetType
    ) = UNSET
    reason: Reason | UnsetType = UNSET
    release_requested: ReleaseRequestBody | UnsetType = UNSET


class HeldLockBody(WireBody, frozen=True, kw_only=True):
    """A lock that somebody holds, as everybody may see it: without its token."""

    id: Annotated[int, Meta(ge=1)]
    owner: Owner
    resource: Resource
    timeout: Seconds
    metadata: Metadata
    created_at: Timestamp
    updated_at: Timestamp
    expire_at: Timestamp
    fencing_token: FencingToken
    mode: Annotated[Mode, Meta(description="When it is shared.")] | UnsetType = UNSET
    limit: Annotated[Limit, Meta(description="When it is above 1.")] | UnsetType = UNSET
    session: SessionNumber | UnsetType = UNSET
    waited: (
        Annotated[Seconds, Meta(description="How long it was waited for, if it was.")] | UnsetType
    ) = UNSET
    reason: Reason | UnsetType = UNSET
    release_requested: ReleaseRequestBody | UnsetType = UNSET
    holders: (
        Annotated[int, Meta(ge=2, description="In lists: how many hold it, when several do.")]
        | UnsetType
    ) = UNSET
    waiting: (
        Annotated[int, Meta(ge=1, description="In lists: how many queue for it, when any do.")]
        | UnsetType
    ) = UNSET


class LockListBody(WireBody, frozen=True, kw_only=True):
    """Held locks in the order of their names."""

    locks: tuple[HeldLockBody, ...]
    cursor: Annotated[
        str | None,
        Meta(
            description="Pass it on to get the next page; null on the last one. With owner, a page "
            "may be short, or empty, before the last one."
        ),
    ]


class WaiterBody(WireBody, frozen=True, kw_only=True):
    """Somebody who queues for a lock."""

    owner: Owner
    position: Annotated[int, Meta(ge=1)]
    since: Timestamp
    reason: str | None = None
    mode: Annotated[Mode, Meta(description="When it wants to share it.")] | UnsetType = UNSET
    limit: Annotated[Limit, Meta(description="When it is above 1.")] | UnsetType = UNSET
    session: SessionNumber | UnsetType = UNSET
    resources: (
        Annotated[
            tuple[Resource, ...],
            Meta(description="When it waits for several at once: all of them."),
        ]
        | UnsetType
    ) = UNSET
    ready: (
        Annotated[bool, Meta(description="true: its turn has come, and the lock is kept for it.")]
        | UnsetType
    ) = UNSET


class LockStateBody(WireBody, frozen=True, kw_only=True):
    """All about one lock, held or free."""

    resource: Resource
    held: bool
    mode: Mode
    limit: Annotated[int, Meta(ge=1, description="How many may hold it at once.")]
    holders: tuple[HeldLockBody, ...]
    waiters: tuple[WaiterBody, ...]
    more_waiters: (
        Annotated[int, Meta(ge=1, description="How many queue behind those that are told.")]
        | UnsetType
    ) = UNSET
    fencing_token: Annotated[
        FencingToken | None,
        Meta(description="The largest ever granted for it; null when none is remembered."),
    ]


class HolderBody(WireBody, frozen=True, kw_only=True):
    """Who holds the lock that was asked for."""

    owner: Owner
    expire_at: Timestamp
    fencing_token: FencingToken


class MemberBody(WireBody, frozen=True, kw_only=True):
    """A member of the cluster, as the answering node sees it."""

    id: str
    name: str
    http: Annotated[str, Meta(description="Address of its REST API.")]
    peer: Annotated[str, Meta(description="Address for the other members.")]
    role: Literal["leader", "follower", "candidate", "unknown"]
    connected: bool
    match_index: Annotated[
        int | None, Meta(description="Last entry it has on disk; known on the leader only.")
    ]
    lag: Annotated[int | None, Meta(description="Entries it is behind; known on the leader only.")]
    heard: Annotated[float | None, Meta(description="Seconds since its last message.")]
    version: str | None
    feature_level: Annotated[
        int | None, Meta(description="The highest level its release supports; null: not known.")
    ] = None
    draining: Annotated[
        bool, Meta(description="Whether it wants no requests: it is drained, or stopping.")
    ] = False


class LeaderBody(WireBody, frozen=True, kw_only=True):
    """The member that leads."""

    id: str
    name: str
    http: str


class SnapshotHealthBody(WireBody, frozen=True, kw_only=True):
    """Whether snapshots are stored, as the answering node sees it."""

    configured: Annotated[bool, Meta(description="Whether there is a database for them.")]
    stored_at: Annotated[
        Timestamp | None, Meta(description="When the newest known one was taken; null: none.")
    ]
    failing_since: Annotated[
        Timestamp | None,
        Meta(description="The alarm: since when they can't be stored; null while they can."),
    ]


class HistoryHealthBody(WireBody, frozen=True, kw_only=True):
    """Whether the history is written, as the answering node sees it."""

    configured: Annotated[bool, Meta(description="Whether there is one.")]
    behind: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="Events that are not in it yet; known on the leader only."),
    ]
    failing_since: Annotated[
        Timestamp | None,
        Meta(
            description="The alarm: since when it can't be written, on the leader only; null while "
            "it can."
        ),
    ]


class ClusterBody(WireBody, frozen=True, kw_only=True):
    """The cluster, as the answering node sees it."""

    cluster_id: str
    name: Annotated[str, Meta(description="What the operator calls the cluster.")]
    node: Annotated[str, Meta(description="Name of the node that answers.")]
    role: Literal["leader", "follower", "candidate"]
    term: int
    leader: LeaderBody | None
    commit_index: int
    applied_index: int
    last_index: int
    snapshot_index: int
    caught_up: bool
    draining: bool
    held: Annotated[int, Meta(ge=0, description="Locks held, in this node's copy of the state.")]
    waiting: Annotated[int, Meta(ge=0, description="Waits for locks, likewise.")]
    sessions: Annotated[int, Meta(ge=0, description="Sessions that live, likewise.")]
    fencing_counter: Annotated[int, Meta(ge=0, description="The largest number ever granted.")]
    chain: Annotated[
        str,
        Meta(description="Digest of all that was applied: equal on nodes at one appliedIndex."),
    ]
    uptime: Annotated[float, Meta(ge=0, description="Seconds since this node started.")]
    version: str
    cluster_version: Annotated[
        int, Meta(ge=1, description="The feature level in use: grows when an upgrade is finalised.")
    ] = 1
    snapshots: SnapshotHealthBody
    history: HistoryHealthBody
    members: tuple[MemberBody, ...]


class SnapshotBody(WireBody, frozen=True, kw_only=True):
    """A snapshot in the database."""

    id: int
    cluster_id: str
    node: Annotated[str, Meta(description="Name of the node that took it.")]
    created_at: Timestamp
    term: int
    applied_index: int
    lock_count: int
    fencing_counter: Annotated[int, Meta(description="The largest number granted until then.")]
    format_version: int
    size_bytes: int
    digest: Annotated[str, Meta(description="SHA-256 of what is stored, hexadecimal.")]


class SnapshotListBody(WireBody, frozen=True, kw_only=True):
    """Snapshots, the latest first."""

    snapshots: tuple[SnapshotBody, ...]


class HealthBody(WireBody, frozen=True, kw_only=True):
    """The process lives."""

    status: Literal["ok"] = "ok"


class CheckBody(WireBody, frozen=True, kw_only=True):
    """One condition of being ready."""

    name: str
    ok: bool
    detail: str


class ReadyBody(WireBody, frozen=True, kw_only=True):
    """The node serves requests."""

    ready: Literal[True]
    leader: bool
    checks: tuple[CheckBody, ...] | UnsetType = UNSET
