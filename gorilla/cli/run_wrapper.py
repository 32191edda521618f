"""The process that holds the lock while a command runs: signals, the guard, the lease.

Its main thread waits for everything at once; the lock is taken in a thread of its own and extended
in another one, so that nothing of the network is ever in the way of a signal.
"""

import contextlib
import os
import signal
from collections.abc import Callable
from math import inf
from typing import Final

from gorilla.cli.failures import CommandError, Exit
from gorilla.cli.guard import Guard
from gorilla.cli.guard_family import (
    Relative,
    end_everything,
    named,
    parent_of,
    some_below,
)
from gorilla.cli.guard_kernel import IS_LINUX, Arrived, Signals, Watch
from gorilla.cli.guard_link import (
    End,
    Ended,
    Ending,
    Extend,
    FromGuard,
    NotStarted,
    Pass,
    Start,
    Started,
    Stuck,
)
from gorilla.cli.guard_plan import Why
from gorilla.cli.guard_timing import Timing
from gorilla.cli.run_task import GivenUp, Grip, Lease, Take, Taking, Task
from gorilla.client.clock import now_s
from gorilla.client.errors import LockLost

LOOK_S: Final = 0.5
"""How often the lease is looked at, at least."""
AGAIN_S: Final = 0.02
"""Pause between two attempts to kill what is left."""
STUCK_AFTER_S: Final = 1.0
"""How long something may live after it was killed before that is told."""

ENDS: Final = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM})
"""Who gets one of these while it waits for the lock gives up."""
FOR_GROUP: Final = ENDS | {signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH}
"""What a terminal sends goes to the whole group; other signals to the command alone."""
PASSED: Final = FOR_GROUP | {signal.SIGUSR1, signal.SIGUSR2}

Say = Callable[[str], None]


class Wrapper:
    """One process, one guard, one command at a time.

    Attributes:
        deadline_s: Until when the lock was surely held, as it was last looked at.
        asked_to_end: The last signal that told us, and the command, to end.

    """

    def __init__(self, guard: Guard, *, has_terminal: bool, say: Say) -> None:
        """Take over the signals of this process, which has no further threads yet.

        Args:
            guard: Of the command.
            has_terminal: Whether the command is in our own process group, because of a terminal.
            say: Tells a person.

        """
        self._guard = guard
        self._lease = Lease(inf, Timing(0, 0))
        self._has_terminal = has_terminal
        self._say = say
        ignored = {n for n in PASSED if signal.getsignal(n) is signal.SIG_IGN}
        self._signals = Signals(PASSED - ignored)
        self._watch = Watch()
        self._watch.add(self._signals.fileno())
        self._watch.add(guard.link.fileno())
        self.deadline_s = inf
        self.asked_to_end: Arrived | None = None
        self._end: Ended | NotStarted | None = None
        self._is_loss_told = False
        self._is_guarded = True
        self._command = 0

    @property
    def is_unguarded(self) -> bool:
        """Whether the guard is dead, so that nothing can be run any more."""
        return not self._is_guarded

    # -- the lock

    def take(self, take: Take) -> Grip:
        """Wait until the lock is taken.

        Raises:
            GivenUp: A signal came before.
            GorillaError: Why it can't be had.

        """
        taking = Taking(take)
        taking.start()
        self._watch.add(taking.bell)
        try:
            self._await(inf, taking.bell)
        finally:
            self._watch.remove(taking.bell)
        return taking.taken()

    def pause(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            GivenUp: A signal came.

        """
        self._await(now_s() + seconds, -1)

    def _await(self, until_s: float, bell: int) -> None:
        """Wait for a bell while no command runs."""
        while now_s() < until_s:
            ready = self._watch.until(until_s)
            for arrived in self._arrived(ready):
                if arrived.number in ENDS:
                    raise GivenUp(arrived.number)
                self._stop_with_terminal(arrived)
            if self._guard.link.fileno() in ready and self._guard.link.hear() is None:
                raise CommandError("The guard of the command was killed.", Exit.SOFTWARE)
            if bell in ready:
                return

    def lost(self, _error: LockLost) -> None:
        """Let the command be ended; called from any thread."""
        self.revoked()

    def revoked(self) -> None:
        """Let it be ended because the cluster says that the hold is over; likewise."""
        self._guard.link.say(End(Why.LOST))

    # -- the command

    def run(self, grip: Grip, task: Task) -> Ended | NotStarted:
        """Run the command while the lock is held.

        Raises:
            LockLost: It was lost before the command could be started.

        """
        self._lease = task.lease
        self._end, self._is_loss_told, self._command = None, False, 0
        self.deadline_s = now_s() + grip.remaining()
        timing = task.lease.timing
        self._guard.link.say(
            Start(
                self.deadline_s,
                timing.kill_after_s,
                timing.margin_s,
                dict(task.added),
                task.waits_for_all,
            )
        )
        while (end := self._turn(grip)) is None:
            continue
        return end

    def _turn(self, grip: Grip) -> Ended | NotStarted | None:
        """Wait for what comes next, and do what it asks for; return the end, when it has come."""
        self._look_at(grip)
        look_s = min(LOOK_S, self._lease.timeout_s / 20)
        ready = self._watch.until(min(now_s() + look_s, self._backstop_s()))
        for arrived in self._arrived(ready):
            self._pass_on(arrived)
        if self._guard.link.fileno() in ready:
            self._hear()
        if self._end is None and now_s() >= self._backstop_s():
            self._take_over(Why.DEADLINE)
        return self._end

    def close(self) -> None:
        """Let the guard go, and give the signals back."""
        self._guard.link.close()
        if self._is_guarded:
            self._is_guarded = False
            os.waitpid(self._guard.pid, 0)
        self._signals.close()
        self._watch.close()

    # -- the lease

    def _look_at(self, grip: Grip) -> None:
        """Tell the guard until when the lock is held now."""
        try:
            deadline_s = now_s() + grip.remaining()
        except LockLost as error:
            if not self._is_loss_told:
                self._is_loss_told = True
                self.lost(error)
            return
        if deadline_s > self.deadline_s + 1e-3:
            self.deadline_s = deadline_s
            self._guard.link.say(Extend(deadline_s))

    def _backstop_s(self) -> float:
        """Return when the guard must have acted, or does so no more."""
        timing = self._lease.timing
        return timing.kill_s(self.deadline_s) + timing.margin_s / 4

    def _take_over(self, why: Why) -> None:
        """End everything ourselves: the guard is dead, or stands still.

        With the guard the command dies too, and we are the parent of what is left.
        """
        self._is_guarded = False
        with contextlib.suppress(OSError):
            os.kill(self._guard.pid, signal.SIGKILL)
        if not IS_LINUX and self._command:
            # There nobody adopts orphans, and the command outlives its guard.
            with contextlib.suppress(OSError):
                (os.kill if self._has_terminal else os.killpg)(self._command, signal.SIGKILL)
        self._watch.remove(self._guard.link.fileno())
        # Nothing is said before: who is not listened to would wait, with the command alive.
        waiting, began_s, is_told = Watch(), now_s(), False
        for pause_s in end_everything(AGAIN_S):
            waiting.until(now_s() + pause_s)
            if not is_told and now_s() > began_s + STUCK_AFTER_S:
                is_told = True
                self._say(_TAKEN_OVER[why])
                self._say_stuck(some_below(os.getpid()))
        waiting.close()
        if not is_told:
            self._say(_TAKEN_OVER[why])
        self._end = Ended(128 + signal.SIGKILL, why)

    # -- the guard

    def _hear(self) -> None:
        messages = self._guard.link.hear()
        if messages is None:
            self._take_over(Why.GUARD_GONE)
            return
        for message in messages:
            self._note(message)

    def _note(self, message: FromGuard) -> None:
        match message:
            case Ended() | NotStarted():
                self._end = message
            case Ending(why):
                kill_after_s = self._lease.timing.kill_after_s
                self._say(
                    f"{_ENDING[why]}; its command is told to end, and killed at the latest "
                    f"after {kill_after_s:.3g} s"
                )
            case Stuck(who):
                self._say_stuck(who)
            case Started(pid):
                self._command = pid

    def _say_stuck(self, who: tuple[Relative, ...]) -> None:
        self._say(f"still running although killed, which is out of our hands: {named(who)}")

    # -- signals

    def _arrived(self, ready: set[int]) -> list[Arrived]:
        return self._signals.read() if self._signals.fileno() in ready else []

    def _pass_on(self, arrived: Arrived) -> None:
        """Give the command a signal, unless the terminal gave it to the whole group already."""
        if arrived.number in ENDS - {signal.SIGHUP}:  # which tells many to read their files again
            self.asked_to_end = arrived
        if not (self._has_terminal and arrived.from_terminal and self._command):
            self._guard.link.say(Pass(arrived.number, arrived.number in FOR_GROUP))
        self._stop_with_terminal(arrived)

    def _stop_with_terminal(self, arrived: Arrived) -> None:
        """Stand still at Ctrl-Z as the command does, so that the shell goes on.

        The lease is not extended then, so the guard ends the command in time, unless it goes on
        before. Where there is no shell to wake anybody up, Ctrl-Z is taken back.
        """
        if not self._has_terminal or arrived.number != signal.SIGTSTP:
            return
        if not has_shell():
            self._guard.link.say(Pass(signal.SIGCONT, to_group=True))
            return
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})


def has_shell() -> bool:
    """Whether somebody in our session looks after our process group: it is a job of a shell.

    The kernel asks the same before it stops a group, but takes the guard for such a shell.
    """
    group, session = os.getpgrp(), os.getsid(0)
    for parent in {os.getppid(), parent_of(group)}:
        with contextlib.suppress(OSError):
            if parent > 0 and os.getsid(parent) == session and os.getpgid(parent) != group:
                return True
    return False


_ENDING: Final = {
    Why.DEADLINE: "the lock could not be extended in time",
    Why.LOST: "the lock is lost",
    Why.WRAPPER_GONE: "the lock is not held any more",
    Why.GUARD_GONE: "the guard of the command was killed",
}
_TAKEN_OVER: Final = {
    Why.DEADLINE: "the guard of the command did not act in time, so both were killed",
    Why.GUARD_GONE: "the guard of the command was killed, so the command was killed too",
}
