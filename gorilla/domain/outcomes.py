"""What applying a command gave. A refusal is a value, never an exception."""

from enum import StrEnum

import msgspec

from gorilla.domain.events import Left
from gorilla.domain.links import Link


class Clash(StrEnum):
    """How a request doesn't go with a lock as it is held or queued for."""

    SLOTS = "slots"
    """Others hold it, or queue for it, with another limit."""
    UPGRADE = "upgrade"
    """The caller shares it, and wants it alone."""
    DOWNGRADE = "downgrade"
    """The caller has it alone, and wants to share it."""
    PARTLY_HELD = "partly_held"
    """The caller holds some of several locks, and wants all of them."""
    HELD_APART = "held_apart"
    """The caller holds all of several locks, and was not given just these at once."""


class Rule(StrEnum):
    """A rule of a policy that can refuse."""

    OWNERS = "owners"
    HOLDERS = "holders_max"


class Wish(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Somebody asked the holder of a lease to let go."""

    by: str
    reason: str
    wall_ms: int


class Lease(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The right of ``holder`` to ``lock`` until ``expires_at_ms``. Replaced, never changed."""

    lock: str
    holder: str
    secret: str
    fencing_token: int
    """The grant's number: strictly increasing over the whole cluster, also its ``id``."""
    ttl_ms: int
    """What the holder was promised at the last grant or renewal."""
    expires_at_ms: int
    """Cluster time at which it is gone; later than the promise by the clock rate allowance.
    ``NEVER_MS``: only its session ends it."""
    metadata: bytes
    created_wall_ms: int
    updated_wall_ms: int
    expires_wall_ms: int
    restored: bool = False
    """Whether it came back with a restore and its holder has not renewed it since."""
    slots: int = 1
    """How many may hold it at once beside this one: 1 exclusive, 0 shared, above 1 counted."""
    session: int = 0
    """Number of the session that it lives in, and ends with; 0: none."""
    group: str = ""
    """The secret that proves all that were granted with it; empty: it was granted alone."""
    granted_ms: int = 0
    """Cluster time of its grant."""
    waited_ms: int = 0
    reason: str = ""
    wish: Wish | None = None
    """What its holder was last asked for, since it was granted."""
    is_known: bool = False
    """Whether its holder surely knows of it: it was told once more, or has extended it."""


class Granted(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=1, gc=False
):
    """The lease is the caller's: a new grant, or (``is_new`` false) the one it already had."""

    lease: Lease
    remaining_ms: int
    is_new: bool


class Renewed(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=2, gc=False
):
    """The lease runs on, under its new secret."""

    lease: Lease
    remaining_ms: int


class Released(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=3, gc=False
):
    """The lease has ended; ``fencing_token`` is the one it carried."""

    fencing_token: int


class Held(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=4, gc=False
):
    """Refused: another holder has the lock. Of several holders, the one that ends first."""

    holder: str
    fencing_token: int
    expires_wall_ms: int
    remaining_ms: int
    lock: str = ""
    """Which one, of several that were asked for."""


class NotFound(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=5, gc=False
):
    """Refused: the secret belongs to no live lease of that lock."""


class NotHolder(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=6, gc=False
):
    """Refused: the caller named a holder, and it is another."""

    holder: str


class TtlTooShort(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=7, gc=False
):
    """Refused: a renewal may not end earlier than the lease already does."""

    remaining_ms: int


class Full(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=8, gc=False
):
    """Refused: a bound of ``limits`` is reached. ``bound`` is its name, in lower case."""

    bound: str


class Recovering(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=9, gc=False
):
    """Refused: after a restore no new grant is made before a lost one must have ended."""

    remaining_ms: int


class Forgotten(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=10, gc=False
):
    """Not applied: the table no longer knows the origin, so it can't tell whether it did before.

    Never presented as a refusal: what an earlier proposal of the same number did is unknown.
    """


class GrantedAll(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=11, gc=False
):
    """All of the leases are the caller's, in the order in which they were asked for."""

    leases: tuple[Lease, ...]
    remaining_ms: int
    """Of the one that ends first."""
    is_new: bool


class Queued(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=12, gc=False
):
    """The caller waits from now on; a :class:`Turn` of this ticket says how that goes on."""

    ticket: int
    position: int
    """In the queue, from 1; of several locks the largest."""


class Deadlock(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=13, gc=False
):
    """Refused: to wait would close this cycle of owners who wait for each other."""

    cycle: tuple[Link, ...]
    """From the caller round to the caller."""


class Mismatch(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=14, gc=False
):
    """Refused: what was asked for does not go with what is held or queued for."""

    lock: str
    why: Clash
    slots: int
    """Of those who hold the lock or queue for it."""


class PolicyRefused(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=15, gc=False
):
    """Refused by the policy of a prefix."""

    prefix: str
    rule: Rule
    allowed: int = 0
    """What the rule allows: a number of holders, or milliseconds."""


class Cooling(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=16, gc=False
):
    """Refused: the lock is free, and by its policy it is too early for its next grant."""

    lock: str
    remaining_ms: int


class Session(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What leases live in for as long as it is kept alive. Replaced, never changed."""

    id: str
    """The secret that proves it."""
    number: int
    """Its public name: never used twice."""
    holder: str
    ttl_ms: int
    expires_at_ms: int
    metadata: bytes
    created_wall_ms: int
    updated_wall_ms: int
    expires_wall_ms: int


class SessionAlive(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=17, gc=False
):
    """The session lives, for ``remaining_ms`` more unless it is kept."""

    session: Session
    remaining_ms: int


class SessionNotFound(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=18, gc=False
):
    """Refused: the session never was, was ended, or ran out; all that lived in it is gone."""


class SessionEnded(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=19, gc=False
):
    """The session has ended, and with it so many leases."""

    released: int


class ForcedAway(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=20, gc=False
):
    """The leases of these holders have ended (none: the lock was free)."""

    holders: tuple[str, ...]
    fencing_tokens: tuple[int, ...]


class ReleaseWished(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=21, gc=False
):
    """These holders were asked (none: the lock is free)."""

    holders: tuple[str, ...]


class KeyConflict(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=22, gc=False
):
    """Refused: the idempotency key was used for another request."""


class Gone(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=23, gc=False
):
    """The ticket waits no more."""


class ReleasedAll(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=24, gc=False
):
    """The leases have ended; these are the fencing tokens that they carried."""

    fencing_tokens: tuple[int, ...]


class RenewedAll(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=25, gc=False
):
    """The leases run on, under new secrets."""

    leases: tuple[Lease, ...]
    remaining_ms: int
    """Of the one that ends first."""


class Reserved(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=28, gc=False
):
    """Refused: nobody holds ``lock`` in the way, and ``holder`` queued for it before."""

    lock: str
    holder: str


class TimedOut(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=29, gc=False
):
    """Refused: the wait was over before the turn came."""

    waited_ms: int


class Done(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=26, gc=False
):
    """It was done; ``changed`` is false when it had been so already."""

    changed: bool = True


Fresh = (
    Granted
    | Renewed
    | Released
    | Held
    | NotFound
    | NotHolder
    | TtlTooShort
    | Full
    | Recovering
    | Forgotten
    | GrantedAll
    | Queued
    | Deadlock
    | Mismatch
    | PolicyRefused
    | Cooling
    | SessionAlive
    | SessionNotFound
    | SessionEnded
    | ForcedAway
    | ReleaseWished
    | KeyConflict
    | Gone
    | ReleasedAll
    | RenewedAll
    | Done
    | Reserved
    | TimedOut
)


class Replayed(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=27, gc=False
):
    """What the first command under this idempotency key gave; nothing was done now.

    A lease in it is as it was then, and ``remaining_ms`` what is left of it now (0: nothing).
    """

    outcome: Fresh


Outcome = Fresh | Replayed


class Turn(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What became of a wait, for the node that it waits at."""

    origin: str
    ticket: int
    secret: str
    """As in the command that queued: it tells the call."""
    left: Left | None
    """Why it waits no more; None: its turn has come, and it is to be claimed."""
