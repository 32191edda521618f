"""What Linux offers beyond POSIX, and what there is instead elsewhere.

A process that ends with its parent, that adopts what its descendants leave behind, a timer that
counts the sleep of the machine, signals as data with their origin.
"""

import contextlib
import ctypes
import os
import select
import signal
import struct
from collections.abc import Iterable
from math import inf
from typing import Final, NamedTuple

from gorilla.client.clock import now_s

IS_LINUX: Final = os.uname().sysname == "Linux"

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_PR_SET_CHILD_SUBREAPER: Final = 36
_CLOCK_BOOTTIME: Final = 7
_TFD_TIMER_ABSTIME: Final = 1
_SIGINFO: Final = struct.Struct("=Iii116x")  # number, errno, code
_SI_KERNEL: Final = 0x80

SLICE_S: Final = 0.05
"""How often the clock is looked at where no timer of the kernel goes by it."""

_libc: Final = ctypes.CDLL(None, use_errno=True) if IS_LINUX else None


def _prctl(option: int, value: int | bytes) -> bool:
    return _libc is not None and _libc.prctl(option, value, 0, 0, 0) == 0


def die_with_parent() -> bool:
    """Let the kernel kill this process when the thread that made it ends; False: it can't."""
    return _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> bool:
    """Become the parent of every descendant that loses its own; False: it can't be had."""
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def name_process(name: str) -> None:
    """Show ``name`` in ``ps`` (15 characters)."""
    _prctl(_PR_SET_NAME, name.encode())


class Watch:
    """Waits for files to become readable, or for a time of the client's own clock."""

    def __init__(self) -> None:
        """Begin with no file."""
        self._poll = select.poll()
        self._timer = _timer()
        if self._timer is not None:
            self.add(self._timer)

    def add(self, file: int) -> None:
        """Wait for ``file`` too."""
        self._poll.register(file, select.POLLIN)

    def remove(self, file: int) -> None:
        """Wait for it no more."""
        self._poll.unregister(file)

    def until(self, at_s: float) -> set[int]:
        """Return what is readable (or broken), as soon as anything is, or at ``at_s`` nothing."""
        if self._timer is not None:
            _set_timer(self._timer, at_s)
            ready = self._poll.poll(None if at_s > now_s() else 0)
            return {file for file, _ in ready} - {self._timer}
        while True:
            left_s = at_s - now_s()
            ready = self._poll.poll(max(0.0, min(SLICE_S, left_s)) * 1000)
            if ready or left_s <= 0:
                return {file for file, _ in ready}

    def close(self) -> None:
        """Give back what it has."""
        if self._timer is not None:
            os.close(self._timer)


def _timer() -> int | None:
    if _libc is None:
        return None
    # Its flags are those of open: not inherited, and a read never blocks.
    file = int(_libc.timerfd_create(_CLOCK_BOOTTIME, os.O_CLOEXEC | os.O_NONBLOCK))
    return file if file >= 0 else None


def _set_timer(timer: int, at_s: float) -> None:
    """Let it ring at ``at_s``, which also takes back that it rang."""
    assert _libc is not None
    whole, rest = (0, 0) if at_s == inf else divmod(max(1, int(at_s * 1e9)), 10**9)
    setting = (ctypes.c_long * 4)(0, 0, whole, rest)
    if _libc.timerfd_settime(timer, _TFD_TIMER_ABSTIME, setting, None) != 0:
        raise OSError(ctypes.get_errno(), "timerfd_settime")


class Arrived(NamedTuple):
    """A signal that came."""

    number: int
    from_terminal: bool
    """Whether the kernel sent it, as at Ctrl-C: then to the whole foreground group."""


class Signals:
    """Takes signals as data; whoever shares this object's process is not interrupted by them."""

    def __init__(self, numbers: Iterable[int]) -> None:
        """Take these from now on; threads must be started after it."""
        self._numbers = frozenset(numbers)
        self._old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self._old_handlers = {}
        self._read_end, self._write_end = -1, -1
        if _libc is not None:
            signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)
            self._read_end = _signal_file(self._numbers)
            return
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        os.set_blocking(self._write_end, False)
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        self._old_handlers = {n: signal.signal(n, lambda *_: None) for n in self._numbers}

    def fileno(self) -> int:
        """Return what becomes readable when a signal has come."""
        return self._read_end

    def read(self) -> list[Arrived]:
        """Return those that have come."""
        try:
            data = os.read(self._read_end, 32 * _SIGINFO.size)
        except BlockingIOError:
            return []
        if _libc is not None:
            return [Arrived(number, code == _SI_KERNEL) for number, _, code in _whole(data)]
        # Where they come from is not told here; the keyboard is what sends these.
        keys = (signal.SIGINT, signal.SIGQUIT)
        return [Arrived(number, number in keys) for number in data if number in self._numbers]

    def close(self) -> None:
        """Take them no longer."""
        if self._write_end >= 0:
            signal.set_wakeup_fd(-1)
            for number, handler in self._old_handlers.items():
                signal.signal(number, handler)
            os.close(self._write_end)
        os.close(self._read_end)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._old_mask)


def _whole(data: bytes) -> Iterable[tuple[int, int, int]]:
    return _SIGINFO.iter_unpack(data)


def _signal_file(numbers: Iterable[int]) -> int:
    assert _libc is not None
    bits = 8 * ctypes.sizeof(ctypes.c_ulong)
    members = (ctypes.c_ulong * (1024 // bits))()
    for number in numbers:
        members[(number - 1) // bits] |= 1 << (number - 1) % bits
    file = int(_libc.signalfd(-1, members, os.O_CLOEXEC | os.O_NONBLOCK))
    if file < 0:
        raise OSError(ctypes.get_errno(), "signalfd")
    return file


def hurry(niceness: int) -> None:
    """Ask to be run before those of this niceness, where that is allowed."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness - 10)
