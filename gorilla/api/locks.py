"""Calls on locks: parse, call the lock service, present."""

import asyncio
from typing import TypedDict

from msgspec import UNSET

from gorilla.api.answers import Answer, answer_json, no_content
from gorilla.api.groups import answer_group
from gorilla.api.refusing import refusal, refused
from gorilla.api.replaying import opened
from gorilla.api.requests import Call
from gorilla.api.route_parts import PAGE_DEFAULT, PAGE_MAX, age_header, is_stale, replayed_header
from gorilla.api.showing import explanation_body, held_lock_body, lock_body, waiter_body
from gorilla.domain.commands import SHARED
from gorilla.domain.explaining import Explanation
from gorilla.domain.outcomes import (
    Granted,
    GrantedAll,
    Held,
    Lease,
    NotHolder,
    Released,
    Renewed,
    Reserved,
)
from gorilla.service.locks import LeaseView, LockService
from gorilla.service.waits import WaitEnded
from gorilla.wire.asking import EXCLUSIVE, limit_of, mode_of, resources_of, session_of, slots_of
from gorilla.wire.bodies import HolderBody, LockListBody, LockStateBody
from gorilla.wire.fields import (
    Body,
    Errors,
    bounded_int,
    kept_place_ms_of,
    metadata_of,
    name_of,
    optional_owner_of,
    owner_of,
    prefix_of,
    text_of,
    timeout_ms_of,
    wait_ms_of,
)
from gorilla.wire.problems import ProblemError

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
        asked = _asked_of(body, call.errors)
        key = call.key(body)
        body.finish()
        outcome, replayed = opened(
            await self._locks.acquire(lock=lock, key=key, hung_up=_hung_up(call, asked), **asked)
        )
        if isinstance(outcome, Granted):
            return _answer_lease(outcome.lease, outcome.remaining_ms, replayed=replayed)
        raise self._not_granted(outcome, (lock,), asked, replayed=replayed)

    async def acquire_all(self, call: Call) -> Answer:
        """``POST /api/v1/locks``."""
        body = await call.body()
        locks = body.required("resources", resources_of)
        asked = _asked_of(body, call.errors)
        key = call.key(body)
        body.finish()
        assert locks is not None
        outcome, replayed = opened(
            await self._locks.acquire_all(
                locks=locks, key=key, hung_up=_hung_up(call, asked), **asked
            )
        )
        if isinstance(outcome, GrantedAll):
            return answer_group(outcome.leases, outcome.remaining_ms, replayed=replayed)
        raise self._not_granted(outcome, locks, asked, replayed=replayed)

    def _not_granted(
        self, outcome: object, locks: tuple[str, ...], asked: "_Asked", *, replayed: bool
    ) -> ProblemError:
        """Say why not; of a lock that is held, or was waited for, with all that is known of it."""
        problem = refused(outcome, replayed=replayed)
        if isinstance(outcome, NotHolder):
            detail = "The session belongs to another owner."
            return ProblemError(problem.code, detail, headers=problem.headers)
        if isinstance(outcome, Reserved) and outcome.holder == asked["holder"]:
            problem = _in_its_own_way(problem, outcome)
        if isinstance(outcome, Held | Reserved | WaitEnded) and not replayed:
            named = "" if isinstance(outcome, WaitEnded) else outcome.lock
            _explain(problem, self._explained((named,) if named else locks, asked))
        return problem

    def _explained(self, locks: tuple[str, ...], asked: "_Asked") -> Explanation:
        """Explain the first of the locks that somebody else is in the way at."""
        first: Explanation | None = None
        for lock in locks:
            found = self._locks.explained_now(lock, asked["holder"], asked["session"])
            if found.holders or found.ahead:
                return found
            first = first or found
        assert first is not None
        return first

    async def explain(self, call: Call) -> Answer:
        """``GET /api/v1/locks/{resource}/explain``."""
        lock = call.resource()
        query = call.query()
        owner = query.optional("owner", name_of, "")
        stale = is_stale(query)
        query.finish()
        found, age_ms = await self._locks.explain(lock, owner or None, stale=stale)
        return answer_json(explanation_body(found), headers=age_header(age_ms, stale=stale))

    async def release(self, call: Call) -> Answer:
        """``DELETE /api/v1/locks/{resource}/{token}``."""
        lock, secret, key = call.resource(), call.token(), call.key()
        call.errors.raise_if_any()
        outcome, replayed = opened(await self._locks.release(lock, secret, key=key))
        if isinstance(outcome, Released):
            return no_content(replayed_header(replayed=replayed))
        raise refused(outcome, replayed=replayed)

    async def status(self, call: Call) -> Answer:
        """``GET /api/v1/locks/{resource}/{token}``."""
        lock, secret = call.resource(), call.token()
        call.errors.raise_if_any()
        found = await self._locks.status(lock, secret)
        if isinstance(found, LeaseView):
            return answer_json(lock_body(found.lease, found.remaining_ms, found.expires_wall_ms))
        raise refusal(found)

    async def extend(self, call: Call) -> Answer:
        """``PUT /api/v1/locks/{resource}/{token}``."""
        lock, secret = call.resource(), call.token()
        body = await call.body()
        ttl_ms = body.required("timeout", timeout_ms_of)
        holder = body.optional("owner", optional_owner_of, None)
        key = call.key(body)
        body.finish()
        assert ttl_ms is not None
        outcome, replayed = opened(
            await self._locks.renew(lock, secret, ttl_ms=ttl_ms, holder=holder, key=key)
        )
        if isinstance(outcome, Renewed):
            return _answer_lease(outcome.lease, outcome.remaining_ms, replayed=replayed)
        raise refused(outcome, replayed=replayed)

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
            more_waiters=view.more_waiters or UNSET,
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


class _Asked(TypedDict):
    """What requests for one lock and for several have in common, as the service takes it."""

    holder: str
    ttl_ms: int
    metadata: bytes
    slots: int
    wait_ms: int
    keep_ms: int
    session: str
    reason: str


def _asked_of(body: Body, errors: Errors) -> _Asked:
    """Read what requests for one lock and for several have in common; faults are noted."""
    holder = body.required("owner", owner_of) or ""
    in_session = body.has("session")
    session = body.optional("session", session_of, "")
    if in_session:
        ttl_ms = body.optional("timeout", timeout_ms_of, 0)
    else:
        ttl_ms = body.required("timeout", timeout_ms_of) or 0
    if body.has("keepPlace") and not body.has("wait"):
        errors.add("keepPlace", "goes with wait: say how long to queue, or leave it out")
    metadata = body.optional("metadata", metadata_of, b"[]")
    mode = body.optional("mode", mode_of, EXCLUSIVE)
    limit = body.optional("limit", limit_of, 1)
    return _Asked(
        holder=holder,
        ttl_ms=ttl_ms,
        metadata=metadata,
        slots=slots_of(mode, limit, errors),
        wait_ms=body.optional("wait", wait_ms_of, 0),
        keep_ms=body.optional("keepPlace", kept_place_ms_of, 0),
        session=session,
        reason=body.optional("reason", text_of, ""),
    )


def _in_its_own_way(problem: ProblemError, outcome: Reserved) -> ProblemError:
    detail = (
        f"{outcome.holder!r} itself queued for {outcome.lock!r} before, in another session or "
        "together with other locks, and that request comes first: let it end, or queue (wait)."
    )
    return ProblemError(problem.code, detail, extra=problem.extra, headers=problem.headers)


def _explain(problem: ProblemError, found: Explanation) -> None:
    """Add all that is known of why, and who has the lock where that isn't said yet."""
    shown = explanation_body(found)
    problem.extra["explain"] = shown
    if "holder" not in problem.extra and shown.holders:
        first = shown.holders[0]
        problem.extra["holder"] = HolderBody(
            owner=first.owner, expire_at=first.until, fencing_token=first.fencing_token
        )


def _hung_up(call: Call, asked: _Asked) -> asyncio.Future[None] | None:
    """Only who waits need be watched."""
    return call.hung_up() if asked["wait_ms"] else None


def _answer_lease(lease: Lease, remaining_ms: int, *, replayed: bool) -> Answer:
    least_ms = 0 if replayed else 1
    body = lock_body(lease, remaining_ms, lease.expires_wall_ms, least_ms=least_ms)
    return answer_json(body, headers=replayed_header(replayed=replayed))
