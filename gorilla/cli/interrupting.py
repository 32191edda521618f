"""Ctrl-C and SIGTERM end a command in good order: what it holds is released.

Python raises what Ctrl-C means wherever the program just is: also within a lock of a library, which
then is locked for ever, and within what the collector calls, which then swallows it. So there is an
end to good order, and who presses Ctrl-C again does not wait for it.
"""

import os
import signal
import sys
from typing import TYPE_CHECKING, Final, NoReturn

from gorilla.cli.failures import Exit

if TYPE_CHECKING:
    from types import FrameType

GOOD_ORDER_S_MAX: Final = 10.0
"""How long a command may take to end: longer than a client tries to release what it holds."""

AGAIN_S: Final = 0.01
"""When Ctrl-C is raised again that was swallowed."""


class Interrupts:
    """Hears signals for a command.

    Attributes:
        is_over: Whether the command is: there is nothing to be put in order.
        is_interrupted: Whether Ctrl-C was pressed while it was not.

    """

    def __init__(self) -> None:
        """Hear nothing yet."""
        self.is_over = False
        self.is_interrupted = False
        self._is_swallowed = False

    def hear(self) -> None:
        """Hear them from now on, unless whoever started the program ignores them."""
        self.is_over = False
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN:
            signal.signal(signal.SIGTERM, self._end)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._interrupt)
            sys.unraisablehook = self._swallowed

    def leave(self, code: int) -> NoReturn:
        """End the process.

        After Ctrl-C the interpreter is not asked to clear up: it may wait for a lock for ever.
        """
        self.is_over = True
        if not self.is_interrupted:
            sys.exit(code)
        for stream in (sys.stdout, sys.stderr):
            try:
                if stream is not None:
                    stream.flush()
            except (OSError, ValueError):
                code = code or Exit.IO
        os._exit(code)

    def _end(self, number: int, _frame: "FrameType | None") -> NoReturn:
        if self.is_over:
            _die(number)
        sys.exit(128 + number)

    def _interrupt(self, number: int, _frame: "FrameType | None") -> NoReturn:
        if self.is_over:
            _die(number)
        signal.signal(number, signal.SIG_DFL)
        self.is_interrupted = True
        self._wait(GOOD_ORDER_S_MAX)
        raise KeyboardInterrupt

    def _swallowed(self, unraisable: "sys.UnraisableHookArgs") -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            self._is_swallowed = True
            self._wait(AGAIN_S)
            return
        sys.__unraisablehook__(unraisable)

    def _wait(self, seconds: float) -> None:
        signal.signal(signal.SIGALRM, self._alarm)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def _alarm(self, _number: int, _frame: "FrameType | None") -> None:
        if self.is_over or not self._is_swallowed:
            _die(signal.SIGINT)
        self._is_swallowed = False
        self._wait(GOOD_ORDER_S_MAX)
        raise KeyboardInterrupt


def _die(number: int) -> None:
    """End here and now, as the signal would have ended the process."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


INTERRUPTS: Final = Interrupts()
"""Of this process."""
