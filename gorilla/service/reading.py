"""Reading locks: from the node's own state, confirmed to be the latest unless it may be stale."""

from typing import Final

import msgspec

from gorilla.domain.explaining import Explanation, explain
from gorilla.domain.lease_clock import deadline_ms, remaining_ms
from gorilla.domain.outcomes import Lease, NotFound
from gorilla.domain.waiters import Waiter
from gorilla.service.estimates import HoldTimes
from gorilla.service.moments import Moments
from gorilla.service.replica import LockReplica

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
    holders: int = 0
    """In a list: how many hold its lock, this one counted."""
    waiting: int = 0
    """In a list: how many queue for its lock."""


class WaiterView(msgspec.Struct, frozen=True):
    """Somebody who queues for a lock."""

    waiter: Waiter
    position: int
    ready: bool = False
    """Whether its turn has come."""


class LockView(msgspec.Struct, frozen=True, kw_only=True):
    """A lock as of one moment, held or free."""

    lock: str
    held: bool
    slots: int = 1
    """How many may hold it at once with those who do, or queue: see ``Acquire.slots``."""
    holders: tuple[LeaseView, ...] = ()
    waiters: tuple[WaiterView, ...] = ()
    """The first in the queue first; at most :data:`PAGE_MAX`."""
    more_waiters: int = 0
    """How many queue behind these."""
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


class LockReader:
    """Looks at locks as of the right moments."""

    def __init__(self, moments: Moments, replica: LockReplica) -> None:
        """Read from ``replica`` at the right ``moments``."""
        self._moments = moments
        self._replica = replica
        self._hold_times = HoldTimes()
        replica.watch(self._hold_times.on_events)

    async def status(self, lock: str, secret: str) -> LeaseView | NotFound:
        """Return the lease of ``lock`` that ``secret`` proves (linearizable).

        Raises:
            NotServedError: No leader confirmed that this node's state is the latest.

        """
        now_ms = await self._moments.confirmed_ms()
        lease = self._replica.table.find(lock, secret)
        return NotFound() if lease is None else self._view(lease, now_ms)

    async def show(self, lock: str, *, stale: bool = False) -> LockView:
        """Return who holds ``lock``. Raises as :meth:`status`.

        Args:
            lock: Its name; nothing needs to be known of it.
            stale: Answer at once from this node's own state, which may be old.

        """
        now_ms, age_ms = await self._moments.moment(stale=stale)
        table = self._replica.table
        holders, queue = table.holders(lock), table.waiters.queue(lock)
        waiters = [
            WaiterView(waiter, n, table.has_turn(waiter))
            for n, waiter in enumerate(queue.values(), start=1)
        ]
        first = holders[0] if holders else next(iter(queue.values()), None)
        return LockView(
            lock=lock,
            held=bool(holders),
            slots=1 if first is None else first.slots,
            holders=tuple(self._view(lease, now_ms) for lease in holders),
            waiters=tuple(waiters[:PAGE_MAX]),
            more_waiters=max(0, len(waiters) - PAGE_MAX),
            fencing_token=table.largest_fencing_token(lock),
            age_ms=age_ms,
        )

    async def explain(
        self, lock: str, owner: str | None = None, *, stale: bool = False
    ) -> tuple[Explanation, int | None]:
        """Say why ``owner`` (None: a newcomer) can't have it now. Raises as :meth:`status`.

        Returns:
            Why; and of a stale read, about how old the state is.

        """
        now_ms, age_ms = await self._moments.moment(stale=stale)
        return self._explained(lock, owner, now_ms), age_ms

    def explained_now(self, lock: str, owner: str, session: str = "") -> Explanation:
        """Do as :meth:`explain` from the state as it stands: right after a refusal.

        What the owner holds outside ``session`` (empty: in any) is in its way.
        """
        table = self._replica.table
        known = table.session(session) if session else None
        number = 0 if known is None else known.number
        now_ms = max(table.now_ms, self._replica.now_ms())
        return self._explained(lock, owner, now_ms, number)

    def _explained(
        self, lock: str, owner: str | None, now_ms: int, session: int | None = None
    ) -> Explanation:
        found = explain(self._replica.table, lock, owner, now_ms, session=session)
        return msgspec.structs.replace(found, estimate_ms=self._hold_times.estimate_ms(found))

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
        now_ms, age_ms = await self._moments.moment(stale=stale)
        limit = min(max(1, limit), PAGE_MAX)
        most = limit if holder is None else LOOKED_AT_MAX
        looked_at = self._replica.table.leases(prefix, after=after or "", limit=most + 1)
        page: list[Lease] = []
        last, cursor = None, None
        for count, lease in enumerate(looked_at):
            is_next = last is not None and lease.lock != last
            if is_next and (len(page) >= limit or count >= most):
                cursor = last
                break
            last = lease.lock
            if holder in {None, lease.holder}:
                page.append(lease)
        else:
            cursor = last if len(looked_at) > most else None
        return LeasePage(
            leases=tuple(self._listed(lease, now_ms) for lease in page),
            cursor=cursor,
            age_ms=age_ms,
        )

    def _listed(self, lease: Lease, now_ms: int) -> LeaseView:
        table, view = self._replica.table, self._view(lease, now_ms)
        holders, queue = table.holders(lease.lock), table.waiters.queue(lease.lock)
        return msgspec.structs.replace(view, holders=len(holders), waiting=len(queue))

    def _view(self, lease: Lease, now_ms: int) -> LeaseView:
        # What counts is that the state still has it: a lease whose time is over by the clock
        # alone may be shown by the next leader, whose clock starts where the state stands.
        table = self._replica.table
        ends_ms, offset_ms = table.ends_ms(lease), table.wall_offset_ms
        left_ms = remaining_ms(now_ms, ends_ms)
        if ends_ms != lease.expires_at_ms:
            return LeaseView(lease, left_ms, now_ms + offset_ms + left_ms)
        step_ms = offset_ms - _wall_offset_ms(lease)
        if abs(step_ms) <= WALL_STEP_MS:
            return LeaseView(lease, left_ms, lease.expires_wall_ms)
        return LeaseView(lease, left_ms, now_ms + offset_ms + left_ms)


def _wall_offset_ms(lease: Lease) -> int:
    """Return wall time less cluster time as it was when ``lease`` was last given its ttl."""
    given_at_ms = lease.expires_at_ms - deadline_ms(0, lease.ttl_ms)
    return lease.expires_wall_ms - lease.ttl_ms - given_at_ms
