"""Lengths and points of time, as people write and read them."""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Final

_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": _MINUTE_S, "h": _HOUR_S, "d": _DAY_S, "w": 7 * _DAY_S}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhdw])", re.ASCII)
_LENGTH: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|[smhdw]))+", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+", re.ASCII)
_CLOCK: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?", re.ASCII)
_INSTANT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ]([0-9]{2}:[0-9]{2})(:[0-9]{2}(?:\.[0-9]{1,9})?)?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?",
    re.ASCII,
)
_FRACTION_CHARS: Final = 6
_SHORT_S: Final = 9.95
"""Below this tenths of seconds are shown."""


def seconds_of(text: str) -> float:
    """Read a length of time: ``30``, ``1.5``, ``90s``, ``1h30m``.

    Raises:
        ValueError: It is none.

    """
    stripped = text.strip()
    value = math.inf
    if _LENGTH.fullmatch(stripped):
        value = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(stripped))
    elif _NUMBER.fullmatch(stripped):
        value = float(stripped)
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is no length of time; say 30, 1.5, 90s, 15m or 1h30m")
    return value


def instant_of(text: str, now: datetime) -> datetime:
    """Read a point of time, in UTC unless it says its distance from it.

    ``2025-05-04T03:12:00``, ``2025-05-04 03:12``, ``2025-05-04``, ``03:12`` (the latest that has
    been), ``2h`` (so long ago), ``now``.

    Raises:
        ValueError: It is none.

    """
    try:
        return _instant_of(text.strip(), now)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{text!r} is no time; say 2025-05-04T03:12:00, 03:12, or 2h for two hours ago"
        ) from error


def _instant_of(text: str, now: datetime) -> datetime:
    if text == "now":
        return now
    if found := _CLOCK.fullmatch(text):
        hour, minute, second = (int(part or 0) for part in found.groups())
        today = now.replace(hour=hour, minute=minute, second=second, microsecond=0)
        return today if today <= now else today - timedelta(days=1)
    if _LENGTH.fullmatch(text):
        return now - timedelta(seconds=seconds_of(text))
    found = _INSTANT.fullmatch(text)
    if found is None:
        raise ValueError(text)
    day, minutes, rest, zone = found.groups()
    whole, _, fraction = (rest or ":00").partition(".")
    clock = f"{minutes or '00:00'}{whole}.{fraction[:_FRACTION_CHARS].ljust(_FRACTION_CHARS, '0')}"
    moment = datetime.fromisoformat(f"{day}T{clock}{(zone or 'Z').replace('Z', '+00:00')}")
    return moment.astimezone(UTC)


def wire_time(moment: datetime) -> str:
    """Write a point of time as the API reads it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def wall_now() -> datetime:
    """Return what people at this machine call now; no lease depends on it."""
    return datetime.now(UTC)  # noqa: TID251 - for "2h ago" of somebody who looks back


def told(seconds: float) -> str:
    """Say a length of time in two parts at most: ``4.2s``, ``3m 05s``, ``2h 14m``, ``3d 04h``."""
    if seconds < _SHORT_S:
        return f"{max(seconds, 0):.1f}s".replace(".0s", "s")
    days, rest = divmod(round(seconds), _DAY_S)
    hours, rest = divmod(rest, _HOUR_S)
    minutes, rest = divmod(rest, _MINUTE_S)
    if days:
        return f"{days}d {hours:02}h"
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {rest:02}s" if minutes else f"{rest}s"


def read_stamp(stamp: str) -> datetime:
    """Read a time of an answer."""
    return datetime.fromisoformat(stamp).replace(tzinfo=UTC)


def between(earlier: str, later: str) -> float:
    """Return the seconds between two times of answers; 0 when they are the other way round."""
    return max((read_stamp(later) - read_stamp(earlier)).total_seconds(), 0.0)


def shown(stamp: str) -> str:
    """Write a time of an answer for people: ``2025-05-04 10:11:12``."""
    return stamp.replace("T", " ")
