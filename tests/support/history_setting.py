"""A node, its history in memory, and the writer between the two."""

import asyncio

from gorilla.service.history import HistoryWriter
from gorilla.service.history_records import Retention
from tests.support.history import MemoryHistory
from tests.support.history_events import EventMaker, HistoryNode
from tests.support.service import LoopClock

KEEP = Retention(days=30, rows=1_000_000)


class Setting:
    """A node, its history and a writer between the two; to be made on a running loop."""

    def __init__(self, history: MemoryHistory | None = None, maker: EventMaker | None = None):
        self.history = history or MemoryHistory()
        self.maker = maker or EventMaker()
        self.node = HistoryNode(self.maker)
        self.clock = LoopClock(asyncio.get_running_loop())
        self.writer = HistoryWriter(
            self.history, self.node, self.node, self.clock, keep=KEEP, jitter=lambda: 1.0
        )

    async def settle(self) -> None:
        """Let the writer do all that is to do."""
        for _ in range(1_000):
            has_more = await self.writer.attempt()
            health = self.writer.health()
            assert health.failing_since is None, health.last_error
            if not has_more and health.behind in {None, 0}:
                return
        raise AssertionError("the writer found no end")

    @property
    def tokens(self) -> list[int]:
        return sorted(hold.fencing_token for hold in self.history.holds.values())
