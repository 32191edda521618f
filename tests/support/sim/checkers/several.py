"""Several at once: all, or none, at every point of the log and in every answer.

A step that grants several grants each lock that was asked for, in that order; one that grants one
lock grants that one; and what is told to be granted is what was granted.
"""

from collections.abc import Iterator

from gorilla.domain.commands import Acquire, AcquireAll, Claim
from gorilla.domain.events import Acquired
from tests.support.sim.history import Ask, Asked, History, Result
from tests.support.sim.lock_log import Scene, new_leases, plain, scenes


def check(history: History) -> Iterator[str]:
    """Yield every grant of less, or of more, than was asked for."""
    granted_at: dict[int, tuple[str, str, float]] = {}
    for scene in scenes(history):
        if scene.event is not None or scene.step is None:
            continue
        yield from _whole(scene)
        for event in scene.step.events:
            if isinstance(event, Acquired):
                if event.fencing_token <= max(granted_at, default=0):
                    yield f"at {scene.entry.index} the number does not rise: {event}"
                granted_at[event.fencing_token] = (event.lock, event.holder, scene.entry.at)
    for ask in history.asks:
        yield from _told(ask, granted_at)


def _told(ask: Ask, granted_at: dict[int, tuple[str, str, float]]) -> Iterator[str]:
    if ask.kind in {Asked.ACQUIRE, Asked.SEVERAL} and ask.result is Result.GRANTED:
        known = [granted_at.get(number) for number in ask.fencing]
        told = [(lock, ask.client) for lock in ask.wish.locks]
        if [one[:2] for one in known if one and one[2] <= ask.returned_at] != told:
            yield f"told what the log does not have ({known}): {ask}"


def _whole(scene: Scene) -> Iterator[str]:
    step = scene.step
    assert step is not None
    began = [event for event in step.events if isinstance(event, Acquired)]
    leases = new_leases(step)
    if [one.fencing_token for one in began] != [one.fencing_token for one in leases]:
        yield f"at {scene.entry.index} begun are {began}, told are {leases}"
    if step.command is None or not leases:
        return
    command, locks = plain(step.command), tuple(one.lock for one in leases)
    asked: tuple[str, ...] = ()
    if isinstance(command, Claim):
        asked = scene.granted.locks if scene.granted is not None else ()
    elif isinstance(command, AcquireAll):
        asked = command.locks
    elif isinstance(command, Acquire):
        asked = (command.lock,)
    if locks != asked:
        yield f"at {scene.entry.index} of {asked} only {locks} are granted"
