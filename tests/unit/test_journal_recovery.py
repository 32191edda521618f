"""Opening a journal that was cut, damaged or lost in part: what is mended, and what refused."""

import pytest

from gorilla.consensus.journal import CorruptJournalError
from gorilla.consensus.journal.segments import segment_name
from gorilla.consensus.ports import Disk
from tests.support.journals import (
    FIRST,
    SMALL,
    directory_with,
    disk_with,
    files_of,
    flipped,
    frame_starts,
    held,
    many_segments,
    one_segment,
    open_journal,
    power_loss,
    synced,
)
from tests.support.simdisk import SimDisk


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
            assert "set its data directory aside" in str(caught.value)
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


def test_a_missing_newest_segment_is_noticed_also_after_a_power_loss():
    for seed in range(20):
        disk = SimDisk()
        journal = open_journal(disk, segment_bytes=SMALL)
        synced(journal, *range(1, 18))
        power_loss(disk, seed)
        disk.remove(max(disk.names()))

        with pytest.raises(CorruptJournalError, match="missing"):
            open_journal(disk, segment_bytes=SMALL)


def test_a_last_frame_lost_before_the_newest_segment_is_noticed_whatever_it_held():
    """Here it replaced an entry, so first and last index, term and vote are as without it."""
    disk = SimDisk()
    journal = open_journal(disk, segment_bytes=SMALL)
    synced(journal, 1, 2, 3)
    journal.deleteEntriesFrom(2)
    synced(journal, 3, term=2)
    files = files_of(disk)
    older, newest = sorted(files)
    lost = files[older][: frame_starts(files[older])[3]]

    with pytest.raises(CorruptJournalError, match="missing or damaged") as caught:
        open_journal(disk_with({older: lost, newest: files[newest]}))

    assert (caught.value.file, caught.value.offset) == (older, len(lost))


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
