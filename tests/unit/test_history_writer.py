"""The history's writer on virtual time: what it does when nodes, database and answers fail."""

import asyncio
import logging

from gorilla.service.history import BATCH_MAX, FLUSH_S_MAX, HistoryWriter
from gorilla.service.history_records import EndedBy, Gap, Retention
from gorilla.service.snapshots import StorageUnavailableError
from tests.support.history import MemoryHistory
from tests.support.history_events import WALL_MS, EventMaker, HistoryNode
from tests.support.service import LoopClock, on_virtual_time

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
async def test_events_that_were_forgotten_are_a_gap_with_its_times_and_unknown_ends():
    setting = Setting()
    lost = setting.maker.acquired("lost")
    kept = setting.maker.acquired("kept")
    await setting.settle()
    setting.history.down = "away"
    setting.maker.released(lost)
    missed = setting.maker.acquired("missed", reason="nobody saw it")
    setting.maker.many(30)
    setting.maker.released(missed)
    seen = setting.maker.acquired("seen late")
    setting.maker.many(2)
    setting.node.kept = 4
    await setting.writer.attempt()
    setting.history.down = None

    await setting.settle()

    last = len(setting.maker.made)
    assert setting.history.gaps == [
        Gap(
            first_number=3,
            last_number=last - 4,
            from_ms=WALL_MS + 20,
            to_ms=WALL_MS + 10 * (last - 3),
        )
    ]
    rows = {hold.fencing_token: hold for hold in setting.history.holds.values()}
    assert rows[lost].ended_by is EndedBy.UNKNOWN
    assert rows[lost].last_seen_ms == WALL_MS + 20
    assert rows[kept].ended_by is None
    assert (rows[seen].resource, rows[seen].ended_by) == ("seen late", None)
    assert missed not in rows
    assert setting.history.appended[-1] == (last - 3, last)
    assert setting.writer.health().gaps_total == 1
    assert setting.history.states["c1"].unsettled_ms is None


@on_virtual_time
async def test_a_history_that_begins_late_says_since_when_and_has_what_is_held():
    setting = Setting()
    held = setting.maker.acquired("held")
    setting.maker.many(10)
    setting.node.kept = 3

    await setting.settle()

    state = setting.history.states["c1"]
    assert (state.began_number, state.began_ms) == (19, WALL_MS + 190)
    assert setting.history.gaps == []
    assert setting.history.holds["c1", held].granted_ms == WALL_MS + 10


@on_virtual_time
async def test_a_leader_that_fails_while_it_settles_leaves_it_to_the_next():
    setting = Setting()
    tokens = [setting.maker.acquired(f"lock-{n}") for n in range(5)]
    await setting.settle()
    for token in tokens:
        setting.maker.released(token)
    setting.maker.many(50)
    setting.node.kept = 2
    await setting.writer.attempt()
    unsettled = setting.history.states["c1"].unsettled_ms
    new = Setting(setting.history, setting.maker)
    new.node.term = 2
    new.node.kept = 2

    await new.settle()
    # The old one's look at its table comes too late.
    await setting.writer.attempt()

    assert unsettled == WALL_MS + 50
    ends = {hold.ended_by for hold in setting.history.holds.values() if hold.fencing_token < 6}
    assert ends == {EndedBy.UNKNOWN}
    assert len(setting.history.gaps) == 1


@on_virtual_time
async def test_a_leader_that_leads_again_settles_from_the_start():
    setting = Setting()
    first = setting.maker.acquired("first")
    tokens = [setting.maker.acquired(f"lock-{n:05}") for n in range(1_500)]
    await setting.settle()
    setting.maker.released(tokens[0])
    setting.maker.many(1)
    setting.node.kept = 2
    for _ in range(4):
        await setting.writer.attempt()
    assert setting.writer._settling.token > first

    # Another one led meanwhile, and this node heard of it only when it led again.
    other = Setting(setting.history, setting.maker)
    other.node.term, other.node.kept = 2, 2
    setting.maker.many(1)
    await other.settle()
    setting.node.term = 3
    setting.maker.released(first)
    setting.maker.many(2)
    await setting.settle()

    assert setting.history.states["c1"].term == 3
    open_now = {hold.fencing_token for hold in setting.history.holds.values() if not hold.ended_by}
    assert open_now == set(setting.maker.held)


@on_virtual_time
async def test_many_holds_are_settled_page_by_page():
    setting = Setting()
    tokens = [setting.maker.acquired(f"lock-{n:05}") for n in range(2_500)]
    await setting.settle()
    for token in tokens[::2]:
        setting.maker.released(token)
    setting.maker.many(1)
    setting.node.kept = 2
    steps = 0
    while await setting.writer.attempt():
        steps += 1

    left = [hold for hold in setting.history.holds.values() if hold.ended_by is None]
    assert len(left) == 1_250
    assert steps >= 6


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
