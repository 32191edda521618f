"""The history in a run: a writer on every node, one database for all, and who asks about the past.

What the writer does at leisure it does faster here, each length in about its proportion, so that
the seconds of a run see as much as hours do otherwise.
"""

import asyncio
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from gorilla.daemon.history import ReplicaHistorySource
from gorilla.service import history, history_reading
from gorilla.service.history import HistoryWriter
from gorilla.service.history_reading import HistoryService
from gorilla.service.history_records import Retention
from tests.support.sim.database import Connections, Database
from tests.support.sim.historian import Historian
from tests.support.sim.patching import both, replaced

if TYPE_CHECKING:
    from tests.support.sim.node import SimNode
    from tests.support.sim.parts import Process
    from tests.support.sim.world import World

KEEP = Retention(days=30, rows=1_000_000)
BATCH_MAX = 20
COMPLETE_S_MAX = 10.0
"""How long after everything else the history may take to be complete."""
HISTORIANS = 2


class Recording:
    """The part of a world that the history is."""

    def __init__(self, world: "World") -> None:
        self.is_on = world.profile.is_recorded
        self.database = Database(world.scheduler, world.history.recorded, world.happens)
        self.historians = [
            Historian(world, f"historian-{number}") for number in range(HISTORIANS * self.is_on)
        ]
        self._world = world

    @staticmethod
    def hastened() -> AbstractContextManager[None]:
        """Let writers do for a while at speed what they do at leisure."""
        return both(
            replaced(history, GATHER_S=0.05, LOOK_S=0.2, RETRY_S_MIN=0.05, RETRY_S_MAX=1.5),
            replaced(history, STEP_S_MAX=8.0, SETTLE_MAX=2),
            replaced(history_reading, ANSWER_S_MAX=1.0),
        )

    def hang(self, for_s: float) -> None:
        """Let the database stand still while nothing else is wrong."""
        if self.is_on:
            now = self._world.scheduler.now
            self._world.history.recorded.hung = (now, now + for_s)
            self.database.troubles.hung = now + for_s

    def finish(self) -> None:
        """Wait until the history is complete, for as long as that may take; note what it has."""
        if not self.is_on:
            return
        world, rows, left = self._world, self.database.rows, self._world.history.recorded
        self.database.mend()
        end = world.scheduler.now + COMPLETE_S_MAX
        while world.scheduler.now < end and not self._is_complete():
            world.scheduler.run(world.scheduler.now + 0.1, lambda: bool(world.history.mishaps))
        left.is_over = True
        left.state = next(iter(rows.states.values()), None)
        left.holds, left.waits = list(rows.holds.values()), list(rows.waits.values())
        left.gaps = list(rows.gaps)

    def _is_complete(self) -> bool:
        processes = [one.process for one in self._world.nodes.values() if one.process]
        applied = max((one.events.last_number for one in processes), default=0)
        state = next(iter(self.database.rows.states.values()), None)
        if state is None or state.number < applied or state.unsettled_ms is not None:
            return False
        # What is compared next is looked at in this instant.
        return self._world.has_converged()


def record(node: "SimNode", process: "Process") -> HistoryService:
    """Let a process write the history whenever it leads; return what answers from it."""
    connections = Connections(node, process.events, node.machine.recording.database)
    source = ReplicaHistorySource(process.driver, process.replica)
    clock, jitter = node.machine.clock, node.scheduler.random(f"history {node.id}/{node.life}")
    writer = HistoryWriter(
        connections,
        process.events,
        source,
        clock,
        keep=KEEP,
        batch_max=BATCH_MAX,
        jitter=jitter.random,
    )
    node.run_task(writer.run(asyncio.Event()))
    return HistoryService(connections, process.events, source)
