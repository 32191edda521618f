"""The journal while it is open: the library's view, durability, retention, alignment, failure."""

import errno
import inspect

import pytest
from pysyncobj.journal import Journal as LibraryJournal, MemoryJournal

from gorilla.consensus.journal import (
    Journal,
    JournalFailedError,
    JournalInvariantError,
)
from gorilla.consensus.journal.records import FRAME_BYTES_MAX
from tests.support.journals import FIRST, add, entry, held, open_journal, power_loss, synced
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


def test_every_method_that_the_library_calls_is_ours():
    wanted = [
        (name, len(inspect.signature(method).parameters))
        for name, method in inspect.getmembers(LibraryJournal, inspect.isfunction)
    ]

    assert len(wanted) == 13
    for name, parameters in wanted:
        assert name in vars(Journal), name
        assert len(inspect.signature(getattr(Journal, name)).parameters) == parameters, name


def test_the_view_is_what_the_librarys_own_journal_gives(journal):
    theirs = MemoryJournal()
    for each in (journal, theirs):
        for index in range(1, 9):
            each.add(*entry(index))
        each.deleteEntriesFrom(6)
        each.add(*entry(7, 2))
        each.deleteEntriesTo(2)

    assert len(journal) == len(theirs) == 5
    assert journal[:] == theirs[:]
    assert journal[0] == theirs[0] == entry(3)
    assert journal[-1] == theirs[-1] == entry(7, 2)
    assert journal[1:3] == theirs[1:3]
    assert journal[3:300] == theirs[3:300]
    assert journal[99:] == []


def test_indexes_and_terms_are_found(journal):
    add(journal, 1, 2, 3)
    add(journal, 4, term=5)
    journal.deleteEntriesTo(1)

    assert (journal.first_index, journal.last_index, journal.last_term) == (2, 4, 5)
    assert [journal.term_at(index) for index in range(6)] == [None, None, 1, 1, 5, None]
    assert journal.entries_from(3) == [entry(3), entry(4, 5)]
    assert journal.entries_from(5) == []
    with pytest.raises(IndexError, match="entry 1 is forgotten, the log starts at 2"):
        journal.entries_from(1)


def test_a_new_journal_is_empty(journal):
    assert (len(journal), journal.first_index, journal.last_index, journal.last_term) == (
        0,
        0,
        0,
        0,
    )
    assert (journal.getCurrentTerm(), journal.getVotedForNodeId()) == (0, None)
    assert (journal.getRaftCommitIndex(), journal.durable_index) == (1, 0)
    assert journal.entries_from(1) == []
    assert not journal.dirty


def test_a_position_beyond_the_end_drops_nothing(journal):
    add(journal, 1, 2)

    journal.deleteEntriesFrom(2)

    assert held(journal) == [1, 2]


@pytest.mark.parametrize("following", [(3, 1), (5, 1), (4, 0)], ids=["again", "hole", "term back"])
def test_an_entry_that_can_not_follow_is_refused(journal, following):
    journal.add(*entry(3))

    with pytest.raises(JournalInvariantError, match="can't follow entry 3 of term 1"):
        journal.add(*entry(*following))

    assert held(journal) == [3]


def test_the_log_never_loses_its_last_or_first_entry(journal):
    add(journal, 1, 2)

    with pytest.raises(JournalInvariantError, match="first entry"):
        journal.deleteEntriesFrom(0)
    with pytest.raises(JournalInvariantError, match="beyond the log"):
        journal.deleteEntriesTo(2)

    assert held(journal) == [1, 2]


# -- durability


def test_one_sync_is_one_write_and_one_sync_of_the_disk_whatever_there_is(disk, journal):
    seen: list[str] = []
    disk.on_op = seen.append
    add(journal, *range(1, 50))
    journal.setCurrentTerm(3, "n2")
    journal.deleteEntriesFrom(40)
    journal.setRaftCommitIndex(7)

    journal.sync()
    journal.sync()

    assert [what.split()[0] for what in seen if what.endswith("before")] == ["write", "sync"]


def test_what_is_not_synced_is_not_there_after_a_crash(disk, journal):
    synced(journal, 1, 2)
    add(journal, 3)
    journal.setCurrentTerm(9, "n1")

    assert journal.dirty
    again = reopened(disk)

    assert held(again) == [1, 2]
    assert again.getCurrentTerm() == 0


def test_durable_index_follows_the_disk_not_the_view(journal):
    add(journal, 1, 2, 3)
    seen = [journal.durable_index]
    journal.sync()
    seen.append(journal.durable_index)
    journal.deleteEntriesFrom(1)
    seen.append(journal.durable_index)
    add(journal, 2, 3, term=2)
    seen.append(journal.durable_index)
    journal.sync()
    seen.append(journal.durable_index)
    journal.clear()
    seen.append(journal.durable_index)

    assert seen == [0, 3, 1, 1, 3, 0]


def test_term_vote_and_commit_index_survive(disk, journal):
    add(journal, 1, 2)
    journal.setCurrentTerm(4, "n2")
    journal.setRaftCommitIndex(2)
    journal.sync()

    again = reopened(disk)

    assert (again.getCurrentTerm(), again.getVotedForNodeId()) == (4, "n2")
    assert again.getRaftCommitIndex() == 2


def test_the_commit_index_alone_is_written_once_a_second_at_most(disk, journal):
    synced(journal, 1)
    journal.setRaftCommitIndex(1)
    journal.sync()
    before = disk.syncs

    journal.onOneSecondTimer()
    journal.sync()
    journal.onOneSecondTimer()
    journal.sync()

    assert disk.syncs == before + 1
    assert reopened(disk).getRaftCommitIndex() == 1


def test_entries_that_came_after_a_too_large_commit_index_are_not_committed(disk, journal):
    add(journal, 1, 2)
    journal.setRaftCommitIndex(100)
    journal.sync()
    synced(journal, 3, 4)

    assert journal.getRaftCommitIndex() == 2
    assert reopened(disk).getRaftCommitIndex() == 2


def test_dropping_entries_takes_the_commit_index_along(disk, journal):
    add(journal, 1, 2, 3)
    journal.setRaftCommitIndex(3)
    journal.sync()
    journal.deleteEntriesFrom(1)
    add(journal, 2, 3, term=2)
    journal.sync()

    assert reopened(disk).getRaftCommitIndex() == 1


def test_a_term_never_goes_back_and_a_vote_never_changes(journal):
    journal.setCurrentTerm(5, None)
    journal.setCurrentTerm(5, "n2")
    journal.setCurrentTerm(5, "n2")

    with pytest.raises(JournalInvariantError, match="can't go back from 5 to 4"):
        journal.setCurrentTerm(4, None)
    for other in ("n3", None):
        with pytest.raises(JournalInvariantError, match="after one for n2"):
            journal.setCurrentTerm(5, other)

    assert (journal.getCurrentTerm(), journal.getVotedForNodeId()) == (5, "n2")
    journal.setCurrentTerm(6, "n3")


def test_the_same_vote_again_needs_no_sync(journal):
    journal.setCurrentTerm(5, "n2")
    journal.sync()

    journal.setCurrentTerm(5, "n2")

    assert not journal.dirty


def test_much_at_once_is_spread_over_frames_of_bounded_size(disk):
    journal = open_journal(disk, segment_bytes=1 << 30)
    piece = bytes(FRAME_BYTES_MAX // 4)
    for index in range(1, 7):
        journal.add(piece, index, 1)
    journal.sync()

    assert disk.read(FIRST).count(b"\xf7gjf") == 2
    assert len(reopened(disk)) == 6
    with pytest.raises(JournalInvariantError, match="too large"):
        open_journal(SimDisk()).add(bytes(FRAME_BYTES_MAX), 1, 1)


def test_closing_syncs_and_ends_it(disk, journal):
    add(journal, 1)

    journal._destroy()
    journal._destroy()

    with pytest.raises(JournalFailedError, match="it is closed"):
        len(journal)
    assert held(reopened(disk)) == [1]


# -- forgetting


def test_retained_entries_stay_in_front_of_the_view(disk):
    journal = open_journal(disk, retain_entries=3)
    add(journal, *range(1, 11))

    journal.deleteEntriesTo(8)
    journal.deleteEntriesTo(2)
    journal.sync()

    assert held(journal) == [6, 7, 8, 9, 10]
    assert held(reopened(disk)) == [6, 7, 8, 9, 10]


def test_retained_bytes_bound_the_retained_entries(disk):
    journal = open_journal(disk, retain_entries=100, retain_bytes=25)
    add(journal, *range(1, 11))

    journal.deleteEntriesTo(9)

    assert held(journal) == [7, 8, 9, 10]


def test_bytes_held_counts_the_commands_of_the_view(disk, journal):
    seen = []
    add(journal, 1, 2, 3, 4)
    seen.append(journal.bytes_held)
    journal.deleteEntriesFrom(3)
    seen.append(journal.bytes_held)
    journal.deleteEntriesTo(1)
    seen.append(journal.bytes_held)
    journal.sync()
    seen.append(reopened(disk).bytes_held)

    assert seen == [32, 24, 16, 16]


def test_the_snapshot_is_made_durable_before_anything_is_forgotten(journal):
    add(journal, 1, 2, 3)
    seen: list[list[int]] = []
    journal.before_forget = lambda: seen.append(held(journal))

    journal.deleteEntriesTo(0)
    journal.deleteEntriesTo(2)
    journal.clear()

    assert seen == [[1, 2, 3], [3]]


def test_nothing_is_forgotten_when_the_snapshot_is_not_durable(journal):
    def fail() -> None:
        raise OSError(errno.EIO, "no")

    add(journal, 1, 2, 3)
    journal.before_forget = fail

    for forgetting in (lambda: journal.deleteEntriesTo(2), journal.clear):
        with pytest.raises(OSError, match="no"):
            forgetting()

    assert held(journal) == [1, 2, 3]


def test_every_sync_of_entries_is_told_with_its_length():
    told = []
    journal = open_journal(SimDisk(), on_sync=told.append)

    synced(journal, 1, 2, 3)
    journal.sync()

    assert len(told) == 3
    assert all(seconds >= 0 for seconds in told)
