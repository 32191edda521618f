"""Bugs to plant in policies: rules that are forgotten, or not asked where they should be."""

from contextlib import AbstractContextManager
from typing import Any

from gorilla.domain import granting, holding
from tests.support.sim.patching import replaced
from tests.support.sim.planted_queues import frozen_without


def gap_lost_at_snapshot() -> AbstractContextManager[None]:
    """Leave out of every snapshot how long locks are kept between two grants."""
    return frozen_without(cooling=[])


def policies_lost_at_snapshot() -> AbstractContextManager[None]:
    """Leave policies out of every snapshot."""
    return frozen_without(policies=[])


def extended_past_its_lifetime() -> AbstractContextManager[None]:
    """Extend what is held for as long as is asked for, whatever the policy says."""

    def allowed_ttl(_book: Any, _lease: Any, ttl_ms: int) -> int:
        return ttl_ms

    return replaced(holding, _allowed_ttl=allowed_ttl)


def policy_not_asked_at_claim() -> AbstractContextManager[None]:
    """Grant what is claimed by the policy of the time when it began to queue."""
    return replaced(granting, policy_refusal=lambda *_args: None)
