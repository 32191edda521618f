"""First come, first served, strictly.

Whoever is granted a lock goes not only beside those who hold it but also beside everybody who
queues for it with a smaller ticket (who did not queue has come last): for itself only when nobody
is before it, as a sharer only when nobody before it wants the lock for itself, counted only when
the limit has room for all who hold it or came before. So two whose wishes conflict are served in
the order of their tickets; sharers with nobody else between them, and counted ones for whom there
is room, may claim in any order. Tickets are given in the order of the log, and a queue is told the
right position.
"""

from collections.abc import Iterator

from gorilla.domain.events import Acquired, QueuedEvent
from tests.support.sim.history import History
from tests.support.sim.lock_log import Scene, fits, scenes


def check(history: History) -> Iterator[str]:
    """Yield every grant to somebody whose turn it was not, and every ticket out of order."""
    largest = 0
    for scene in scenes(history):
        match scene.event:
            case Acquired():
                yield from _overtaking(scene, scene.event)
            case QueuedEvent():
                event = scene.event
                ahead = scene.state.ahead(event.lock)
                if event.position != len(ahead) + 1 or event.ticket < largest:
                    yield f"at {scene.entry.index} out of order behind {len(ahead)}: {event}"
                largest = event.ticket


def _overtaking(scene: Scene, event: Acquired) -> Iterator[str]:
    granted = scene.granted
    ahead = [one for one in scene.state.ahead(event.lock) if one is not granted]
    if granted is not None:
        ahead = [one for one in ahead if one.ticket < granted.ticket]
    slots = [one.slots for one in (*scene.state.holders(event.lock), *ahead)]
    if ahead and not fits(event.slots, slots):
        who = f"ticket {granted.ticket}" if granted is not None else "who did not queue"
        yield (
            f"at {scene.entry.index} {event.holder} ({who}) gets {event.lock} ({event.slots})"
            f" before {', '.join(map(str, ahead))}"
        )
