"""The rules of a grant: what a lease is when it begins."""

from msgspec.structs import replace

from gorilla.domain import limits, timers
from gorilla.domain.book import Book
from gorilla.domain.commands import Acquire, Claim, Leave
from gorilla.domain.events import Acquired, Left
from gorilla.domain.lease_clock import deadline_ms, remaining_ms
from gorilla.domain.outcomes import (
    Done,
    Fresh,
    Full,
    Gone,
    Granted,
    GrantedAll,
    Lease,
    PolicyRefused,
    Queued,
    Recovering,
    Rule,
)
from gorilla.domain.policies import NO_POLICY, lowered, may
from gorilla.domain.waiters import Waiter


def claim(book: Book, command: Claim) -> Fresh:
    """Grant what a waiter's turn has come for, unless it has passed."""
    waiter = book.waiters.get(command.ticket)
    if waiter is None or waiter.secret != command.secret:
        return Gone()
    if any(map(book.is_cooling, waiter.locks)) or not book.is_next(waiter):
        # Only a policy that was made meanwhile keeps it from them.
        book.update(replace(waiter, claim_by_ms=0))
        return Queued(waiter.ticket, position(book, waiter))
    refusal = policy_refusal(book, waiter) or no_room(book, waiter)
    if refusal is not None:
        book.leave(waiter, Left.REFUSED)
        return refusal
    book.dequeue(waiter)
    outcome = grant(book, waiter)
    if waiter.key:
        book.keys.settle(waiter.key, waiter.fingerprint, waiter.ticket, outcome, book.now_ms)
    return outcome


def leave(book: Book, command: Leave) -> Fresh:
    """Let a waiter go whose caller hung up."""
    waiter = book.waiters.get(command.ticket)
    if waiter is None or waiter.secret != command.secret:
        return Gone()
    book.leave(waiter, Left.HUNG_UP)
    return Done()


def policy_refusal(book: Book, asked: Waiter) -> PolicyRefused | None:
    """Return why a policy refuses what is asked for, or None."""
    if not book.policies:
        return None
    for lock in asked.locks:
        policy = book.policies.of(lock)
        if not may(policy, asked.holder):
            return PolicyRefused(policy.prefix, Rule.OWNERS)
        if policy.holders_max and asked.slots > policy.holders_max:
            return PolicyRefused(policy.prefix, Rule.HOLDERS, policy.holders_max)
    return None


def no_room(book: Book, asked: Waiter) -> Recovering | Full | None:
    """Return which bound keeps from granting what is asked for, or None."""
    refusal = book.refusal(len(asked.locks))
    if refusal is None and asked.session:
        count = book.sessions.lease_count(asked.session) + len(asked.locks)
        if count > book.bounds.session_leases:
            return Full("session_leases_max")
    return refusal


def grant_plain(book: Book, command: Acquire) -> Granted:
    """Grant a free lock that no rule concerns: the way of almost every request."""
    book.fencing_counter += 1
    ttl_ms, now_ms, wall_ms = clamped_ttl(command.ttl_ms), book.now_ms, book.wall_ms
    lease = Lease(
        command.lock,
        command.holder,
        command.secret,
        book.fencing_counter,
        ttl_ms,
        deadline_ms(now_ms, ttl_ms),
        command.metadata,
        wall_ms,
        wall_ms,
        wall_ms + ttl_ms,
        False,  # noqa: FBT003  not restored
        command.slots,
        0,
        "",
        now_ms,
        0,
        command.reason,
    )
    book.begin(lease)
    fields = book.number(command.lock, command.holder)
    book.record(Acquired(*fields, lease.fencing_token, ttl_ms, command.slots, 0, 0, command.reason))
    return Granted(lease, ttl_ms, is_new=True)


def grant(book: Book, asked: Waiter) -> Granted | GrantedAll:
    """Grant all that was asked for; nobody is in the way, and nothing refuses it."""
    group = asked.secret if asked.is_group else ""
    secrets = (
        [f"{group}.{n}" for n in range(len(asked.locks))] if asked.is_group else [asked.secret]
    )
    leases = tuple(
        _grant_one(book, asked, lock, secret, group)
        for lock, secret in zip(asked.locks, secrets, strict=True)
    )
    left_ms = min(map(book.remaining_ms, leases))
    if asked.is_group:
        return GrantedAll(leases, left_ms, is_new=True)
    return Granted(leases[0], left_ms, is_new=True)


def _grant_one(book: Book, asked: Waiter, lock: str, secret: str, group: str) -> Lease:
    policy = book.policies.of(lock) if book.policies else NO_POLICY
    now_ms, wall_ms = book.now_ms, book.wall_ms
    ttl_ms = policy.lifetime_ms_max
    if asked.ttl_ms or not asked.session:
        ttl_ms = lowered(lowered(clamped_ttl(asked.ttl_ms), policy.ttl_ms_max), ttl_ms)
    if ttl_ms:
        expires_at_ms, expires_wall_ms = deadline_ms(now_ms, ttl_ms), wall_ms + ttl_ms
    else:
        session = book.sessions.numbered(asked.session)
        expires_at_ms = limits.NEVER_MS
        expires_wall_ms = wall_ms + remaining_ms(now_ms, session.expires_at_ms)
    book.fencing_counter += 1
    token = book.fencing_counter
    # Who had to queue has waited, however short it was.
    waited_ms = max(1, now_ms - asked.since_ms) if asked.ticket else 0
    lease = Lease(
        lock,
        asked.holder,
        secret,
        token,
        ttl_ms,
        expires_at_ms,
        asked.metadata,
        wall_ms,
        wall_ms,
        expires_wall_ms,
        False,  # noqa: FBT003  not restored
        asked.slots,
        asked.session,
        group,
        now_ms,
        waited_ms,
        asked.reason,
    )
    book.begin(lease)
    fields = book.number(lock, asked.holder)
    book.record(
        Acquired(
            *fields,
            token,
            ttl_ms,
            asked.slots,
            asked.session,
            waited_ms,
            asked.reason,
            asked.ticket,
        )
    )
    if policy.gap_ms:
        book.cooling[lock] = now_ms + policy.gap_ms
        book.timers.set((timers.COOLING, lock), book.cooling[lock])
    return lease


def clamped_ttl(ttl_ms: int) -> int:
    """Bring a ttl into its limits; whoever composed the entry has refused any other."""
    return max(1, min(ttl_ms, limits.TTL_MS_MAX))


def position(book: Book, waiter: Waiter) -> int:
    """Return the place of a waiter in its queue, from 1; of several queues the last."""
    return max(book.waiters.position(lock, waiter.ticket) for lock in waiter.locks)
