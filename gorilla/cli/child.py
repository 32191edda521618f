"""Starts the command of ``gorilla run`` as if its caller had started it."""

import contextlib
import errno
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

from gorilla.cli.guard_kernel import Watch, die_with_parent

_NOT_OURS: Final = frozenset({signal.SIGKILL, signal.SIGSTOP})
_OF_PYTHON: Final = frozenset({signal.SIGPIPE, signal.SIGXFSZ})
"""Python ignores these; a command expects them as they usually are."""


class CommandNotStarted(Exception):  # noqa: N818 - the command's fault, and told as an exit code
    """The command can't be executed; ``number`` is the system's reason."""

    def __init__(self, number: int) -> None:
        """Take the reason."""
        super().__init__(os.strerror(number))
        self.number = number


@dataclass(frozen=True)
class Inherited:
    """What this process got from its caller, and the command must get too."""

    ignored: frozenset[int]
    blocked: frozenset[int]
    niceness: int

    @classmethod
    def now(cls) -> "Inherited":
        """Look, before anything is changed."""
        numbers = signal.valid_signals() - _NOT_OURS - _OF_PYTHON
        return cls(
            ignored=frozenset(n for n in numbers if signal.getsignal(n) is signal.SIG_IGN),
            blocked=frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
            niceness=os.getpriority(os.PRIO_PROCESS, 0),
        )

    def restore(self) -> None:
        """Put everything back; for a process that is about to become the command."""
        for number in signal.valid_signals() - _NOT_OURS:
            with contextlib.suppress(OSError, ValueError):  # some belong to the C library
                kept = signal.SIG_IGN if number in self.ignored else signal.SIG_DFL
                signal.signal(number, kept)
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, self.niceness)
        signal.set_wakeup_fd(-1)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.blocked)


@dataclass(frozen=True)
class Command:
    """What to start, and how.

    Attributes:
        words: The program and its arguments.
        group: The process group that it joins; 0: one of its own.

    """

    words: tuple[str, ...]
    group: int = 0
    inherited: Inherited = field(default_factory=Inherited.now)


def start(command: Command, environment: Mapping[str, str], *, until_s: float = inf) -> int:
    """Start a command as a child that is killed when this process ends; return its number.

    For a process with a single thread.

    Args:
        command: What to start.
        environment: What it finds in its environment.
        until_s: How long to wait until it has begun (a file server may be away); when that is
            over, it is a child like any other, and ends by itself if it can't be executed.

    Raises:
        CommandNotStarted: It can't be executed.

    """
    trouble, telling = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(command, environment, parent, telling)
    os.close(telling)
    with contextlib.suppress(OSError):  # it did so itself, or has ended
        os.setpgid(pid, command.group or pid)
    if told := _told(trouble, until_s):
        os.waitpid(pid, 0)
        raise CommandNotStarted(int(told))
    return pid


def _told(trouble: int, until_s: float) -> bytes:
    """Return what a new process says of why it can't be the command; nothing once it is."""
    watch = Watch()
    watch.add(trouble)
    try:
        return os.read(trouble, 64) if watch.until(until_s) else b""
    finally:
        watch.close()
        os.close(trouble)


def _become(command: Command, environment: Mapping[str, str], parent: int, telling: int) -> None:
    """Turn this process into the command; never returns."""
    try:
        die_with_parent()
        if os.getppid() != parent:
            os._exit(128 + signal.SIGKILL)
        os.setpgid(0, command.group)
        command.inherited.restore()
        os.execvpe(command.words[0], command.words, environment)  # noqa: S606 - what it is for
    except OSError as error:
        os.write(telling, str(error.errno or errno.EIO).encode())
    except BaseException:  # a copy of the caller must not go on
        os.write(telling, str(errno.EINVAL).encode())
    finally:
        os._exit(127)
