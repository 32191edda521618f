"""Segments come and go, and a crash at any moment of it loses nothing."""

import contextlib
import random

import pytest

from gorilla.consensus.journal import CorruptJournalError
from gorilla.consensus.journal.segments import segment_name
from tests.support.journals import (
    FIRST,
    SMALL,
    Killed,
    add,
    disk_with,
    files_of,
    frame_starts,
    held,
    kill_at,
    many_segments,
    one_segment,
    open_journal,
    power_loss,
    synced,
)
from tests.support.simdisk import SimDisk


def test_segments_follow_one_another_and_are_read_in_order():
    disk = disk_with(many_segments())

    journal = open_journal(disk, segment_bytes=SMALL)

    assert disk.names() == [segment_name(number) for number in range(1, 6)]
    assert held(journal) == [*range(1, 18)]
    assert journal.recovered.segments == 5
    assert journal.bytes_on_disk == sum(map(len, files_of(disk).values()))


def test_a_segment_is_removed_once_all_its_entries_are_forgotten_durably():
    disk = SimDisk()
    journal = open_journal(disk, segment_bytes=SMALL, retain_entries=2)
    synced(journal, *range(1, 13))
    before = disk.names()
    journal.deleteEntriesTo(9)
    assert disk.names() == before

    journal.sync()

    assert len(disk.names()) < len(before)
    again = open_journal(disk_with(files_of(disk)), segment_bytes=SMALL, must_exist=True)
    assert held(again) == [8, 9, 10, 11, 12]


def test_term_and_vote_outlive_the_segment_that_they_were_written_in():
    disk = SimDisk()
    journal = open_journal(disk, segment_bytes=SMALL)
    journal.setCurrentTerm(3, "n2")
    synced(journal, *range(1, 20))
    journal.setRaftCommitIndex(18)
    journal.deleteEntriesTo(17)
    journal.sync()
    assert FIRST not in disk.names()

    again = open_journal(disk_with(files_of(disk)), must_exist=True)

    assert (again.getCurrentTerm(), again.getVotedForNodeId()) == (3, "n2")
    assert again.getRaftCommitIndex() == 18


def test_entries_replaced_across_a_segment_border_come_back_replaced():
    disk = SimDisk()
    journal = open_journal(disk, segment_bytes=SMALL)
    synced(journal, *range(1, 9))
    assert len(disk.names()) > 2
    journal.deleteEntriesFrom(2)
    synced(journal, *range(3, 12), term=2)
    journal.deleteEntriesTo(5)
    synced(journal, 12, term=2)

    again = open_journal(disk_with(files_of(disk)), must_exist=True)

    assert again[:] == journal[:]
    assert again.first_index == 6


def test_a_leftover_that_a_power_loss_brought_back_is_removed_again():
    files = many_segments()
    disk = disk_with(files)
    journal = open_journal(disk, segment_bytes=SMALL)
    journal.deleteEntriesTo(14)
    journal.sync()
    left = files_of(disk)
    back = min(files)
    assert back not in left
    assert sorted(files)[1] not in left

    again_disk = disk_with(left | {back: files[back]})
    again = open_journal(again_disk, must_exist=True)

    assert again[:] == journal[:]
    assert again.recovered.removed == (back,)
    assert back not in again_disk.names()


def moments(work) -> int:
    """How many moments there are to die at in ``work``."""
    disk, seen = SimDisk(), []
    disk.on_op = seen.append
    work(disk)
    return len(seen)


def rotating(disk: SimDisk) -> list[int]:
    """A life with rotations and removals; returns the indexes that were synced when it ended."""
    safe: list[int] = []
    try:
        journal = open_journal(disk, segment_bytes=SMALL)
        for index in range(1, 12):
            if index % 5 == 0:
                journal.deleteEntriesTo(len(journal) - 2)
            synced(journal, index)
            safe.append(index)
    except Killed:
        pass
    return safe


@pytest.mark.parametrize("power", [False, True], ids=["kill", "power loss"])
def test_a_crash_at_any_moment_of_rotation_or_removal_loses_nothing(power):
    total = moments(rotating)
    assert total > 100

    for moment in range(total):
        for seed in range(8 if power else 1):
            disk = SimDisk()
            kill_at(disk, moment)
            safe = rotating(disk)
            disk.crash(random.Random(seed), power=power)
            again = held(open_journal(disk, segment_bytes=SMALL, must_exist=bool(safe)))

            last = safe[-1] if safe else 0
            assert again[-1:] in ([last], [last + 1]) or not safe, (moment, seed)
            assert again == [*range(again[0], again[-1] + 1)] if again else not safe
            assert not again or again[0] <= max(1, last - 1)


def test_a_crash_during_recovery_can_be_recovered_from():
    files = many_segments(8)
    names = sorted(files)
    torn = files | {segment_name(len(names) + 1): b"\xf7gjh torn"}
    unclosed = files | {names[-2]: files[names[-2]][: frame_starts(files[names[-2]])[-2] + 9]}
    cut = files | {names[-1]: files[names[-1]] + b"torn"}

    for before in (torn, unclosed, cut):
        total = moments(lambda disk, before=before: _load_and_open(disk, before))
        for moment in range(total):
            disk = disk_with(before)
            kill_at(disk, moment)
            with contextlib.suppress(Killed):
                open_journal(disk, segment_bytes=SMALL)
            power_loss(disk, moment)
            journal = open_journal(disk, segment_bytes=SMALL, must_exist=True)
            assert held(journal) == [*range(1, 9)]
            synced(journal, 9)


def _load_and_open(disk: SimDisk, files: dict[str, bytes]) -> None:
    seen, disk.on_op = disk.on_op, None
    for name, data in files.items():
        disk.append(name).write(data)
    disk.on_op = seen
    open_journal(disk, segment_bytes=SMALL)


@pytest.mark.parametrize("header", [b"", b"\0" * 30, b"\xf7gjh\x01"], ids=["empty", "zero", "torn"])
def test_a_newest_segment_that_was_never_in_use_is_removed(header):
    files = many_segments(8)
    unused = segment_name(len(files) + 1)
    disk = disk_with(files | {unused: header})
    # The newest of them has no closing frame: the crash came before it was written.

    journal = open_journal(disk, segment_bytes=SMALL, must_exist=True)

    assert held(journal) == [*range(1, 9)]
    assert journal.recovered.removed == (unused,)
    synced(journal, *range(9, 14))
    assert held(open_journal(disk_with(files_of(disk)))) == [*range(1, 14)]


def test_a_header_lost_after_the_segment_before_was_closed_is_refused():
    files = many_segments()
    newest = max(files)

    with pytest.raises(CorruptJournalError, match="the segment has no header") as caught:
        open_journal(disk_with(files | {newest: b""}))

    assert caught.value.file == newest


def test_a_first_start_cut_short_begins_again_unless_the_member_took_part():
    for data in (b"", b"\xf7gjh", one_segment(1)[:60]):
        assert held(open_journal(disk_with({FIRST: data}))) == []
        with pytest.raises(CorruptJournalError, match="took part"):
            open_journal(disk_with({FIRST: data}), must_exist=True)


def test_a_long_file_without_a_header_was_in_use_and_is_refused():
    with pytest.raises(CorruptJournalError, match="header is damaged"):
        open_journal(disk_with({FIRST: b"\0" * 5000}))


def test_what_a_killed_process_wrote_is_durable_before_it_is_relied_on():
    for moment in range(40):
        disk = SimDisk()
        kill_at(disk, moment)
        rotating(disk)
        disk.crash(random.Random(0), power=False)
        seen = held(open_journal(disk, segment_bytes=SMALL))
        power_loss(disk, moment)
        assert held(open_journal(disk, segment_bytes=SMALL)) == seen, moment


def test_a_log_replaced_up_to_the_same_commit_index_is_read_again():
    disk = SimDisk()
    journal = open_journal(disk, segment_bytes=SMALL)
    synced(journal, 1, 2)
    journal.setRaftCommitIndex(2)
    journal.onOneSecondTimer()
    journal.sync()
    journal.clear()
    add(journal, 1, 2)
    journal.setRaftCommitIndex(2)
    journal.sync()
    synced(journal, *range(3, 12))
    assert len(disk.names()) > 1

    again = open_journal(disk_with(files_of(disk)), segment_bytes=SMALL, must_exist=True)

    assert held(again) == [*range(1, 12)]
    assert again.getRaftCommitIndex() == 2


def test_a_commit_index_that_went_with_its_entries_is_written_again():
    disk = SimDisk()
    journal = open_journal(disk, segment_bytes=SMALL)
    synced(journal, 1, 2, 3)
    journal.setRaftCommitIndex(3)
    journal.onOneSecondTimer()
    journal.sync()
    journal.deleteEntriesFrom(2)
    add(journal, 3)
    journal.setRaftCommitIndex(3)
    journal.sync()
    synced(journal, *range(4, 12))

    again = open_journal(disk_with(files_of(disk)), segment_bytes=SMALL, must_exist=True)

    assert again.getRaftCommitIndex() == 3
