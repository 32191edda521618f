"""Lock names in order, kept lazily: most locks come and go unseen between two looks."""

from collections.abc import Iterator
from typing import Final

from sortedcontainers import SortedList

_PENDING_MAX: Final = 4_096
"""Changes put off at most; applying that many takes about ten milliseconds at a million names."""


class LockNames:
    """A sorted set of names. A name that comes back before it was missed costs next to nothing."""

    def __init__(self, names: list[str]) -> None:
        """Take names that are already in order."""
        self._sorted: SortedList[str] = SortedList(names)
        self._added: dict[str, None] = {}
        self._removed: dict[str, None] = {}

    def add(self, name: str) -> None:
        """Add a name that is not in the set."""
        if name in self._removed:
            del self._removed[name]
            return
        self._added[name] = None
        if len(self._added) >= _PENDING_MAX:
            self._settle()

    def remove(self, name: str) -> None:
        """Remove a name that is in the set."""
        if name in self._added:
            del self._added[name]
            return
        self._removed[name] = None
        if len(self._removed) >= _PENDING_MAX:
            self._settle()

    def ordered(self) -> list[str]:
        """Return all names, in order of their code points."""
        self._settle()
        return list(self._sorted)

    def starting_with(self, prefix: str, after: str) -> Iterator[str]:
        """Yield the names that start with ``prefix`` and come after ``after``, in order."""
        self._settle()
        for name in self._sorted.irange(minimum=max(prefix, after)):
            if not name.startswith(prefix):
                return
            if name > after:
                yield name

    def _settle(self) -> None:
        for name in self._removed:
            self._sorted.remove(name)
        self._removed = {}
        self._sorted.update(sorted(self._added))
        self._added = {}
