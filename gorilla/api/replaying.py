"""Answers that were given before, under the same idempotency key."""

from typing import TypeVar

from gorilla.domain.outcomes import Fresh, Replayed

T = TypeVar("T")


def opened(outcome: T | Replayed) -> tuple[T | Fresh, bool]:
    """Return an outcome, and whether it is an earlier one that is given again."""
    return (outcome.outcome, True) if isinstance(outcome, Replayed) else (outcome, False)
