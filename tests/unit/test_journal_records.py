"""Format version 1: it stays readable for ever, so its bytes are written down here."""

import struct
import zlib

import pytest
from hypothesis import given, strategies as st

from gorilla.consensus.journal import CorruptJournalError
from gorilla.consensus.journal.records import (
    FRAME_MAGIC,
    HEADER_MAGIC,
    Append,
    Checkpoint,
    Close,
    Forget,
    Header,
    MalformedRecordError,
    Reset,
    SetCommit,
    SetTerm,
    Truncate,
    decode_frame,
    decode_header,
    decode_records,
    encode_frame,
    encode_header,
    encode_record,
    entry_head,
    find_frame,
    frame_seed,
)
from tests.support.journals import FIRST, add, disk_with, files_of, held, open_journal
from tests.support.simdisk import SimDisk

u64 = st.integers(0, 2**64 - 1)
records = st.one_of(
    st.builds(Append, st.binary(max_size=50), u64, u64),
    st.builds(Truncate, u64),
    st.builds(SetTerm, u64, st.none() | st.text(max_size=40)),
    st.builds(SetCommit, u64),
    st.builds(Forget, u64),
    st.just(Reset()),
    st.just(Close()),
)
votes = st.none() | st.text(max_size=40)

GOLDEN = bytes.fromhex(
    "f7676a68" "0100000000000000" "35000000" "f3d8fe95"
    "0100" "0100000000000000" "0000000000000000" "0000000000000000" "0000000000000000"
    "0000000000000000" "00" "0000" "0600" "6e6f64652d41"
    "f7676a66" "0200000000000000" "51000000" "136960eb"
    "0f00000003" "0700000000000000" "01" "6e6f64652d42"
    "15000000" "01" "0100000000000000" "0700000000000000" "6669727374"
    "11000000" "01" "0200000000000000" "0700000000000000" "58"
    "0800000004" "0100000000000000"
)  # fmt: skip


@given(st.lists(records, max_size=8))
def test_records_come_back_as_they_were(written):
    payload = b"".join(map(encode_record, written))

    assert list(decode_records(payload)) == written


@given(st.binary(max_size=50), u64, u64)
def test_the_short_way_to_write_an_entry_gives_the_same_bytes(command, index, term):
    assert entry_head(command, index, term) + command == encode_record(Append(command, index, term))


@given(st.builds(Header, st.integers(0, 65535), u64, st.builds(Checkpoint, u64, u64, u64, votes, u64), st.text(max_size=40)))  # fmt: skip  # noqa: E501
def test_headers_come_back_as_they_were(header):
    assert decode_header(encode_header(header)) == header


@given(st.binary(max_size=200), u64, st.binary(max_size=20), st.binary(max_size=20))
def test_a_frame_is_found_wherever_it_stands_and_by_its_own_member_alone(
    payload, sequence, before, after
):
    seed = frame_seed("me")
    data = before + encode_frame(FRAME_MAGIC, sequence, payload, seed) + after
    at = find_frame(data, 0, seed)

    assert at == len(before)
    frame = decode_frame(FRAME_MAGIC, data, at, seed)
    assert (frame.sequence, frame.payload, frame.end) == (sequence, payload, len(data) - len(after))
    assert find_frame(data, 0, frame_seed("somebody else")) is None


@given(st.binary(max_size=40), st.data())
def test_a_frame_with_any_bit_flipped_or_cut_is_none(payload, data):
    frame = bytearray(encode_frame(FRAME_MAGIC, 7, payload, 1))
    bit = data.draw(st.integers(0, len(frame) * 8 - 1))
    cut = data.draw(st.integers(0, len(frame) - 1))

    assert decode_frame(FRAME_MAGIC, bytes(frame[:cut]), 0, 1) is None
    frame[bit // 8] ^= 1 << bit % 8
    assert decode_frame(FRAME_MAGIC, bytes(frame), 0, 1) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"\x00",
        struct.pack("<IB", 5, 4) + b"1234",
        struct.pack("<IB", 0, 99),
        struct.pack("<IB", 3, 2) + b"abc",
        struct.pack("<IB", 10, 3) + struct.pack("<Q?", 1, True) + b"\xff",
    ],
    ids=["cut head", "beyond the frame", "unknown kind", "short body", "no text"],
)
def test_bytes_that_are_no_records_are_refused(payload):
    with pytest.raises(MalformedRecordError):
        list(decode_records(payload))


def test_a_header_that_is_cut_is_refused():
    with pytest.raises(MalformedRecordError):
        decode_header(b"\x01\x00")


def test_a_journal_writes_the_golden_bytes_of_version_1():
    disk = SimDisk()
    journal = open_journal(disk, node="node-A")
    journal.setCurrentTerm(7, "node-B")
    journal.add(b"first", 1, 7)
    journal.add(b"X", 2, 7)
    journal.setRaftCommitIndex(1)

    journal.sync()

    assert files_of(disk) == {FIRST: GOLDEN}


def test_the_golden_bytes_of_version_1_are_read():
    journal = open_journal(disk_with({FIRST: GOLDEN}), node="node-A", must_exist=True)

    assert journal[:] == [(b"first", 1, 7), (b"X", 2, 7)]
    assert (journal.getCurrentTerm(), journal.getVotedForNodeId()) == (7, "node-B")
    assert journal.getRaftCommitIndex() == 1


def reheaded(**changes) -> bytes:
    """The golden journal with another header, its checksum right."""
    first = decode_frame(HEADER_MAGIC, GOLDEN, 0)
    header = decode_header(first.payload)._replace(**changes)
    return encode_frame(HEADER_MAGIC, first.sequence, encode_header(header)) + GOLDEN[first.end :]


def test_a_later_version_is_refused_and_asks_for_the_later_program():
    with pytest.raises(CorruptJournalError, match="format version 2 is later") as caught:
        open_journal(disk_with({FIRST: reheaded(version=2)}), node="node-A")

    assert "Start the version of Gorilla that wrote it" in caught.value.remedy
    assert caught.value.file == FIRST


def test_another_members_journal_is_refused_by_name():
    with pytest.raises(CorruptJournalError, match="belongs to member node-A, this is node-Z"):
        open_journal(disk_with({FIRST: GOLDEN}), node="node-Z")


def test_a_segment_under_another_name_is_refused():
    with pytest.raises(CorruptJournalError, match="the file is segment 4 by its header"):
        open_journal(disk_with({FIRST: reheaded(segment=4)}), node="node-A")


def test_an_unknown_record_in_an_intact_frame_is_refused_with_its_place():
    start = decode_frame(HEADER_MAGIC, GOLDEN, 0).end
    strange = encode_frame(FRAME_MAGIC, 2, struct.pack("<IB", 0, 99), frame_seed("node-A"))

    with pytest.raises(CorruptJournalError, match="unknown kind 99") as caught:
        open_journal(disk_with({FIRST: GOLDEN[:start] + strange}), node="node-A")

    assert caught.value.offset == start


def test_a_frame_out_of_sequence_is_refused():
    again = GOLDEN[decode_frame(HEADER_MAGIC, GOLDEN, 0).end :]

    with pytest.raises(CorruptJournalError, match="frame 2 stands where 3 belongs") as caught:
        open_journal(disk_with({FIRST: GOLDEN + again}), node="node-A")

    assert caught.value.offset == len(GOLDEN)


def test_a_command_that_holds_a_frame_is_no_frame():
    """Bytes that a client chose must not make a torn frame look like damage."""
    disk = SimDisk()
    journal = open_journal(disk)
    add(journal, 1)
    journal.sync()
    forged = encode_frame(FRAME_MAGIC, 4, b"", zlib.crc32(b"")) + encode_frame(FRAME_MAGIC, 4, b"")
    journal.add(forged * 3, 2, 1)
    journal.sync()
    whole = disk.read(FIRST)

    again = open_journal(disk_with({FIRST: whole[:-1]}))

    assert held(again) == [1]
