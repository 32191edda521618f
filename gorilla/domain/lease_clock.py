"""Arithmetic of lease deadlines: what is promised to a holder, and how long it is kept for it.

A holder counts its ttl on its own clock, the cluster on the leader's. The lease is kept longer
than promised by the rate at which the two may drift apart, so a slow clock of the holder never
makes it believe in a lease that is gone.
"""

from typing import Final

from gorilla.domain.limits import CLOCK_RATE_PPM

_MILLION: Final = 1_000_000


def deadline_ms(now_ms: int, ttl_ms: int) -> int:
    """Return the cluster time at which a lease given now for ``ttl_ms`` is gone."""
    return now_ms + ttl_ms + -(-ttl_ms * CLOCK_RATE_PPM // _MILLION)


def remaining_ms(now_ms: int, expires_at_ms: int) -> int:
    """Return how long a holder may still count on a lease, never less than 0.

    The inverse of :func:`deadline_ms`, rounded down: a fresh lease has exactly its ttl, and the
    holder, whose clock may be slow, is done before the cluster is.
    """
    return max(0, (expires_at_ms - now_ms) * _MILLION // (_MILLION + CLOCK_RATE_PPM))
