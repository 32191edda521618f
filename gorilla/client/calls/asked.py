"""What may be said when a lock, or several, are asked for by a plain call."""

from math import isfinite
from typing import Any, Required, TypedDict


class AcquireOptions(TypedDict, total=False):
    """How a lock is asked for; what is left out, or None, is as the cluster has it."""

    owner: Required[str]
    """Who asks. The same owner asking again gets the same lock."""
    timeout: float | None
    """Seconds; may be left out with ``session``."""
    wait: float | None
    """Seconds to queue for it. A long wait is asked for in slices, unless there is an idempotency
    key of the caller's own."""
    keep_place: float | None
    """Seconds, 5 at most, that the place in the queue stays after a ``WaitTimeout``, for the same
    owner asking again. Then nothing is done in slices."""
    mode: str | None
    """``exclusive`` or ``shared``."""
    limit: int | None
    """How many may hold it at once; the same number from everyone."""
    session: str | None
    """Id of the session that it lives in."""
    metadata: Any
    """What others may read of it: any JSON value of at most 4 KiB."""
    reason: str | None
    """What for, in words."""


def fields_of(options: AcquireOptions) -> dict[str, Any]:
    """Return the fields of a request's body.

    Raises:
        ValueError: Seconds are no number.

    """
    fields = {name: value for name, value in options.items() if value is not None}
    for name in ("timeout", "wait", "keep_place"):
        value = fields.get(name, 0.0)
        if not (isinstance(value, int | float) and isfinite(value) and value >= 0):
            raise ValueError(f"{name}: must be seconds, 0 or more")
    return fields
