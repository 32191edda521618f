"""Exactly once: what each origin's commands gave, until the origin confirms that it knows."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import msgspec

from gorilla.domain.commands import Batch
from gorilla.domain.limits import Bounds
from gorilla.domain.outcomes import Forgotten, Outcome

FORGOTTEN: Final = Forgotten()


class Origin(msgspec.Struct):
    """One node process, as the table remembers it."""

    confirmed: int
    used_ms: int
    """Cluster time of its last batch."""
    outcomes: dict[int, Outcome]
    """By number, all larger than ``confirmed``, in the order in which they were given."""

    def confirm(self, confirmed: int) -> None:
        """Forget the outcomes up to ``confirmed``; a smaller value than before means nothing."""
        before, outcomes = self.confirmed, self.outcomes
        if confirmed <= before:
            return
        self.confirmed = confirmed
        if confirmed - before <= len(outcomes):
            for number in range(before + 1, confirmed + 1):
                outcomes.pop(number, None)
        elif outcomes:
            self.outcomes = {n: outcome for n, outcome in outcomes.items() if n > confirmed}

    def copy(self) -> "Origin":
        """Return a copy that later batches don't change."""
        return Origin(self.confirmed, self.used_ms, self.outcomes.copy())


class OriginMemory:
    """Origins by name, the longest idle first."""

    def __init__(self, bounds: Bounds, origins: Iterable[tuple[str, Origin]] = ()) -> None:
        """Take origins in order of use, the longest idle first."""
        self._bounds = bounds
        self._origins = OrderedDict(origins)
        self._idle_from_ms = 0
        """No origin is idle for too long before this cluster time. Only saves looking."""

    def forget_idle(self, now_ms: int) -> None:
        """Forget the origins that proposed nothing for longer than the bound."""
        if now_ms < self._idle_from_ms:
            return
        patience_ms = self._bounds.origin_idle_ms
        self._idle_from_ms = now_ms + patience_ms + 1
        for origin in list(self._origins):
            used_ms = self._origins[origin].used_ms
            if now_ms - used_ms <= patience_ms:
                self._idle_from_ms = used_ms + patience_ms + 1
                return
            del self._origins[origin]

    def enter(self, batch: Batch, now_ms: int) -> Origin | None:
        """Return the origin of ``batch``, what it confirms forgotten; None when it is unknown."""
        origin = self._origins.get(batch.origin)
        if origin is None:
            if not batch.opens:
                return None
            origin = self._origins[batch.origin] = Origin(batch.confirmed, now_ms, {})
            if len(self._origins) > self._bounds.origins:
                self._origins.popitem(last=False)
            return origin
        self._origins.move_to_end(batch.origin)
        origin.used_ms = now_ms
        origin.confirm(batch.confirmed)
        return origin

    def used_ms(self, origin: str) -> int | None:
        """Return the cluster time of the last batch of ``origin``; None when it is unknown."""
        known = self._origins.get(origin)
        return None if known is None else known.used_ms

    def unconfirmed(self, origin: str) -> int:
        """Return how many outcomes are remembered for ``origin``."""
        known = self._origins.get(origin)
        return 0 if known is None else len(known.outcomes)

    def copy_origins(self) -> list[tuple[str, Origin]]:
        """Return the origins as they are now, the longest idle first."""
        return [(name, origin.copy()) for name, origin in self._origins.items()]
