"""What a session's end leaves: nothing. From the entry on that ends it, none of it holds or waits.

A session ends with its end, or with the first entry whose time is beyond its last sign of life and
its ttl. Nothing begins in one that is over.
"""

from collections.abc import Iterator

from tests.support.sim.history import History
from tests.support.sim.lock_log import Scene, scenes


def check(history: History) -> Iterator[str]:
    """Yield everything that outlives its session."""
    over: set[int] = set()
    for scene in scenes(history):
        if scene.over:
            over |= set(scene.over)
        if over and scene.event is None:
            yield from _left_in(scene, over)


def _left_in(scene: Scene, over: set[int]) -> Iterator[str]:
    for holders in scene.state.held.values():
        for held in holders.values():
            if held.session in over:
                yield f"at {scene.entry.index} held in a session that is over: {held}"
    for wait in scene.state.waits.values():
        if wait.session in over:
            yield f"at {scene.entry.index} {wait} waits in session {wait.session}, which is over"
