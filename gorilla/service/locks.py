"""Locks as callers use them: commands through the log, reads from the node's own state.

Refusals come back as values; what can't be served is raised (:mod:`~gorilla.service.errors`).
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import Final

import msgspec

from gorilla.domain import limits
from gorilla.domain.commands import Acquire, AcquireAll, Plain, Release, Renew
from gorilla.domain.outcomes import (
    Cooling,
    Deadlock,
    Full,
    Granted,
    GrantedAll,
    Held,
    KeyConflict,
    Mismatch,
    NotFound,
    NotHolder,
    Outcome,
    PolicyRefused,
    Recovering,
    Released,
    Renewed,
    Replayed,
    Reserved,
    SessionNotFound,
    TtlTooShort,
)
from gorilla.service.keys import Key, once
from gorilla.service.moments import Moments, left_ms, replayed_now
from gorilla.service.ports import Consensus
from gorilla.service.proposals import Proposals
from gorilla.service.reading import (
    LOOKED_AT_MAX,
    PAGE_MAX,
    LeasePage,
    LeaseView,
    LockReader,
    LockView,
    WaiterView,
)
from gorilla.service.replica import LockReplica
from gorilla.service.time import EventLoop
from gorilla.service.waits import WaitEnded, Waits

__all__ = [
    "LOOKED_AT_MAX",
    "PAGE_MAX",
    "LeasePage",
    "LeaseView",
    "LockService",
    "LockSettings",
    "LockView",
    "WaiterView",
    "new_secret",
]

SECRET_BYTES: Final = 18
"""Random bytes of a secret: 144 bits, 24 characters that need no escaping in a path."""

NotGranted = (
    Held
    | Reserved
    | Cooling
    | Mismatch
    | Deadlock
    | PolicyRefused
    | SessionNotFound
    | NotHolder
    | Full
    | Recovering
    | KeyConflict
    | Replayed
    | WaitEnded
)
"""What an acquire may give other than a lease of now."""


class LockSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator decides."""

    max_timeout_ms: int = 24 * 3600 * 1_000
    """A longer ttl is lowered to this one."""
    max_wait_ms: int = 300 * 1_000
    """A longer wait is lowered to this one."""
    request_deadline_s: float = 5.0
    """After so long a request is given up (seconds)."""
    leader_grace_s: float = 2.0
    """How long a read waits while no leader is known (seconds); see ``ProposalLimits`` for
    commands."""


def new_secret() -> str:
    """Make a secret that nobody guesses."""
    return secrets.token_urlsafe(SECRET_BYTES)


class LockService(LockReader):
    """Acquire, release, renew and look. Every call ends by one deadline."""

    def __init__(
        self,
        proposals: Proposals,
        consensus: Consensus,
        replica: LockReplica,
        loop: EventLoop,
        settings: LockSettings | None = None,
        make_secret: Callable[[], str] = new_secret,
    ) -> None:
        """Serve from ``replica`` what ``proposals`` and ``consensus`` have brought there."""
        self._settings = settings or LockSettings()
        moments = Moments(
            consensus,
            replica,
            loop,
            request_deadline_s=self._settings.request_deadline_s,
            leader_grace_s=self._settings.leader_grace_s,
        )
        super().__init__(moments, replica)
        self._proposals = proposals
        self._loop = loop
        self._make_secret = make_secret
        self.waits = Waits(proposals, replica, loop, self._settings.request_deadline_s)

    async def acquire(  # noqa: PLR0913  one a field of the request
        self,
        *,
        lock: str,
        holder: str,
        ttl_ms: int,
        metadata: bytes = b"[]",
        slots: int = 1,
        wait_ms: int = 0,
        keep_ms: int = 0,
        session: str = "",
        reason: str = "",
        key: Key | None = None,
        hung_up: asyncio.Future[None] | None = None,
    ) -> Granted | NotGranted:
        """Grant ``lock`` to ``holder`` for ``ttl_ms``, or say why not.

        A holder that already has it gets the same lease again, for the longer of both times.

        Args:
            lock: Its name, within ``limits``, as is the holder's.
            holder: Who asks.
            ttl_ms: At least 1 (milliseconds); lowered to the cluster's maximum. 0 with a session:
                as long as that.
            metadata: A JSON list, encoded.
            slots: How many may hold it at once (see ``Acquire.slots``).
            wait_ms: How long to queue for it; lowered to the cluster's maximum.
            keep_ms: How long its place is kept when the wait is over, for who asks again.
            session: Id of the session that it is to live in.
            reason: Shown to those who wait.
            key: What the request is known again by.
            hung_up: Done when the caller has gone: then it leaves the queue at once.

        Raises:
            NotServedError: Nothing was done, and nothing will be.
            OutcomeUnknownError: It may have been granted. The same holder may just ask again.

        """
        command = Acquire(
            lock,
            holder,
            min(ttl_ms, self._settings.max_timeout_ms),
            self._make_secret(),
            metadata,
            slots,
            self._place_ms(wait_ms, keep_ms),
            session,
            reason,
        )
        if session and not _may_be_secret(session):
            return SessionNotFound()
        outcome, passed_s = await self._ask(command, keep_ms, key, hung_up)
        if isinstance(outcome, Granted):
            left = left_ms(outcome.remaining_ms, passed_s)
            return Granted(outcome.lease, left, outcome.is_new)
        if isinstance(outcome, NotGranted):
            return outcome
        raise _unexpected(outcome)

    async def acquire_all(  # noqa: PLR0913  one a field of the request
        self,
        *,
        locks: tuple[str, ...],
        holder: str,
        ttl_ms: int,
        metadata: bytes = b"[]",
        slots: int = 1,
        wait_ms: int = 0,
        keep_ms: int = 0,
        session: str = "",
        reason: str = "",
        key: Key | None = None,
        hung_up: asyncio.Future[None] | None = None,
    ) -> GrantedAll | NotGranted:
        """Grant all of ``locks`` at once or none. As :meth:`acquire` otherwise."""
        command = AcquireAll(
            locks,
            holder,
            min(ttl_ms, self._settings.max_timeout_ms),
            self._make_secret(),
            metadata,
            slots,
            self._place_ms(wait_ms, keep_ms),
            session,
            reason,
        )
        if session and not _may_be_secret(session):
            return SessionNotFound()
        outcome, passed_s = await self._ask(command, keep_ms, key, hung_up)
        if isinstance(outcome, GrantedAll):
            left = left_ms(outcome.remaining_ms, passed_s)
            return GrantedAll(outcome.leases, left, outcome.is_new)
        if isinstance(outcome, NotGranted):
            return outcome
        raise _unexpected(outcome)

    def _place_ms(self, wait_ms: int, keep_ms: int) -> int:
        """Return how long to stand in the queue: for the wait, and as long as the place is kept."""
        capped_ms = min(wait_ms, self._settings.max_wait_ms, limits.WAIT_MS_MAX - keep_ms)
        return capped_ms + keep_ms if capped_ms else 0

    async def _ask(
        self,
        command: Acquire | AcquireAll,
        keep_ms: int,
        key: Key | None,
        hung_up: asyncio.Future[None] | None,
    ) -> tuple[Outcome | WaitEnded, float]:
        """Return what ``command`` gave, and the seconds since what decided it was sent."""
        if command.wait_ms:
            result = await self.waits.acquire(command, key, hung_up, keep_ms)
            outcome, asked_s = result.outcome, result.asked_s
        else:
            asked_s = self._loop.time()
            outcome = await self._submit(command, key)
        passed_s = self._loop.time() - asked_s
        if isinstance(outcome, Replayed):
            outcome = replayed_now(outcome, passed_s)
        return outcome, passed_s

    async def release(
        self, lock: str, secret: str, *, key: Key | None = None
    ) -> Released | NotFound | KeyConflict | Full | Replayed:
        """End the lease of ``lock`` that ``secret`` proves. Raises as :meth:`acquire`."""
        if not _may_be_secret(secret):
            return NotFound()
        outcome = await self._submit(Release(lock, secret), key)
        if isinstance(outcome, Released | NotFound | KeyConflict | Full | Replayed):
            return outcome
        raise _unexpected(outcome)

    async def renew(
        self,
        lock: str,
        secret: str,
        *,
        ttl_ms: int,
        holder: str | None = None,
        key: Key | None = None,
    ) -> Renewed | NotFound | NotHolder | TtlTooShort | KeyConflict | Full | Replayed:
        """Let the lease that ``secret`` proves run ``ttl_ms`` from now, under a new secret.

        Args:
            lock: Its name.
            secret: What proves the lease; dead once it is renewed.
            ttl_ms: As in :meth:`acquire`.
            holder: When given, the lease must be this holder's.
            key: What the request is known again by.

        Raises:
            NotServedError: Nothing was done, and nothing will be.
            OutcomeUnknownError: It may have been renewed, under a secret that nobody knows.

        """
        if not _may_be_secret(secret):
            return NotFound()
        asked_s = self._loop.time()
        capped_ms = min(ttl_ms, self._settings.max_timeout_ms)
        command = Renew(lock, secret, self._make_secret(), capped_ms, holder)
        outcome = await self._submit(command, key)
        if isinstance(outcome, Renewed):
            left = left_ms(outcome.remaining_ms, self._loop.time() - asked_s)
            return Renewed(outcome.lease, left)
        if isinstance(outcome, Replayed):
            return replayed_now(outcome, self._loop.time() - asked_s)
        if isinstance(outcome, NotFound | NotHolder | TtlTooShort | KeyConflict | Full | Replayed):
            return outcome
        raise _unexpected(outcome)

    async def _submit(self, command: Plain, key: Key | None) -> Outcome:
        deadline_s = self._loop.time() + self._settings.request_deadline_s
        return await self._proposals.submit(once(command, key), deadline_s)


def _may_be_secret(secret: str) -> bool:
    """Return whether a lease may have this secret; no command can carry any other."""
    return 1 <= len(secret) <= limits.SECRET_CHARS_MAX


def _unexpected(outcome: Outcome | WaitEnded) -> AssertionError:
    return AssertionError(f"the lock table answered {type(outcome).__name__}")
