"""Shows something again and again, until Ctrl-C."""

import queue
import signal
import threading
from collections.abc import Callable, Iterator
from math import inf
from types import FrameType, TracebackType
from typing import Final, Generic, NamedTuple, Self, TypeVar

from gorilla.client.clock import now_s

T = TypeVar("T")

_ENDING: Final = (signal.SIGINT, signal.SIGTERM)


class _Made(NamedTuple, Generic[T]):
    value: T | None
    error: BaseException | None


class Renewing(Generic[T]):
    """What is made anew every so often, until a signal comes.

    It is made in a thread of its own, so that Ctrl-C is heard at once, and never in the midst of
    something: what is drawn is drawn whole, and the terminal is put back as it was. Who does not
    wait for that and presses it again ends the program on the spot.

    Attributes:
        ended_by: The signal that ended it; 0: none did.

    """

    def __init__(self, make: Callable[[], T], interval_s: float) -> None:
        """Make nothing yet.

        Args:
            make: Asks for it; may take a while.
            interval_s: Between two of them (seconds).

        """
        self._make = make
        self._interval_s = interval_s
        # Signal handlers may put something in while it is read.
        self._came = queue.SimpleQueue[_Made[T] | int]()
        self._wanted = queue.SimpleQueue[None]()
        self._before: dict[int, signal.Handlers | Callable[[int, FrameType | None], object]] = {}
        self.ended_by = 0

    def __enter__(self) -> Self:
        """Hear signals from now on; in the main thread."""
        for number in _ENDING:
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN and before is not None:
                self._before[number] = before  # type: ignore[assignment]  # typeshed has int too
                signal.signal(number, self._end)
        threading.Thread(target=self._run, name="gorilla-renews", daemon=True).start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Leave signals to whoever heard them before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __iter__(self) -> Iterator[T]:
        """Yield one after the other; raises what making it raises."""
        while True:
            self._wanted.put(None)
            made = self._next(inf)
            if made is None:
                return
            if made.error is not None:
                raise made.error
            assert made.value is not None
            yield made.value
            self._next(now_s() + self._interval_s)
            if self.ended_by:
                return

    def _next(self, until_s: float) -> _Made[T] | None:
        """Return what was made; None: a signal came, or the time is over."""
        if self.ended_by:
            return None
        left_s = until_s - now_s()
        try:
            found = self._came.get(timeout=None if left_s == inf else max(0.0, left_s))
        except queue.Empty:
            return None
        return None if isinstance(found, int) else found

    def _end(self, number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        self.ended_by = number
        self._came.put(number)

    def _run(self) -> None:
        while True:
            self._wanted.get()
            try:
                self._came.put(_Made(self._make(), None))
            except BaseException as error:  # it is raised again, where it is waited for
                self._came.put(_Made(None, error))
