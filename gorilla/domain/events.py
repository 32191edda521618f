"""What happened in the lock table, for those who watch. Numbers rise by one, cluster-wide.

Events carry no secret: whoever may look may not therefore release. Every event begins with the
same fields; ``now_ms`` is cluster time, ``wall_ms`` wall time for display.
"""

from enum import StrEnum

import msgspec

from gorilla.domain.links import Link


class Left(StrEnum):
    """Why a waiter left its queue without the lock."""

    TIMEOUT = "timeout"
    """It waited for as long as it wanted to."""
    HUNG_UP = "hung_up"
    """Its caller closed the connection."""
    NODE_LOST = "node_lost"
    """The node that it waited at was not heard of for too long."""
    UNCLAIMED = "unclaimed"
    """Its turn came, and its node did not take it in time."""
    REPLACED = "replaced"
    """The same owner asked again, elsewhere."""
    SESSION_ENDED = "session_ended"
    """The session that it waited in was ended, or ran out."""
    REFUSED = "refused"
    """When its turn came the grant was refused: by a policy, or by a bound."""


class Acquired(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """A new lease began."""

    number: int
    now_ms: int
    wall_ms: int
    lock: str
    holder: str
    fencing_token: int
    ttl_ms: int
    """0: as long as its session."""
    slots: int = 1
    """As in the command: 1 exclusive, 0 shared, above 1 counted."""
    session: int = 0
    """Public number of its session; 0: none."""
    waited_ms: int = 0
    """How long it was queued for."""
    reason: str = ""
    ticket: int = 0
    """Number of the wait that it ended; 0: it was granted at once."""


class Extended(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """A lease was renewed, or acquired again by its holder for longer: ``ttl_ms`` from now."""

    number: int
    now_ms: int
    wall_ms: int
    lock: str
    holder: str
    fencing_token: int
    ttl_ms: int


class ReleasedEvent(msgspec.Struct, frozen=True, array_like=True, tag=3, gc=False):
    """Its holder ended a lease, or the session that it lived in."""

    number: int
    now_ms: int
    wall_ms: int
    lock: str
    holder: str
    fencing_token: int
    held_ms: int = 0
    session: int = 0
    """The session that was ended; 0: the lease itself was released."""


class Expired(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    """A lease ran out; ``now_ms`` is when the table noticed, not its deadline."""

    number: int
    now_ms: int
    wall_ms: int
    lock: str
    holder: str
    fencing_token: int
    held_ms: int = 0
    session: int = 0
    """The session that ran out; 0: the lease itself did."""


class Forced(msgspec.Struct, frozen=True, array_like=True, tag=5, gc=False):
    """An operator ended a lease."""

    number: int
    now_ms: int
    wall_ms: int
    lock: str
    holder: str
    fencing_token: int
    held_ms: int
    reason: str
    by: str


class Hold(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A hold that somebody waits behind."""

    holder: str
    since_wall_ms: int
    until_wall_ms: int
    """When it ends at the latest, unless it is extended."""
    reason: str = ""


class QueuedEvent(msgspec.Struct, frozen=True, array_like=True, tag=6, gc=False):
    """Somebody began to wait for a lock."""

    number: int
    now_ms: int
    wall_ms: int
    lock: str
    holder: str
    """Who waits."""
    ticket: int
    """Number of the wait: the same for each lock of several at once."""
    slots: int
    position: int
    """In the queue of this lock, from 1."""
    wait_ms: int
    blocked_by: tuple[str, ...]
    """Owners that keep it from the lock: they hold it, or come first; at most ten."""
    reason: str = ""
    held: Hold | None = None
    """The hold that ends first, unless it is extended."""
    chain: tuple[Link, ...] = ()
    """What keeps the first in the way, if it waits itself."""


class LeftEvent(msgspec.Struct, frozen=True, array_like=True, tag=7, gc=False):
    """A waiter left the queue of a lock without it."""

    number: int
    now_ms: int
    wall_ms: int
    lock: str
    holder: str
    ticket: int
    waited_ms: int
    why: Left


class ReleaseAsked(msgspec.Struct, frozen=True, array_like=True, tag=8, gc=False):
    """Somebody asked a holder to let go."""

    number: int
    now_ms: int
    wall_ms: int
    lock: str
    holder: str
    fencing_token: int
    by: str
    reason: str


class MembersChanged(msgspec.Struct, frozen=True, array_like=True, tag=9, gc=False):
    """The cluster has other members; of no lock and no holder."""

    number: int
    now_ms: int
    wall_ms: int
    members: tuple[str, ...]


LockEvent = (
    Acquired | Extended | ReleasedEvent | Expired | Forced | QueuedEvent | LeftEvent | ReleaseAsked
)
"""An event of one lock and one owner (``lock``, ``holder``)."""

Event = LockEvent | MembersChanged
