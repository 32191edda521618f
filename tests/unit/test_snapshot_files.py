"""Local snapshot files: whole or not there, and never a wrong one taken for a right one."""

import random
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given, strategies as st

from gorilla.consensus.disk import DirectoryDisk
from gorilla.consensus.snapshot_format import CHUNK_BYTES_MAX, Encoder, Reader
from gorilla.consensus.snapshots import (
    CorruptSnapshotError,
    SnapshotGoneError,
    SnapshotMeta,
    SnapshotStore,
    SnapshotTooLargeError,
    StaleSnapshotError,
)
from tests.support.journals import disk_with, files_of
from tests.support.simdisk import SimDisk
from tests.support.snapshot_files import STATE, file_of, meta_of, name_of, ship, write


@pytest.fixture(params=["directory", "simulated"])
def disk(request, tmp_path):
    if request.param == "simulated":
        yield SimDisk()
        return
    with DirectoryDisk(tmp_path / "data") as real:
        yield real


def test_a_published_snapshot_is_found_with_all_that_was_written(disk):
    assert SnapshotStore(disk).latest() is None

    write(disk, 41)
    found = SnapshotStore(disk).latest()

    assert found is not None
    assert found.meta == meta_of(41)
    assert list(found.chunks()) == STATE
    assert list(found.chunks()) == STATE
    assert found.size == len(disk.read(name_of(41)))
    assert disk.names() == [name_of(41)]


@given(st.lists(st.binary(max_size=300), max_size=6), st.integers(1, 2**40))
def test_any_chunks_come_back_as_they_were(chunks, index):
    disk = SimDisk()
    write(disk, index, chunks)

    found = SnapshotStore(disk).latest()

    assert found is not None
    assert found.meta.index == index
    assert list(found.chunks()) == chunks


def test_large_chunks_come_back_and_larger_ones_are_refused(disk):
    chunks = [random.Random(1).randbytes(CHUNK_BYTES_MAX), bytes(CHUNK_BYTES_MAX)]
    written = write(disk, 5, chunks)

    assert list(written.chunks()) == chunks
    with pytest.raises(ValueError, match="too large"):
        SnapshotStore(disk).begin(meta_of(6)).write(bytes(CHUNK_BYTES_MAX + 1))


def test_entries_of_the_meta_data_are_tuples_as_the_library_compares_them():
    disk = SimDisk()
    write(disk, 9)

    found = SnapshotStore(disk).latest()

    assert found is not None
    assert found.meta.last == (b"last", 9, 3)
    assert type(found.meta.previous) is tuple


@pytest.mark.parametrize(
    "wrong", [{"index": 10}, {"term": 4}, {"previous": (b"", 7, 1)}, {"last": (b"", 10, 3)}]
)
def test_meta_data_that_contradicts_itself_is_refused(wrong):
    fields = {name: getattr(meta_of(9), name) for name in SnapshotMeta.__struct_fields__}

    with pytest.raises(ValueError, match="don't belong to it"):
        SnapshotMeta(**(fields | wrong))


def test_a_newer_snapshot_replaces_the_older_ones():
    disk = disk_with({name_of(3): file_of(3), name_of(5): file_of(5)})
    store = SnapshotStore(disk)
    before = store.latest()

    writer = store.begin(meta_of(8))
    writer.commit_file()
    writer.publish()

    assert before is not None
    assert before.meta.index == 5
    assert store.latest().meta.index == 8
    assert disk.names() == [name_of(8)]
    for use in (lambda: before.read(0, 10), lambda: list(before.chunks())):
        with pytest.raises(SnapshotGoneError):
            use()


def test_an_unpublished_snapshot_counts_for_nothing_and_is_removed_at_the_next_start():
    disk = SimDisk()
    write(disk, 4)
    store = SnapshotStore(disk)
    store.begin(meta_of(9)).write(b"half")
    store.receive(100).write(0, b"half")
    assert len(disk.names()) == 3

    again = SnapshotStore(disk)

    assert disk.names() == [name_of(4)]
    assert again.latest().meta.index == 4


def test_aborting_leaves_nothing_of_it_and_harms_no_other():
    disk = SimDisk()
    store = SnapshotStore(disk)
    given_up = store.begin(meta_of(4))
    other = store.begin(meta_of(6))
    given_up.write(b"x")
    given_up.commit_file()

    given_up.abort()
    given_up.abort()
    other.commit_file()
    other.publish()

    assert disk.names() == [name_of(6)]


def test_an_older_snapshot_is_not_published_over_a_newer_one():
    disk = SimDisk()
    write(disk, 9)
    late = SnapshotStore(disk).begin(meta_of(8))
    late.commit_file()

    with pytest.raises(StaleSnapshotError, match="snapshot 8 is older"):
        late.publish()

    assert name_of(9) in disk.names()


def test_a_snapshot_never_exceeds_the_limit():
    disk = SimDisk()
    store = SnapshotStore(disk, bytes_max=1000)
    writer = store.begin(meta_of(2))

    with pytest.raises(SnapshotTooLargeError, match="exceeds the limit of 1000"):
        writer.write(random.Random(1).randbytes(1000))
    with pytest.raises(SnapshotTooLargeError, match="1001 bytes"):
        store.receive(1001)


# -- damage


def test_a_byte_flipped_anywhere_is_refused_with_file_and_remedy():
    data = file_of(7)
    older = file_of(3)

    for offset in range(len(data)):
        copy = bytearray(data)
        copy[offset] ^= 1 << offset % 8
        disk = disk_with({name_of(3): older, name_of(7): bytes(copy)})
        with pytest.raises(CorruptSnapshotError) as caught:
            SnapshotStore(disk).latest()
        assert caught.value.file == name_of(7)
        assert name_of(3) in disk.names(), "the older one is evidence"
    assert "set its data directory aside" in str(caught.value)


def test_a_file_cut_or_extended_anywhere_is_refused():
    data = file_of(7)

    for changed in [data[:size] for size in range(len(data))] + [data + b"\0", data + data]:
        with pytest.raises(CorruptSnapshotError):
            SnapshotStore(disk_with({name_of(7): changed})).latest()


def test_chunks_that_were_swapped_or_left_out_are_refused():
    """Each chunk is right by its own checksum: the digest over everything notices."""
    encoder = Encoder(meta_of(2))
    start, one, two, end = encoder.start(), encoder.chunk(b"1"), encoder.chunk(b"2"), encoder.end()
    assert SnapshotStore(disk_with({name_of(2): start + one + two + end})).latest() is not None

    for parts in ((two, one), (one,), (two,), (one, two, two), ()):
        with pytest.raises(CorruptSnapshotError, match="digest of the whole file"):
            SnapshotStore(disk_with({name_of(2): start + b"".join(parts) + end})).latest()


def test_a_file_under_another_index_is_refused():
    with pytest.raises(CorruptSnapshotError, match="holds snapshot 7"):
        SnapshotStore(disk_with({name_of(9): file_of(7)})).latest()


def test_a_later_format_asks_for_the_later_program():
    data = bytearray(file_of(7))
    struct.pack_into("<H", data, 8, 2)

    with pytest.raises(CorruptSnapshotError, match="Start the version of Gorilla that wrote it"):
        SnapshotStore(disk_with({name_of(7): bytes(data)})).latest()


@pytest.mark.parametrize(
    ("says", "why"), [(10, "another length than it says"), (100_000_000, "is too large")]
)
def test_a_chunk_that_inflates_beyond_bounds_is_refused_in_bounded_memory(says, why):
    bomb = zlib.compress(bytes(100_000_000), 9)
    crc = zlib.crc32(bomb, zlib.crc32(struct.pack("<BII", 2, says, len(bomb))))
    section = struct.pack("<BIII", 2, says, len(bomb), crc) + bomb
    data = Encoder(meta_of(2)).start() + section

    tracemalloc.start()
    try:
        with pytest.raises(CorruptSnapshotError, match=why):
            Reader("bomb", lambda offset, size: data[offset : offset + size]).verify(len(data))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000_000


def test_a_format_1_file_stays_readable():
    written = bytes.fromhex(GOLDEN)

    found = SnapshotStore(disk_with({name_of(9): written})).latest()

    assert found is not None
    assert found.meta == meta_of(9)
    assert list(found.chunks()) == [b"golden state"]


GOLDEN = (
    "f7676f72736e61700100015e0000005e000000001fedb087a5696e64657809a47465726d03a46c61"
    "737493c4046c6173740903a870726576696f757393c40870726576696f75730802a76d656d626572"
    "73c408936d656d62657273aa636c75737465725f6964a6633066666565a6666f726d617401020c00"
    "000014000000bbffdaa978014bcfcf4949cd53282e492c4905001eca04bb033000000030000000a4"
    "55560201000000000000000c00000000000000043d70b7a8a9c752aa67917dfba4350a2c5bbfce89"
    "c002c7f6f8560eab5cc1b3"
)


# -- shipping


def test_a_shipped_snapshot_equals_the_one_that_was_sent(disk):
    source = write(SimDisk(), 12)
    store = SnapshotStore(disk)
    receiver = store.receive(source.size)
    while receiver.received < source.size:
        receiver.write(receiver.received, source.read(receiver.received, 64))

    verified = receiver.verify()
    arrived = receiver.publish()

    assert verified == arrived.meta == source.meta
    assert list(arrived.chunks()) == STATE
    assert store.latest() is arrived
    assert SnapshotStore(disk).latest().meta == source.meta


def test_pieces_out_of_order_or_beyond_the_end_are_refused():
    receiver = SnapshotStore(SimDisk()).receive(10)
    receiver.write(0, b"01234")

    for offset, data in ((0, b"01234"), (6, b"x"), (5, b"567890")):
        with pytest.raises(ValueError, match="of a snapshot of 10"):
            receiver.write(offset, data)

    assert receiver.received == 5


def test_a_damaged_arrival_leaves_the_present_snapshot_as_it_was():
    disk = SimDisk()
    write(disk, 4)
    before = files_of(disk)
    store = SnapshotStore(disk)
    data = file_of(9)
    damaged = [data[:-1], data[:40] + b"\xff" + data[41:], b"", data + b"x"]

    for arriving in damaged:
        with pytest.raises(CorruptSnapshotError):
            ship(arriving, store)
        assert files_of(disk) == before

    receiver = store.receive(len(data))
    with pytest.raises(CorruptSnapshotError, match="bytes were announced"):
        receiver.verify()
    assert files_of(disk) == before
    assert store.latest().meta.index == 4


def test_an_arrival_older_than_the_present_snapshot_is_refused():
    disk = SimDisk()
    write(disk, 9)
    before = files_of(disk)

    with pytest.raises(StaleSnapshotError):
        ship(file_of(4), SnapshotStore(disk))

    assert files_of(disk) == before
