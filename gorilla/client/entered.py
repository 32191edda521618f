"""Which blocks of one lock are running, and what each of them holds."""

import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

H = TypeVar("H")


class Entered(Generic[H]):
    """What is held by the blocks that several threads, or tasks, have entered of one lock."""

    def __init__(self) -> None:
        """Begin with no block."""
        self._guard = threading.Lock()
        self._blocks: dict[Hashable, list[H]] = {}

    def push(self, actor: Hashable, held: H) -> None:
        """Note that ``actor`` has entered a block."""
        with self._guard:
            self._blocks.setdefault(actor, []).append(held)

    def pop(self, actor: Hashable) -> H:
        """Return what the block holds that ``actor`` leaves: the last one that it entered.

        A block may be left by another one than who entered it, as when a framework runs the two
        halves of a generator in two threads, as long as it is plain which one that is.

        Raises:
            RuntimeError: It isn't.

        """
        with self._guard:
            if actor not in self._blocks:
                if len(self._blocks) != 1:
                    raise RuntimeError(
                        "several blocks of this lock run, and this one was entered elsewhere: make "
                        "a lock for each, or use acquire() and release()"
                    )
                actor = next(iter(self._blocks))
            blocks = self._blocks[actor]
            held = blocks.pop()
            if not blocks:
                del self._blocks[actor]
            return held
