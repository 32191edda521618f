"""Points and lengths of time as the contract writes them."""

import time
from datetime import datetime
from functools import lru_cache
from typing import Final

_YEAR_10000_S: Final = 253_402_300_800


@lru_cache(maxsize=4_096)
def _timestamp_of_second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).rjust(19, "0")


def timestamp(wall_ms: int) -> str:
    """Write a wall clock time as ``YYYY-MM-DDTHH:MM:SS`` in UTC, rounded down to the second.

    Args:
        wall_ms: Milliseconds since 1970 (UTC); outside the years 1970 to 9999 the nearest of them.

    """
    return _timestamp_of_second(min(max(wall_ms // 1_000, 0), _YEAR_10000_S - 1))


def timestamp_of(moment: datetime) -> str:
    """Write a moment, which must say its time zone, as :func:`timestamp` does."""
    return timestamp(int(moment.timestamp() * 1_000))


def seconds(length_ms: int) -> int | float:
    """Turn milliseconds into seconds: an integer when whole, else at most three decimals."""
    whole, rest = divmod(length_ms, 1_000)
    return whole if rest == 0 else length_ms / 1_000
