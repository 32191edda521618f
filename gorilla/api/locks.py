"""Calls on locks: parse, call the lock service, present."""

from gorilla.api.answers import Answer, answer_json, no_content
from gorilla.api.refusing import refusal
from gorilla.api.requests import Call
from gorilla.api.route_parts import PAGE_DEFAULT, PAGE_MAX, age_header, is_stale
from gorilla.api.showing import held_lock_body, lock_body, waiter_body
from gorilla.domain.commands import SHARED
from gorilla.domain.outcomes import Granted, Lease, Released, Renewed
from gorilla.service.locks import LeaseView, LockService
from gorilla.wire.bodies import LockListBody, LockStateBody
from gorilla.wire.fields import (
    bounded_int,
    metadata_of,
    name_of,
    optional_owner_of,
    owner_of,
    prefix_of,
    timeout_ms_of,
)

_page_size_of = bounded_int(1, PAGE_MAX)


class LockCalls:
    """Handlers of ``/api/v1/locks``.

    A caller that hangs up does not stop what it asked for: a write is never left half way, and
    every call of the service ends within its own deadline.
    """

    def __init__(self, locks: LockService) -> None:
        """Take the service that they call."""
        self._locks = locks

    async def acquire(self, call: Call) -> Answer:
        """``POST /api/v1/locks/{resource}``."""
        lock = call.resource()
        body = await call.body()
        holder = body.required("owner", owner_of)
        ttl_ms = body.required("timeout", timeout_ms_of)
        metadata = body.optional("metadata", metadata_of, b"[]")
        body.finish()
        assert holder is not None
        assert ttl_ms is not None
        outcome = await self._locks.acquire(
            lock=lock, holder=holder, ttl_ms=ttl_ms, metadata=metadata
        )
        if isinstance(outcome, Granted):
            return _answer_lease(outcome.lease, outcome.remaining_ms, outcome.lease.expires_wall_ms)
        raise refusal(outcome)

    async def release(self, call: Call) -> Answer:
        """``DELETE /api/v1/locks/{resource}/{token}``."""
        lock, secret = call.resource(), call.token()
        call.errors.raise_if_any()
        outcome = await self._locks.release(lock, secret)
        if isinstance(outcome, Released):
            return no_content()
        raise refusal(outcome)

    async def status(self, call: Call) -> Answer:
        """``GET /api/v1/locks/{resource}/{token}``."""
        lock, secret = call.resource(), call.token()
        call.errors.raise_if_any()
        found = await self._locks.status(lock, secret)
        if isinstance(found, LeaseView):
            return _answer_lease(found.lease, found.remaining_ms, found.expires_wall_ms)
        raise refusal(found)

    async def extend(self, call: Call) -> Answer:
        """``PUT /api/v1/locks/{resource}/{token}``."""
        lock, secret = call.resource(), call.token()
        body = await call.body()
        ttl_ms = body.required("timeout", timeout_ms_of)
        holder = body.optional("owner", optional_owner_of, None)
        body.finish()
        assert ttl_ms is not None
        outcome = await self._locks.renew(lock, secret, ttl_ms=ttl_ms, holder=holder)
        if isinstance(outcome, Renewed):
            return _answer_lease(outcome.lease, outcome.remaining_ms, outcome.lease.expires_wall_ms)
        raise refusal(outcome)

    async def show(self, call: Call) -> Answer:
        """``GET /api/v1/locks/{resource}``."""
        lock = call.resource()
        query = call.query()
        stale = is_stale(query)
        query.finish()
        view = await self._locks.show(lock, stale=stale)
        holders = tuple(map(held_lock_body, view.holders))
        body = LockStateBody(
            resource=view.lock,
            held=view.held,
            mode="shared" if view.slots == SHARED else "exclusive",
            limit=max(1, view.slots),
            holders=holders,
            waiters=tuple(map(waiter_body, view.waiters)),
            fencing_token=view.fencing_token,
        )
        return answer_json(body, headers=age_header(view.age_ms, stale=stale))

    async def list(self, call: Call) -> Answer:
        """``GET /api/v1/locks``."""
        query = call.query()
        prefix = query.optional("prefix", prefix_of, "")
        owner = query.optional("owner", name_of, "")
        limit = query.optional("limit", _page_size_of, PAGE_DEFAULT)
        after = query.optional("cursor", name_of, "")
        stale = is_stale(query)
        query.finish()
        page = await self._locks.list(
            prefix=prefix, holder=owner or None, after=after or None, limit=limit, stale=stale
        )
        held = tuple(map(held_lock_body, page.leases))
        body = LockListBody(locks=held, cursor=page.cursor)
        return answer_json(body, headers=age_header(page.age_ms, stale=stale))


def _answer_lease(lease: Lease, remaining_ms: int, expires_wall_ms: int) -> Answer:
    return answer_json(lock_body(lease, remaining_ms, expires_wall_ms))
