"""What can be asked of the lock table, as it stands in the log.

Everything that is not deterministic (time, secrets, identity) is an input here: the leader stamps
the time, the node that takes a request makes its secrets. Fields are encoded by position, so new
ones are appended with a default and never reordered. A node that doesn't know a field refuses the
bytes: to ignore it would make its state another one.
"""

from typing import Final

import msgspec

SHARED: Final = 0
"""Slots of a lock in shared mode: any number may hold it, as long as all of them share."""

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
    slots: int = 1
    """How many may hold it at once with this one: 1 exclusive, ``SHARED`` any number of sharers,
    above 1 a counting semaphore."""
    wait_ms: int = 0
    """How long to queue for it (cluster time); 0 asks only once."""
    session: str = ""
    """Id of the session that the lease lives in; then ``ttl_ms`` 0 means as long as that."""
    reason: str = ""
    """What for, in the caller's words; those who wait see it."""


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


class AcquireAll(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=4, gc=False
):
    """Grant all of ``locks`` to ``holder`` at once, or none. Fields as in :class:`Acquire`.

    The lease of the lock at position *n* carries the secret ``secret.n``; ``secret`` itself proves
    them all (see :class:`ReleaseAll`).
    """

    locks: tuple[str, ...]
    """Different ones, in the order in which the leases are given back."""
    holder: str
    ttl_ms: int
    secret: str
    metadata: bytes = b"[]"
    slots: int = 1
    wait_ms: int = 0
    session: str = ""
    reason: str = ""


class Claim(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=5, gc=False
):
    """Take what a waiter's turn has come for: its caller is still there."""

    ticket: int
    secret: str
    """As in the command that queued."""


class Leave(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=6, gc=False
):
    """Leave the queue: the caller hung up."""

    ticket: int
    secret: str


class OpenSession(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=7, gc=False
):
    """Begin a session, in which leases live for as long as it is kept alive."""

    session: str
    """Its id, a secret: 128 random bits or more."""
    holder: str
    ttl_ms: int
    metadata: bytes = b"[]"


class KeepSession(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=8, gc=False
):
    """Let a session live for its ttl from now on."""

    session: str


class EndSession(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=9, gc=False
):
    """End a session: its leases are released, its waiters leave."""

    session: str


class Force(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=10, gc=False
):
    """End every lease of ``lock``, whoever holds it."""

    lock: str
    reason: str
    by: str = ""
    """Who does it, for the record."""


class AskRelease(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=11, gc=False
):
    """Ask the holders of ``lock`` to let go; they see it when they next look or renew."""

    lock: str
    by: str
    reason: str = ""


class ReleaseAll(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=12, gc=False
):
    """End the leases that :class:`AcquireAll` gave under ``secret``, those that are left."""

    secret: str


class RenewAll(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=13, gc=False
):
    """Extend all the leases that ``secret`` proves, or none; then only ``new_secret`` does."""

    secret: str
    new_secret: str
    ttl_ms: int
    holder: str | None = None


class Policy(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Rules for the locks whose names start with ``prefix``; of several the longest prefix rules.

    0 means no rule, and no owners that anybody may.
    """

    prefix: str
    ttl_ms_max: int = 0
    """A longer ttl is lowered to it."""
    lifetime_ms_max: int = 0
    """From its grant on no lease lasts longer, however often it is renewed."""
    wait_ms_max: int = 0
    """A longer wait is lowered to it."""
    holders_max: int = 0
    """How many may hold a lock at once, shared or counted."""
    gap_ms: int = 0
    """Least time from one grant of a lock to its next."""
    owners: tuple[str, ...] = ()
    """Who may: names, or beginnings of names that end in ``*``."""


class SetPolicy(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=14, gc=False
):
    """Rule by ``policy`` from now on, instead of by an earlier one of its prefix."""

    policy: Policy


class DropPolicy(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=15, gc=False
):
    """Take back the policy of ``prefix``."""

    prefix: str


class NoteMembers(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=16, gc=False
):
    """Record that the cluster has other members, for those who watch events."""

    index: int
    """Log index that the roster was seen at; one not later than the last is passed over."""
    members: tuple[str, ...]
    """Their names, in order."""


class TakeBack(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=18, gc=False
):
    """End what was granted to a caller who had gone, unless its owner asked again meanwhile.

    Then the owner was told that it has it, and it stays.
    """

    lock: str
    """Empty: all that were granted at once under ``secret``."""
    secret: str


Plain = (
    Acquire
    | Release
    | Renew
    | AcquireAll
    | Claim
    | Leave
    | OpenSession
    | KeepSession
    | EndSession
    | Force
    | AskRelease
    | ReleaseAll
    | RenewAll
    | SetPolicy
    | DropPolicy
    | NoteMembers
    | TakeBack
)


class Once(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=17, gc=False
):
    """Do ``command`` unless it was done under this key before; then give that outcome again.

    Unlike the numbers of an origin, the key is the client's own, so it holds whichever node is
    asked and for as long as ``limits`` say.
    """

    key: str
    fingerprint: bytes
    """Of the request as the client sent it: the same key with another request is a mistake."""
    command: Plain


Command = Plain | Once


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
