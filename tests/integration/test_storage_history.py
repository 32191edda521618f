"""The history in a real PostgreSQL."""

import asyncio
from collections.abc import Sequence
from contextlib import asynccontextmanager

import pytest

from gorilla.domain.events import Event
from gorilla.domain.limits import FENCING_EPOCH
from gorilla.service.history import BATCH_MAX, HistoryWriter
from gorilla.service.history_folding import fold, seen
from gorilla.service.history_records import Beginning, Claim, EndedBy, Question, Retention
from gorilla.service.snapshots import SchemaOutdatedError, StorageUnavailableError
from gorilla.service.time import SystemClock
from gorilla.storage import history_rows, migrating
from gorilla.storage.history import PostgresHistory
from tests.support.history_cases import ONE, WHOLE, at
from tests.support.history_events import EventMaker, HistoryNode
from tests.support.history_gap_cases import CASES
from tests.support.history_setting import KEEP
from tests.support.postgres import execute

pytestmark = pytest.mark.integration


@pytest.fixture
async def history(database):
    opened = PostgresHistory(database)
    yield opened
    await opened.close()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_in_postgresql(history, case):
    await case(history)


async def written(history: PostgresHistory, events: Sequence[Event], cluster: str = "c1") -> None:
    claim = Claim(cluster, 1)
    state = await history.begin(claim, WHOLE)
    await history.append(claim, state.number, fold(events))


async def test_rows_that_ended_too_long_ago_are_deleted_and_what_is_held_is_not(history, database):
    maker = EventMaker()
    maker.acquired("held for a year")
    maker.many(3)
    maker.left()
    await written(history, maker.made)
    execute(
        database,
        "UPDATE history_holds SET granted_at = granted_at - interval '1 year',"
        " ended_at = ended_at - interval '1 year';"
        " UPDATE history_holds SET ended_at = now() WHERE fencing_token = 4;"
        " UPDATE history_waits SET ended_at = now() - interval '31 days'",
    )

    deleted = [await history.prune(ONE, Retention(days=30, rows=1_000), 2) for _ in range(3)]

    assert deleted == [2, 1, 0]
    assert execute(database, "SELECT fencing_token FROM history_holds ORDER BY 1") == [(1,), (4,)]
    counts = "SELECT hold_count, wait_count FROM history_cursors"
    assert execute(database, counts) == [(2, 0)]


async def test_a_cluster_that_writes_no_more_is_forgotten_when_all_of_it_is_old(history, database):
    maker = EventMaker()
    maker.acquired()
    maker.many(3)
    maker.left()
    for cluster in ("c1", "lost", "lost lately"):
        await written(history, maker.made, cluster)
    execute(
        database,
        "UPDATE history_cursors SET written_at = now() - interval '31 days'"
        " WHERE cluster_id = 'lost'",
    )

    deleted = [await history.prune(ONE, Retention(days=36_500, rows=9), 4) for _ in range(2)]
    assert deleted == [0, 0]
    execute(database, "UPDATE history_holds SET ended_at = now() WHERE ended_at IS NOT NULL")
    deleted = [await history.prune(ONE, Retention(days=30, rows=1_000), 4) for _ in range(3)]

    assert sum(deleted) >= 5
    assert await history.state("lost") is None
    left = execute(database, "SELECT DISTINCT cluster_id FROM history_holds ORDER BY 1")
    assert left == [("c1",), ("lost lately",)]


async def test_a_restored_cluster_goes_on_with_the_history_of_the_lost_one(history, database):
    old = EventMaker()
    kept = old.acquired("kept", "anna")
    gone = old.acquired("gone", "bert")
    ended = old.acquired("ended", "carl")
    old.released(ended)
    await written(history, old.made, "old")
    execute(
        database,
        "INSERT INTO restores (snapshot_id, cluster_id, node, hold_ms, fencing_floor)"
        f" VALUES (1, 'old', 'n1', 0, {FENCING_EPOCH})",
    )
    new = EventMaker(FENCING_EPOCH)
    new.tokens = FENCING_EPOCH
    claim = Claim("new", 1)
    restored_ms = at(1_000)
    beginning = Beginning(
        number=FENCING_EPOCH, at_ms=restored_ms, is_whole=False, fencing_floor=FENCING_EPOCH
    )
    lease = HistoryNode(old).leases("j", 1)
    begun = await history.begin(claim, beginning)
    await history.settle(claim, seen=tuple(map(seen, lease)))
    await history.settle(claim, is_done=True)
    new.held[kept] = old.held[kept]
    new.released(kept)
    new.acquired("gone", "dora")
    await history.append(claim, FENCING_EPOCH, fold(new.made))

    found = await history.find("new", Question())
    rows = {(hold.cluster_id, hold.resource): hold for hold in found.entries}

    assert begun.predecessor == "old"
    assert set(rows) == {("new", "kept"), ("new", "gone"), ("old", "gone"), ("old", "ended")}
    lost = rows["old", "gone"]
    assert (lost.ended_by, lost.ended_ms) == (EndedBy.UNKNOWN, restored_ms)
    assert lost.last_seen_ms == at(4)
    assert rows["new", "kept"].ended_by is EndedBy.RELEASED
    assert [(gap.from_ms, gap.to_ms) for gap in found.gaps] == [(at(4), restored_ms)]
    assert found.began_ms is None

    now = await history.find("new", Question(resource="gone", at_ms=new.made[-1].wall_ms))
    then = await history.find("new", Question(resource="gone", at_ms=at(5)))
    open_now = await history.find("new", Question(is_ended=False))
    assert [hold.owner for hold in now.entries] == ["dora"]
    assert [hold.fencing_token for hold in then.entries] == [gone]
    assert [hold.owner for hold in open_now.entries] == ["dora"]
    alone = await history.find("old", Question(is_ended=False))
    assert [hold.fencing_token for hold in alone.entries] == [gone, kept]


class LosesTheAnswer(PostgresHistory):
    """Its connection breaks right after each commit."""

    @asynccontextmanager
    async def _transaction(self, statement_ms):
        async with super()._transaction(statement_ms) as connection:
            yield connection
        raise StorageUnavailableError("the connection broke")


async def test_a_batch_whose_commit_got_no_answer_is_written_once(history, database):
    maker = EventMaker()
    maker.many(2)
    await written(history, maker.made[:2])
    losing = LosesTheAnswer(database)

    with pytest.raises(StorageUnavailableError):
        await losing.append(ONE, 2, fold(maker.made[2:]))
    await losing.close()
    again = await history.append(ONE, 2, fold(maker.made[2:]))

    assert (again.number, again.hold_count) == (4, 2)


async def test_a_writer_that_stands_still_in_a_transaction_does_not_stop_the_others(
    history, database, monkeypatch
):
    monkeypatch.setattr("gorilla.storage.history.IDLE_TIMEOUT_MS", 200)
    maker = EventMaker()
    maker.many(2)
    await written(history, maker.made[:2])
    stuck = PostgresHistory(database)
    standing = asyncio.Event()
    over = asyncio.Event()

    async def stand_still():
        async with stuck._transaction(15_000) as connection:
            await history_rows.read_state(connection, "c1", is_locked=True)
            standing.set()
            await over.wait()
            await history_rows.read_state(connection, "c1")

    still = asyncio.create_task(stand_still())
    await asyncio.wait_for(standing.wait(), 10)
    state = await asyncio.wait_for(history.append(ONE, 2, fold(maker.made[2:])), 10)
    over.set()

    assert state.number == 4
    with pytest.raises(StorageUnavailableError):
        await still
    await stuck.close()


async def test_two_writers_on_one_database_write_each_event_once(history, database):
    maker = EventMaker()
    maker.many(1_500)
    nodes = [HistoryNode(maker), HistoryNode(maker)]
    nodes[1].term = 2
    stores = [history, PostgresHistory(database)]
    writers = [
        HistoryWriter(store, node, node, SystemClock(), keep=KEEP, batch_max=100)
        for store, node in zip(stores, nodes, strict=True)
    ]
    stop = asyncio.Event()
    running = [asyncio.create_task(writer.run(stop)) for writer in writers]
    async with asyncio.timeout(60):
        while (await written_numbers(history)) < len(maker.made):
            await asyncio.sleep(0.02)
    stop.set()
    await asyncio.gather(*running)
    await stores[1].close()

    assert sum(writer.health().written_total for writer in writers) == len(maker.made)
    assert execute(database, "SELECT count(*), count(ended_at) FROM history_holds") == [
        (1_500, 1_500)
    ]


async def written_numbers(history: PostgresHistory) -> int:
    state = await history.state("c1")
    return 0 if state is None else state.number


async def test_the_loop_runs_on_while_a_full_batch_is_written(history):
    maker = EventMaker()
    maker.many(BATCH_MAX // 2)
    await history.begin(ONE, WHOLE)
    changes = fold(maker.made)
    loop = asyncio.get_running_loop()
    longest_s, before_s = 0.0, loop.time()

    def turn() -> None:
        nonlocal longest_s, before_s, handle
        longest_s, before_s = max(longest_s, loop.time() - before_s), loop.time()
        handle = loop.call_soon(turn)

    await history.state("c1")  # the first statement of a connection compiles a lot
    handle = loop.call_soon(turn)
    longest_s, before_s = 0.0, loop.time()
    await history.append(ONE, 0, changes)
    handle.cancel()

    assert longest_s < 0.05


async def test_each_usual_question_is_answered_by_an_index(history, database):
    maker = EventMaker()
    maker.many(3_000)
    await written(history, maker.made)
    execute(database, "ANALYZE history_holds")
    at_now = "granted_at <= now() AND (ended_at IS NULL OR ended_at > now())"
    order = "ORDER BY granted_at DESC, fencing_token DESC LIMIT 100"
    for condition, index in (
        (f"resource = 'lock-1' AND {at_now}", "resource_granted_at_fencing_token"),
        (f"owner = 'owner-1' AND {at_now}", "owner_granted_at_fencing_token"),
        ("true", "cluster_id_granted_at_fencing_token"),
    ):
        plan = execute(
            database,
            f"EXPLAIN SELECT * FROM history_holds WHERE cluster_id = 'c1' AND {condition} {order}",
        )
        assert index in str(plan), plan
        assert "Seq Scan" not in str(plan)


async def test_a_database_without_the_tables_says_how_to_make_them(empty_database):
    migrating.upgrade(empty_database, "0001")
    history = PostgresHistory(empty_database)

    with pytest.raises(SchemaOutdatedError, match="make migrate"):
        await history.state("c1")

    await history.close()
