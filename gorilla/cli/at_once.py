"""Several things done at once, and waited for no longer than somebody likes to wait."""

import queue
import threading
from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

AT_ONCE_MAX: Final = 64

T = TypeVar("T")
R = TypeVar("R")


class AtOnce(Generic[T, R]):
    """Work on some items, each in a thread of its own.

    What comes too late keeps nobody, not the end of the process and not Ctrl-C either.

    Attributes:
        found: What was made of each item, in their order; None: nothing yet.

    """

    def __init__(self, items: Iterable[T], work: Callable[[T], R]) -> None:
        """Begin."""
        self._items = list(items)
        self._work = work
        self._todo = queue.SimpleQueue[int]()
        self._came = queue.SimpleQueue[tuple[int, R | None, BaseException | None]]()
        self.found: list[R | None] = [None] * len(self._items)
        self._left = len(self._items)
        for place in range(self._left):
            self._todo.put(place)
        for _ in range(min(self._left, AT_ONCE_MAX)):
            threading.Thread(target=self._run, name="gorilla-at-once", daemon=True).start()

    @property
    def left(self) -> int:
        """Return how many are under way yet."""
        return self._left

    def wait(self, seconds: float | None = None) -> None:
        """Wait until one more came, or the time is over.

        Raises:
            Exception: What its work raised.

        """
        try:
            place, found, error = self._came.get(timeout=seconds)
        except queue.Empty:
            return
        self._left -= 1
        self.found[place] = found
        if error is not None:
            raise error

    def _run(self) -> None:
        while True:
            try:
                place = self._todo.get_nowait()
            except queue.Empty:
                return
            try:
                self._came.put((place, self._work(self._items[place]), None))
            except BaseException as error:  # it is raised again, where it is waited for
                self._came.put((place, None, error))


def each(items: Iterable[T], work: Callable[[T], R]) -> list[R]:
    """Return what was made of each item; the work has an end of its own."""
    working = AtOnce(items, work)
    while working.left:
        working.wait()
    return [one for one in working.found if one is not None]
