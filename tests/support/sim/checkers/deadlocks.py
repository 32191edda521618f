"""No wait is begun that could never end, and none is refused as such that could.

By the log, against a reference that plays out what could still happen: whoever begins to wait can
get what it waits for, as long as everybody lets go who waits for nothing; a wait that is refused
as a deadlock could not, and the circle that is told stands as it is told. Only where a policy has
come between, which allows fewer holders than there are, may some be stuck already.
"""

from collections.abc import Iterator

from gorilla.domain.commands import Acquire, AcquireAll
from gorilla.domain.outcomes import Deadlock, Queued
from tests.support.sim.history import History
from tests.support.sim.lock_log import Scene, State, plain, scenes
from tests.support.wait_graphs import Plain, Wait, is_true

NEWEST = 1 << 60
"""Stands for the ticket of a wait that was refused."""


def check(history: History) -> Iterator[str]:
    """Yield every circle that was missed, and every one that there was none of."""
    for scene in scenes(history):
        if scene.step is None or scene.event is not None:
            continue
        match scene.step.outcome:
            case Queued(ticket=ticket) if scene.step.events:  # not merely asked for again
                yield from _missed(scene, ticket)
            case Deadlock() as refused:
                yield from _false(scene, refused)


def _missed(scene: Scene, ticket: int) -> Iterator[str]:
    graph = _graph(scene.state)
    stuck = graph.stuck()
    if not stuck:
        return
    graph.waits = [wait for wait in graph.waits if wait.ticket != ticket]
    if not graph.stuck():
        yield f"at {scene.entry.index} ticket {ticket} waits for ever, with {sorted(stuck)}"


def _false(scene: Scene, refused: Deadlock) -> Iterator[str]:
    assert scene.step is not None
    assert scene.step.command is not None
    command = plain(scene.step.command)
    assert isinstance(command, Acquire | AcquireAll)
    locks = (command.lock,) if isinstance(command, Acquire) else command.locks
    session = scene.state.sessions.get(command.session)
    party = (command.holder, 0 if session is None else session.number)
    graph = _graph(scene.state)
    graph.waits.append(Wait(NEWEST, party, locks, command.slots))
    if party not in graph.stuck():
        yield f"at {scene.entry.index} {party} is refused {locks}, and could have got it: {refused}"
    elif refused.cycle[0].waiter != command.holder or not is_true(graph, refused):
        yield f"at {scene.entry.index} {party} is told of a circle that is none: {refused}"


def _graph(state: State) -> Plain:
    holds = [
        ((one.holder, one.session), lock, one.slots)
        for lock, held in state.held.items()
        for one in held.values()
    ]
    waits = [
        Wait(one.ticket, (one.holder, one.session), one.locks, one.slots)
        for one in sorted(state.waits.values(), key=lambda one: one.ticket)
    ]
    touched = {lock for _, lock, _ in holds} | {lock for one in waits for lock in one.locks}
    most = {lock: state.policy(lock).holders_max for lock in touched}
    return Plain(holds, waits, {lock: number for lock, number in most.items() if number})
