"""What applying a command gave. A refusal is a value, never an exception."""

import msgspec


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
    """Cluster time at which it is gone; later than the promise by the clock rate allowance."""
    metadata: bytes
    created_wall_ms: int
    updated_wall_ms: int
    expires_wall_ms: int
    restored: bool = False
    """Whether it came back with a restore and its holder has not renewed it since."""


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
    """Refused: another holder has the lock."""

    holder: str
    fencing_token: int
    expires_wall_ms: int
    remaining_ms: int


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


Outcome = (
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
)
