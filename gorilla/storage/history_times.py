"""Wall time as the history's columns have it."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_LAST_MS: Final = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND


def moment(wall_ms: int) -> datetime:
    """Return milliseconds since 1970 as a moment; the last there is for what is beyond it."""
    return _EPOCH + min(max(0, wall_ms), _LAST_MS) * _MILLISECOND


def milliseconds(at: datetime) -> int:
    """Return a moment as milliseconds since 1970."""
    return (at - _EPOCH) // _MILLISECOND


def optional_milliseconds(at: datetime | None) -> int | None:
    """Return a moment that may be missing as milliseconds since 1970."""
    return None if at is None else milliseconds(at)
