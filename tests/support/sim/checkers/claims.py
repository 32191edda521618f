"""Who queues gets a lock by its claim alone, and not at all when it has left.

A grant is what a command asked for: the claim of a wait with its own secret, or its owner asking
again. Who hung up, ran out of time or left for any other reason is granted nothing under that
ticket any more; neither is who was told that it got nothing.
"""

from collections.abc import Iterator

from gorilla.domain.commands import Claim, Leave
from gorilla.domain.events import Acquired, LeftEvent
from gorilla.domain.outcomes import Done, Queued
from tests.support.sim.history import Asked, History, Result, Step
from tests.support.sim.lock_log import Scene, new_leases, plain, scenes

_GRANTS = {Asked.ACQUIRE, Asked.SEVERAL}
_NOTHING = {Result.DEFINITE, Result.NOT_NOW, Result.HELD, Result.NOT_FOUND}


def check(history: History) -> Iterator[str]:
    """Yield every grant without a claim, and every one to somebody who had left."""
    left: dict[int, LeftEvent] = {}
    granted: dict[bytes, int] = {}
    for scene in scenes(history):
        if isinstance(scene.event, LeftEvent):
            left[scene.event.ticket] = scene.event
        elif isinstance(scene.event, Acquired) and scene.step and scene.step.command is None:
            yield f"at {scene.entry.index} granted without a command: {scene.event}"
        elif scene.event is None and scene.step and scene.step.command is not None:
            yield from _claimed(scene, scene.step, left)
            secrets = [(one.group or one.secret).encode() for one in new_leases(scene.step)]
            granted |= dict.fromkeys(secrets, scene.entry.index)
    for ask in history.asks:
        index = granted.get(ask.mark or b"")
        if ask.kind in _GRANTS and ask.result in _NOTHING and index is not None:
            yield f"told that it got nothing, granted at {index}: {ask}"


def _claimed(scene: Scene, step: Step, left: dict[int, LeftEvent]) -> Iterator[str]:
    assert step.command is not None
    command, index = plain(step.command), scene.entry.index
    if isinstance(step.outcome, Queued) and step.outcome.ticket in left:
        yield f"at {index} ticket {step.outcome.ticket} left and queues again"
    if isinstance(command, Leave) and isinstance(step.outcome, Done):
        if command.ticket in scene.state.waits:
            yield f"at {index} ticket {command.ticket} hung up and queues on"
    elif isinstance(command, Claim) and new_leases(step):
        if command.ticket in left:
            yield f"at {index} a claim is granted to one who had left: {left[command.ticket]}"
        elif scene.granted is None or scene.granted.secret != command.secret:
            yield f"at {index} a claim is granted that nobody queues with: {command.ticket}"
