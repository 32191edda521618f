"""``gorillad doctor`` on real directories: it tells, and it changes nothing."""

import os
from pathlib import Path

import pytest

from gorilla.consensus.disk import DirectoryDisk
from gorilla.consensus.identity import IDENTITY_FILE, load_or_create
from gorilla.daemon import doctor
from gorilla.daemon.__main__ import main
from tests.support.journals import FIRST, frame_starts, open_journal, synced

EXAMPLE = str(Path(__file__).parents[2] / "cluster.example.toml")


@pytest.fixture
def directory(tmp_path):
    """The directory of a node that was stopped."""
    path = tmp_path / "n1"
    with DirectoryDisk(path) as disk:
        identity = load_or_create(disk, "n1")
        synced(open_journal(disk, node=identity.node_id), *range(1, 9))
    return path


def everything(directory):
    """Bytes, modes and times of change of all files and of the directory itself."""
    seen = {}
    for path in (directory, *sorted(directory.iterdir())):
        status = path.stat()
        content = path.read_bytes() if path.is_file() else b""
        seen[path.name] = (status.st_mtime_ns, status.st_ctime_ns, status.st_mode, content)
    return seen


def damage(directory):
    data = bytearray((directory / FIRST).read_bytes())
    data[frame_starts(bytes(data))[1] + 30] ^= 1
    (directory / FIRST).write_bytes(data)


def tear(directory):
    os.truncate(directory / FIRST, (directory / FIRST).stat().st_size - 3)


def half_done(directory):
    (directory / "snapshot-1.part").write_bytes(b"half")
    (directory / "snapshot-1.part").chmod(0o600)


def others_may_read(directory):
    (directory / FIRST).chmod(0o644)


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        (lambda _: None, 0, "healthy"),
        (tear, 0, "an unfinished frame"),
        (half_done, 0, "snapshot-1.part: an unfinished file"),
        (damage, 1, "intact ones follow it"),
        (others_may_read, 1, f"{FIRST}: others than its owner may use it (mode 644)"),
        (lambda path: (path / FIRST).chmod(0o400), 1, "may not write to it (mode 400)"),
        (lambda path: (path / IDENTITY_FILE).unlink(), 1, "lost its identity"),
    ],
)
def test_a_directory_is_told_about_and_not_changed(capsys, directory, change, code, told):
    change(directory)
    before = everything(directory)

    assert main(["doctor", str(directory)]) == code

    out = capsys.readouterr().out
    assert told in out
    assert out.count("TROUBLE") == out.count("->") == (0 if code == 0 else 1)
    assert everything(directory) == before


def test_a_directory_in_use_is_examined_and_stays_in_use(capsys, directory):
    with DirectoryDisk(directory) as disk:
        before = everything(directory)
        assert main(["doctor", str(directory)]) == 0
        assert everything(directory) == before
        open_journal(disk, node=load_or_create(disk, "n1").node_id)

    assert f"the node runs (pid {os.getpid()})" in capsys.readouterr().out


def test_files_that_go_while_a_node_is_at_work_are_looked_at_again(monkeypatch, directory):
    gone = []

    class Vanishing(doctor.ReadOnlyDirectory):
        def read(self, name, offset=0, size=-1):
            if name == FIRST and len(gone) < 2:
                gone.append(name)
                raise FileNotFoundError(name)
            return super().read(name, offset, size)

    monkeypatch.setattr(doctor, "ReadOnlyDirectory", Vanishing)
    with DirectoryDisk(directory):
        found = doctor.examine(directory)

    assert len(gone) == 2
    assert not [one for one in found if one.grade is doctor.Grade.TROUBLE]


@pytest.mark.parametrize("free", [doctor.FREE_BYTES_MIN - 1, doctor.FREE_BYTES_MIN])
def test_little_room_and_a_read_only_file_system_are_trouble(monkeypatch, directory, free):
    real = os.statvfs(directory)
    fields = list(real)
    fields[1], fields[4], fields[8] = 1, free, real.f_flag | os.ST_RDONLY
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result(fields))

    told = [one.text for one in doctor.examine(directory) if one.grade is doctor.Grade.TROUBLE]

    assert any("mounted read-only" in text for text in told)
    assert any("MiB free" in text for text in told) is (free < doctor.FREE_BYTES_MIN)


def test_a_node_is_named_instead_of_a_directory(capsys, monkeypatch, directory):
    monkeypatch.setenv("GORILLA_NODE_DATA_DIR", str(directory.parent))
    directory.rename(directory.parent / "n2")

    assert main(["doctor", "--config", EXAMPLE, "--node", "n2"]) == 1

    assert "belongs to node n1, not to n2" in capsys.readouterr().out


def test_what_is_no_directory_is_refused(capsys, tmp_path):
    assert main(["doctor", str(tmp_path / "nowhere")]) == 1

    assert "is no directory" in capsys.readouterr().err
