"""The history's writer on virtual time: what it does when nodes, database and answers fail."""

import asyncio
import logging

from gorilla.service.history import BATCH_MAX, FLUSH_S_MAX, HistoryWriter
from gorilla.service.history_records import Retention
from gorilla.service.snapshots import StorageUnavailableError
from tests.support.history_setting import KEEP, Setting
from tests.support.service import on_virtual_time


@on_virtual_time
async def test_the_leader_writes_every_event_and_knows_how_far_it_is():
    setting = Setting()
    setting.maker.many(5)
    setting.maker.left()
    setting.maker.others()

    await setting.settle()

    health = setting.writer.health()
    assert setting.history.appended == [(1, 14)]
    assert (health.last_number, health.behind, health.written_total) == (14, 0, 14)
    assert setting.tokens == [1, 2, 3, 4, 5]
    assert len(setting.history.waits) == 1


@on_virtual_time
async def test_a_node_that_does_not_lead_asks_the_database_nothing():
    setting = Setting()
    setting.maker.many(1)
    setting.history.down = "not to be asked"
    setting.node.term = None

    assert not await setting.writer.attempt()

    assert setting.writer.health().failing_since is None
    assert setting.writer.health().last_number is None


@on_virtual_time
async def test_a_node_of_no_cluster_and_a_node_without_a_history_write_nothing():
    setting = Setting()
    setting.maker.many(1)
    setting.node.cluster = ""
    none = HistoryWriter(None, setting.node, setting.node, setting.clock, keep=KEEP)

    await setting.writer.attempt()
    await none.run(asyncio.Event())

    assert setting.history.states == {}
    assert not none.health().configured


@on_virtual_time
async def test_a_running_writer_gathers_events_for_half_a_second():
    setting = Setting()
    stop = asyncio.Event()
    running = asyncio.create_task(setting.writer.run(stop))
    await asyncio.sleep(5)
    for _ in range(4):
        setting.maker.many(1)
        setting.node.wake()
        await asyncio.sleep(0.1)
    early = list(setting.history.appended)
    await asyncio.sleep(0.2)
    stop.set()
    await running

    assert early == []
    assert setting.history.appended == [(1, 8)]


@on_virtual_time
async def test_a_full_batch_is_written_without_delay_and_none_is_larger():
    setting = Setting()
    setting.maker.many(BATCH_MAX)
    stop = asyncio.Event()
    started_s = asyncio.get_running_loop().time()
    running = asyncio.create_task(setting.writer.run(stop))

    while setting.writer.health().last_number != 2 * BATCH_MAX:
        await asyncio.sleep(0.01)

    assert asyncio.get_running_loop().time() - started_s < 0.1
    assert setting.history.appended == [(1, BATCH_MAX), (BATCH_MAX + 1, 2 * BATCH_MAX)]
    stop.set()
    await running


@on_virtual_time
async def test_while_the_database_is_down_an_alarm_is_up_and_then_it_catches_up(caplog):
    setting = Setting()
    setting.maker.many(1)
    await setting.settle()
    setting.history.down = "database refuses\nsecond line"
    stop = asyncio.Event()
    with caplog.at_level(logging.INFO):
        running = asyncio.create_task(setting.writer.run(stop))
        setting.maker.many(3_000)
        await asyncio.sleep(600)
        during = setting.writer.health()
        setting.history.down = None
        await asyncio.sleep(31)
        after = setting.writer.health()
        stop.set()
        await running

    assert during.failing_since is not None
    assert during.last_error == "database refuses"
    assert (during.behind, during.last_number) == (6_000, 2)
    assert 20 <= during.failed_total <= 30, "it asks less and less often, up to 30 s"
    assert (after.failing_since, after.behind) == (None, 0)
    assert setting.tokens == list(range(1, 3_002))
    told = [record.message for record in caplog.records if "history" in record.message]
    assert len(told) == 2
    assert "can't be written, locks go on: database refuses" in told[0]
    assert "is written again" in told[1]


@on_virtual_time
async def test_an_event_whose_commit_got_no_answer_is_there_once():
    setting = Setting()
    setting.maker.many(3)
    setting.history.loses_answers = 2

    for _ in range(10):
        await setting.writer.attempt()

    assert setting.history.appended == [(1, 6)]
    assert setting.tokens == [1, 2, 3]
    assert setting.writer.health().failed_total == 2
    assert setting.writer.health().behind == 0


@on_virtual_time
async def test_a_new_leader_goes_on_where_the_old_one_was_whatever_it_had_planned():
    old = Setting()
    old.maker.many(10)
    old.node.seen = 8
    await old.settle()
    new = Setting(old.history, old.maker)
    new.node.term = 2
    await new.settle()
    old.maker.many(2)
    await new.settle()

    # The old one still thinks that it leads.
    old.node.seen = None
    await old.writer.attempt()
    late = await old.writer.attempt()

    assert not late
    assert old.history.appended == [(1, 8), (9, 20), (21, 24)]
    assert old.tokens == list(range(1, 13))
    assert old.history.states["c1"].term == 2


@on_virtual_time
async def test_a_writer_that_is_stopped_writes_what_is_there_and_ends():
    setting = Setting()
    stop = asyncio.Event()
    running = asyncio.create_task(setting.writer.run(stop))
    await asyncio.sleep(3)
    setting.maker.many(2_000)
    stop.set()
    await running

    assert setting.history.states["c1"].number == 4_000


@on_virtual_time
async def test_a_writer_that_is_stopped_waits_for_no_database_that_hangs():
    setting = Setting()
    setting.maker.many(1)
    await setting.settle()
    setting.maker.many(1)
    stop = asyncio.Event()

    async def hang(*_):
        await asyncio.Event().wait()

    stop.set()
    setting.history.append = hang
    started_s = asyncio.get_running_loop().time()
    await setting.writer.run(stop)

    assert asyncio.get_running_loop().time() - started_s <= FLUSH_S_MAX + 0.1


@on_virtual_time
async def test_a_bug_does_not_end_the_loop_and_is_shown():
    setting = Setting()

    async def broken(*_):
        raise RuntimeError("a bug")

    setting.history.state = broken
    stop = asyncio.Event()
    running = asyncio.create_task(setting.writer.run(stop))
    await asyncio.sleep(10)
    stop.set()
    await running

    assert setting.writer.health().last_error == "a bug"
    assert setting.writer.health().failed_total > 3


@on_virtual_time
async def test_a_failing_prune_is_an_alarm_and_events_are_written_all_the_same():
    setting = Setting()
    setting.maker.many(2)

    async def failing(*_):
        raise StorageUnavailableError("no right to delete")

    setting.history.prune = failing
    for _ in range(3):
        await setting.writer.attempt()
    setting.maker.many(1)
    for _ in range(3):
        await setting.writer.attempt()

    assert setting.writer.health().last_error == "no right to delete"
    assert setting.tokens == [1, 2, 3]


@on_virtual_time
async def test_what_is_too_much_is_deleted_little_by_little_from_time_to_time():
    setting = Setting()
    setting.writer = HistoryWriter(
        setting.history,
        setting.node,
        setting.node,
        setting.clock,
        keep=Retention(days=30, rows=100),
    )
    setting.maker.many(5_000)
    stop = asyncio.Event()
    running = asyncio.create_task(setting.writer.run(stop))
    await asyncio.sleep(700)
    stop.set()
    await running

    assert setting.tokens == list(range(4_901, 5_001))
