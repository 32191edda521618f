"""The client's own clock, which leases are counted on."""

import time
from typing import Final

_BOOT: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)


def now_s() -> float:
    """Return seconds on a clock that never goes back.

    Where the system has such a clock, the time that the machine sleeps counts: the cluster counts
    it too. Elsewhere a lease may be over while a machine that slept still counts on it.
    """
    return time.monotonic() if _BOOT is None else time.clock_gettime(_BOOT)
