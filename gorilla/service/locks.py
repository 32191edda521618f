"""Locks as callers use them: commands through the log, reads from the node's own state.

Refusals come back as values; what can't be served is raised (:mod:`~gorilla.service.errors`).
"""

import math
import secrets
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from gorilla.domain import limits
from gorilla.domain.commands import Acquire, Release, Renew
from gorilla.domain.lease_clock import deadline_ms, remaining_ms
from gorilla.domain.outcomes import (
    Full,
    Granted,
    Held,
    Lease,
    NotFound,
    NotHolder,
    Outcome,
    Recovering,
    Released,
    Renewed,
    TtlTooShort,
)
from gorilla.service import staleness
from gorilla.service.errors import StartingError
from gorilla.service.ports import Consensus
from gorilla.service.proposals import Proposals
from gorilla.service.replica import LockReplica
from gorilla.service.time import EventLoop

SECRET_BYTES: Final = 18
"""Random bytes of a secret: 144 bits, 24 characters that need no escaping in a path."""

PAGE_MAX: Final = 1_000
"""Leases of one page of a list."""

LOOKED_AT_MAX: Final = 10_000
"""Leases looked at for one page of a holder's: a few milliseconds, however many there are."""

WALL_STEP_MS: Final = 1_000
"""By how much the wall clock may have moved against cluster time before it is shown."""


class LeaseView(msgspec.Struct, frozen=True):
    """A lease as of one moment."""

    lease: Lease
    remaining_ms: int
    """How long its holder may still count on it."""
    expires_wall_ms: int
    """When that is over by the wall clock (milliseconds since 1970, UTC)."""


class LockView(msgspec.Struct, frozen=True, kw_only=True):
    """A lock as of one moment, held or free."""

    lock: str
    held: bool
    mode: Literal["exclusive"] = "exclusive"
    limit: int = 1
    """Holders at once."""
    holders: tuple[LeaseView, ...] = ()
    waiters: tuple[()] = ()
    fencing_token: int | None = None
    """The largest ever granted; None when none is remembered."""
    age_ms: int | None = None
    """Of a stale read, about how old the state is; None when it is linearizable."""


class LeasePage(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the leases, in order of lock names."""

    leases: tuple[LeaseView, ...]
    cursor: str | None = None
    """The next page comes ``after`` this lock; None when there is none. A page of one holder's
    may be short, or empty, and yet have a next one."""
    age_ms: int | None = None
    """As in :class:`LockView`."""


class LockSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator decides."""

    max_timeout_ms: int = 24 * 3600 * 1_000
    """A longer ttl is lowered to this one."""
    request_deadline_s: float = 5.0
    """After so long a request is given up (seconds)."""
    leader_grace_s: float = 2.0
    """How long a read waits while no leader is known (seconds); see ``ProposalLimits`` for
    commands."""


def new_secret() -> str:
    """Make a secret that nobody guesses."""
    return secrets.token_urlsafe(SECRET_BYTES)


class LockService:
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
        self._proposals = proposals
        self._consensus = consensus
        self._replica = replica
        self._loop = loop
        self._settings = settings or LockSettings()
        self._make_secret = make_secret

    # Commands

    async def acquire(
        self, *, lock: str, holder: str, ttl_ms: int, metadata: bytes = b"[]"
    ) -> Granted | Held | Full | Recovering:
        """Grant ``lock`` to ``holder`` for ``ttl_ms``, or say why not.

        A holder that already has it gets the same lease again, for the longer of both times.

        Args:
            lock: Its name, within ``limits``, as is the holder's.
            holder: Who asks.
            ttl_ms: At least 1 (milliseconds); lowered to the cluster's maximum.
            metadata: A JSON list, encoded.

        Raises:
            NotServedError: Nothing was done, and nothing will be.
            OutcomeUnknownError: It may have been granted. The same holder may just ask again.

        """
        asked_s = self._loop.time()
        capped_ms = min(ttl_ms, self._settings.max_timeout_ms)
        command = Acquire(lock, holder, capped_ms, self._make_secret(), metadata)
        outcome = await self._proposals.submit(command, self._deadline_s())
        if isinstance(outcome, Granted):
            left_ms = self._left_ms(outcome.remaining_ms, asked_s)
            return Granted(outcome.lease, left_ms, outcome.is_new)
        if isinstance(outcome, Held | Full | Recovering):
            return outcome
        raise _unexpected(outcome)

    async def release(self, lock: str, secret: str) -> Released | NotFound:
        """End the lease of ``lock`` that ``secret`` proves. Raises as :meth:`acquire`."""
        if not _may_be_secret(secret):
            return NotFound()
        command = Release(lock, secret)
        outcome = await self._proposals.submit(command, self._deadline_s())
        if isinstance(outcome, Released | NotFound):
            return outcome
        raise _unexpected(outcome)

    async def renew(
        self, lock: str, secret: str, *, ttl_ms: int, holder: str | None = None
    ) -> Renewed | NotFound | NotHolder | TtlTooShort:
        """Let the lease that ``secret`` proves run ``ttl_ms`` from now, under a new secret.

        Args:
            lock: Its name.
            secret: What proves the lease; dead once it is renewed.
            ttl_ms: As in :meth:`acquire`.
            holder: When given, the lease must be this holder's.

        Raises:
            NotServedError: Nothing was done, and nothing will be.
            OutcomeUnknownError: It may have been renewed, under a secret that nobody knows.

        """
        if not _may_be_secret(secret):
            return NotFound()
        asked_s = self._loop.time()
        capped_ms = min(ttl_ms, self._settings.max_timeout_ms)
        command = Renew(lock, secret, self._make_secret(), capped_ms, holder)
        outcome = await self._proposals.submit(command, self._deadline_s())
        if isinstance(outcome, Renewed):
            return Renewed(outcome.lease, self._left_ms(outcome.remaining_ms, asked_s))
        if isinstance(outcome, NotFound | NotHolder | TtlTooShort):
            return outcome
        raise _unexpected(outcome)

    # Reads

    async def status(self, lock: str, secret: str) -> LeaseView | NotFound:
        """Return the lease of ``lock`` that ``secret`` proves (linearizable).

        Raises:
            NotServedError: No leader confirmed that this node's state is the latest.

        """
        now_ms = await self._confirmed_now_ms()
        lease = self._replica.table.find(lock, secret)
        return NotFound() if lease is None else self._view(lease, now_ms)

    async def show(self, lock: str, *, stale: bool = False) -> LockView:
        """Return who holds ``lock``. Raises as :meth:`status`.

        Args:
            lock: Its name; nothing needs to be known of it.
            stale: Answer at once from this node's own state, which may be old.

        """
        now_ms, age_ms = await self._moment(stale=stale)
        table = self._replica.table
        lease = table.lease(lock)
        return LockView(
            lock=lock,
            held=lease is not None,
            holders=() if lease is None else (self._view(lease, now_ms),),
            fencing_token=table.largest_fencing_token(lock),
            age_ms=age_ms,
        )

    async def list(
        self,
        *,
        prefix: str = "",
        holder: str | None = None,
        after: str | None = None,
        limit: int = 100,
        stale: bool = False,
    ) -> LeasePage:
        """Return the leases of locks that start with ``prefix``. Raises as :meth:`status`.

        Args:
            prefix: Of the lock's name.
            holder: Whose leases; None is anybody's.
            after: The cursor of the page before; None starts at the first.
            limit: Leases of the page, 1 to :data:`PAGE_MAX`.
            stale: As in :meth:`show`.

        """
        now_ms, age_ms = await self._moment(stale=stale)
        limit = min(max(1, limit), PAGE_MAX)
        most = limit if holder is None else LOOKED_AT_MAX
        looked_at = self._replica.table.leases(prefix, after=after or "", limit=most + 1)
        found = [lease for lease in looked_at[:most] if holder in {None, lease.holder}]
        last = looked_at[most - 1].lock if len(looked_at) > most else None
        return LeasePage(
            leases=tuple(self._view(lease, now_ms) for lease in found[:limit]),
            cursor=found[limit - 1].lock if len(found) > limit else last,
            age_ms=age_ms,
        )

    def _deadline_s(self) -> float:
        return self._loop.time() + self._settings.request_deadline_s

    def _left_ms(self, remaining_ms: int, asked_s: float) -> int:
        """Return how much of a lease is left from the answer on, which is about to go out.

        ``remaining_ms`` counts from the entry's stamp, and the stamp came after the request
        (``asked_s``, loop time): no more than the time since then has passed. The lease is kept a
        little longer than promised; half of that pays for an answer that comes promptly, so it
        shows the very number that was asked for.
        """
        passed_ms = math.ceil((self._loop.time() - asked_s) * 1_000)
        spare_ms = (deadline_ms(0, remaining_ms) - remaining_ms) // 2
        return remaining_ms if passed_ms <= spare_ms else max(0, remaining_ms - passed_ms)

    async def _confirmed_now_ms(self) -> int:
        """Wait until the state may be read; return the cluster time to count from."""
        patience_s = self._settings.request_deadline_s
        if self._consensus.view().leader is None:
            patience_s = min(patience_s, self._settings.leader_grace_s)
        point = await self._consensus.read_point(self._loop.time() + patience_s)
        return max(self._replica.table.now_ms, point.now_ms)

    async def _moment(self, *, stale: bool) -> tuple[int, int | None]:
        """Return cluster time, and how old the state is when it is read as it stands."""
        if not stale:
            return await self._confirmed_now_ms(), None
        view = self._consensus.view()
        if not (self._replica.applied_index or view.caught_up):
            raise StartingError("this node has no state yet")
        age_ms = staleness.age_ms(view, self._replica)
        return max(self._replica.table.now_ms, self._replica.now_ms()), age_ms

    def _view(self, lease: Lease, now_ms: int) -> LeaseView:
        # What counts is that the state still has it: a lease whose time is over by the clock
        # alone may be shown by the next leader, whose clock starts where the state stands.
        left_ms = remaining_ms(now_ms, lease.expires_at_ms)
        offset_ms = self._replica.table.wall_offset_ms
        step_ms = offset_ms - _wall_offset_ms(lease)
        if abs(step_ms) <= WALL_STEP_MS:
            return LeaseView(lease, left_ms, lease.expires_wall_ms)
        return LeaseView(lease, left_ms, now_ms + offset_ms + left_ms)


def _wall_offset_ms(lease: Lease) -> int:
    """Return wall time less cluster time as it was when ``lease`` was last given its ttl."""
    given_at_ms = lease.expires_at_ms - deadline_ms(0, lease.ttl_ms)
    return lease.expires_wall_ms - lease.ttl_ms - given_at_ms


def _may_be_secret(secret: str) -> bool:
    """Return whether a lease may have this secret; no command can carry any other."""
    return 1 <= len(secret) <= limits.SECRET_CHARS_MAX


def _unexpected(outcome: Outcome) -> AssertionError:
    return AssertionError(f"the lock table answered {type(outcome).__name__}")
