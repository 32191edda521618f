"""What a wrapper runs: a lock to be taken, and a command under it."""

import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from typing_extensions import override

from gorilla.cli.guard_timing import Timing
from gorilla.client.errors import LockLost


class Grip(Protocol):
    """A lock that is held, and extended by itself."""

    @property
    def lost(self) -> LockLost | None:
        """Why it is lost, if it is."""

    def remaining(self) -> float:
        """Return for how many more seconds it is surely held; raises LockLost."""

    def release(self) -> None:
        """Let it go; raises GorillaError."""


Take = Callable[[], Grip]


class GivenUp(Exception):  # noqa: N818 - a signal asked for it
    """The lock was not waited for any longer, because of this signal."""

    def __init__(self, number: int) -> None:
        """Take the signal."""
        super().__init__(signal.Signals(number).name)
        self.number = number


class Taking(threading.Thread):
    """Takes the lock, and rings a bell when that has come to an end."""

    def __init__(self, take: Take) -> None:
        super().__init__(name="gorilla-takes", daemon=True)
        self._take = take
        self._grip: Grip | None = None
        self._error: BaseException | None = None
        self.bell, self._rope = os.pipe()

    @override
    def run(self) -> None:
        try:
            self._grip = self._take()
        except BaseException as error:  # it is raised again, where it is waited for
            self._error = error
        finally:
            os.close(self._rope)

    def taken(self) -> Grip:
        """Return what was taken, or raise why it was not; once, after the bell."""
        os.close(self.bell)
        if self._error is not None:
            raise self._error
        assert self._grip is not None
        return self._grip


@dataclass(frozen=True)
class Lease:
    """How a lease is counted.

    Attributes:
        timeout_s: Its length.
        timing: When what happens before its end.

    """

    timeout_s: float
    timing: Timing


@dataclass(frozen=True)
class Task:
    """What is run under a lock.

    Attributes:
        lease: Of the lock.
        added: What the command finds in its environment.
        waits_for_all: Whether it is over only with everything that the command started.

    """

    lease: Lease
    added: Mapping[str, str]
    waits_for_all: bool = False
