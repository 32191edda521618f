"""Local snapshot files through crashes and errors of the disk, at any moment."""

import contextlib
import random

import pytest
from hypothesis import given, settings, strategies as st

from gorilla.consensus.ports import Disk
from gorilla.consensus.snapshots import SnapshotStore
from tests.support.journals import Killed, disk_with, kill_at
from tests.support.simdisk import SimDisk
from tests.support.snapshot_files import STATE, file_of, meta_of, name_of, ship, write


def publish_second(disk: Disk) -> None:
    write(disk, 9, [b"second"])


def ship_second(disk: Disk) -> None:
    ship(SECOND, SnapshotStore(disk))


def _second() -> bytes:
    disk = SimDisk()
    publish_second(disk)
    return disk.read(name_of(9))


SECOND = _second()


@pytest.mark.parametrize("work", [publish_second, ship_second])
@pytest.mark.parametrize("power", [False, True], ids=["kill", "power loss"])
def test_a_crash_at_any_moment_leaves_the_old_snapshot_or_the_new_one(work, power):
    counting, seen = disk_with({name_of(4): file_of(4)}), []
    counting.on_op = seen.append
    work(counting)
    first, outcomes = file_of(4), set()

    for moment in range(len(seen)):
        for seed in range(6 if power else 1):
            disk = disk_with({name_of(4): first})
            kill_at(disk, moment)
            with contextlib.suppress(Killed):
                work(disk)
            disk.crash(random.Random(seed), power=power)
            found = SnapshotStore(disk).latest()
            assert found is not None
            assert list(found.chunks()) == (STATE if found.meta.index == 4 else [b"second"])
            assert disk.names() == [name_of(found.meta.index)]
            outcomes.add(found.meta.index)

    assert outcomes == {4, 9}


def test_a_published_snapshot_survives_a_power_loss():
    for seed in range(30):
        disk = SimDisk()
        write(disk, 4)
        write(disk, 9)
        disk.crash(random.Random(seed), power=True)
        assert SnapshotStore(disk).latest().meta.index == 9


@settings(max_examples=40)
@given(st.sampled_from(["write", "sync", "sync_directory"]), st.integers(1, 8))
def test_an_error_of_the_disk_is_raised_and_leaves_the_present_snapshot(operation, nth):
    disk = disk_with({name_of(4): file_of(4)})
    store = SnapshotStore(disk)
    disk.fail_at(operation, nth)
    writer = None

    try:
        writer = store.begin(meta_of(9))
        for chunk in STATE:
            writer.write(chunk)
        writer.commit_file()
        writer.publish()
    except OSError:
        if writer is not None:
            writer.abort()
    disk.crash(random.Random(nth), power=True)

    assert SnapshotStore(disk).latest().meta.index in (4, 9)
