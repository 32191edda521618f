"""What ``gorilla run`` and ``gorilla elect`` have in common: a command, its guard, and its lock."""

import atexit
import contextlib
import logging
import os
import shutil
import signal
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from gorilla.cli.app import PROGRAM, Cli
from gorilla.cli.child import Command
from gorilla.cli.failures import CommandError, Exit, explained
from gorilla.cli.guard import start_guard
from gorilla.cli.guard_family import named
from gorilla.cli.guard_link import Ended, NotStarted
from gorilla.cli.guard_plan import Why
from gorilla.cli.run_grip import TakenGrip, Taker, Wish
from gorilla.cli.run_news import TIMEOUT_S_MIN, News
from gorilla.cli.run_task import GivenUp, Task
from gorilla.cli.run_wrapper import Wrapper
from gorilla.client.clock import now_s
from gorilla.client.errors import GorillaError, LockLost

if TYPE_CHECKING:
    from gorilla.client import Client

GIVE_UP_S: Final = 3.0
"""How long is tried to let go what may have been granted to a wait that was given up."""

_NOT_FOUND: Final = frozenset({2, 20})  # ENOENT, ENOTDIR


@dataclass(frozen=True)
class Ran:
    """How a command that ran under the lock has ended.

    Attributes:
        code: What to end with.
        was_lost: Whether it was ended because the lock was lost, or might have been.

    """

    code: int
    was_lost: bool = False


class Job:
    """A command under a guard, to be run once or more often."""

    def __init__(self, cli: Cli, words: tuple[str, ...], wish: Wish) -> None:
        """Prepare it; this process must have no threads yet.

        Args:
            cli: The command line.
            words: The command.
            wish: Its lock.

        Raises:
            CommandError: There is no such command, or the lease is too short.

        """
        wish.lease()
        _check_command(words)
        # A line of ours says what has happened.
        logging.getLogger("gorilla.client").addHandler(logging.NullHandler())
        self._cli = cli
        self._words = words
        self._wish = wish
        self._client: Client | None = None
        self._watching: Client | None = None
        os.environ.pop("GORILLA_LOCK_TOKEN", None)  # it may be of another lock
        has_terminal = _has_terminal()
        self._has_terminal = has_terminal
        guard = start_guard(Command(words, os.getpgrp() if has_terminal else 0))
        self.wrapper = Wrapper(guard, has_terminal=has_terminal, say=self.say)

    def __enter__(self) -> Self:
        """Return it; its guard goes with the block."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Let its guard go."""
        self.wrapper.close()

    def say(self, sentence: str) -> None:
        """Tell a person."""
        self._cli.out.say(f"{PROGRAM}: {sentence}.", "bad")

    def take(self) -> TakenGrip:
        """Wait for the lock.

        Raises:
            GivenUp: A signal came before.
            GorillaError: Why it can't be had.

        """
        client = self._cli.client() if self._client is None else self._client
        taker = Taker(client, self._wish, self.wrapper.lost, self._cli.out.remark)
        try:
            grip = self.wrapper.take(taker.take)
        except GivenUp:
            if not taker.give_up(lambda: self._cli.client(deadline_s=GIVE_UP_S)):
                self.say(
                    f"nobody knows whether {self._wish.resource} was granted just then; it would "
                    f"be held for up to {self._wish.timeout_s:g} s"
                )
            raise
        assert isinstance(grip, TakenGrip)
        return grip

    def run(self, grip: TakenGrip, *, with_token: bool = False, waits_for_all: bool = False) -> Ran:
        """Run the command while the lock is held, and let the lock go.

        Raises:
            CommandError: It can't be executed.

        """
        news = self._news(grip)
        try:
            task = Task(grip.lease, grip.facts(with_token=with_token), waits_for_all)
            ended = self.wrapper.run(grip, task)
        except LockLost as lost:
            self.say(f"{lost}; its command was not started")
            return Ran(Exit.LOST, was_lost=True)
        finally:
            news.end()
        if news.told is not None:
            self.say(news.told)
        lost_later = self._let_go(grip)
        if isinstance(ended, NotStarted):
            raise _not_executed(self._words[0], ended.number)
        return self._judged(ended, lost_later)

    def _news(self, grip: TakenGrip) -> News:
        """Follow what becomes of the lock, where that tells anything sooner."""
        if self._watching is None:
            # One of its own: what it learns of nodes has no part in extensions.
            self._watching = self._cli.client(deadline_s=self._cli.settings.deadline_s)
        news = News(self._watching, self._wish.resource, self._wish.owner, grip.fencing_token)
        if grip.lease.timeout_s >= TIMEOUT_S_MIN:
            news.follow(self.wrapper.revoked)
        return news

    def _let_go(self, grip: TakenGrip) -> LockLost | None:
        """Release the lock; return why it was lost before, if it was."""
        try:
            grip.release()
        except LockLost as lost:
            return lost
        except GorillaError as trouble:
            left_s = self.wrapper.deadline_s - now_s()
            if left_s > 0:
                self.say(
                    f"the release of {self._wish.resource} is not confirmed, so it may be held for "
                    f"{left_s:.0f} s more: {explained(trouble).sentence.rstrip('.')}"
                )
        return None

    def _judged(self, ended: Ended, lost: LockLost | None) -> Ran:
        if ended.rest:
            self.say(
                f"the command has ended, and left running without the lock: {named(ended.rest)}"
            )
        if ended.why in {Why.DEADLINE, Why.LOST}:
            what = f"{lost}" if lost is not None else f"{self._wish.resource!r} was nearly over"
            before = "was not started" if ended.code is None else "was ended"
            self.say(f"{what}; its command {before}")
            return Ran(Exit.LOST, was_lost=True)
        code = Exit.LOST if ended.code is None else ended.code
        if lost is not None and ended.why is None:
            self.say(
                f"{lost}; its command had ended by itself by then, or shortly after, with {code}"
            )
            return Ran(Exit.LOST, was_lost=True)
        self._note_interrupt(code)
        return Ran(code)

    def _note_interrupt(self, code: int) -> None:
        """After Ctrl-C end as the command did: a shell that runs a script then ends it too."""
        asked = self.wrapper.asked_to_end
        by_key = asked is not None and asked.number == signal.SIGINT and asked.from_terminal
        if self._has_terminal and by_key and code == Exit.INTERRUPTED:
            atexit.register(_end_by_interrupt)


def _end_by_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.kill(os.getpid(), signal.SIGINT)


def _check_command(words: tuple[str, ...]) -> None:
    """Refuse a command that is not there before anybody waits for a lock."""
    program = words[0]
    if shutil.which(program) is not None:
        return
    if os.sep in program and os.path.exists(program):  # noqa: PTH110 - a name as it was typed
        raise _not_executed(program, 13)
    raise _not_executed(program, 2)


def _not_executed(program: str, number: int) -> CommandError:
    code = Exit.NOT_COMMAND if number in _NOT_FOUND else Exit.NOT_EXECUTABLE
    return CommandError(f"{program}: {os.strerror(number)}.", code)


def _has_terminal() -> bool:
    """Whether this process belongs to a terminal, wherever its input and output are."""
    with contextlib.suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
        return True
    return False
