"""The guard: a small process between ``gorilla run`` and its command.

It is the command's parent. The wrapper tells it until when the lock is surely held, and it ends
the command, with everything that the command started, before that time is over: whatever has
become of the wrapper. It asks no cluster, waits for nobody, and goes by the clock that counts the
sleep of the machine. When it is killed itself, the kernel kills the command, and the wrapper
inherits what the command started.
"""

import contextlib
import errno
import gc
import os
import signal
import socket
import sys
import threading
import traceback
from dataclasses import dataclass
from math import inf
from typing import Final, NoReturn

from gorilla.cli.child import Command, CommandNotStarted, start
from gorilla.cli.guard_family import Family, Relative, named, some_below
from gorilla.cli.guard_kernel import Watch, adopt_orphans, hurry, name_process
from gorilla.cli.guard_link import (
    End,
    Ended,
    Ending,
    Extend,
    FromGuard,
    Link,
    NotStarted,
    Pass,
    Start,
    Started,
    Stuck,
    ToGuard,
)
from gorilla.cli.guard_plan import Plan, Step, Why
from gorilla.cli.guard_timing import Timing
from gorilla.client.clock import now_s

NAME: Final = "gorilla-guard"
AGAIN_S: Final = 0.02
"""Pause between two attempts to kill what has just been made, or is slow to die."""
STUCK_AFTER_S: Final = 0.5
"""How long something may live after it was killed before that is told."""
TELL_S: Final = 0.1
"""How long whoever reads stderr has for it: a pipe may be full, a terminal stopped by Ctrl-S."""

_UNHEARD: Final = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGALRM, signal.SIGPIPE, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU,
)  # fmt: skip


@dataclass(frozen=True)
class Guard:
    """The guard, as the wrapper sees it."""

    pid: int
    link: Link[FromGuard]


def start_guard(command: Command) -> Guard:
    """Start a guard for ``command``; it starts the command when it is told to.

    For a process without further threads, which adopts the command's orphans from now on.
    """
    adopt_orphans()
    ours, theirs = socket.socketpair()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if pid == 0:
        _be_guard(command, ours, theirs)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    theirs.close()
    return Guard(pid, Link(ours, FromGuard))


def _be_guard(command: Command, ours: socket.socket, theirs: socket.socket) -> NoReturn:
    code = 1
    try:
        ours.close()
        os.setpgid(0, 0)  # what the terminal sends to its group is not for us
        gc.disable()
        adopt_orphans()
        name_process(NAME)
        _Watching(command, Link(theirs, ToGuard)).run()
        code = 0
    except BaseException:  # the kernel and the wrapper end the command now
        _tell(traceback.format_exc())
    finally:
        os._exit(code)


class _ChildBell:
    """Rings when a child has ended. Other signals are not for the guard."""

    def __init__(self) -> None:
        for number in _UNHEARD:
            signal.signal(number, signal.SIG_IGN)
        self.file, rope = os.pipe()
        for end in (self.file, rope):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(rope, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def silence(self) -> None:
        """Let it ring anew."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.file, 4096):
                continue


class _Watching:
    """The guard's own work, one command after the other, until the wrapper hangs up."""

    def __init__(self, command: Command, link: Link[ToGuard]) -> None:
        self._command = command
        self._link = link
        self._watch = Watch()
        self._watch.add(link.fileno())
        self._bell = _ChildBell()
        self._watch.add(self._bell.file)
        self._family: Family | None = None
        self._plan: Plan | None = None
        self._waits_for_all = False
        self._is_ending_told = False
        self._killing_since_s: float | None = None
        self._is_stuck_told = False
        self._is_alone = False

    def run(self) -> None:
        """Work until the wrapper is gone and nothing is left to guard."""
        while not (self._is_alone and self._family is None):
            ready = self._watch.until(self._wake_s())
            if not self._is_alone and self._link.fileno() in ready:
                self._hear()
            self._bell.silence()
            if self._family is not None:
                self._look_after(self._family)

    def _wake_s(self) -> float:
        if self._plan is None:
            return inf
        if self._killing_since_s is not None:
            return now_s() + AGAIN_S
        return self._plan.wake_s()

    # -- what is said

    def _hear(self) -> None:
        messages = self._link.hear()
        if messages is None:
            self._is_alone = True
            self._watch.remove(self._link.fileno())
            if self._plan is not None:
                self._plan.end(now_s(), Why.WRAPPER_GONE)
            return
        for message in messages:
            self._obey(message)

    def _obey(self, message: ToGuard) -> None:
        match message:
            case Start():
                self._start(message)
            case Extend(deadline_s) if self._plan is not None:
                self._plan.extend(deadline_s)
            case End(why) if self._plan is not None:
                self._plan.end(now_s(), why)
            case Pass(number, to_group) if self._family is not None:
                send = self._family.signal_group if to_group else self._family.signal_command
                send(number)
            case _:
                return  # of a command that has ended meanwhile

    def _start(self, order: Start) -> None:
        plan = Plan(Timing(order.kill_after_s, order.margin_s), order.deadline_s)
        if plan.due(now_s()) is not None:
            self._link.say(Ended(code=None, why=plan.why))
            return
        try:
            environment = {**os.environ, **order.added}
            pid = start(self._command, environment, until_s=plan.wake_s())
        except CommandNotStarted as error:
            self._link.say(NotStarted(error.number))
            return
        except OSError as error:
            self._link.say(NotStarted(error.errno or errno.EAGAIN))
            return
        hurry(self._command.inherited.niceness)
        self._plan = plan
        self._family = Family(pid, self._command.group)
        self._waits_for_all = order.waits_for_all
        self._killing_since_s = None
        self._is_ending_told = self._is_stuck_told = False
        self._link.say(Started(pid))

    # -- what is done

    def _look_after(self, family: Family) -> None:
        assert self._plan is not None
        family.collect()
        if self._is_over(family):
            return
        step = self._plan.due(now_s())
        if step is Step.TERM:
            self._tell_ending(self._plan)
            family.signal_all(signal.SIGTERM)
            family.signal_all(signal.SIGCONT)
        elif step is Step.KILL:
            self._kill(family, self._plan)

    def _is_over(self, family: Family) -> bool:
        """Whether the command has ended, and all that it started where that must end too."""
        assert self._plan is not None
        if family.code is None:
            return False
        must_end_all = self._plan.why is not None or self._waits_for_all
        if must_end_all and not family.is_alone():
            return False
        rest = () if must_end_all else family.rest()
        # Only that no child is left is sure: lists of processes change while they are read.
        if family.forget() or not must_end_all:
            self._link.say(Ended(family.code, self._plan.why, rest))
            self._family, self._plan = None, None
            return True
        return False

    def _kill(self, family: Family, plan: Plan) -> None:
        if self._killing_since_s is None:
            self._killing_since_s = now_s()
            if not self._is_ending_told:
                self._tell_ending(plan)
        family.signal_all(signal.SIGKILL)
        family.collect()
        if now_s() - self._killing_since_s > STUCK_AFTER_S and not self._is_stuck_told:
            self._is_stuck_told = True
            self._tell_stuck(some_below(os.getpid()))

    def _tell_ending(self, plan: Plan) -> None:
        assert plan.why is not None
        self._is_ending_told = True
        if self._is_alone:
            _say("the process that held the lock has ended, so its command is ended too")
        else:
            self._link.say(Ending(plan.why))

    def _tell_stuck(self, who: tuple[Relative, ...]) -> None:
        if self._is_alone:
            _say(f"still running although killed, which is out of our hands: {named(who)}")
        else:
            self._link.say(Stuck(who))


def _say(sentence: str) -> None:
    """Tell whoever reads stderr; the wrapper is not there to do it."""
    _tell(f"gorilla: {sentence}.\n")


def _tell(text: str) -> None:
    """Write to stderr, and go on when that takes too long: a write can't be given up otherwise."""

    def write() -> None:
        with contextlib.suppress(OSError):
            os.write(2, text.encode(errors="replace"))

    with contextlib.suppress(RuntimeError):  # there may be no more threads
        telling = threading.Thread(target=write, daemon=True)
        telling.start()
        telling.join(TELL_S)
