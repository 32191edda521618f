"""What happened in the lock table, for those who watch. Numbers rise by one, cluster-wide.

Events carry no secret: whoever may look may not therefore release.
"""

import msgspec


class Acquired(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """A new lease began."""

    number: int
    now_ms: int
    wall_ms: int
    lock: str
    holder: str
    fencing_token: int
    ttl_ms: int


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
    """Its holder ended a lease."""

    number: int
    now_ms: int
    wall_ms: int
    lock: str
    holder: str
    fencing_token: int


class Expired(msgspec.Struct, frozen=True, array_like=True, tag=4, gc=False):
    """A lease ran out; ``now_ms`` is when the table noticed, not its deadline."""

    number: int
    now_ms: int
    wall_ms: int
    lock: str
    holder: str
    fencing_token: int


Event = Acquired | Extended | ReleasedEvent | Expired
