"""The rules of what is held: letting go, extending, being made to let go, being asked to."""

import msgspec

from gorilla.domain import limits
from gorilla.domain.book import Book
from gorilla.domain.commands import (
    AskRelease,
    Force,
    Release,
    ReleaseAll,
    Renew,
    RenewAll,
    TakeBack,
)
from gorilla.domain.events import Extended, ReleaseAsked
from gorilla.domain.lease_clock import deadline_ms, remaining_ms
from gorilla.domain.outcomes import (
    ForcedAway,
    Fresh,
    Lease,
    NotFound,
    NotHolder,
    Released,
    ReleasedAll,
    ReleaseWished,
    Renewed,
    RenewedAll,
    TtlTooShort,
    Wish,
)
from gorilla.domain.policies import lowered

_NOT_FOUND = NotFound()


def find(book: Book, lock: str, secret: str) -> Lease | None:
    """Return the lease of ``lock`` that ``secret`` proves, or None."""
    record = book.records.get(lock)
    return None if record is None else record.lease_with(secret)


def release(book: Book, command: Release) -> Fresh:
    """End a lease, for its holder."""
    lease = find(book, command.lock, command.secret)
    if lease is None:
        return _NOT_FOUND
    book.end(lease)
    book.record_end(lease, expired=False)
    return Released(lease.fencing_token)


def release_all(book: Book, command: ReleaseAll) -> Fresh:
    """End what is left of several leases that were granted at once."""
    return _end_all(book, book.grouped(command.secret))


def take_back(book: Book, command: TakeBack) -> Fresh:
    """End what was granted to a caller who had gone, but for what its owner was told of since."""
    if command.lock:
        lease = find(book, command.lock, command.secret)
        leases = [] if lease is None else [lease]
    else:
        leases = book.grouped(command.secret)
    return _end_all(book, [lease for lease in leases if not lease.is_known])


def _end_all(book: Book, leases: list[Lease]) -> Fresh:
    if not leases:
        return _NOT_FOUND
    for lease in leases:
        book.end(lease)
        book.record_end(lease, expired=False)
    return ReleasedAll(tuple(lease.fencing_token for lease in leases))


def renew(book: Book, command: Renew) -> Fresh:
    """Extend a lease, for its holder."""
    lease = find(book, command.lock, command.secret)
    if lease is None:
        return _NOT_FOUND
    refusal = _renewal_refusal(book, lease, command.ttl_ms, command.holder)
    if refusal is not None:
        return refusal
    if is_over(book, lease, command.ttl_ms):
        return _NOT_FOUND
    secret, group = command.new_secret, lease.group
    lease = extended(book, lease, secret, command.ttl_ms, restored=False, group=group)
    return Renewed(lease, book.remaining_ms(lease))


def renew_all(book: Book, command: RenewAll) -> Fresh:
    """Extend what is left of several leases that were granted at once: all of it, or nothing."""
    leases = book.grouped(command.secret)
    if not leases:
        return _NOT_FOUND
    for lease in leases:
        refusal = _renewal_refusal(book, lease, command.ttl_ms, command.holder)
        if refusal is not None:
            return refusal
    leases = [lease for lease in leases if not is_over(book, lease, command.ttl_ms)]
    if not leases:
        return _NOT_FOUND
    group = command.new_secret
    renewed = tuple(
        extended(book, lease, f"{group}.{n}", command.ttl_ms, restored=False, group=group)
        for n, lease in enumerate(leases)
    )
    return RenewedAll(renewed, min(map(book.remaining_ms, renewed)))


def force(book: Book, command: Force) -> Fresh:
    """End every lease of a lock, whoever holds it."""
    leases = book.records.holders(command.lock)
    for lease in leases:
        book.end(lease)
        book.record_forced(lease, command.reason, command.by)
    return ForcedAway(
        tuple(lease.holder for lease in leases), tuple(lease.fencing_token for lease in leases)
    )


def ask_release(book: Book, command: AskRelease) -> Fresh:
    """Leave word for the holders of a lock."""
    leases = book.records.holders(command.lock)
    wish = Wish(command.by, command.reason, book.wall_ms)
    for lease in leases:
        book.replace(lease, msgspec.structs.replace(lease, wish=wish))
        fields = (*book.number(lease.lock, lease.holder), lease.fencing_token)
        book.record(ReleaseAsked(*fields, command.by, command.reason))
    return ReleaseWished(tuple(lease.holder for lease in leases))


def is_over(book: Book, lease: Lease, ttl_ms: int) -> bool:
    """Return whether a lease is over for its holder, and may not last a millisecond longer.

    The cluster keeps it a little longer than was promised. Then, under a policy that has it end,
    there may be nothing to extend it by; and a ttl of 0 is as long as its session.
    """
    return lease.expires_at_ms != limits.NEVER_MS and not _given_ttl(book, lease, ttl_ms)


def extended(
    book: Book, old: Lease, secret: str, ttl_ms: int, *, restored: bool, group: str
) -> Lease:
    """Replace ``old`` by a lease that runs for ``ttl_ms`` from now, and never ends earlier.

    What lives as long as its session goes on to do so. A policy may lower the ttl.
    """
    if old.expires_at_ms == limits.NEVER_MS:
        ttl_ms, expires_at_ms = 0, limits.NEVER_MS
        expires_wall_ms = book.wall_ms + book.remaining_ms(old)
    else:
        ttl_ms = _given_ttl(book, old, ttl_ms)
        # Of equal remaining times the new deadline may be a rounding earlier.
        expires_at_ms = max(old.expires_at_ms, deadline_ms(book.now_ms, ttl_ms))
        expires_wall_ms = book.wall_ms + ttl_ms
    lease = Lease(
        old.lock,
        old.holder,
        secret,
        old.fencing_token,
        ttl_ms,
        expires_at_ms,
        old.metadata,
        old.created_wall_ms,
        book.wall_ms,
        expires_wall_ms,
        restored,
        old.slots,
        old.session,
        group,
        old.granted_ms,
        old.waited_ms,
        old.reason,
        old.wish,
        # Whoever extends it has it.
        True,  # noqa: FBT003
    )
    book.replace(old, lease)
    fields = book.number(lease.lock, lease.holder)
    book.record(Extended(*fields, lease.fencing_token, ttl_ms))
    return lease


def with_its_session(book: Book, old: Lease) -> Lease:
    """Let a lease that lives in a session last as long as that, whatever timeout it had."""
    if old.expires_at_ms == limits.NEVER_MS:
        return old
    left_ms = remaining_ms(book.now_ms, book.sessions.numbered(old.session).expires_at_ms)
    lease = msgspec.structs.replace(
        old,
        ttl_ms=0,
        expires_at_ms=limits.NEVER_MS,
        updated_wall_ms=book.wall_ms,
        expires_wall_ms=book.wall_ms + left_ms,
    )
    book.replace(old, lease)
    fields = book.number(lease.lock, lease.holder)
    book.record(Extended(*fields, lease.fencing_token, 0))
    return lease


def _renewal_refusal(
    book: Book, lease: Lease, ttl_ms: int, holder: str | None
) -> NotHolder | TtlTooShort | None:
    if holder is not None and holder != lease.holder:
        return NotHolder(lease.holder)
    if lease.expires_at_ms == limits.NEVER_MS:
        return None
    left_ms = remaining_ms(book.now_ms, lease.expires_at_ms)
    return TtlTooShort(left_ms) if ttl_ms < left_ms else None


def _given_ttl(book: Book, lease: Lease, ttl_ms: int) -> int:
    """Return for how long a lease that ends by itself would run from now on if it was extended."""
    asked_ms = _allowed_ttl(book, lease, max(1, min(ttl_ms, limits.TTL_MS_MAX)))
    return max(asked_ms, remaining_ms(book.now_ms, lease.expires_at_ms))


def _allowed_ttl(book: Book, lease: Lease, ttl_ms: int) -> int:
    """Lower a ttl to what the lock's policy allows, counted from the lease's grant."""
    if not book.policies:
        return ttl_ms
    policy = book.policies.of(lease.lock)
    ttl_ms = lowered(ttl_ms, policy.ttl_ms_max)
    if policy.lifetime_ms_max:
        last_ms = deadline_ms(lease.granted_ms, policy.lifetime_ms_max)
        ttl_ms = min(ttl_ms, remaining_ms(book.now_ms, last_ms))
    return ttl_ms
