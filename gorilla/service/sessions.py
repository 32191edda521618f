"""Sessions as callers use them: one sign of life for all that lives in one."""

from collections.abc import Callable

import msgspec

from gorilla.domain.commands import EndSession, KeepSession, OpenSession, Plain
from gorilla.domain.lease_clock import remaining_ms
from gorilla.domain.outcomes import (
    Full,
    KeyConflict,
    Lease,
    Outcome,
    Replayed,
    Session,
    SessionAlive,
    SessionEnded,
    SessionNotFound,
)
from gorilla.domain.waiters import Waiter
from gorilla.service.keys import Key, once
from gorilla.service.locks import LeaseView, LockSettings, new_secret
from gorilla.service.moments import Moments, left_ms, replayed_now
from gorilla.service.proposals import Proposals
from gorilla.service.repairs import KeyRefusal, may_be_secret
from gorilla.service.replica import LockReplica
from gorilla.service.time import EventLoop


class SessionWait(msgspec.Struct, frozen=True):
    """What a session waits for."""

    locks: tuple[str, ...]
    position: int
    """In the queue, from 1; of several locks the largest."""
    since_wall_ms: int
    reason: str


class SessionView(msgspec.Struct, frozen=True):
    """A session as of one moment, with what lives in it."""

    session: Session
    remaining_ms: int
    leases: tuple[LeaseView, ...]
    """In order of their grants."""
    waits: tuple[SessionWait, ...]


class SessionService:
    """Open, keep, look at and end sessions. Raises as the lock service does."""

    def __init__(
        self,
        proposals: Proposals,
        moments: Moments,
        replica: LockReplica,
        loop: EventLoop,
        settings: LockSettings | None = None,
        make_secret: Callable[[], str] = new_secret,
    ) -> None:
        """Command through ``proposals``; read from ``replica`` at the right ``moments``."""
        self._proposals = proposals
        self._moments = moments
        self._replica = replica
        self._loop = loop
        self._settings = settings or LockSettings()
        self._make_secret = make_secret

    async def open(
        self, *, holder: str, ttl_ms: int, metadata: bytes = b"[]", key: Key | None = None
    ) -> SessionAlive | Full | Replayed | KeyConflict:
        """Begin a session that lives for ``ttl_ms`` after each sign of life.

        Args:
            holder: Whose it is, and all that lives in it.
            ttl_ms: At least 1 (milliseconds); lowered to the cluster's maximum.
            metadata: A JSON list, encoded.
            key: What the request is known again by.

        """
        capped_ms = min(ttl_ms, self._settings.max_timeout_ms)
        outcome = await self._lived(
            OpenSession(self._make_secret(), holder, capped_ms, metadata), key
        )
        assert isinstance(outcome, SessionAlive | Replayed | KeyRefusal)
        return outcome

    async def keep(
        self, session_id: str, *, key: Key | None = None
    ) -> SessionAlive | SessionNotFound | Replayed | KeyRefusal:
        """Let a session, and all that lives in it, live for its ttl from now on."""
        if not may_be_secret(session_id):
            return SessionNotFound()
        outcome = await self._lived(KeepSession(session_id), key)
        assert isinstance(outcome, SessionAlive | SessionNotFound | Replayed | KeyRefusal)
        return outcome

    async def end(
        self, session_id: str, *, key: Key | None = None
    ) -> SessionEnded | SessionNotFound | Replayed | KeyRefusal:
        """End a session, and all that lives in it."""
        if not may_be_secret(session_id):
            return SessionNotFound()
        outcome = await self._submit(EndSession(session_id), key)
        assert isinstance(outcome, SessionEnded | SessionNotFound | Replayed | KeyRefusal)
        return outcome

    async def show(self, session_id: str) -> SessionView | SessionNotFound:
        """Return a session and what lives in it (linearizable)."""
        now_ms = await self._moments.confirmed_ms()
        table = self._replica.table
        session = table.session(session_id)
        if session is None:
            return SessionNotFound()
        waiters = table.waiters.of_party((session.holder, session.number))
        return SessionView(
            session,
            remaining_ms(now_ms, session.expires_at_ms),
            tuple(self._view(lease, now_ms) for lease in table.session_leases(session)),
            tuple(map(self._wait, waiters)),
        )

    def _view(self, lease: Lease, now_ms: int) -> LeaseView:
        left = remaining_ms(now_ms, self._replica.table.ends_ms(lease))
        return LeaseView(lease, left, now_ms + self._replica.table.wall_offset_ms + left)

    def _wait(self, waiter: Waiter) -> SessionWait:
        waiters = self._replica.table.waiters
        position = max(waiters.position(lock, waiter.ticket) for lock in waiter.locks)
        return SessionWait(waiter.locks, position, waiter.since_wall_ms, waiter.reason)

    async def _lived(self, command: OpenSession | KeepSession, key: Key | None) -> Outcome:
        asked_s = self._loop.time()
        outcome = await self._submit(command, key)
        passed_s = self._loop.time() - asked_s
        if isinstance(outcome, Replayed):
            return replayed_now(outcome, passed_s)
        if not isinstance(outcome, SessionAlive):
            return outcome
        left = left_ms(outcome.remaining_ms, passed_s)
        return SessionAlive(outcome.session, left)

    async def _submit(self, command: Plain, key: Key | None) -> Outcome:
        deadline_s = self._loop.time() + self._settings.request_deadline_s
        return await self._proposals.submit(once(command, key), deadline_s)
