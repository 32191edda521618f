"""The snapshot archive on a real PostgreSQL."""

import asyncio
import hashlib
import os
from collections.abc import Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import msgspec
import pytest

from gorilla.domain.limits import FENCING_EPOCH, FENCING_TOKEN_MAX
from gorilla.service.packing import PIECE_BYTES_MAX
from gorilla.service.snapshots import (
    ArchiveError,
    MaybeStoredError,
    SnapshotCorruptError,
    SnapshotMeta,
    SnapshotNotFoundError,
    StorageUnavailableError,
    StoredSnapshot,
)
from gorilla.storage.snapshots import PostgresSnapshots
from tests.support.postgres import execute

pytestmark = pytest.mark.integration


def meta(pieces: Sequence[bytes] = (b"bytes",), **fields: object) -> SnapshotMeta:
    whole = b"".join(pieces)
    made = SnapshotMeta(
        cluster_id="c1",
        node="n1",
        taken_at=datetime(2031, 5, 6, 7, 8, 9, 123_000, tzinfo=UTC),
        term=3,
        applied_index=10,
        cluster_now_ms=70_000,
        lock_count=2,
        fencing_counter=5,
        chain="00ff",
        format_version=1,
        digest=hashlib.sha256(whole).hexdigest(),
        size_bytes=len(whole),
    )
    return msgspec.structs.replace(made, **fields)


async def stored(archive: PostgresSnapshots, **fields: object) -> StoredSnapshot:
    return await archive.store(meta(**fields), [b"bytes"])


class LosesTheAnswer(PostgresSnapshots):
    """Its connection breaks right after the commit."""

    @asynccontextmanager
    async def _transaction(self, timeout_s):
        async with super()._transaction(timeout_s) as connection:
            yield connection
        raise StorageUnavailableError("the connection broke")


async def test_a_snapshot_whose_commit_got_no_answer_may_have_been_stored(archive, database):
    losing = LosesTheAnswer(database)

    with pytest.raises(MaybeStoredError, match="the connection broke, after all was sent"):
        await losing.store(meta(), [b"bytes"])
    await losing.close()

    assert len(await archive.list()) == 1


async def test_a_snapshot_comes_back_as_it_was_stored(archive):
    given = meta()

    kept = await archive.store(given, [b"bytes"])
    loaded = await archive.load(kept.id)

    assert loaded.pieces == (b"bytes",)
    assert loaded.meta == kept
    assert msgspec.structs.asdict(kept) == {"id": kept.id, **msgspec.structs.asdict(given)}


async def test_a_snapshot_of_many_megabytes_comes_back_piece_by_piece(archive):
    pieces = (os.urandom(PIECE_BYTES_MAX), os.urandom(PIECE_BYTES_MAX), b"\0\\x end")

    kept = await archive.store(meta(pieces), pieces)
    loaded = await archive.load(kept.id)

    assert loaded.pieces == pieces


async def test_what_the_server_has_is_compared_with_what_was_sent(archive, database):
    # A broken server or proxy: this trigger changes a byte on the way in.
    execute(
        database,
        "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.data = set_byte(NEW.data, 0, 1); RETURN NEW; END $$;"
        " CREATE TRIGGER spoil BEFORE INSERT ON snapshot_pieces"
        " FOR EACH ROW EXECUTE FUNCTION spoil()",
    )

    with pytest.raises(SnapshotCorruptError, match="nothing was stored"):
        await stored(archive)

    assert await archive.list() == []


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE snapshot_pieces SET data = set_byte(data, 2, 0)",
        "UPDATE snapshot_pieces SET data = data || 'more'",
        "DELETE FROM snapshot_pieces",
        "UPDATE snapshots SET digest = repeat('0', 64)",
        "UPDATE snapshots SET size_bytes = size_bytes - 1",
    ],
)
async def test_damage_of_any_kind_is_seen_when_it_is_read(archive, database, damage):
    kept = await stored(archive)
    execute(database, damage)

    with pytest.raises(SnapshotCorruptError, match=f"snapshot {kept.id} is damaged"):
        await archive.load(kept.id)


async def test_asking_for_a_snapshot_that_is_not_there_names_it(archive):
    with pytest.raises(SnapshotNotFoundError, match="no snapshot 404"):
        await archive.load(404)


async def test_the_list_begins_with_the_last_stored_and_is_bounded(archive):
    kept = [await stored(archive, applied_index=index) for index in (30, 10, 20)]

    listed = await archive.list()
    bounded = await archive.list(limit=1)

    assert listed == kept[::-1]
    assert bounded == kept[:1:-1]


async def test_the_latest_of_a_cluster_is_its_largest_index_whatever_the_clocks_say(archive):
    newest = await stored(archive, applied_index=20, taken_at=datetime(2001, 1, 1, tzinfo=UTC))
    await stored(archive, applied_index=10)
    await stored(archive, cluster_id="c0", applied_index=99)

    assert await archive.latest("c1") == newest
    assert await archive.latest("nobody's") is None


async def test_the_latest_of_all_is_of_the_cluster_that_stored_last(archive):
    await stored(archive, cluster_id="old", applied_index=1_000)
    newest = await stored(archive, cluster_id="new", applied_index=7)

    assert await archive.latest() == newest


async def test_an_empty_archive_has_no_latest(archive):
    assert await archive.latest() is None


async def test_retention_keeps_the_newest_states_of_every_cluster(archive, database):
    for index in (1, 2, 3, 4):
        await stored(archive, applied_index=index)
    await stored(archive, cluster_id="other")

    deleted = await archive.prune(keep_count=2, keep_days=30)

    left = {(one.cluster_id, one.applied_index) for one in await archive.list()}
    assert deleted == 2
    assert left == {("c1", 3), ("c1", 4), ("other", 10)}
    assert execute(database, "SELECT count(*) FROM snapshot_pieces") == [(3,)]


async def test_retention_deletes_the_old_but_never_the_newest_of_a_cluster(archive, database):
    for index in (1, 2, 3):
        await stored(archive, applied_index=index)
    execute(database, "UPDATE snapshots SET stored_at = now() - interval '31 days'")
    await stored(archive, cluster_id="other", applied_index=1)
    await stored(archive, cluster_id="other", applied_index=2)

    await archive.prune(keep_count=100, keep_days=30)

    left = {(one.cluster_id, one.applied_index) for one in await archive.list()}
    assert left == {("c1", 3), ("other", 1), ("other", 2)}


async def test_restores_of_one_snapshot_never_start_from_the_same_number(archive):
    kept = await stored(archive, fencing_counter=FENCING_EPOCH - 1)

    floors = await asyncio.gather(
        *(archive.reserve_fencing_floor(kept.id, node="n1", hold_ms=1) for _ in range(6))
    )

    assert len(set(floors)) == 6
    assert all(floor % FENCING_EPOCH == 0 for floor in floors)
    assert min(floors) - kept.fencing_counter >= FENCING_EPOCH


async def test_a_floor_is_above_every_counter_of_every_cluster_and_earlier_restore(archive):
    first = await stored(archive, fencing_counter=5)
    floor = await archive.reserve_fencing_floor(first.id, node="n1", hold_ms=1)
    grown = floor + 1_000_000
    await stored(archive, cluster_id="restored", fencing_counter=grown)

    again = await archive.reserve_fencing_floor(first.id, node="n1", hold_ms=1)

    assert again >= grown + FENCING_EPOCH


async def test_a_floor_stays_taken_when_its_snapshot_is_gone(archive, database):
    kept = await stored(archive)
    floor = await archive.reserve_fencing_floor(kept.id, node="n1", hold_ms=86_400_000)
    execute(database, "DELETE FROM snapshots")
    other = await stored(archive)

    again = await archive.reserve_fencing_floor(other.id, node="n1", hold_ms=1)

    assert again >= floor + FENCING_EPOCH
    columns = "snapshot_id, cluster_id, node, hold_ms, fencing_floor"
    assert execute(database, f"SELECT {columns} FROM restores ORDER BY id") == [
        (kept.id, "c1", "n1", 86_400_000, floor),
        (other.id, "c1", "n1", 1, again),
    ]


async def test_no_floor_is_given_for_a_snapshot_that_is_not_there(archive, database):
    with pytest.raises(SnapshotNotFoundError):
        await archive.reserve_fencing_floor(404, node="n1", hold_ms=1)

    assert execute(database, "SELECT count(*) FROM restores") == [(0,)]


async def test_when_no_numbers_are_left_the_restore_is_refused(archive):
    kept = await stored(archive, fencing_counter=FENCING_TOKEN_MAX - FENCING_EPOCH)

    with pytest.raises(ArchiveError, match="no fencing numbers are left"):
        await archive.reserve_fencing_floor(kept.id, node="n1", hold_ms=1)
