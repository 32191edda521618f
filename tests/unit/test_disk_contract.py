"""What every ``Disk`` does, the real one and the simulated one; then what each does alone."""

import errno
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from gorilla.consensus.disk import DirectoryDisk, DiskInUseError
from gorilla.consensus.ports import Disk
from tests.support.simdisk import DeadProcessError, SimDisk


@pytest.fixture(params=["directory", "simulated"])
def disk(request, tmp_path):
    if request.param == "simulated":
        yield SimDisk()
        return
    with DirectoryDisk(tmp_path / "data") as real:
        yield real


def put(disk: Disk, name: str, data: bytes) -> None:
    file = disk.append(name)
    file.write(data)
    file.sync()
    file.close()
    disk.sync_directory()


def test_what_was_appended_is_read_back_in_whole_and_in_part(disk):
    file = disk.append("a")
    file.write(b"hello ")
    file.write(b"world")

    assert file.size() == 11
    assert disk.read("a") == b"hello world"
    assert disk.read("a", 6) == b"world"
    assert disk.read("a", 6, 2) == b"wo"
    assert disk.read("a", 8, 100) == b"rld"
    assert disk.read("a", 50) == b""
    assert disk.read("a", 50, 5) == b""
    assert disk.read("a", 0, 0) == b""
    file.close()


def test_opening_again_appends_to_what_is_there(disk):
    put(disk, "a", b"one")

    put(disk, "a", b"two")

    assert disk.read("a") == b"onetwo"


def test_names_are_sorted_and_hold_every_file(disk):
    for name in ("b", "c", "a"):
        put(disk, name, b"")

    assert disk.names() == ["a", "b", "c"]


def test_a_rename_replaces_what_had_the_name(disk):
    put(disk, "new", b"new")
    put(disk, "old", b"old")

    disk.rename("new", "old")

    assert disk.names() == ["old"]
    assert disk.read("old") == b"new"


def test_a_removed_file_is_gone_and_its_name_can_be_used_again(disk):
    put(disk, "a", b"one")

    disk.remove("a")
    put(disk, "a", b"two")

    assert disk.read("a") == b"two"


def test_truncating_cuts_and_never_extends(disk):
    put(disk, "a", b"0123456789")

    disk.truncate("a", 4)
    disk.truncate("a", 8)

    assert disk.read("a") == b"0123"
    assert disk.append("a").size() == 4


def test_what_is_missing_is_said_to_be_missing(disk):
    for attempt in (
        lambda: disk.read("gone"),
        lambda: disk.remove("gone"),
        lambda: disk.truncate("gone", 0),
        lambda: disk.rename("gone", "x"),
    ):
        with pytest.raises(FileNotFoundError):
            attempt()
    assert disk.names() == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "lock", "a\0"])
def test_only_plain_names_are_taken(disk, name):
    with pytest.raises(ValueError, match="plain file name"):
        disk.append(name)


def test_a_closed_file_takes_nothing_and_closing_twice_does_no_harm(disk):
    file = disk.append("a")
    file.close()
    file.close()

    for attempt in (lambda: file.write(b"x"), lambda: file.write(b""), file.sync, file.size):
        with pytest.raises(OSError, match="Bad file descriptor") as caught:
            attempt()
        assert caught.value.errno == errno.EBADF


# -- the real one


def test_directory_and_files_are_for_the_owner_alone(tmp_path):
    old = os.umask(0)
    try:
        with DirectoryDisk(tmp_path / "deep" / "data") as disk:
            put(disk, "a", b"x")
    finally:
        os.umask(old)

    assert (tmp_path / "deep" / "data").stat().st_mode & 0o777 == 0o700
    for name in ("a", "lock"):
        assert (tmp_path / "deep" / "data" / name).stat().st_mode & 0o777 == 0o600


def test_lock_file_and_directories_are_not_among_the_names(tmp_path):
    (tmp_path / "postgres").mkdir()

    with DirectoryDisk(tmp_path) as disk:
        put(disk, "a", b"x")

        assert disk.names() == ["a"]


def test_a_second_process_is_refused_by_name_with_a_remedy(tmp_path):
    script = (
        "import sys; from pathlib import Path\n"
        "from gorilla.consensus.disk import DirectoryDisk, DiskInUseError\n"
        "try:\n    DirectoryDisk(Path(sys.argv[1]))\n"
        "except DiskInUseError as error:\n    print(error); sys.exit(3)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with DirectoryDisk(tmp_path):
        refused = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    taken = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert refused.returncode == 3
    assert str(tmp_path) in refused.stdout
    assert f"pid {os.getpid()}" in refused.stdout
    assert "stop that one first" in refused.stdout
    assert taken.returncode == 0


def test_the_same_process_can_not_take_a_directory_twice(tmp_path):
    with DirectoryDisk(tmp_path), pytest.raises(DiskInUseError):
        DirectoryDisk(tmp_path)


def test_descriptors_are_not_inherited(tmp_path):
    with DirectoryDisk(tmp_path) as disk:
        file = disk.append("a")
        inside = {
            int(fd.name)
            for fd in Path("/proc/self/fd").iterdir()
            if fd.exists() and str(fd.readlink()).startswith(str(tmp_path))
        }

        assert len(inside) == 2
        assert not any(os.get_inheritable(fd) for fd in inside)
        file.close()


# -- the simulated one


def test_a_kill_keeps_all_that_was_written():
    disk = SimDisk()
    disk.append("a").write(b"unsynced")

    disk.crash(random.Random(1), power=False)

    assert disk.read("a") == b"unsynced"


def test_a_power_loss_keeps_what_was_synced_and_any_prefix_of_the_rest():
    kept = set()
    for seed in range(300):
        disk = SimDisk()
        put(disk, "a", b"safe")
        disk.append("a").write(b"loose")
        disk.crash(random.Random(seed), power=True)
        data = disk.read("a")
        assert data.startswith(b"safe")
        kept.add(data)

    assert {b"safe", b"safel", b"safeloose"} <= kept
    assert any(len(data) == 9 and data != b"safeloose" for data in kept), "never torn"


def test_a_power_loss_may_undo_each_unsynced_directory_operation():
    seen = set()
    for seed in range(200):
        disk = SimDisk()
        put(disk, "part", b"x")
        put(disk, "old", b"y")
        disk.append("new").sync()
        disk.rename("part", "whole")
        disk.remove("old")
        disk.crash(random.Random(seed), power=True)
        seen.add(tuple(disk.names()))

    assert len(seen) == 8
    assert ("new", "whole") in seen
    assert ("old", "part") in seen


def test_a_synced_directory_operation_stays():
    for seed in range(50):
        disk = SimDisk()
        put(disk, "part", b"x")
        disk.rename("part", "whole")
        disk.sync_directory()
        disk.crash(random.Random(seed), power=True)
        assert disk.names() == ["whole"]


def test_faults_come_at_the_operation_that_was_asked_for_and_once():
    disk = SimDisk()
    file = disk.append("a")
    disk.fail_at("write", 2, errno.ENOSPC)
    file.write(b"0123")

    with pytest.raises(OSError, match="No space left") as caught:
        file.write(b"4567")
    file.write(b"89")

    assert caught.value.errno == errno.ENOSPC
    assert disk.read("a") == b"01234589"


def test_every_operation_is_seen_before_and_after():
    disk, seen = SimDisk(), []
    disk.on_op = seen.append

    put(disk, "a", b"xy")
    disk.rename("a", "b")

    assert seen == [
        "create a before",
        "create a after",
        "write a before",
        "write a within",
        "write a after",
        "sync a before",
        "sync a after",
        "sync_directory . before",
        "sync_directory . after",
        "rename a before",
        "rename a after",
    ]


def test_a_dead_process_can_not_write_any_more():
    disk = SimDisk()
    file = disk.append("a")
    disk.crash(random.Random(1), power=False)

    with pytest.raises(DeadProcessError):
        file.write(b"x")
