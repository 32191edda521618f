"""A restore: locks come back, numbers rise, new grants wait as long as they must."""

import msgspec
import pytest

from gorilla.domain.commands import ENTRY_VERSION, Acquire, Batch, Entry, Release, Renew, Stamp
from gorilla.domain.limits import FENCING_EPOCH
from gorilla.domain.outcomes import Granted, Recovering, Released, Renewed
from gorilla.domain.table import LockTable
from gorilla.service.restoring import choose, hold_for, prepare_restore, verify
from gorilla.service.snapshots import (
    Captured,
    SnapshotCorruptError,
    SnapshotKeeper,
    SnapshotNotFoundError,
    StoredSnapshot,
)
from tests.support.archive import ListedState, ManualClock, MemoryArchive, NodeState

HOUR_MS = 3_600_000


def apply(table: LockTable, now_ms: int, *commands: Acquire | Release | Renew, origin: str = "o"):
    numbered = tuple(enumerate(commands, start=1))
    batch = Batch(f"{origin}{now_ms}", 0, True, numbered)
    applied = table.apply(Entry(ENTRY_VERSION, Stamp(1, now_ms, now_ms), (batch,)))
    return [outcome for _, _, outcome in applied.outcomes]


def acquire(lock: str, holder: str = "anna", ttl_ms: int = 60_000) -> Acquire:
    return Acquire(lock, holder, ttl_ms, f"secret-of-{lock}")


async def keep(archive: MemoryArchive, table: LockTable, cluster_id: str = "c1") -> StoredSnapshot:
    class TableState(NodeState):
        def capture(self) -> Captured:
            return Captured(
                cluster_id=cluster_id,
                node="n1",
                term=table.term,
                applied_index=9,
                now_ms=table.now_ms,
                lock_count=table.held,
                fencing_counter=table.fencing_counter,
                chain=table.chain.hex(),
                state=table.freeze(),
            )

    return await SnapshotKeeper(archive, TableState(), ManualClock()).take()


@pytest.fixture
def archive() -> MemoryArchive:
    return MemoryArchive()


@pytest.fixture
def table() -> LockTable:
    made = LockTable()
    apply(made, 1_000, acquire("db"), acquire("cron", ttl_ms=2 * 60_000))
    return made


async def prepared(archive: MemoryArchive, **options):
    return await prepare_restore(archive, **{"max_timeout_ms": HOUR_MS, "node": "n1", **options})


async def test_locks_come_back_with_their_tokens_and_full_timeouts(archive, table):
    await keep(archive, table)

    restore = await prepared(archive)
    made = LockTable.load(restore.genesis)

    back = made.find("db", "secret-of-db")
    assert back is not None
    assert back.restored
    assert back.expires_at_ms - made.now_ms >= 60_000
    assert restore.lock_count == made.held == 2
    assert restore.longest_ttl_ms == 120_000


async def test_the_next_number_is_larger_than_any_that_was_ever_given(archive, table):
    await keep(archive, table)

    restore = await prepared(archive, hold_s=0)
    made = LockTable.load(restore.genesis)
    (granted,) = apply(made, made.now_ms, acquire("new"))

    assert made.fencing_counter - 1 == restore.fencing_floor == archive.floors[-1]
    assert isinstance(granted, Granted)
    assert granted.lease.fencing_token > table.fencing_counter + FENCING_EPOCH


async def test_two_restores_of_one_snapshot_never_share_a_number(archive, table):
    await keep(archive, table)

    first, second = await prepared(archive), await prepared(archive)

    assert second.fencing_floor - first.fencing_floor >= FENCING_EPOCH


async def test_new_grants_wait_for_the_longest_timeout_and_held_locks_do_not(archive, table):
    await keep(archive, table)

    restore = await prepared(archive)
    made = LockTable.load(restore.genesis)
    start_ms = made.now_ms
    early, extended, released = apply(
        made,
        start_ms,
        acquire("new"),
        Renew("db", "secret-of-db", "next", 60_000),
        Release("cron", "secret-of-cron"),
    )
    (still,) = apply(made, start_ms + HOUR_MS, acquire("new"))
    (granted,) = apply(made, start_ms + restore.hold_ms, acquire("new"))

    assert isinstance(early, Recovering)
    assert isinstance(extended, Renewed)
    assert isinstance(released, Released)
    assert isinstance(still, Recovering), "a slow clock of the lost holder is allowed for"
    assert isinstance(granted, Granted)


async def test_the_reason_tells_the_operator_what_happens_and_how_to_change_it(archive, table):
    await keep(archive, table)

    usual = (await prepared(archive)).reason
    short = (await prepared(archive, hold_s=90)).reason
    none = (await prepared(archive, hold_s=0)).reason

    assert usual.startswith("2 locks as of 1970-01-01 00:16:40 UTC come back")
    assert "No new lock is granted for 3603.6 s" in usual
    assert "--hold SECONDS" in usual
    assert "granted for 90 s: --hold says so" in short
    assert "two may hold it" in none


def test_the_hold_covers_the_longest_lock_seen_whatever_the_configuration_says_now():
    assert hold_for(None, longest_ms=1_000_000).ms == 1_001_000


def test_what_is_left_of_an_earlier_hold_is_never_cut_short():
    hold = hold_for(0, longest_ms=1_000, left_ms=5_000)

    assert hold.ms == 5_000
    assert "earlier restore" in hold.reason


async def test_a_restore_of_a_restore_keeps_the_first_hold(archive, table):
    await keep(archive, table)
    first = LockTable.load((await prepared(archive)).genesis)
    apply(first, first.now_ms + 1_000)
    await keep(archive, first, cluster_id="c2")

    second = await prepared(archive, hold_s=1)

    assert second.hold_ms == HOUR_MS + HOUR_MS // 1_000 - 1_000


@pytest.mark.parametrize("hold_s", [-1, float("nan"), float("inf"), 1e12])
async def test_a_hold_that_is_no_time_is_refused_before_anything_is_reserved(
    archive, table, hold_s
):
    await keep(archive, table)

    with pytest.raises(ValueError, match="--hold is a number of seconds"):
        await prepared(archive, hold_s=hold_s)

    assert archive.floors == []


async def test_a_damaged_snapshot_is_refused_before_anything_is_reserved(archive, table):
    stored = await keep(archive, table)
    archive.kept[0] = type(archive.kept[0])(stored, (b"damage",))

    with pytest.raises(SnapshotCorruptError):
        await prepared(archive)

    assert archive.floors == []


async def test_a_snapshot_that_is_not_what_it_says_is_refused(archive, table):
    class Boasting(NodeState):
        def capture(self) -> Captured:
            return msgspec.structs.replace(super().capture(), lock_count=3)

    stored = await SnapshotKeeper(archive, Boasting(table.freeze()), ManualClock()).take()

    with pytest.raises(SnapshotCorruptError, match="says 3 locks"):
        await verify(archive, stored.id)


async def test_bytes_that_are_no_lock_table_are_refused_in_one_line(archive):
    stored = await SnapshotKeeper(
        archive, NodeState(ListedState([b"not a table"])), ManualClock()
    ).take()

    with pytest.raises(SnapshotCorruptError, match="can't be read") as refused:
        await verify(archive, stored.id)

    assert "\n" not in str(refused.value)


async def test_without_an_id_the_newest_of_the_cluster_is_chosen(archive, table):
    wanted = await keep(archive, table, "c1")
    other = await keep(archive, table, "c2")

    assert await choose(archive, None, "c1") == wanted.id
    assert await choose(archive) == other.id
    assert await choose(archive, 7) == 7


async def test_an_empty_archive_says_to_check_the_url(archive):
    with pytest.raises(SnapshotNotFoundError, match="GORILLA_DATABASE_URL"):
        await choose(archive)
