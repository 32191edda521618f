"""Short ways to make and ship local snapshot files in tests."""

import random

from gorilla.consensus.ports import Disk
from gorilla.consensus.snapshots import Snapshot, SnapshotMeta, SnapshotStore
from tests.support.simdisk import SimDisk

STATE = [b"one" * 50, b"", bytes(3000), random.Random(7).randbytes(500)]


def meta_of(index: int, term: int = 3) -> SnapshotMeta:
    return SnapshotMeta(
        index=index,
        term=term,
        last=(b"last", index, term),
        previous=(b"previous", index - 1, term - 1),
        members=b"\x93members",
        cluster_id="c0ffee",
    )


def name_of(index: int) -> str:
    return f"snapshot-{index:016d}.snap"


def write(disk: Disk, index: int, chunks: list[bytes] | None = None) -> Snapshot:
    writer = SnapshotStore(disk).begin(meta_of(index))
    for chunk in STATE if chunks is None else chunks:
        writer.write(chunk)
    writer.commit_file()
    return writer.publish()


def file_of(index: int) -> bytes:
    disk = SimDisk()
    write(disk, index)
    return disk.read(name_of(index))


def ship(data: bytes, store: SnapshotStore, piece: int = 100) -> Snapshot:
    receiver = store.receive(len(data))
    for offset in range(0, len(data), piece):
        receiver.write(offset, data[offset : offset + piece])
    receiver.verify()
    return receiver.publish()
