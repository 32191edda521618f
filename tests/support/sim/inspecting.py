"""Operators who look: who holds, who waits, why, whose number it is; and ask holders to let go."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from gorilla.service.errors import NotServedError, OutcomeUnknownError
from tests.support.sim.history import Look, Looked
from tests.support.sim.parts import Process

if TYPE_CHECKING:
    from tests.support.sim.node import SimNode
    from tests.support.sim.world import World

PAUSE_S = 0.08
"""Average pause between an answer and the next question."""
WISHES = 0.15
"""Share of requests to let go among what they ask."""
STALE = 0.25
"""Share of questions that a node answers from what it has."""
NUMBERS_BACK = 4


class Inspector:
    """One who asks one thing at a time, and goes on after every answer, also after none."""

    def __init__(self, world: "World", name: str) -> None:
        self.name = name
        self._world = world
        self._rng = world.scheduler.random(f"inspector {name}")
        self._stopped = False
        self._asked = 0

    def begin(self) -> None:
        """Start asking."""
        self._world.scheduler.after(self._rng.expovariate(1 / PAUSE_S), self._step)

    def stop(self) -> None:
        """Ask nothing more."""
        self._stopped = True

    def _step(self) -> None:
        if self._stopped:
            return
        self._asked += 1
        world = self._world
        look = None if self._rng.random() < WISHES else self._look()
        node = look.node if look else self._rng.choice(list(world.nodes))
        world.scheduler.after(world.client_latency(), self._arrive, node, look, self._asked)
        patience_s = self._rng.uniform(*world.profile.patience_s)
        world.scheduler.after(patience_s, self._go_on, self._asked)

    def _go_on(self, asked: int) -> None:
        """Ask the next thing, unless that has been done since."""
        if asked == self._asked:
            self._asked += 1
            self.begin()

    def _look(self) -> Look:
        rng, world = self._rng, self._world
        kind = rng.choice(list(Looked))
        owner = f"owner-{rng.randrange(world.profile.clients)}" if rng.random() < 0.7 else None
        lock = rng.choice(world.resources)
        if kind is Looked.LIST:
            lock, owner = rng.choice(("", lock)), None if rng.random() < 0.7 else owner
        numbers = [effects.index for effects in world.history.effects[-1:]] or [1]
        number = rng.choice((1, 2, 100)) if kind is Looked.LIST else self._number(numbers[0])
        look = Look(
            kind=kind,
            lock=lock,
            owner=owner,
            number=number,
            is_stale=rng.random() < STALE,
            node=rng.choice(list(world.nodes)),
            invoked_at=world.scheduler.now,
        )
        world.history.looks.append(look)
        return look

    def _number(self, at_most: int) -> int:
        """Return a fencing token that somebody relied on lately, or any other."""
        holds = self._world.history.holds[-NUMBERS_BACK:]
        known = [one.fencing for one in holds]
        return self._rng.choice([*known, self._rng.randint(1, at_most)])

    def _arrive(self, node_id: str, look: Look | None, asked: int) -> None:
        node = self._world.nodes.get(node_id)
        if node is not None and node.is_up:
            node.post(0.0, self._serve, node, look, asked)

    def _serve(self, node: "SimNode", look: Look | None, asked: int) -> None:
        if node.process is not None:
            node.run_task(self._served(node.process, look, asked))

    async def _served(self, process: Process, look: Look | None, asked: int) -> None:
        world = self._world
        try:
            if look is None:
                lock = self._rng.choice(world.resources)
                await process.repairs.ask_release(lock, by=self.name, reason=f"wish {asked}")
            else:
                answer = await _answer(process, look)
                # Nothing was applied since it was read: nobody else has had the loop.
                look.index, look.answer = process.replica.applied_index, answer
        except (NotServedError, OutcomeUnknownError) as error:
            world.happens(f"look: {type(error).__name__}")
        else:
            kind = "wish" if look is None else look.kind
            world.happens(f"look: {kind}")
        world.scheduler.after(world.client_latency(), self._go_on, asked)


def _answer(process: Process, look: Look) -> Awaitable[Any]:
    locks, stale = process.locks, look.is_stale
    calls: dict[Looked, Callable[[], Awaitable[Any]]] = {
        Looked.SHOW: lambda: locks.show(look.lock, stale=stale),
        Looked.EXPLAIN: lambda: _explained(process, look),
        Looked.LIST: lambda: locks.list(
            holder=look.owner, after=look.lock, limit=look.number, stale=stale
        ),
        Looked.CHECK: lambda: process.repairs.check(look.lock, look.number, stale=stale),
    }
    return calls[look.kind]()


async def _explained(process: Process, look: Look) -> Any:
    explanation, _ = await process.locks.explain(look.lock, look.owner, stale=look.is_stale)
    return explanation
