"""How far an answer about the past says that it is complete."""

from gorilla.service.history_reading import HistoryService
from gorilla.service.history_records import Question
from tests.support.history_events import WALL_MS, HistoryNode
from tests.support.history_setting import Setting
from tests.support.service import on_virtual_time


class Stamped(HistoryNode):
    """A node whose last entry, of no event, was stamped at a time that a test says."""

    wall_ms = 0

    def stamped_wall_ms(self) -> int:
        return self.wall_ms


async def complete_until(setting: Setting, wall_ms: int) -> int:
    """Return until when an answer is complete, of a node that has applied what was made."""
    node = Stamped(setting.maker)
    node.wall_ms, node.seen = wall_ms, setting.node.seen
    told = await HistoryService(setting.history, node, node).ask(Question())
    assert told.complete is not None
    return told.complete.at_ms


@on_virtual_time
async def test_with_nothing_left_to_write_it_is_complete_until_the_last_entry():
    setting = Setting()
    setting.maker.many(1)
    await setting.settle()

    assert await complete_until(setting, WALL_MS + 500) == WALL_MS + 500


@on_virtual_time
async def test_it_is_complete_for_no_time_that_a_leader_whose_clock_is_behind_has_yet_to_stamp():
    setting = Setting()
    setting.maker.many(1)
    await setting.settle()

    assert await complete_until(setting, WALL_MS - 5_000) == WALL_MS - 5_000


@on_virtual_time
async def test_at_a_node_that_is_behind_it_is_complete_as_far_as_the_history_is():
    setting = Setting()
    setting.maker.many(2)
    await setting.settle()
    setting.node.seen = 1

    assert await complete_until(setting, WALL_MS + 10) == WALL_MS + 40
    assert await complete_until(setting, WALL_MS + 9_000) == WALL_MS + 40


@on_virtual_time
async def test_before_the_holds_are_looked_through_it_is_complete_only_until_the_gap():
    setting = Setting()
    setting.maker.acquired("held")
    await setting.settle()
    setting.maker.many(20)
    setting.node.kept = 8
    for _ in range(3):
        await setting.writer.attempt()

    assert setting.history.states["c1"].unsettled_ms is not None
    assert await complete_until(setting, WALL_MS + 9_000) == WALL_MS + 10
