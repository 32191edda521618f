"""What services know, as bodies of the contract."""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from gorilla.domain.commands import SHARED, Policy
from gorilla.domain.explaining import Explanation
from gorilla.domain.links import Link
from gorilla.domain.outcomes import Lease, Session
from gorilla.service.locks import LeaseView, WaiterView
from gorilla.service.sessions import SessionView
from gorilla.wire.bodies import HeldLockBody, LockBody, ReleaseRequestBody, WaiterBody
from gorilla.wire.looking import ExplainedHolderBody, ExplanationBody, LinkBody
from gorilla.wire.policies import PolicyBody
from gorilla.wire.sessions import SessionBody, SessionStateBody, SessionWaitBody
from gorilla.wire.times import seconds, timestamp


def lock_body(
    lease: Lease, remaining_ms: int, expires_wall_ms: int, *, least_ms: int = 1
) -> LockBody:
    """Present a lease to its holder.

    Args:
        lease: The lease.
        remaining_ms: How long its holder may count on it.
        expires_wall_ms: When that is over by the wall clock.
        least_ms: What is shown when less is left: a lease that lives has a moment at least.

    """
    return LockBody(
        id=lease.fencing_token,
        owner=lease.holder,
        resource=lease.lock,
        token=lease.secret,
        timeout=seconds(max(least_ms, remaining_ms)),
        metadata=msgspec.Raw(lease.metadata),
        created_at=timestamp(lease.created_wall_ms),
        updated_at=timestamp(lease.updated_wall_ms),
        expire_at=timestamp(expires_wall_ms),
        fencing_token=lease.fencing_token,
        mode=mode_or_unset(lease.slots),
        limit=limit_or_unset(lease.slots),
        session=lease.session or UNSET,
        waited=seconds(lease.waited_ms) if lease.waited_ms else UNSET,
        reason=lease.reason or UNSET,
        release_requested=_release_requested(lease),
    )


def held_lock_body(view: LeaseView) -> HeldLockBody:
    """Present a lease to everybody: without its secret."""
    lease = view.lease
    return HeldLockBody(
        id=lease.fencing_token,
        owner=lease.holder,
        resource=lease.lock,
        timeout=seconds(max(1, view.remaining_ms)),
        metadata=msgspec.Raw(lease.metadata),
        created_at=timestamp(lease.created_wall_ms),
        updated_at=timestamp(lease.updated_wall_ms),
        expire_at=timestamp(view.expires_wall_ms),
        fencing_token=lease.fencing_token,
        mode=mode_or_unset(lease.slots),
        limit=limit_or_unset(lease.slots),
        session=lease.session or UNSET,
        waited=seconds(lease.waited_ms) if lease.waited_ms else UNSET,
        reason=lease.reason or UNSET,
        release_requested=_release_requested(lease),
        holders=view.holders if view.holders > 1 else UNSET,
        waiting=view.waiting or UNSET,
    )


def _release_requested(lease: Lease) -> ReleaseRequestBody | UnsetType:
    wish = lease.wish
    if wish is None:
        return UNSET
    return ReleaseRequestBody(by=wish.by, reason=wish.reason or UNSET, at=timestamp(wish.wall_ms))


def mode_or_unset(slots: int) -> Literal["shared"] | UnsetType:
    """Return the mode when it is worth a word."""
    return "shared" if slots == SHARED else UNSET


def limit_or_unset(slots: int) -> int | UnsetType:
    """Return the limit when it is worth a word."""
    return slots if slots > 1 else UNSET


def waiter_body(view: WaiterView) -> WaiterBody:
    """Present somebody who queues."""
    waiter = view.waiter
    return WaiterBody(
        owner=waiter.holder,
        position=view.position,
        since=timestamp(waiter.since_wall_ms),
        reason=waiter.reason or None,
        mode=mode_or_unset(waiter.slots),
        limit=limit_or_unset(waiter.slots),
        session=waiter.session or UNSET,
        resources=waiter.locks if waiter.is_group else UNSET,
        ready=view.ready or UNSET,
    )


def explanation_body(found: Explanation) -> ExplanationBody:
    """Present why somebody can't have a lock."""
    holders = (
        ExplainedHolderBody(
            owner=holder.holder,
            since=timestamp(holder.since_wall_ms),
            until=timestamp(holder.until_wall_ms),
            remaining=seconds(holder.remaining_ms),
            reason=holder.reason or UNSET,
            fencing_token=holder.fencing_token,
            mode=mode_or_unset(holder.slots),
            limit=limit_or_unset(holder.slots),
            waits_for=tuple(map(link_body, holder.waits_for)),
        )
        for holder in found.holders
    )
    return ExplanationBody(
        resource=found.lock,
        owner=found.owner,
        held=found.held,
        position=found.position,
        ready=found.ready,
        ahead=found.ahead,
        holders=tuple(holders),
        has_it_for=UNSET if found.own_ms is None else seconds(found.own_ms),
        first_waits_for=tuple(map(link_body, found.first_waits_for)) or UNSET,
        cooling=seconds(found.cooling_ms) if found.cooling_ms else UNSET,
        estimate=None if found.estimate_ms is None else seconds(found.estimate_ms),
        sentence=found.sentence,
    )


def link_body(link: Link) -> LinkBody:
    """Present one step of a chain of waits."""
    return LinkBody(owner=link.waiter, waits_for=link.lock, held_by=link.holder, holds=link.holds)


def session_body(session: Session, remaining_ms: int, *, least_ms: int = 1) -> SessionBody:
    """Present a session to its owner. Arguments as in :func:`lock_body`."""
    return SessionBody(
        id=session.id,
        number=session.number,
        owner=session.holder,
        ttl=seconds(session.ttl_ms),
        metadata=msgspec.Raw(session.metadata),
        created_at=timestamp(session.created_wall_ms),
        updated_at=timestamp(session.updated_wall_ms),
        expire_at=timestamp(session.expires_wall_ms),
        remaining=seconds(max(least_ms, remaining_ms)),
    )


def session_state_body(view: SessionView) -> SessionStateBody:
    """Present a session with what lives in it."""
    shown = session_body(view.session, view.remaining_ms)
    waits = (
        SessionWaitBody(
            resources=wait.locks,
            position=wait.position,
            since=timestamp(wait.since_wall_ms),
            reason=wait.reason or UNSET,
        )
        for wait in view.waits
    )
    return SessionStateBody(
        **{name: getattr(shown, name) for name in shown.__struct_fields__},
        locks=tuple(map(held_lock_body, view.leases)),
        waits=tuple(waits),
    )


def policy_body(policy: Policy) -> PolicyBody:
    """Present a policy: the rules that it has."""
    return PolicyBody(
        prefix=policy.prefix,
        max_timeout=_rule(policy.ttl_ms_max),
        max_lifetime=_rule(policy.lifetime_ms_max),
        max_wait=_rule(policy.wait_ms_max),
        max_holders=policy.holders_max or UNSET,
        min_gap=_rule(policy.gap_ms),
        owners=policy.owners or UNSET,
    )


def _rule(length_ms: int) -> float | UnsetType:
    return seconds(length_ms) if length_ms else UNSET
