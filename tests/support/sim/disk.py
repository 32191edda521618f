"""A machine's disk as the nemesis sees it: the process dies at any operation, or is held up."""

import errno
import os
import random
from collections.abc import Callable

from tests.support.simdisk import SimDisk

SYNC_S = (0.0001, 0.0015)
"""What a sync takes on a disk that is well, shortest and longest."""


PAGE_BYTES = 64
"""Pieces of a file that reach the disk in any order; small, as the files of a run are."""


class KilledError(BaseException):
    """The process dies at this very operation; no ``except Exception`` outlives it."""


class MachineDisk:
    """Drives the :class:`SimDisk` of one node through the lives of its processes."""

    def __init__(self, rng: random.Random, spend: Callable[[float], None]) -> None:
        """Draw from ``rng``; tell ``spend`` how many seconds an operation blocked its process."""
        self.files = SimDisk()
        self.files.page_bytes = PAGE_BYTES
        self.failed = {"disk full": 0, "disk failed": 0}
        """How often an operation met with a fault, by kind."""
        self.slow_s = 0.0
        self.is_dead = False
        self.dies_of_power_loss = False
        self.is_faulty = False
        """An operation was made to fail, so its process may stop by itself."""
        self._rng = rng
        self._spend = spend
        self._dies_in: int | None = None
        self._is_full = False

    def die_after(self, operations: int, *, is_power_loss: bool) -> None:
        """Let the process die at its n-th step on the disk from now: before, within or after it."""
        self._dies_in = operations
        self.dies_of_power_loss = is_power_loss

    def fail_after(self, operation: str, operations: int) -> None:
        """Let the n-th such operation from now raise an error; the process has to stop then."""
        self.is_faulty = True
        self.files.fail_at(operation, operations)

    def be_full(self) -> None:
        """Take no more data: half of what is written fits, and the process has to stop."""
        self._is_full = self.is_faulty = True

    def be_freed(self) -> None:
        """Have room again."""
        self._is_full = False

    def be_fast(self) -> None:
        """Be as fast as ever."""
        self.slow_s = 0.0

    def mend(self) -> None:
        """Be fast again, let nobody die and nothing fail."""
        self.slow_s = 0.0
        self._is_full = False
        self._dies_in = None
        self.files._faults.clear()

    def crash(self, *, is_power_loss: bool) -> None:
        """The process is gone; with a power loss so is what was not synced, or part of it."""
        self.is_dead = True
        self._dies_in = None
        self.dies_of_power_loss = False
        self.files.crash(self._rng, power=is_power_loss)

    def restart(self) -> None:
        """A new process opens the directory."""
        self.is_dead = False
        self.is_faulty = self._is_full
        self.files.on_op = self._on_op

    def _on_op(self, operation: str) -> None:
        if self.is_dead:
            raise KilledError(f"{operation} by a dying process")
        if self._is_full and operation.startswith("write") and operation.endswith("within"):
            self.failed["disk full"] += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if operation.startswith("sync") and operation.endswith("after"):
            self._spend(self._rng.uniform(*SYNC_S) + self.slow_s)
        if self._dies_in is not None:
            self._dies_in -= 1
            if self._dies_in <= 0:
                self._dies_in = None
                self.is_dead = True
                raise KilledError(operation)
