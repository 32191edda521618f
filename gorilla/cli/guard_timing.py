"""When a command that runs under a lock is ended, so that it is over before its lease is.

Pure. All points of time are on the client's own clock; a lease ends at ``deadline_s`` at the
earliest, counted from when the request was sent.
"""

from dataclasses import dataclass
from typing import Final

from gorilla.client.holding import EXTEND_AFTER

TIMEOUT_S: Final = 60.0
"""Length of the lease where none is asked for."""

MARGIN_S_MIN: Final = 0.5
MARGIN_SHARE: Final = 0.02
"""Clocks of two machines run at different rates, and a process that must act has to be woken."""

KILL_AFTER_S_MAX: Final = 10.0
KILL_AFTER_SHARE: Final = 1 / 4
"""Between SIGTERM and SIGKILL, where nothing is asked for."""

EXTENDING_S_MIN: Final = 0.5
"""What an extension must have at least, from its start until the command is ended."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long before the end of the lease what happens.

    Attributes:
        kill_after_s: How long the command has after SIGTERM.
        margin_s: How long before the end of the lease it is killed at the latest.

    """

    kill_after_s: float
    margin_s: float

    def term_s(self, deadline_s: float) -> float:
        """Return when the command is told to end, unless the lease is extended before."""
        return deadline_s - self.margin_s - self.kill_after_s

    def kill_s(self, deadline_s: float) -> float:
        """Return when it is killed at the latest."""
        return deadline_s - self.margin_s


def timing_of(timeout_s: float, kill_after_s: float | None = None) -> Timing:
    """Return the timing of leases of this length.

    Args:
        timeout_s: Length of the lease.
        kill_after_s: What is asked for; None: what fits.

    Raises:
        ValueError: The lease is too short for it; the message says what would do.

    """
    margin_s = max(MARGIN_S_MIN, MARGIN_SHARE * timeout_s)
    grace_s = (
        min(KILL_AFTER_S_MAX, KILL_AFTER_SHARE * timeout_s)
        if kill_after_s is None
        else kill_after_s
    )
    spare_s = timeout_s * (1 - EXTEND_AFTER) - grace_s - margin_s
    if spare_s < EXTENDING_S_MIN:
        share = 1 - EXTEND_AFTER - MARGIN_SHARE
        fixed_s = EXTENDING_S_MIN + (0.0 if kill_after_s is None else kill_after_s)
        if kill_after_s is None:
            share -= KILL_AFTER_SHARE
        least_s = max(fixed_s / share, (fixed_s + MARGIN_S_MIN) / (share + MARGIN_SHARE))
        raise ValueError(
            f"a lease of {timeout_s:g} s leaves no time to extend it before the command must be "
            f"ended ({grace_s:g} s between SIGTERM and SIGKILL, {margin_s:g} s for the clocks): "
            f"ask for {least_s + 0.05:.1f} s or more"
            + ("" if kill_after_s is None else ", or for a shorter time to end")
        )
    return Timing(kill_after_s=grace_s, margin_s=margin_s)
