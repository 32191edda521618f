"""What the machine itself does: its disk, its processors."""

import os
import statistics
import time
from pathlib import Path

SYNCS = 200
FRAME_BYTES = 512
PAUSE_S = 0.001
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def fdatasync_ms(directory: Path) -> float:
    """Median time of a small append made durable on the disk of ``directory`` (milliseconds)."""
    times_s = []
    with (directory / "syncs").open("wb", buffering=0) as file:
        for _ in range(SYNCS):
            file.write(b"x" * FRAME_BYTES)
            started_s = time.perf_counter()
            os.fdatasync(file.fileno())
            times_s.append(time.perf_counter() - started_s)
            # Whoever never pauses is made to wait for a processor, and that is not the disk.
            time.sleep(PAUSE_S)
    return statistics.median(times_s) * 1e3


def cpu_s(pid: int) -> float:
    """Processor time that a process has used, user and system (seconds)."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def description() -> str:
    """Processors, and how busy they are without us."""
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0]
    busy = "  (busy: the figures say less)" if load > 0.5 * cores else ""
    return f"{cores} processors, load {load:.1f} before the start{busy}"
