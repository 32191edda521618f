"""A data directory is examined: every kind of damage is named with its place and a remedy."""

import errno
import hashlib
import os

import pytest

from gorilla.consensus.examining import Examination, Grade
from gorilla.consensus.identity import (
    GENESIS_FILE,
    IDENTITY_FILE,
    GenesisRef,
    Identity,
    save,
)
from gorilla.consensus.journal.segments import segment_name
from gorilla.consensus.snapshots import SnapshotStore
from gorilla.domain.table import LockTable
from gorilla.service.ports import Member
from tests.support.journals import (
    FIRST,
    NODE,
    SMALL,
    disk_with,
    entry,
    files_of,
    flipped,
    frame_starts,
    open_journal,
    synced,
)
from tests.support.simdisk import SimDisk
from tests.support.snapshot_files import meta_of, name_of

GENESIS = b"the state to begin with"
SNAPSHOT = name_of(6)


def identity(**changes):
    members = (Member(id=NODE, name="n1", peer="a:1", http="a:2"),)
    fields = {"node_id": NODE, "name": "n1", "cluster_id": "c0ffee", "members": members}
    return Identity(**(fields | changes))


def healthy(**changes) -> dict[str, bytes]:
    """The files of a node in order: three segments, and a snapshot of entry 6."""
    disk = SimDisk()
    save(disk, identity(**changes))
    journal = open_journal(disk, segment_bytes=SMALL)
    synced(journal, *range(1, 13))
    store = SnapshotStore(disk)
    meta = meta_of(6)
    fitting = {"last": entry(6), "previous": entry(5), "term": 1}
    writer = store.begin(
        type(meta)(**({f: getattr(meta, f) for f in meta.__struct_fields__} | fitting))
    )
    writer.write(b"state")
    writer.commit_file()
    writer.publish()
    return files_of(disk)


def look(files, **options):
    return Examination(disk_with(files), **options).run()


def trouble(files, **options):
    found = [one for one in look(files, **options) if one.grade is Grade.TROUBLE]
    assert all(one.remedy for one in found)
    return {one.place: one.text for one in found}


def test_a_directory_in_order_is_told_part_by_part():
    found = {one.place: one for one in look(healthy(), name="n1")}

    assert {one.grade for one in found.values()} == {Grade.OK}
    assert f"node n1, member {NODE} of cluster c0ffee" in found[IDENTITY_FILE].text
    assert found[FIRST].text.startswith("4 entries in 4 frames")
    assert "entries 1 to 12" in found["journal"].text
    assert "term 0, no vote" in found["journal"].text
    assert "as of entry 6 (term 1)" in found[SNAPSHOT].text


def test_a_new_directory_is_healthy():
    assert trouble({}) == {}


def without(name):
    return lambda files: {k: v for k, v in files.items() if k != name}


def changed(name, change):
    return lambda files: files | {name: change(files[name])}


def middle(data):
    return flipped(data, frame_starts(data)[1] + 30)


SECOND, THIRD = segment_name(2), segment_name(3)

DAMAGE = {
    "no identity": (without(IDENTITY_FILE), IDENTITY_FILE, "is missing"),
    "identity flipped": (
        changed(IDENTITY_FILE, lambda data: flipped(data, data.index(b"n1"))),
        IDENTITY_FILE,
        "checksum",
    ),
    "identity is no JSON": (changed(IDENTITY_FILE, lambda _: b"{"), IDENTITY_FILE, "can't be read"),
    "journal middle": (changed(FIRST, middle), f"{FIRST} at byte", "intact ones follow"),
    "journal header": (
        changed(SECOND, lambda data: flipped(data, 30)),
        f"{SECOND} at byte 0",
        "header is damaged",
    ),
    "segment gone": (without(SECOND), f"{SECOND} at byte 0", "is missing"),
    "newest segment gone": (without(THIRD), f"{THIRD} at byte 0", "is missing"),
    "journal gone": (
        lambda files: {k: v for k, v in files.items() if not k.startswith("journal-")},
        f"{FIRST} at byte 0",
        "a member that took part",
    ),
    "snapshot middle": (
        changed(SNAPSHOT, lambda data: flipped(data, len(data) // 2)),
        f"{SNAPSHOT} at byte",
        "damaged",
    ),
    "snapshot cut": (
        changed(SNAPSHOT, lambda data: data[:-3]),
        f"{SNAPSHOT} at byte",
        "ends too early",
    ),
    "snapshot grown": (
        changed(SNAPSHOT, lambda data: data + b"x"),
        f"{SNAPSHOT} at byte",
        "something follows",
    ),
    "snapshot by another name": (
        lambda files: without(SNAPSHOT)(files) | {name_of(7): files[SNAPSHOT]},
        name_of(7),
        "holds snapshot 6",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_every_kind_of_damage_is_named_with_its_place_and_a_remedy(kind):
    spoil, place, text = DAMAGE[kind]

    found = trouble(spoil(healthy()))

    assert len(found) == 1
    assert next(iter(found)).startswith(place)
    assert text in next(iter(found.values()))


def test_a_journal_that_needs_the_snapshot_that_is_gone_is_named():
    disk = disk_with(healthy())
    journal = open_journal(disk, segment_bytes=SMALL)
    journal.deleteEntriesTo(4)
    journal.sync()

    assert trouble(files_of(disk)) == {}
    told = trouble(without(SNAPSHOT)(files_of(disk)))

    assert "it starts at entry 5, there is no snapshot" in told["journal"]


def test_a_snapshot_of_another_cluster_and_a_directory_of_another_node_are_named():
    assert "of cluster c0ffee" in trouble(healthy(cluster_id="decade"))[SNAPSHOT]
    assert "node n1, not to n2" in trouble(healthy(), name="n2")[IDENTITY_FILE]


def test_a_torn_tail_is_no_trouble_and_is_told_apart_from_a_damaged_middle():
    files = healthy()
    newest = THIRD
    last = frame_starts(files[newest])[-2]

    found = look(changed(newest, lambda data: data[:-5])(files))

    assert all(one.grade is not Grade.TROUBLE for one in found)
    notes = [one for one in found if one.grade is Grade.NOTE]
    assert [one.place for one in notes] == [f"{newest} at byte {last}"]
    assert "a crash cut it off" in notes[0].text


def genesis_ref():
    return GenesisRef(size=len(GENESIS), sha256=hashlib.sha256(GENESIS).hexdigest())


@pytest.mark.parametrize(
    ("stored", "text"), [(GENESIS, None), (None, "is missing"), (GENESIS + b"x", "is damaged")]
)
def test_a_restored_state_is_needed_until_there_is_a_snapshot(stored, text):
    extra = {} if stored is None else {GENESIS_FILE: stored}
    files = healthy(genesis=genesis_ref()) | extra

    assert trouble(files) == {}
    told = trouble(without(SNAPSHOT)(files))

    assert told.get(GENESIS_FILE, "is whole").startswith(text or "is whole")


def test_a_snapshot_that_is_whole_and_means_nothing_is_named_when_its_state_is_looked_at():
    files = healthy()

    assert trouble(files) == {}
    told = trouble(files, decode=LockTable.load)

    assert "its checksums are right" in told[f"{SNAPSHOT} at byte 0"]


def test_what_is_left_over_and_what_is_strange_is_noted():
    files = healthy() | {"snapshot-3.part": b"half", "notes.txt": b"mine"}

    notes = {one.place: one.text for one in look(files) if one.grade is Grade.NOTE}

    assert set(notes) == {"snapshot-3.part", "notes.txt"}
    assert "left by a crash" in notes["snapshot-3.part"]


class FailingDirectory:
    """A directory of which one file can't be read."""

    def __init__(self, files, bad):
        self._disk, self._bad = disk_with(files), bad

    def names(self):
        return self._disk.names()

    def read(self, name, offset=0, size=-1):
        if name == self._bad:
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        return self._disk.read(name, offset, size)


@pytest.mark.parametrize("name", [IDENTITY_FILE, FIRST, SNAPSHOT])
def test_a_file_that_the_disk_does_not_give_is_named(name):
    found = Examination(FailingDirectory(healthy(), name)).run()

    bad = [one for one in found if one.grade is Grade.TROUBLE]
    assert [one.place for one in bad] == [name]
    assert "Input/output error" in bad[0].text
    assert "errors of this disk" in bad[0].remedy
