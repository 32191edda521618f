"""How busy the machine is with other things: gaps are judged only where it lets us run.

A process of its own wakes up a hundred times a second and notes how much too late it was; what
the processes of this run did not use of the processors' time was used by others.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.chaos.native import SharedFile

LATE_S_MAX = 0.1
FOREIGN_MAX = 0.75
"""Share of all processors that others may have."""
FOREIGN_AT_START_MAX = 0.4
"""Likewise where nodes are started under the bound: that is nothing but work of processors."""

WAKING = """
import mmap, struct, sys, time
with open(sys.argv[1], "r+b") as file:
    shared = mmap.mmap(file.fileno(), 8)
while True:
    before = time.monotonic_ns()
    time.sleep(0.01)
    late = time.monotonic_ns() - before - 10_000_000
    if late > struct.unpack_from("q", shared)[0]:
        struct.pack_into("q", shared, 0, late)
"""


@dataclass(frozen=True)
class Business:
    """What others did while one round ran."""

    load: float
    """The system's own figure (one minute) at its end."""
    foreign: float
    """Share of the processors' time that others had, 0 to 1."""
    late_s: float
    """The longest time that a process which only sleeps waited for its processor."""

    def is_overload(self, foreign_max: float = FOREIGN_MAX) -> bool:
        return self.late_s > LATE_S_MAX or self.foreign > foreign_max


class Machine:
    """Measures from :meth:`begin` to :meth:`business`."""

    def __init__(self, directory: Path) -> None:
        """Start the process that wakes up."""
        self._late = SharedFile(directory / "late", 8)
        self._process = subprocess.Popen([sys.executable, "-c", WAKING, str(self._late.path)])
        self.begin()

    def begin(self) -> Self:
        self._began, self._busy, self._own = time.monotonic(), _busy_s(), _own_s()
        self._late.put("q", 0, 0)
        return self

    def business(self) -> Business:
        there = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        foreign = (_busy_s() - self._busy - (_own_s() - self._own)) / there
        return Business(
            load=round(os.getloadavg()[0], 2),
            foreign=round(max(0.0, foreign), 2),
            late_s=round(self._late.get("q", 0)[0] / 1e9, 3),
        )

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def _busy_s() -> float:
    """Seconds that all processors worked, or were taken from us by another machine on the host."""
    names = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    user, nice, system, _, _, interrupts, soft, stolen = map(int, names[1:9])
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    """Seconds that the processes of this run worked: /proc shows no others, see ``__main__``."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # ended meanwhile; its parent has its time
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
