"""From the lock table into PostgreSQL and back, with the database stopped in between."""

import asyncio
from collections.abc import Callable

import pytest

from gorilla.domain.commands import ENTRY_VERSION, Acquire, Batch, Entry, Stamp
from gorilla.domain.table import LockTable
from gorilla.service.restoring import prepare_restore, verify
from gorilla.service.snapshots import Captured, SnapshotKeeper, StorageUnavailableError
from gorilla.storage import migrating
from gorilla.storage.embedded import EmbeddedPostgres
from gorilla.storage.snapshots import PostgresSnapshots
from tests.support.archive import ManualClock
from tests.support.postgres import FAST, reachable_directory

pytestmark = pytest.mark.integration


class LeadingNode:
    """A node that leads, with a real lock table; every grant is one log entry."""

    def __init__(self) -> None:
        self.table = LockTable()
        self.index = 0

    def grant(self, *locks: str) -> None:
        self.index += 1
        commands = tuple(
            (number, Acquire(lock, "anna", 60_000, f"secret-of-{lock}"))
            for number, lock in enumerate(locks, start=1)
        )
        batch = Batch(f"o{self.index}", 0, True, commands)
        self.table.apply(Entry(ENTRY_VERSION, Stamp(1, self.index, self.index), (batch,)))

    def cluster_id(self) -> str:
        return "c1"

    def chain(self) -> str:
        return self.table.chain.hex()

    def leads(self) -> bool:
        return True

    def capture(self) -> Captured:
        return Captured(
            cluster_id="c1",
            node="n1",
            term=self.table.term,
            applied_index=self.index,
            now_ms=self.table.now_ms,
            lock_count=self.table.held,
            fencing_counter=self.table.fencing_counter,
            chain=self.chain(),
            state=self.table.freeze(),
        )


async def test_locks_go_on_while_the_database_is_down_and_snapshots_catch_up():
    node = LeadingNode()
    with reachable_directory() as directory:
        server = EmbeddedPostgres(directory / "postgres", settings=FAST)
        url = server.start()
        migrating.upgrade(url)
        archive = PostgresSnapshots(url)
        keeper = SnapshotKeeper(archive, node, ManualClock())
        try:
            node.grant("first")
            await step_until(keeper, lambda: stored_locks(keeper) == 1)

            await asyncio.to_thread(server.stop)
            await step_until(keeper, lambda: keeper.health().failing_since is not None)
            node.grant("while it is down")
            with pytest.raises(StorageUnavailableError):
                await keeper.take()
            alarm = keeper.health()

            await asyncio.to_thread(server.start)
            await step_until(keeper, lambda: stored_locks(keeper) == 2)
            after = keeper.health()
        finally:
            await archive.close()
            server.stop()

    assert alarm.last_error is not None
    assert "is PostgreSQL running" in alarm.last_error
    assert after.failing_since is None
    assert node.table.held == 2


async def test_every_lock_comes_back_from_the_database(archive):
    node = LeadingNode()
    names = [f"lock-{number}-ü/%2F" for number in range(5_000)]
    for start in range(0, len(names), 1_000):
        node.grant(*names[start : start + 1_000])
    stored = await SnapshotKeeper(archive, node, ManualClock()).take()

    verified = await verify(archive, stored.id)
    restore = await prepare_restore(archive, max_timeout_ms=60_000, node="n1")
    made = LockTable.load(restore.genesis)

    assert verified.table.digest() == node.table.digest()
    assert restore.source == stored
    assert made.held == 5_000
    assert all(made.find(name, f"secret-of-{name}") for name in names)
    assert made.fencing_counter == restore.fencing_floor > node.table.fencing_counter


async def test_a_second_restore_from_the_database_starts_from_a_larger_number(archive):
    node = LeadingNode()
    node.grant("one")
    await SnapshotKeeper(archive, node, ManualClock()).take()

    first = await prepare_restore(archive, max_timeout_ms=60_000, node="n1")
    second = await prepare_restore(archive, max_timeout_ms=60_000, node="n1")

    assert second.fencing_floor > first.fencing_floor > node.table.fencing_counter


async def test_two_keepers_that_store_at_once_do_not_get_in_each_others_way(archive):
    node = LeadingNode()
    node.grant("one")
    keepers = [SnapshotKeeper(archive, node, ManualClock(), keep_count=1) for _ in range(3)]

    stored = await asyncio.gather(*(keeper.take() for keeper in keepers))

    left = await archive.list()
    assert {one.digest for one in stored} == {one.digest for one in left}


def stored_locks(keeper: SnapshotKeeper) -> int:
    newest = keeper.health().last_stored
    return 0 if newest is None else newest.lock_count


async def step_until(keeper: SnapshotKeeper, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await keeper.step()
