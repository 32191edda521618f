"""A command and everything that it started, seen from the process that is its parent.

The parent adopts what loses its own parent, so the family is the tree below it; that no child is
left means that nothing is left, whatever groups and sessions were made. Where the system can't
adopt (it is not Linux), the family is the command's process group.
"""

import contextlib
import os
import signal
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

_PROC: Final = Path("/proc")
_HAS_PIDFD: Final = hasattr(os, "pidfd_open")
TOLD_MAX: Final = 20
"""How many processes are named at most."""


class Relative(msgspec.Struct, frozen=True):
    """A process of the family, for people."""

    pid: int
    name: str
    state: str
    """One letter, as ``ps`` shows it; D: it can't be ended before the kernel is done with it."""


def named(who: tuple[Relative, ...]) -> str:
    """Return processes in words."""
    if not who:
        return "something that /proc does not show"
    return ", ".join(f"{one.name} ({one.pid})" for one in who)


class _Stat(NamedTuple):
    name: str
    state: str
    parent: int
    group: int


def _stat_of(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    head, _, tail = text.rpartition(")")
    state, parent, group, *_ = tail.split()
    return _Stat(head.partition("(")[2], state, int(parent), int(group))


def parent_of(pid: int) -> int:
    """Return a process's parent; 0: nobody knows."""
    stat = _stat_of(pid)
    return 0 if stat is None else stat.parent


def children_of(pid: int) -> list[int]:
    """Return the children that a process has now, ended ones included."""
    found: list[int] = []
    try:
        for thread in (_PROC / str(pid) / "task").iterdir():
            found += map(int, (thread / "children").read_text().split())
    except FileNotFoundError:
        if (_PROC / str(pid)).exists() and not _lists_children():
            return _search_children(pid)
    except OSError:
        return found  # it has just ended, or is not to be seen
    return found


def _lists_children() -> bool:
    own = str(os.getpid())
    return (_PROC / own / "task" / own / "children").exists()


def _search_children(parent: int) -> list[int]:
    """Find them one by one, on a kernel that has no list of children."""
    numbers = [int(path.name) for path in _PROC.glob("[0-9]*")]
    stats = ((pid, _stat_of(pid)) for pid in numbers)
    return [pid for pid, stat in stats if stat is not None and stat.parent == parent]


def below(root: int) -> Iterator[int]:
    """Give every process below ``root``, parents before their children."""
    level = children_of(root)
    seen = set(level)
    while level:
        yield from level
        level = [child for pid in level for child in children_of(pid) if child not in seen]
        seen.update(level)


def _is_in(pid: int, group: int) -> bool:
    stat = _stat_of(pid)
    return stat is not None and stat.group == group


def _send(pid: int, number: int, root: int) -> None:
    """Send a signal to a process below ``root``, and surely to no other that got its number."""
    with contextlib.suppress(OSError):  # it has ended, or is somebody else's
        if not _HAS_PIDFD:
            os.kill(pid, number)
            return
        file = os.pidfd_open(pid)
        try:
            if _is_below(pid, root):
                signal.pidfd_send_signal(file, number)
        finally:
            os.close(file)


def _is_below(pid: int, root: int) -> bool:
    while pid > 1:
        stat = _stat_of(pid)
        if stat is None:
            return False
        if stat.parent == root:
            return True
        pid = stat.parent
    return False


class Family:
    """The command and all that it started.

    Attributes:
        command: The command's process.
        code: What the command ended with (128 + n: by signal n); None while it runs.

    """

    def __init__(self, command: int, group: int) -> None:
        """Watch over a child of this process.

        Args:
            command: Its number.
            group: Its process group; 0: it leads one of its own.

        """
        self.command = command
        self.code: int | None = None
        self._group = group or command
        self._own_group = None if group else command
        self._is_reaped = False
        self._root = os.getpid()

    # -- signals

    def signal_command(self, number: int) -> None:
        """Send a signal to the command alone."""
        if not self._is_reaped:
            with contextlib.suppress(OSError):
                os.kill(self.command, number)

    def signal_group(self, number: int) -> None:
        """Send a signal to the command and those of its process group that it started."""
        if self._own_group is not None and not self._is_reaped:
            self._signal_own_group(number)
            return
        # All are known before one of them gets it: what a dead parent leaves is found elsewhere.
        members = [pid for pid in below(self._root) if _is_in(pid, self._group)]
        self.signal_command(number)
        for pid in members:
            if pid != self.command:
                _send(pid, number, self._root)

    def signal_all(self, number: int) -> None:
        """Send a signal to everyone, as far as that is allowed."""
        everyone = list(below(self._root))
        if self._own_group is not None and not self._is_reaped:
            self._signal_own_group(number)
            everyone = [pid for pid in everyone if not _is_in(pid, self._own_group)]
        elif not everyone:  # the system has no list of processes
            self.signal_command(number)
        for pid in everyone:
            _send(pid, number, self._root)

    def _signal_own_group(self, number: int) -> None:
        # At once for all of them: nobody can make another one meanwhile.
        assert self._own_group is not None
        with contextlib.suppress(OSError):
            os.killpg(self._own_group, number)

    # -- ends

    def collect(self) -> None:
        """Take note of those that have ended.

        The command's own number stays taken until :meth:`forget`, and with it that of its group.
        """
        if self.code is None:
            self.code = _code_of(self.command)
        for pid in children_of(self._root):
            if pid != self.command:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    def forget(self) -> bool:
        """Give up the number of the command, which has ended; return whether nobody is left."""
        if not self._is_reaped:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.command, 0)
            self._is_reaped = True
        return not has_children()

    def is_alone(self) -> bool:
        """Whether nothing but the command, which has ended, seems to be left."""
        return self.code is not None and set(children_of(self._root)) <= {self.command}

    def rest(self) -> tuple[Relative, ...]:
        """Return who lives, but for the command itself."""
        living = living_below(self._root)
        return tuple(islice((one for one in living if one.pid != self.command), TOLD_MAX))


def has_children() -> bool:
    """Whether this process has any child, dead ones that nobody waited for included."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            continue
    except ChildProcessError:
        return False
    return True


def living_below(root: int) -> Iterator[Relative]:
    """Give the processes below ``root`` that have not ended."""
    for pid in below(root):
        stat = _stat_of(pid)
        if stat is not None and stat.state not in "ZX":
            yield Relative(pid, stat.name, stat.state)


def some_below(root: int) -> tuple[Relative, ...]:
    """Return as many of them as are named to people."""
    return tuple(islice(living_below(root), TOLD_MAX))


def _code_of(pid: int) -> int | None:
    """Return what a child ended with, and leave it to be waited for; None: it runs."""
    try:
        end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 128 + signal.SIGKILL  # somebody else took it: nothing more is known
    if end is None:
        return None
    return end.si_status if end.si_code == os.CLD_EXITED else 128 + end.si_status


def end_everything(pause_s: float) -> Iterator[float]:
    """Kill every descendant of this process, and wait for them; give the pauses to make.

    For a process that adopts orphans and has no other children. It ends when nobody is left.
    """
    root = os.getpid()
    while has_children():
        for pid in below(root):
            _send(pid, signal.SIGKILL, root)
        yield pause_s
