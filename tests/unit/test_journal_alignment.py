"""A journal and the snapshot it belongs to; and a journal whose disk has failed."""

import errno

import pytest

from gorilla.consensus.journal import CorruptJournalError, Journal, JournalFailedError
from tests.support.journals import add, entry, held, open_journal, power_loss, synced
from tests.support.simdisk import SimDisk


@pytest.fixture
def disk():
    return SimDisk()


@pytest.fixture
def journal(disk):
    return open_journal(disk)


def reopened(disk: SimDisk, **settings) -> Journal:
    """After a power loss, so that only what is durable counts."""
    power_loss(disk, 1)
    return open_journal(disk, must_exist=True, **settings)


# -- alignment with the snapshot


def aligned(disk: SimDisk, indexes: range, snapshot: int, term: int = 1, base: int = 1) -> Journal:
    """A journal of ``indexes``, closed and opened again with a snapshot as of ``snapshot``."""
    journal = open_journal(disk)
    add(journal, *indexes)
    journal.setRaftCommitIndex(base)
    journal.setCurrentTerm(1, "n1")
    journal.sync()
    again = reopened(disk)
    again.align(entry(snapshot - 1, term), entry(snapshot, term))
    return again


def test_align_keeps_what_follows_the_snapshot(disk):
    journal = aligned(disk, range(1, 11), snapshot=6)

    assert held(journal) == [5, 6, 7, 8, 9, 10]
    journal.sync()
    assert held(reopened(disk)) == [5, 6, 7, 8, 9, 10]


def test_align_changes_nothing_when_the_view_starts_there_already(disk):
    journal = aligned(disk, range(5, 9), snapshot=6, base=6)

    assert held(journal) == [5, 6, 7, 8]
    assert not journal.dirty


@pytest.mark.parametrize("indexes", [range(0), range(1, 5), range(1, 6)], ids=str)
def test_align_replaces_a_log_that_is_older(disk, indexes):
    journal = aligned(disk, indexes, snapshot=6)

    assert journal[:] == [entry(5), entry(6)]
    journal.sync()
    assert journal.durable_index == 6
    assert reopened(disk)[:] == [entry(5), entry(6)]


def test_align_replaces_a_log_that_conflicts(disk):
    journal = aligned(disk, range(1, 20), snapshot=6, term=2)

    assert journal[:] == [entry(5, 2), entry(6, 2)]
    assert journal.durable_index == 0


def test_align_notes_that_the_snapshot_is_committed_and_its_term_was_reached(disk):
    journal = aligned(disk, range(1, 4), snapshot=6, term=3)

    assert journal.getRaftCommitIndex() == 6
    assert (journal.getCurrentTerm(), journal.getVotedForNodeId()) == (3, None)


def test_align_refuses_a_log_that_starts_after_the_snapshot(disk):
    with pytest.raises(CorruptJournalError, match="starts at entry 9, snapshot is of entry 6"):
        aligned(disk, range(9, 12), snapshot=6)


def test_align_refuses_another_command_at_the_same_place(disk):
    journal = open_journal(disk)
    add(journal, 1, 2, 3)

    with pytest.raises(CorruptJournalError, match="is another"):
        journal.align(entry(1), (b"something else", 2, 1))


def test_a_log_that_starts_late_wants_a_snapshot(journal):
    journal.expect_no_snapshot()
    add(journal, 1, 2, 3)
    journal.expect_no_snapshot()
    journal.deleteEntriesTo(1)

    with pytest.raises(CorruptJournalError, match="starts at entry 2, there is no snapshot"):
        journal.expect_no_snapshot()


# -- failure

USES = {
    "add": lambda j: j.add(b"", 3, 1),
    "clear": lambda j: j.clear(),
    "deleteEntriesFrom": lambda j: j.deleteEntriesFrom(1),
    "deleteEntriesTo": lambda j: j.deleteEntriesTo(1),
    "item": lambda j: j[0],
    "slice": lambda j: j[0:],
    "len": len,
    "set commit": lambda j: j.setRaftCommitIndex(1),
    "get commit": lambda j: j.getRaftCommitIndex(),
    "set term": lambda j: j.setCurrentTerm(9, None),
    "get term": lambda j: j.getCurrentTerm(),
    "get vote": lambda j: j.getVotedForNodeId(),
    "timer": lambda j: j.onOneSecondTimer(),
    "sync": lambda j: j.sync(),
    "dirty": lambda j: j.dirty,
    "durable_index": lambda j: j.durable_index,
    "first_index": lambda j: j.first_index,
    "last_index": lambda j: j.last_index,
    "last_term": lambda j: j.last_term,
    "term_at": lambda j: j.term_at(1),
    "entries_from": lambda j: j.entries_from(1),
    "bytes_held": lambda j: j.bytes_held,
    "bytes_on_disk": lambda j: j.bytes_on_disk,
    "align": lambda j: j.align(entry(1), entry(2)),
    "expect_no_snapshot": lambda j: j.expect_no_snapshot(),
}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
@pytest.mark.parametrize("operation", ["write", "sync"])
def test_after_a_write_that_failed_every_use_is_refused_for_good(disk, journal, operation, code):
    synced(journal, 1)
    add(journal, 2)
    disk.fail_at(operation, 1, code)

    with pytest.raises(JournalFailedError):
        journal.sync()

    for use in USES.values():
        with pytest.raises(JournalFailedError, match="writing failed"):
            use(journal)
    journal._destroy()
    assert held(open_journal(disk)) in ([1], [1, 2])


@pytest.mark.parametrize("operation", ["write", "sync", "sync_directory"])
@pytest.mark.parametrize("nth", range(1, 9))
def test_a_rotation_that_fails_ends_the_journal_and_loses_nothing(disk, operation, nth):
    journal = open_journal(disk, segment_bytes=250)
    disk.fail_at(operation, nth, errno.ENOSPC)

    with pytest.raises(JournalFailedError, match="No space left"):
        synced(journal, *range(1, 1000))

    attempted = entry_count_attempted(journal)
    again = held(reopened(disk, segment_bytes=250))
    assert again in ([*range(1, attempted)], [*range(1, attempted + 1)])


def entry_count_attempted(journal: Journal) -> int:
    return len(journal._entries)


@pytest.mark.parametrize("operation", ["write", "sync", "sync_directory"])
def test_a_journal_that_can_not_be_opened_says_so(disk, operation):
    disk.fail_at(operation, 1, errno.EIO)

    with pytest.raises(JournalFailedError, match="can't be opened"):
        open_journal(disk)
