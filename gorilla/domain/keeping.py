"""The rules of what is kept beside locks: sessions, policies, members, idempotency keys."""

from collections.abc import Callable

import msgspec

from gorilla.domain import timers
from gorilla.domain.acquiring import Retry
from gorilla.domain.book import Book
from gorilla.domain.commands import (
    AcquireAll,
    DropPolicy,
    EndSession,
    KeepSession,
    NoteMembers,
    Once,
    OpenSession,
    Plain,
    SetPolicy,
)
from gorilla.domain.events import Left, MembersChanged
from gorilla.domain.holding import find
from gorilla.domain.key_memory import KeyRecord, granted_bytes
from gorilla.domain.lease_clock import deadline_ms, remaining_ms
from gorilla.domain.outcomes import (
    Done,
    Fresh,
    Full,
    Granted,
    GrantedAll,
    KeyConflict,
    NotFound,
    Outcome,
    Queued,
    Renewed,
    RenewedAll,
    Replayed,
    Session,
    SessionAlive,
    SessionEnded,
    SessionNotFound,
)


def open_session(book: Book, command: OpenSession) -> Fresh:
    """Begin a session."""
    known = book.sessions.get(command.session)
    if known is not None:
        return SessionAlive(known, remaining_ms(book.now_ms, known.expires_at_ms))
    if len(book.sessions) >= book.bounds.sessions:
        return Full("sessions_max")
    book.session_counter += 1
    session = Session(
        command.session,
        book.session_counter,
        command.holder,
        command.ttl_ms,
        deadline_ms(book.now_ms, command.ttl_ms),
        command.metadata,
        book.wall_ms,
        book.wall_ms,
        book.wall_ms + command.ttl_ms,
    )
    book.sessions.add(session)
    book.timers.set((timers.SESSION, session.number), session.expires_at_ms)
    return SessionAlive(session, session.ttl_ms)


def keep_session(book: Book, command: KeepSession) -> Fresh:
    """Let a session live on, and with it everything in it: no lease is touched."""
    old = book.sessions.get(command.session)
    if old is None:
        return SessionNotFound()
    session = Session(
        old.id,
        old.number,
        old.holder,
        old.ttl_ms,
        deadline_ms(book.now_ms, old.ttl_ms),
        old.metadata,
        old.created_wall_ms,
        book.wall_ms,
        book.wall_ms + old.ttl_ms,
    )
    book.sessions.replace(session)
    book.timers.set((timers.SESSION, session.number), session.expires_at_ms)
    return SessionAlive(session, session.ttl_ms)


def end_session(book: Book, command: EndSession) -> Fresh:
    """End a session, and everything in it."""
    session = book.sessions.get(command.session)
    if session is None:
        return SessionNotFound()
    return SessionEnded(book.end_session(session, Left.SESSION_ENDED, expired=False))


def set_policy(book: Book, command: SetPolicy) -> Fresh:
    """Rule a prefix by a policy from now on; what is held stays as it was granted."""
    policy = command.policy
    known = book.policies.get(policy.prefix)
    if known == policy:
        return Done(changed=False)
    if known is None and len(book.policies) >= book.bounds.policies:
        return Full("policies_max")
    book.rule(policy, policy.prefix)
    return Done()


def drop_policy(book: Book, command: DropPolicy) -> Fresh:
    """Take a policy back."""
    if book.policies.get(command.prefix) is None:
        return NotFound()
    book.rule(None, command.prefix)
    return Done()


def note_members(book: Book, command: NoteMembers) -> Fresh:
    """Record that the cluster has other members."""
    if command.index <= book.members_index or command.members == book.members:
        return Done(changed=False)
    is_first = not book.members
    book.members_index = command.index
    book.members = command.members
    if is_first:
        # The cluster has just been formed, or restored: nothing changed.
        return Done()
    book.event_counter += 1
    fields = (book.event_counter, book.now_ms, book.wall_ms)
    book.record(MembersChanged(*fields, command.members))
    return Done()


def once(book: Book, command: Once, execute: Callable[[Plain, Retry], Fresh]) -> Outcome:
    """Do a command, unless its idempotency key was used before: then give that outcome again."""
    known = book.keys.find(command.key, book.now_ms)
    if known is not None and known.fingerprint != command.fingerprint:
        return KeyConflict()
    if known is not None and not isinstance(known.outcome, Queued):
        return Replayed(_as_of_now(book, known.outcome))
    full = book.keys.full() if known is None else None
    if full is not None:
        return full
    # One that waits, or waited in vain, is asked again: it stands where it stood if it still does.
    outcome = execute(command.command, (command.key, command.fingerprint))
    size = 0
    if isinstance(outcome, Queued):
        asked = command.command
        size = granted_bytes(asked, len(asked.locks) if isinstance(asked, AcquireAll) else 1)
    elif known is not None:
        _end_wait(book, known)
    book.keys.keep(command.key, command.fingerprint, outcome, book.now_ms, granted_bytes=size)
    return outcome


def _end_wait(book: Book, known: KeyRecord) -> None:
    """Let a wait go whose request was refused when it was asked again: a key has one answer."""
    assert isinstance(known.outcome, Queued)
    wait = book.waiters.get(known.outcome.ticket)
    if wait is not None and wait.key == known.key:
        book.leave(wait, Left.REPLACED)


def _as_of_now(book: Book, outcome: Fresh) -> Fresh:
    """Return an earlier outcome with what is left of it now."""
    match outcome:
        case Granted(lease) | Renewed(lease):
            leases = [lease]
        case GrantedAll(several) | RenewedAll(several):
            leases = list(several)
        case SessionAlive(session):
            kept = book.sessions.get(session.id)
            left_ms = 0 if kept is None else remaining_ms(book.now_ms, kept.expires_at_ms)
            return msgspec.structs.replace(outcome, remaining_ms=left_ms)
        case _:
            return outcome
    alive = [find(book, lease.lock, lease.secret) for lease in leases]
    left = [0 if lease is None else book.remaining_ms(lease) for lease in alive]
    return msgspec.structs.replace(outcome, remaining_ms=min(left))
