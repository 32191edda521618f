"""A data directory that can't be used: node and doctor say the same in a line, and change nothing.

The directory is one that a node has worked in, with several segments and a snapshot.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from gorilla.consensus.identity import IDENTITY_FILE, Identity, save
from gorilla.consensus.settings import EngineSettings
from gorilla.service.ports import Member
from tests.support.engines import Cluster
from tests.support.journals import files_of, flipped, frame_starts
from tests.support.local_cluster import ROOT
from tests.support.namespaces import full, read_only
from tests.support.nodes import START_S_MAX, Nodes

SET_ASIDE = "set its data directory aside"


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """What a node leaves that compacted and rotated its journal, and was stopped."""
    cluster = Cluster(1, settings=EngineSettings(compact_entries=8))
    node = cluster.nodes["a"]
    node.segment_bytes, node.retain_entries = 600, 12
    cluster.restart("a")
    cluster.run(0.1)
    cluster.fill(node, range(1, 30))
    node.journal._destroy()
    members = (Member(id="a", name="n1", peer="a:1", http="a:2"),)
    save(node.disk, Identity(node_id="a", name="n1", cluster_id="cluster", members=members))
    found = files_of(node.disk)
    assert len([name for name in found if name.startswith("journal-")]) >= 3
    assert len([name for name in found if name.startswith("snapshot-")]) == 1
    return found


def segments(files):
    return sorted(name for name in files if name.startswith("journal-"))


def snapshot(files):
    return next(name for name in files if name.startswith("snapshot-"))


def nth(number):
    """Choose a segment."""
    return lambda files: segments(files)[number]


def identity(_):
    return IDENTITY_FILE


def gone(which):
    def spoil(files):
        name = which(files)
        return {other: data for other, data in files.items() if other != name}, name

    return spoil


def changed(which, change):
    def spoil(files):
        name = which(files)
        return files | {name: change(files[name])}, name

    return spoil


def empty(_data):
    return b""


def half(data):
    return data[: len(data) // 2]


def middle(data):
    return flipped(data, frame_starts(data)[1] + 30)


def in_the_middle(data):
    return flipped(data, len(data) // 2)


DAMAGE = {
    "journal, damaged in the middle": (changed(nth(0), middle), "intact ones follow it"),
    "journal, a file in the middle missing": (gone(nth(-2)), "the segment is missing"),
    "journal, the newest file missing": (gone(nth(-1)), "the segment is missing"),
    "journal, a file in the middle empty": (changed(nth(-2), empty), "has no header"),
    "journal, the newest file empty": (changed(nth(-1), empty), "has no header"),
    "journal, all files missing": (
        lambda files: ({IDENTITY_FILE: files[IDENTITY_FILE]}, "journal-0000000000000001.log"),
        "that took part is missing",
    ),
    "snapshot, damaged": (changed(snapshot, in_the_middle), "is damaged"),
    "snapshot, cut": (changed(snapshot, half), "ends too early"),
    "snapshot, empty": (changed(snapshot, empty), "ends too early"),
    "identity, damaged": (changed(identity, in_the_middle), "can't be read"),
    "identity, empty": (changed(identity, empty), "can't be read"),
    "identity, missing": (gone(identity), "lost its identity"),
}


def run(directory, *command, prefix=()):
    """Run a command of ``gorillad`` as node n1 of ``directory``."""
    nodes = Nodes(directory.parent.parent, 1)
    return subprocess.run(
        [*prefix, sys.executable, "-m", "gorilla.daemon", *command],
        cwd=ROOT,
        env=nodes.environment,
        capture_output=True,
        text=True,
        timeout=START_S_MAX,
        check=False,
    )


def a_directory(tmp_path: Path, files: dict[str, bytes]) -> Path:
    directory = tmp_path / "data" / "n1"
    directory.mkdir(parents=True, mode=0o700)
    for name, data in files.items():
        (directory / name).write_bytes(data)
        (directory / name).chmod(0o600)
    return directory


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.name != "lock"}


def only_line(ran):
    """Return the one line that says why it failed."""
    assert ran.returncode == 1, ran.stderr
    assert "Traceback" not in ran.stderr
    [line] = [line for line in ran.stderr.splitlines() if line.startswith("gorillad: ")]
    assert ran.stderr.splitlines()[-1] == line
    return line


def trouble(ran):
    """Return what the doctor says of each place that is in trouble, and of the remedy."""
    lines = ran.stdout.splitlines()
    marked = [number for number, line in enumerate(lines) if line.startswith("TROUBLE")]
    assert ran.returncode == (1 if marked else 0), ran.stdout + ran.stderr
    return {lines[n].split(maxsplit=1)[1]: lines[n + 1].strip() for n in marked}


def test_the_directory_is_in_order(tmp_path, files):
    directory = a_directory(tmp_path, files)

    assert trouble(run(directory, "doctor", str(directory))) == {}


@pytest.mark.parametrize("kind", DAMAGE)
def test_what_is_damaged_is_named_with_file_place_and_remedy(tmp_path, files, kind):
    spoil, why = DAMAGE[kind]
    spoilt, name = spoil(files)
    directory = a_directory(tmp_path, spoilt)

    line = only_line(run(directory, "run", "--node", "n1"))
    told = trouble(run(directory, "doctor", str(directory)))

    assert name in line
    assert why in line
    remedies = (SET_ASIDE, "Bring it back from a copy", "Bring back the whole directory")
    assert any(remedy in line for remedy in remedies)
    [(place, remedy)] = told.items()
    assert place.startswith(name)
    assert why in place
    assert remedy.removeprefix("-> ") in line
    if name != IDENTITY_FILE:
        assert " at byte " in line
        assert f"{directory}/{name}" in line
    assert contents(directory) == spoilt


def test_a_directory_that_is_mounted_read_only_is_refused_with_the_remedy(tmp_path, files):
    directory = a_directory(tmp_path, files)
    prefix = read_only(directory)

    line = only_line(run(directory, "run", "--node", "n1", prefix=prefix))
    [(place, remedy)] = trouble(run(directory, "doctor", str(directory), prefix=prefix)).items()

    assert f"{directory}/lock: Read-only file system" in line
    assert "mount it for writing" in line
    assert "node.data_dir" not in line, "elsewhere it would be another member"
    assert "mounted read-only" in place
    assert "mount it for writing" in remedy


def test_a_directory_on_a_full_disk_is_refused_with_the_remedy(tmp_path, files):
    directory = a_directory(tmp_path, files)
    prefix = full(directory)

    line = only_line(run(directory, "run", "--node", "n1", prefix=prefix))
    told = trouble(run(directory, "doctor", str(directory), prefix=prefix))

    assert "No space left on device" in line
    assert "Make room on its file system, outside the data directory" in line
    [(_, remedy)] = [one for one in told.items() if one[0].startswith("disk: 0 MiB free")]
    assert remedy.startswith("-> Make room")


def test_a_new_node_that_may_write_nothing_is_told_that_another_place_will_do(tmp_path):
    (tmp_path / "data").mkdir()

    line = only_line(
        run(tmp_path / "data" / "n1", "run", "--node", "n1", prefix=read_only(tmp_path / "data"))
    )

    assert "Read-only file system" in line
    assert "set node.data_dir (GORILLA_NODE_DATA_DIR)" in line
