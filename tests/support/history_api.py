"""A node whose history is in memory, and written when a test says so."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from gorilla.daemon.history import ReplicaHistorySource
from gorilla.domain.events import Event
from gorilla.service.history import HistoryWriter
from gorilla.service.history_folding import fold
from gorilla.service.history_reading import HistoryService
from gorilla.service.history_records import Beginning, Claim
from tests.support.api import Answered, RunningApi, running_api
from tests.support.history import MemoryHistory
from tests.support.history_events import WALL_MS
from tests.support.history_setting import KEEP
from tests.support.service import Node


class Past:
    """An API with a history behind it."""

    def __init__(self, api: RunningApi, history: MemoryHistory, writer: HistoryWriter) -> None:
        self.api = api
        self.history = history
        self.writer = writer

    async def write(self) -> None:
        """Write all that has happened."""
        while await self.writer.step() or self.writer.health().behind:
            continue

    async def fill(self, events: Sequence[Event]) -> None:
        """Write events that never happened, from the first on."""
        claim = Claim("cluster", 0)
        whole = Beginning(number=0, at_ms=WALL_MS, is_whole=True, fencing_floor=0)
        await self.history.begin(claim, whole)
        await self.history.append(claim, 0, fold(events))

    async def ask(self, query: str = "") -> Answered:
        return await self.api.ask("GET", f"/api/v1/history{query}")

    async def entries(self, query: str = "") -> list[dict[str, Any]]:
        answered = await self.ask(query)
        assert answered.status == 200, answered
        found: list[dict[str, Any]] = answered.json["entries"]
        return found


def history_of(node: Node, history: MemoryHistory) -> tuple[HistoryWriter, HistoryService]:
    """Return what writes and what answers from the history of a node in memory."""
    source = ReplicaHistorySource(node.consensus, node.replica)
    writer = HistoryWriter(history, node.event_log, source, node.clock, keep=KEEP)
    return writer, HistoryService(history, node.event_log, source)


@contextlib.asynccontextmanager
async def running_past() -> AsyncIterator[Past]:
    """Serve the API of a new node that leads."""
    node, history = Node(), MemoryHistory()
    writer, service = history_of(node, history)
    async with running_api(node, history=service) as api:
        yield Past(api, history, writer)
