"""How long locks were held of late, and so about how long a wait takes. Known to this node alone.

Nothing of it is replicated: it is counted from the events that this node saw, so it begins anew
with the process, and then says honestly that nothing is known.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from statistics import median
from typing import Final

from gorilla.domain.events import Event, Expired, Forced, ReleasedEvent
from gorilla.domain.explaining import Explanation

LOCKS_REMEMBERED: Final = 10_000
HOLDS_REMEMBERED: Final = 16
"""Of each lock the latest."""

_ENDS: Final = (ReleasedEvent, Expired, Forced)


class HoldTimes:
    """The latest hold times of the locks that were let go last."""

    def __init__(self) -> None:
        """Start with nothing known."""
        self._held_ms: OrderedDict[str, deque[int]] = OrderedDict()

    def on_events(self, _index: int, events: Sequence[Event]) -> None:
        """Take note of the holds that ended."""
        for event in events:
            if not isinstance(event, _ENDS):
                continue
            known = self._held_ms.pop(event.lock, None)
            self._held_ms[event.lock] = known = known or deque(maxlen=HOLDS_REMEMBERED)
            known.append(event.held_ms)
            if len(self._held_ms) > LOCKS_REMEMBERED:
                self._held_ms.popitem(last=False)

    def estimate_ms(self, found: Explanation) -> int | None:
        """Return about how long it takes yet; None when nothing is known.

        The median of the latest holds, for each who comes first; for what is left of a present
        hold, that of the holds which lasted longer than it has lasted by now. Of several slots,
        that many at a time. A holder may always take longer.
        """
        if found.ready:
            return 0
        known = self._held_ms.get(found.lock)
        if not known:
            return None
        typical_ms = median(known)
        slots = max(1, *(holder.slots for holder in found.holders), 1)
        left: list[float] = []
        for holder in found.holders:
            longer = [held_ms for held_ms in known if held_ms > holder.held_ms]
            if not longer:
                # It takes longer than ever.
                return None
            left.append(min(holder.remaining_ms, median(longer) - holder.held_ms))
        wait_ms = (min(left) if slots > 1 else max(left)) if left else 0
        return round(max(wait_ms + typical_ms * found.ahead / slots, found.cooling_ms))
