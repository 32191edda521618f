"""Opening a journal after crashes, and after damage that no crash can explain."""

import contextlib
import random

import pytest

from gorilla.consensus.journal import CorruptJournalError
from gorilla.consensus.journal.records import FRAME, HEADER_MAGIC, decode_frame
from gorilla.consensus.journal.segments import segment_name
from gorilla.consensus.ports import Disk
from tests.support.journals import (
    FIRST,
    Killed,
    add,
    directory_with,
    disk_with,
    files_of,
    held,
    kill_at,
    open_journal,
    power_loss,
    synced,
)
from tests.support.simdisk import SimDisk

SMALL = 250
"""A segment of so many bytes takes four frames of one entry."""


def frame_starts(data: bytes) -> list[int]:
    """Where the frames of a segment start, and where the last one ends."""
    starts = [decode_frame(HEADER_MAGIC, data, 0).end]
    while starts[-1] < len(data):
        length = FRAME.unpack_from(data, starts[-1])[2]
        starts.append(starts[-1] + FRAME.size + length)
    return starts


def one_segment(*frames: int) -> bytes:
    disk = SimDisk()
    journal = open_journal(disk)
    index = 0
    for count in frames:
        add(journal, *range(index + 1, index + count + 1))
        journal.sync()
        index += count
    return disk.read(FIRST)


def many_segments(entries: int = 17) -> dict[str, bytes]:
    disk = SimDisk()
    synced(open_journal(disk, segment_bytes=SMALL), *range(1, entries + 1))
    return files_of(disk)


def flipped(data: bytes, offset: int, bit: int = 0) -> bytes:
    copy = bytearray(data)
    copy[offset] ^= 1 << bit
    return bytes(copy)


def test_a_clean_stop_leaves_nothing_to_mend():
    disk = disk_with({FIRST: one_segment(2, 3)})

    report = open_journal(disk).recovered

    assert (report.segments, report.frames, report.bytes_cut, report.removed) == (1, 2, 0, ())


def cut_at(disk: Disk, data: bytes, size: int) -> None:
    """Open the first ``size`` bytes of a journal of four frames, and go on with it."""
    starts = frame_starts(data)
    frames = sum(start <= size for start in starts) - 1
    last = (0, 1, 3, 4, 5)[frames]

    journal = open_journal(disk, must_exist=True)

    assert held(journal) == [*range(1, last + 1)]
    assert journal.recovered.bytes_cut == size - starts[frames]
    assert len(disk.read(FIRST)) == starts[frames]
    synced(journal, last + 1)
    journal._destroy()
    assert held(open_journal(disk)) == [*range(1, last + 2)]


def test_a_journal_cut_at_any_byte_keeps_every_whole_frame():
    data = one_segment(1, 2, 1, 1)

    for size in range(frame_starts(data)[0], len(data) + 1):
        cut_at(disk_with({FIRST: data[:size]}), data, size)


def test_a_real_journal_cut_at_any_byte_of_its_last_frame_keeps_every_whole_frame(tmp_path):
    data = one_segment(1, 2, 1, 1)

    for size in range(frame_starts(data)[3], len(data) + 1):
        with directory_with(tmp_path / str(size), {FIRST: data[:size]}) as disk:
            cut_at(disk, data, size)


def test_garbage_after_the_last_frame_is_cut():
    data = one_segment(1, 1)
    for tail in (b"\0" * 5000, b"\xff" * 70, b"\xf7gjf" + b"\0" * 40, b"\xf7gjf"):
        disk = disk_with({FIRST: data + tail})
        journal = open_journal(disk)

        assert held(journal) == [1, 2]
        assert journal.recovered.bytes_cut == len(tail)
        assert journal.recovered.cut_file == FIRST
        assert disk.read(FIRST) == data


def test_a_damaged_last_frame_is_cut_whatever_byte_it_is():
    data = one_segment(1, 1, 1)
    starts = frame_starts(data)

    for offset in range(starts[2], starts[3]):
        journal = open_journal(disk_with({FIRST: flipped(data, offset)}))
        assert held(journal) == [1, 2], offset


def test_a_byte_flipped_anywhere_in_a_middle_frame_is_refused_with_its_place():
    data = one_segment(1, 1, 2, 1)
    starts = frame_starts(data)

    for frame in (0, 1, 2):
        for offset in range(starts[frame], starts[frame + 1]):
            disk = disk_with({FIRST: flipped(data, offset, offset % 8)})
            with pytest.raises(CorruptJournalError) as caught:
                open_journal(disk)
            assert (caught.value.file, caught.value.offset) == (FIRST, starts[frame]), offset
            assert "remove its data directory and let it rejoin" in str(caught.value)
            assert disk.read(FIRST) == flipped(data, offset, offset % 8), "it was touched"


def test_a_byte_flipped_anywhere_in_a_used_header_is_refused():
    data = one_segment(1, 1)

    for offset in range(frame_starts(data)[0]):
        with pytest.raises(CorruptJournalError, match="header is damaged") as caught:
            open_journal(disk_with({FIRST: flipped(data, offset)}))
        assert (caught.value.file, caught.value.offset) == (FIRST, 0)


def test_a_byte_flipped_in_an_older_segment_is_refused_unless_it_only_says_that_it_is_closed():
    files = many_segments()
    names = sorted(files)
    whole = held(open_journal(disk_with(files)))

    for position, name in enumerate(names[:-1]):
        closing = frame_starts(files[name])[-2]
        for offset in range(closing):
            with pytest.raises(CorruptJournalError) as caught:
                open_journal(disk_with(files | {name: flipped(files[name], offset)}))
            assert caught.value.file in names[position : position + 2]
        for offset in range(closing, len(files[name])):
            assert (
                held(open_journal(disk_with(files | {name: flipped(files[name], offset)}))) == whole
            )


def test_a_closing_frame_that_a_crash_cut_off_is_written_again():
    files = many_segments()
    name = sorted(files)[-2]
    closing = frame_starts(files[name])[-2]

    for size in range(closing, len(files[name])):
        disk = disk_with(files | {name: files[name][:size]})
        open_journal(disk)
        assert files_of(disk) == files


@pytest.mark.parametrize("missing", range(5))
def test_a_missing_segment_is_refused_whichever_it_is(missing):
    files = many_segments()
    names = sorted(files)
    assert len(names) == 5
    gone = names[missing]

    with pytest.raises(CorruptJournalError, match="missing") as caught:
        open_journal(disk_with({name: data for name, data in files.items() if name != gone}))

    assert caught.value.file == gone


def test_all_segments_missing_is_refused_for_a_member_that_took_part():
    with pytest.raises(CorruptJournalError, match="journal of a member that took part is missing"):
        open_journal(SimDisk(), must_exist=True)

    assert held(open_journal(SimDisk())) == []


def test_only_an_unusable_newest_segment_left_is_never_an_empty_journal():
    with pytest.raises(CorruptJournalError, match="missing"):
        open_journal(disk_with({segment_name(7): b"\0" * 10}))


def test_a_header_that_contradicts_the_segments_before_is_refused():
    files = many_segments(5)
    other = SimDisk()
    journal = open_journal(other, segment_bytes=SMALL)
    journal.setCurrentTerm(1, "n1")
    journal.sync()
    synced(journal, *range(1, 5))
    names = sorted(files)
    mixed = files_of(other)
    assert names == sorted(mixed)[: len(names)]

    with pytest.raises(CorruptJournalError):
        open_journal(disk_with({names[0]: files[names[0]], names[1]: mixed[names[1]]}))


# -- rotation and removal


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
