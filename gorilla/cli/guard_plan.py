"""What the guard of a command does next: pure, it is told the time and what happened."""

import enum
from math import inf

from gorilla.cli.guard_timing import Timing


class Why(enum.StrEnum):
    """Why a command is ended."""

    DEADLINE = "deadline"
    """The lease was not extended in time, whoever is to blame."""
    LOST = "lost"
    """The lock is known to be lost."""
    WRAPPER_GONE = "wrapper gone"
    """The process that extends the lease has ended."""
    GUARD_GONE = "guard gone"
    """The process that watches over the command has ended."""


class Step(enum.Enum):
    """What is to be done to the command and all that it started."""

    TERM = "SIGTERM"
    KILL = "SIGKILL"


class Plan:
    """Of one run of a command.

    Attributes:
        deadline_s: Until when the lock is surely held.
        why: Why the command is ended; None: it is not.

    """

    def __init__(self, timing: Timing, deadline_s: float) -> None:
        """Begin with a lease that ends at ``deadline_s``."""
        self._timing = timing
        self._told_s = inf
        self._is_told = False
        self.deadline_s = deadline_s
        self.why: Why | None = None

    def extend(self, deadline_s: float) -> None:
        """Note that the lease lasts longer; who has been told to end must end all the same."""
        self.deadline_s = max(self.deadline_s, deadline_s)

    def end(self, now_s: float, why: Why) -> None:
        """Decide that the command must end."""
        if self.why is None:
            self.why = why
            self._told_s = now_s

    def wake_s(self) -> float:
        """Return when to ask for the next step, if nothing happens before."""
        if self.why is None:
            return self._timing.term_s(self.deadline_s)
        return self._kill_s() if self._is_told else self._told_s

    def due(self, now_s: float) -> Step | None:
        """Return what is to be done now: SIGTERM once, SIGKILL from its time on at every look."""
        if self.why is None and now_s >= self._timing.term_s(self.deadline_s):
            self.end(now_s, Why.DEADLINE)
        if self.why is None:
            return None
        if now_s >= self._kill_s():
            self._is_told = True
            return Step.KILL
        if not self._is_told:
            self._is_told = True
            return Step.TERM
        return None

    def _kill_s(self) -> float:
        grace_ends_s = self._told_s + self._timing.kill_after_s
        return min(grace_ends_s, self._timing.kill_s(self.deadline_s))
