"""The rules of getting a lock: at once, by queueing, several together."""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from gorilla.domain import limits
from gorilla.domain.book import Book
from gorilla.domain.chains import chain, in_the_way
from gorilla.domain.commands import SHARED, Acquire, AcquireAll, Claim
from gorilla.domain.deadlocks import SearchTooLargeError
from gorilla.domain.events import Hold, Left, QueuedEvent
from gorilla.domain.granting import (
    claim,
    clamped_ttl,
    grant,
    grant_plain,
    no_room,
    policy_refusal,
    position,
)
from gorilla.domain.holding import extended, is_over, with_its_session
from gorilla.domain.lease_clock import deadline_ms
from gorilla.domain.outcomes import (
    Clash,
    Cooling,
    Deadlock,
    Fresh,
    Full,
    Granted,
    GrantedAll,
    Held,
    Lease,
    Mismatch,
    NotHolder,
    Queued,
    Reserved,
    SessionNotFound,
    TimedOut,
    Turn,
)
from gorilla.domain.policies import lowered
from gorilla.domain.waiters import EXCLUSIVE, Party, Waiter, is_blocked

Retry = tuple[str, bytes]
"""Idempotency key and fingerprint of a request; empty: none."""

NO_RETRY: Final[Retry] = ("", b"")

_BLOCKERS_SHOWN: Final = 10


def acquire(book: Book, command: Acquire, origin: str, retry: Retry = NO_RETRY) -> Fresh:
    """Grant one lock, queue for it, or say why not."""
    lock = command.lock
    plain = not (command.session or book.policies or book.cooling)
    if plain and book.records.get(lock) is None and not book.waiters.queue(lock):
        return book.refusal() or grant_plain(book, command)
    return _ask(book, command, (lock,), origin, retry)


def acquire_all(book: Book, command: AcquireAll, origin: str, retry: Retry = NO_RETRY) -> Fresh:
    """Grant all of several locks, queue for them, or say why not."""
    return _ask(book, command, command.locks, origin, retry)


def _ask(
    book: Book,
    command: Acquire | AcquireAll,
    locks: tuple[str, ...],
    origin: str,
    retry: Retry,
) -> Fresh:
    session = 0
    if command.session:
        known = book.sessions.get(command.session)
        if known is None:
            return SessionNotFound()
        if known.holder != command.holder:
            return NotHolder(known.holder)
        session = known.number
    wait_ms = max(0, min(command.wait_ms, limits.WAIT_MS_MAX))
    for lock in locks:
        wait_ms = lowered(wait_ms, book.policies.of(lock).wait_ms_max)
    asked = Waiter(
        0,
        origin,
        locks,
        command.holder,
        session,
        command.secret,
        command.slots,
        command.ttl_ms,
        command.metadata,
        command.reason,
        isinstance(command, AcquireAll),
        book.now_ms,
        book.wall_ms,
        book.now_ms + wait_ms,
        0,
        *retry,
    )
    return (
        policy_refusal(book, asked)
        or _own(book, asked)
        or _clash(book, asked)
        or _serve(book, asked, may_wait=wait_ms > 0)
    )


def _own(book: Book, asked: Waiter) -> Fresh | None:
    """Give the caller what it holds already, once more; None when it holds nothing of it."""
    own = []
    for lock in asked.locks:
        record = book.records.get(lock)
        lease = None if record is None else record.lease_of(*asked.party)
        if lease is not None:
            own.append(lease)
    if not own:
        return None
    refusal = _differs(book, asked, own)
    if refusal is not None:
        return refusal
    leases = tuple(_told_again(book, _longer(book, lease, asked.ttl_ms)) for lease in own)
    left_ms = min(map(book.remaining_ms, leases))
    if asked.is_group:
        return GrantedAll(leases, left_ms, is_new=False)
    return Granted(leases[0], left_ms, is_new=False)


def _differs(book: Book, asked: Waiter, own: list[Lease]) -> Mismatch | None:
    """Return how what the caller holds already is not what it asks for, or None."""
    for lease in own:
        if lease.slots != asked.slots:
            return Mismatch(lease.lock, _how(lease.slots, asked.slots), lease.slots)
    if len(own) < len(asked.locks):
        return Mismatch(own[0].lock, Clash.PARTLY_HELD, own[0].slots)
    if asked.is_group and not _is_one_group(book, own):
        return Mismatch(own[0].lock, Clash.HELD_APART, own[0].slots)
    return None


def _is_one_group(book: Book, own: list[Lease]) -> bool:
    """Return whether these are what was granted at once: what ends their group ends just them."""
    group = own[0].group
    return bool(group) and {lease.lock for lease in own} == {
        lease.lock for lease in book.grouped(group)
    }


def _how(held: int, asked: int) -> Clash:
    if held == SHARED and asked == EXCLUSIVE:
        return Clash.UPGRADE
    if held == EXCLUSIVE and asked == SHARED:
        return Clash.DOWNGRADE
    return Clash.SLOTS


def _longer(book: Book, own: Lease, ttl_ms: int) -> Lease:
    """Return the holder's own lease, made to last ``ttl_ms`` from now if it would end before.

    0 is as long as its session, unless a policy says how long that may be.
    """
    if not ttl_ms and own.session and not book.policies.of(own.lock).lifetime_ms_max:
        return with_its_session(book, own)
    if not ttl_ms or deadline_ms(book.now_ms, clamped_ttl(ttl_ms)) <= own.expires_at_ms:
        return own
    if is_over(book, own, ttl_ms):
        return own
    return extended(book, own, own.secret, ttl_ms, restored=own.restored, group=own.group)


def _told_again(book: Book, own: Lease) -> Lease:
    """Note that somebody is told of a lease: nobody takes it back any more."""
    if own.is_known:
        return own
    lease = replace(own, is_known=True)
    book.replace(own, lease)
    return lease


def _clash(book: Book, asked: Waiter) -> Mismatch | None:
    """Return why what is asked for can't stand beside what others hold or queue for."""
    for lock in asked.locks:
        holders = book.records.holders(lock)
        slots = holders[0].slots if holders else None
        if slots is None:
            queued = book.waiters.queue(lock).values()
            others = (each.slots for each in queued if each.party != asked.party)
            slots = next(others, asked.slots)
        if max(slots, EXCLUSIVE) != max(asked.slots, EXCLUSIVE):
            return Mismatch(lock, Clash.SLOTS, slots)
    return None


def _serve(book: Book, asked: Waiter, *, may_wait: bool) -> Fresh:
    """Grant what was asked for if nobody is in the way, else queue for it or refuse it."""
    waits = book.waiters.of_party(asked.party) if book.waiters else []
    earlier = [wait for wait in waits if not set(wait.locks).isdisjoint(asked.locks)]
    same = next((wait for wait in earlier if _is_same(wait, asked)), None)
    if same is not None:
        return _take_place(book, same, asked, may_wait=may_wait)
    if may_wait:
        # The newer request counts; what it does not want any more must not stand in its way.
        _leave_all(book, earlier)
        earlier = []
    blocked = _first_block(book, asked)
    if blocked is not None:
        return _queue(book, asked) if may_wait else blocked
    refusal = no_room(book, asked)
    if refusal is not None:
        return refusal
    _leave_all(book, earlier)
    return grant(book, asked)


def _is_same(wait: Waiter, asked: Waiter) -> bool:
    wanted = (wait.locks, wait.slots, wait.is_group)
    return wanted == (asked.locks, asked.slots, asked.is_group)


def _leave_all(book: Book, waits: Iterable[Waiter]) -> None:
    for wait in waits:
        book.leave(wait, Left.REPLACED)


def _first_block(book: Book, asked: Waiter) -> Fresh | None:
    for lock in asked.locks:
        blocked = _blocked(book, asked, lock)
        if blocked is not None:
            return blocked
    return None


def _take_place(book: Book, wait: Waiter, asked: Waiter, *, may_wait: bool) -> Fresh:
    """Let a request stand where its owner queues already: it asks again, perhaps elsewhere."""
    has_turn = bool(wait.claim_by_ms) and book.is_next(wait)
    if not (has_turn or may_wait):
        blocked = _first_block(book, asked)
        assert blocked is not None
        return blocked
    book.turns.append(Turn(wait.origin, wait.ticket, wait.secret, Left.REPLACED))
    if wait.key and wait.key != asked.key:
        # The place is the other request's from now on: a copy of this one that comes late must
        # neither take it back, nor be granted what its owner has let go of by then.
        outcome = TimedOut(book.now_ms - wait.since_ms)
        book.keys.settle(wait.key, wait.fingerprint, wait.ticket, outcome, book.now_ms)
    taken = replace(
        asked,
        ticket=wait.ticket,
        since_ms=wait.since_ms,
        since_wall_ms=wait.since_wall_ms,
        claim_by_ms=wait.claim_by_ms,
    )
    book.update(taken)
    if wait.claim_by_ms:
        return claim(book, Claim(taken.ticket, taken.secret))
    return Queued(taken.ticket, position(book, taken))


def _blocked(book: Book, asked: Waiter, lock: str) -> Held | Reserved | Cooling | None:
    """Return who or what is in the way at ``lock`` of one that comes last, or None."""
    if book.is_cooling(lock):
        return Cooling(lock, book.cooling[lock] - book.now_ms)
    holders, most = book.records.holders(lock), book.most(lock)
    before = len(holders)
    alone = bool(holders) and holders[0].slots == EXCLUSIVE
    if is_blocked(asked.slots, before, most, before_alone=alone):
        first = min(holders, key=book.ends_ms)
        left_ms = book.remaining_ms(first)
        wall_ms = first.expires_wall_ms
        if book.ends_ms(first) != first.expires_at_ms:
            wall_ms = book.wall_ms + left_ms
        named = lock if asked.is_group else ""
        return Held(first.holder, first.fencing_token, wall_ms, left_ms, named)
    queue = book.waiters.queue(lock)
    if not queue:
        return None
    alone = alone or any(waiter.slots == EXCLUSIVE for waiter in queue.values())
    if is_blocked(asked.slots, before + len(queue), most, before_alone=alone):
        return Reserved(lock, next(iter(queue.values())).holder)
    return None


def _queue(book: Book, asked: Waiter) -> Fresh:
    """Let a request queue, unless that is refused."""
    refusal = book.refusal()
    if refusal is not None:
        return refusal
    if len(book.waiters) >= book.bounds.waiters:
        return Full("waiters_max")
    if any(len(book.waiters.queue(lock)) >= book.bounds.waiters_per_lock for lock in asked.locks):
        return Full("waiters_per_lock_max")
    is_waited_for = book.is_waited_for(asked.party)
    waiter = replace(asked, ticket=book.event_counter + 1)
    book.enqueue(waiter)
    if is_waited_for:
        try:
            cycle = book.graph.cycle(waiter.party, book.bounds.deadlock_steps)
        except SearchTooLargeError:
            book.dequeue(waiter)
            return Full("deadlock_steps_max")
        if cycle is not None:
            book.dequeue(waiter)
            return Deadlock(cycle)
    for lock in waiter.locks:
        _record_queued(book, waiter, lock)
    return Queued(waiter.ticket, position(book, waiter))


def _record_queued(book: Book, waiter: Waiter, lock: str) -> None:
    blockers: dict[str, Party] = {}
    for party, _ in in_the_way(book.graph, waiter, lock):
        blockers.setdefault(party[0], party)
        if len(blockers) >= _BLOCKERS_SHOWN:
            break
    first = next(iter(blockers.values()), None)
    book.record(
        QueuedEvent(
            *book.number(lock, waiter.holder),
            waiter.ticket,
            waiter.slots,
            # It has come last.
            len(book.waiters.queue(lock)),
            waiter.until_ms - waiter.since_ms,
            tuple(blockers),
            waiter.reason,
            _hold_of(book, book.records.holders(lock)),
            () if first is None else chain(book.graph, first),
        )
    )


def _hold_of(book: Book, holders: Sequence[Lease]) -> Hold | None:
    if not holders:
        return None
    lease = min(holders, key=book.ends_ms)
    until_wall_ms = book.wall_ms + book.remaining_ms(lease)
    return Hold(lease.holder, lease.created_wall_ms, until_wall_ms, lease.reason)
