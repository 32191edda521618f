"""What can be asked of the lock table, as it stands in the log.

Everything that is not deterministic (time, secrets, identity) is an input here: the leader stamps
the time, the node that takes a request makes its secrets. Fields are encoded by position, so new
ones are appended with a default and never reordered. A node that doesn't know a field refuses the
bytes: to ignore it would make its state another one.
"""

from typing import Final

import msgspec

ENTRY_VERSION: Final = 1
"""Version of the log entry format; an entry of a later version stops the node (never skipped)."""


class Acquire(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1, gc=False
):
    """Grant ``lock`` to ``holder``, or say who has it."""

    lock: str
    holder: str
    ttl_ms: int
    secret: str
    """The secret that the grant will carry if it is new; 128 random bits or more."""
    metadata: bytes = b"[]"
    """A JSON list, already encoded."""


class Release(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2, gc=False
):
    """End the lease of ``lock`` that carries ``secret``."""

    lock: str
    secret: str


class Renew(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3, gc=False
):
    """Extend the lease that carries ``secret``; from then on only ``new_secret`` proves it."""

    lock: str
    secret: str
    new_secret: str
    ttl_ms: int
    holder: str | None = None
    """When given, the holder must be this one."""


Command = Acquire | Release | Renew


class Stamp(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What the leader says about time. ``now_ms`` is cluster time; ``wall_ms`` is for display."""

    term: int
    now_ms: int
    wall_ms: int
    """Milliseconds since 1970 (UTC) on the leader's wall clock; nothing is decided by it."""


class Batch(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Commands of one origin (a node process), each with its number.

    An origin numbers its commands 1, 2, 3, … and may propose one again after a failover: the
    table applies each number once and remembers its outcome until the origin confirms it
    (Ongaro, Raft dissertation 6.3).
    """

    origin: str
    confirmed: int
    """Every number up to this one has been resolved at the origin; its outcome may be forgotten."""
    opens: bool
    """Whether the origin may be unknown: only its first batches say so."""
    commands: tuple[tuple[int, Command], ...]


class Entry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One log entry: a stamp and everyone's batches. No batch at all is a pulse (expiry only)."""

    version: int
    stamp: Stamp
    batches: tuple[Batch, ...] = ()
    raises_to: int = 0
    """The cluster version from this entry on (see ``versions``); 0 leaves it as it is."""
