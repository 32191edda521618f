"""A program that shows that it lives: it writes the time on the leases' clock, again and again.

``python -S beating.py DIRECTORY [stubborn] [daemon] [nest] [storm] [for=SECONDS]``. Every process
of it has a file of its own in the directory, ``beats-PID``.

- stubborn: ignores SIGTERM.
- daemon: leaves behind a process in a session of its own, whose parent has ended.
- nest: has children and grandchildren, in process groups of their own.
- storm: makes new processes as fast as it can, each in a session of its own, up to STORM of them.
"""

import os
import signal
import sys
import time

PAUSE_S = 0.001
STORM = 150


def beat(directory, lasts_s):
    """Write the time until it is over."""
    file = os.open(f"{directory}/beats-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    until_s = time.clock_gettime(time.CLOCK_BOOTTIME) + lasts_s
    while (now_s := time.clock_gettime(time.CLOCK_BOOTTIME)) < until_s:
        os.pwrite(file, f"{now_s:.6f}\n".encode(), 0)
        time.sleep(PAUSE_S)


def child(work, *, session=False, group=False):
    """Start a process that does ``work`` and ends; return its number."""
    pid = os.fork()
    if pid == 0:
        try:
            if session:
                os.setsid()
            if group:
                os.setpgid(0, 0)
            work()
        finally:
            os._exit(0)
    return pid


def nested(directory, lasts_s, depth):
    if depth:
        child(lambda: nested(directory, lasts_s, depth - 1), group=True)
    beat(directory, lasts_s)


def storm(directory, born_s):
    """Make another process that does the same, and end soon: no process lives for long."""
    while time.clock_gettime(time.CLOCK_BOOTTIME) - born_s < 60:
        with os.scandir(directory) as found:
            count = sum(1 for _ in found)
        if count < STORM:
            child(lambda: storm(directory, born_s), session=True)
        os.close(os.open(f"{directory}/beats-{os.getpid()}", os.O_WRONLY | os.O_CREAT, 0o644))


def main(directory, *words):
    lasts_s = next((float(word[4:]) for word in words if word.startswith("for=")), 120.0)
    if "stubborn" in words:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "daemon" in words:
        between = child(lambda: child(lambda: beat(directory, 120.0)), session=True)
        os.waitpid(between, 0)
    if "nest" in words:
        child(lambda: nested(directory, lasts_s, 3), session=True)
    if "storm" in words:
        storm(directory, time.clock_gettime(time.CLOCK_BOOTTIME))
    beat(directory, lasts_s)


if __name__ == "__main__":
    main(*sys.argv[1:])
