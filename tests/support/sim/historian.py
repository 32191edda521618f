"""Who asks about the past: who held this at that instant, and who waited for it in vain."""

from typing import TYPE_CHECKING

from gorilla.service.errors import NotServedError
from gorilla.service.history_records import Kind, Question
from gorilla.service.snapshots import ArchiveError
from tests.support.sim.recorded import Reading, asking

if TYPE_CHECKING:
    from tests.support.sim.node import SimNode
    from tests.support.sim.world import World

PAUSE_S = 0.2
"""Average pause between an answer and the next question."""
PATIENCE_S = 1.5
BACK_MAX = 60
"""It asks about the time of one of so many entries that were applied last."""
LIMIT = 1_000


class Historian:
    """One who asks one thing at a time, any node, and goes on after every answer, or none."""

    def __init__(self, world: "World", name: str) -> None:
        self.name = name
        self._world = world
        self._rng = world.scheduler.random(f"historian {name}")
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
        world, rng = self._world, self._rng
        reading = Reading(question=self._question(), node=rng.choice(list(world.nodes)))
        world.history.recorded.readings.append(reading)
        world.scheduler.after(world.client_latency(), self._arrive, reading, self._asked)
        world.scheduler.after(PATIENCE_S, self._go_on, self._asked)

    def _go_on(self, asked: int) -> None:
        if asked == self._asked:
            self._asked += 1
            self.begin()

    def _question(self) -> Question:
        rng, world = self._rng, self._world
        lately = world.history.effects[-BACK_MAX:]
        times = [event.wall_ms for one in lately for step in one.steps for event in step.events]
        at_ms = rng.choice(times or [0]) + rng.choice((-1, 0, 1, 40))
        resource = rng.choice(world.resources)
        if rng.random() < 0.2:
            return Question(kind=Kind.WAIT, resource=resource, at_ms=at_ms, limit=LIMIT)
        return Question(resource=resource, at_ms=at_ms, limit=LIMIT)

    def _arrive(self, reading: Reading, asked: int) -> None:
        node = self._world.nodes.get(reading.node)
        if node is not None and node.is_up:
            node.post(0.0, self._serve, node, reading, asked)

    def _serve(self, node: "SimNode", reading: Reading, asked: int) -> None:
        if node.process is not None:
            node.run_task(self._served(node, reading, asked))

    async def _served(self, node: "SimNode", reading: Reading, asked: int) -> None:
        process, world = node.process, self._world
        assert process is not None
        assert process.history is not None
        asking.set(reading)
        try:
            reading.told = await process.history.ask(reading.question)
        except (ArchiveError, NotServedError) as error:
            world.happens(f"history: asked, {type(error).__name__}")
        else:
            world.happens("history: asked and told")
        world.scheduler.after(world.client_latency(), self._go_on, asked)
