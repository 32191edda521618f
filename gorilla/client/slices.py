"""How a long wait is asked for: in slices, each of which keeps its place for the next.

One request can't last as long as people are ready to wait: a cluster bounds it, and most of what
may stand in between (balancers, proxies, the address translation of a cloud) cuts a connection that
was silent for a minute. So a wait is asked for in slices of ``ClientSettings.wait_slice_s``. All
but the last one say ``keepPlace``, and the last one ends with the wait itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Final, TypeVar

from msgspec import UNSET
from msgspec.structs import replace

from gorilla.client.asking import WAIT_S_MIN, Answered, Asker
from gorilla.client.calls import Call
from gorilla.client.errors import GorillaError, InvalidRequest, WaitReplaced, WaitTimeout
from gorilla.wire.asking import AcquireAllBody, AcquireBody
from gorilla.wire.fields import KEPT_PLACE_S_MAX

T = TypeVar("T")
B = TypeVar("B", AcquireBody, AcquireAllBody)

WAIT_S: Final = 300.0
"""Longest wait of one request that keeps no place: the default bound of a cluster. It is also how
long an outage may last in the middle of a longer wait."""

KEEP_PLACE: Final = "keepPlace"

WAITED_S: Final = 0.1
"""What may be left of a wait that has come to its end (seconds)."""

SLICE_S_MIN: Final = 1.0
"""Shortest slice (seconds) that an answer which came early is taken to ask for."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What one request asks for.

    Attributes:
        wait_s: How long to stand in the queue (seconds).
        keep_s: How long the place is kept then (seconds); 0: not at all.
        outage_s: How long the request may be asked on top of what any call may (seconds).

    """

    wait_s: float
    keep_s: int = 0
    outage_s: float = 0.0


AT_ONCE: Final = Slice(0.0)
"""Not to queue at all."""


class Slices:
    """A wait, one slice after the other."""

    def __init__(self, asker: Asker, wait_s: float | None) -> None:
        """Begin a wait of ``wait_s`` seconds; None: as long as it takes."""
        self._asker = asker
        self._is_wait = wait_s != 0
        self.until_s = inf if wait_s is None else asker.now_s() + wait_s
        """When it is over, on the client's own clock."""
        self._most_s = asker.settings.wait_slice_s
        self._slice = AT_ONCE
        self._asked_s = asker.now_s()
        self._lost = 0
        """Attempts of earlier slices that got no answer, and may come late."""

    def next(self) -> Slice:
        """Return what to ask for now."""
        self._asked_s = self._asker.now_s()
        self._slice = self._next(self.until_s - self._asked_s)
        return self._slice

    def _next(self, left_s: float) -> Slice:
        if not self._is_wait:
            return AT_ONCE
        if self._asker.endpoints.spares_places(self._asked_s):
            return Slice(max(WAIT_S_MIN, min(left_s, WAIT_S)))
        if left_s <= self._most_s:
            return Slice(max(WAIT_S_MIN, left_s))
        outage_s = 0.0 if left_s == inf else max(0.0, min(left_s, WAIT_S) - self._most_s)
        return Slice(self._most_s, KEPT_PLACE_S_MAX, outage_s)

    def go_on(self, error: GorillaError) -> bool:
        """Return whether ``error`` ends a slice, and not the wait."""
        if isinstance(error, WaitTimeout):
            self._lost += error.refusal.lost
            now_s = self._asker.now_s()
            took_s = now_s - self._asked_s
            if took_s < self._slice.wait_s - WAITED_S:
                # The cluster, or a policy, bounds waits by less.
                self._most_s = min(self._most_s, max(SLICE_S_MIN, took_s))
            # A place that is kept is given up by one more slice, which keeps none.
            return self.until_s - now_s > WAITED_S or self._slice.keep_s > 0
        if isinstance(error, WaitReplaced) and self._lost:
            # By an attempt of an earlier slice that was given up, and came late.
            self._lost -= 1
            return True
        if isinstance(error, InvalidRequest) and self._slice.keep_s:
            # By name: a node of an earlier release, which knows nothing of it.
            is_unknown = any(fault.field == KEEP_PLACE for fault in error.errors)
            if is_unknown:
                self._asker.endpoints.spare_places(self._asked_s)
            return is_unknown
        return False


async def acquire(
    asker: Asker, make: Callable[[B, str | None], Call[T]], body: B, key: str | None
) -> T:
    """Ask for what ``body`` says by the calls that ``make`` makes of it, in slices if it waits.

    Who chose the key, or says what becomes of the place, asks once.
    """
    if key is not None or body.wait is UNSET or body.keep_place is not UNSET:
        return await asker.value(make(body, key))
    slices = Slices(asker, float(body.wait))
    while True:
        one = slices.next()
        try:
            return (await ask(asker, one, make(sliced(body, one), None))).value
        except (WaitTimeout, WaitReplaced, InvalidRequest) as error:
            if not slices.go_on(error):
                raise


async def ask(asker: Asker, one: Slice, call: Call[T]) -> Answered[T]:
    """Ask for one slice; as :meth:`~gorilla.client.asking.Asker.ask`."""
    return await asker.ask(call, deadline_s=asker.settings.deadline_s + one.outage_s)


def sliced(body: B, one: Slice) -> B:
    """Return the request for one slice."""
    return replace(body, wait=one.wait_s or UNSET, keep_place=one.keep_s or UNSET)
