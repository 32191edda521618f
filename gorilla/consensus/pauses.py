"""Telling the silence of others from one's own: a clock that leaves out pauses.

A process may stand still: its machine is overloaded, moved, or waits for a disk. What the others
said meanwhile waits in its sockets, and a timer that ran on would take that for their silence. A
node looks at its clock at least every :data:`TURN_S_MAX`; between two looks that are further apart
than :data:`STOOD_STILL_S` it stood still itself.

Elections, and how long a leader believes in its majority, go by this clock. What is answered to
clients goes by the real one: see ``Election.has_quorum``.
"""

from collections.abc import Callable
from typing import Final

TURN_S_MAX: Final = 0.1
"""A node looks at its clock at least so often (seconds)."""

STOOD_STILL_S: Final = 0.3
"""Of a time between two looks, no more than this counts (seconds)."""


class RunningClock:
    """Shows for how long its process has run: never back, and at most as much as the real one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Follow ``clock`` (monotonic, seconds)."""
        self._clock = clock
        self._seen = clock()
        self.missed = 0.0
        """All that was left out so far: what it shows and this add up to the real clock."""

    def __call__(self) -> float:
        """Look at the clock."""
        real = self._clock()
        self.missed += max(0.0, real - self._seen - STOOD_STILL_S)
        self._seen = real
        return real - self.missed
