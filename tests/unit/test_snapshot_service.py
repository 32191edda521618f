"""The snapshot keeper: when it stores, what it says when it can't, and that it catches up."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from gorilla.service.errors import StartingError
from gorilla.service.packing import unpack
from gorilla.service.snapshots import (
    ArchiveNotConfiguredError,
    SnapshotKeeper,
    StorageUnavailableError,
)
from tests.support.archive import ListedState, ManualClock, MemoryArchive, NodeState


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


@pytest.fixture
def node() -> NodeState:
    return NodeState()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def keeper(archive, node, clock) -> SnapshotKeeper:
    return SnapshotKeeper(
        archive, node, clock, interval_s=60, keep_count=7, keep_days=3, jitter=lambda: 1.0
    )


def indexes(archive: MemoryArchive) -> list[int]:
    return [one.meta.applied_index for one in archive.kept]


async def test_the_leader_stores_when_something_changed_and_only_then(keeper, archive, node):
    await keeper.step()
    await keeper.step()
    node.apply()
    await keeper.step()

    assert indexes(archive) == [1, 2]
    assert keeper.health().stored_total == 2


async def test_a_snapshot_says_where_and_when_its_state_was_taken(keeper, archive, node):
    node.state = ListedState([b"one", b"two"])

    stored = await keeper.take()

    kept = archive.kept[0]
    assert stored == kept.meta
    assert list(unpack(stored.format_version, kept.pieces)) == [b"one", b"two"]
    assert (stored.cluster_id, stored.node, stored.term) == ("c1", "n1", 1)
    assert (stored.applied_index, stored.cluster_now_ms, stored.fencing_counter) == (1, 10, 1)
    assert stored.taken_at == datetime(1970, 1, 1, 0, 16, 40, tzinfo=UTC)


async def test_a_follower_stores_nothing_by_itself_and_knows_what_the_leader_stored(
    keeper, archive, node, clock
):
    leader = SnapshotKeeper(archive, NodeState(), clock)
    await leader.take()
    node.is_leader = False
    node.apply()
    clock.now_s += 25

    await keeper.step()

    assert len(archive.kept) == 1
    assert keeper.health().last_stored == archive.kept[0].meta
    assert keeper.health().age_s == 25


async def test_a_follower_stores_on_demand(keeper, archive, node):
    node.is_leader = False

    await keeper.take()

    assert indexes(archive) == [1]


async def test_a_new_leader_does_not_store_again_what_the_old_one_did(archive, clock):
    await SnapshotKeeper(archive, NodeState(), clock).step()

    await SnapshotKeeper(archive, NodeState(), clock).step()

    assert len(archive.kept) == 1


async def test_a_node_without_a_cluster_asks_nothing(keeper, archive, node):
    node.cluster = ""
    archive.down = "not to be asked"

    await keeper.step()

    assert keeper.health().failing_since is None
    assert archive.kept == []


async def test_a_node_without_a_cluster_stores_nothing_on_demand_either(keeper, archive, node):
    node.cluster = ""

    with pytest.raises(StartingError):
        await keeper.take()

    assert archive.kept == [], "its empty state would be the newest that a restore finds"


async def test_old_snapshots_are_pruned_after_each_store(keeper, archive):
    await keeper.step()

    assert archive.prunes == [(7, 3)]


async def test_while_the_archive_is_down_an_alarm_says_since_when_and_why(keeper, archive, clock):
    archive.down = "database db/locks refuses the connection\nand more"
    await keeper.step()
    clock.now_s += 30
    await keeper.step()

    health = keeper.health()
    assert health.failing_since == datetime(1970, 1, 1, 0, 16, 40, tzinfo=UTC)
    assert health.last_error == "database db/locks refuses the connection"
    assert (health.failed_total, health.stored_total) == (2, 0)


async def test_the_alarm_is_up_also_when_nothing_changed(keeper, archive):
    await keeper.step()
    archive.down = "gone"

    await keeper.step()

    assert keeper.health().failing_since is not None


async def test_when_the_archive_is_back_it_catches_up_and_the_alarm_ends(keeper, archive, node):
    archive.down = "gone"
    await keeper.step()
    node.apply()
    archive.down = None

    await keeper.step()

    health = keeper.health()
    assert indexes(archive) == [2]
    assert (health.failing_since, health.last_error) == (None, None)
    assert keeper.pause_s() == 60


async def test_it_backs_off_up_to_a_minute_with_jitter(archive, node, clock):
    jitter = 1.0
    keeper = SnapshotKeeper(archive, node, clock, interval_s=600, jitter=lambda: jitter)
    archive.down = "gone"
    longest, shortest = [], []
    for _ in range(9):
        await keeper.step()
        jitter = 1.0
        longest.append(keeper.pause_s())
        jitter = 0.0
        shortest.append(keeper.pause_s())

    assert longest == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert shortest == [pause / 2 for pause in longest]


async def test_a_snapshot_on_demand_that_fails_says_why_and_raises_the_alarm(keeper, archive):
    archive.down = "gone"

    with pytest.raises(StorageUnavailableError, match="gone"):
        await keeper.take()

    assert keeper.health().last_error == "gone"
    assert keeper.health().failed_total == 1


async def test_a_failed_store_counts_once(keeper, archive):
    real_latest = archive.latest

    async def latest_then_down(cluster_id=None):
        found = await real_latest(cluster_id)
        archive.down = "gone meanwhile"
        return found

    archive.latest = latest_then_down
    await keeper.step()

    assert keeper.health().failed_total == 1
    assert keeper.health().last_error == "gone meanwhile"


async def test_a_failing_prune_is_an_alarm_and_the_snapshot_is_stored_all_the_same(keeper, archive):
    async def failing_prune(keep_count, keep_days):
        raise StorageUnavailableError("no right to delete")

    archive.prune = failing_prune

    stored = await keeper.take()

    assert archive.kept[0].meta == stored
    assert keeper.health().last_error == "no right to delete"


async def test_without_a_database_nothing_runs_and_asking_says_so(node, clock):
    keeper = SnapshotKeeper(None, node, clock)

    await keeper.run(asyncio.Event())
    with pytest.raises(ArchiveNotConfiguredError, match="GORILLA_DATABASE_URL"):
        await keeper.take()

    assert not keeper.health().configured


async def test_those_who_ask_while_one_is_stored_share_the_next(keeper, archive, node):
    gate = asyncio.Event()
    entered = asyncio.Event()
    real_store = archive.store

    async def slow_store(meta, pieces):
        entered.set()
        await gate.wait()
        return await real_store(meta, pieces)

    archive.store = slow_store
    first = asyncio.create_task(keeper.take())
    await asyncio.wait_for(entered.wait(), 5)
    node.apply()
    later = [asyncio.create_task(keeper.take()) for _ in range(5)]
    gate.set()

    await asyncio.wait_for(asyncio.gather(first, *later), 5)

    assert indexes(archive) == [1, 2], "two were stored for six who asked"
    assert {task.result().applied_index for task in later} == {2}


async def test_the_loop_runs_on_while_a_large_state_is_packed(keeper, node):
    turns = 0
    asked: list[int] = []

    class Watched:
        def chunks(self) -> Iterator[bytes]:
            for _ in range(20):
                asked.append(turns)
                yield b"x" * 1000

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    node.state = Watched()
    counter = asyncio.create_task(count_turns())
    await keeper.take()
    counter.cancel()

    assert len(set(asked)) == 20, "between any two chunks the loop had a turn"


async def test_running_stores_at_once_and_ends_when_it_is_told(keeper, archive):
    stop = asyncio.Event()
    stored = asyncio.Event()
    real_store = archive.store

    async def noticed_store(meta, pieces):
        done = await real_store(meta, pieces)
        stored.set()
        return done

    archive.store = noticed_store
    running = asyncio.create_task(keeper.run(stop))
    await asyncio.wait_for(stored.wait(), 5)

    stop.set()
    await asyncio.wait_for(running, 5)

    assert indexes(archive) == [1]


async def test_a_bug_does_not_end_the_loop_and_is_shown(archive, node, clock):
    keeper = SnapshotKeeper(archive, node, clock, interval_s=0.001)
    tried = []
    enough = asyncio.Event()

    def broken_capture():
        tried.append(1)
        if len(tried) == 2:
            enough.set()
        raise RuntimeError("a bug")

    node.capture = broken_capture
    stop = asyncio.Event()
    running = asyncio.create_task(keeper.run(stop))
    await asyncio.wait_for(enough.wait(), 10)
    stop.set()
    await asyncio.wait_for(running, 5)

    assert keeper.health().last_error == "a bug"
