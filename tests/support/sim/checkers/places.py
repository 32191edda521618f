"""A place that is kept for who asks again is there, and goes to nobody who does not come back.

By the log: whoever asks again for what it queues for stands where it stood, under the same ticket.
By the clients: who was told that its place is kept does not lose it to its own node before that is
over, nor, when nothing goes wrong, to the table.
"""

from collections.abc import Iterator

from gorilla.domain.commands import Acquire, AcquireAll
from gorilla.domain.events import Left, LeftEvent
from gorilla.domain.outcomes import Queued
from tests.support.sim.history import Ask, History, Step
from tests.support.sim.lock_log import Scene, Wait, plain, scenes

TOLD_MS_MAX = 50
"""How much too long a place may be told to be kept: the clocks of two machines, and a round."""
_TABLE = {Left.TIMEOUT, Left.UNCLAIMED}


def check(history: History) -> Iterator[str]:
    """Yield every place that was lost by asking again, or although it was told to be kept."""
    told = {ask.mark: ask for ask in history.asks if ask.kept_ms and ask.mark}
    replaced: list[Wait] = []
    for scene in scenes(history):
        if isinstance(scene.event, LeftEvent):
            wait = scene.state.waits.get(scene.event.ticket)
            if wait is None:
                continue
            if scene.event.why is Left.REPLACED:
                replaced.append(wait)
            elif ask := told.get(wait.secret.encode()):
                yield from _given_up(scene, scene.event, ask, history)
        elif scene.event is None and scene.step is not None:
            yield from _lost(scene.step, replaced)
            replaced.clear()


def _lost(step: Step, replaced: list[Wait]) -> Iterator[str]:
    """Object to a step that lets its owner stand at the end although it stood there before."""
    if step.command is None or not isinstance(step.outcome, Queued):
        return
    command = plain(step.command)
    if not isinstance(command, Acquire | AcquireAll):
        return
    is_group = isinstance(command, AcquireAll)
    locks = command.locks if isinstance(command, AcquireAll) else (command.lock,)
    for wait in replaced:
        is_same = (wait.locks, wait.slots, wait.is_group) == (locks, command.slots, is_group)
        if is_same and wait.ticket != step.outcome.ticket:
            yield f"{wait} asked again and stands at {step.outcome}"


def _given_up(scene: Scene, event: LeftEvent, ask: Ask, history: History) -> Iterator[str]:
    until = ask.kept_from + (ask.kept_ms - TOLD_MS_MAX) / 1_000
    is_calm = ask.invoked_at >= history.calm_from
    if scene.entry.at < until and (event.why is Left.HUNG_UP or (is_calm and event.why in _TABLE)):
        yield f"at {scene.entry.index} {event.why} although kept until {until:.3f}: {ask}"
