"""Packed snapshots come back chunk by chunk, and any damage to one is seen."""

import hashlib
import os
import zlib

import pytest
from hypothesis import given, strategies as st

from gorilla.service.packing import (
    CHUNK_BYTES_MAX,
    FORMAT_VERSION,
    PIECE_BYTES_MAX,
    PackingError,
    pack,
    pack_chunks,
    unpack,
)
from tests.support.archive import ListedState

VERSION = FORMAT_VERSION


async def packed_pieces(*chunks: bytes) -> tuple[bytes, ...]:
    return (await pack(ListedState(chunks))).pieces


@given(st.lists(st.binary(max_size=500), max_size=8))
async def test_the_chunks_come_out_as_they_went_in(chunks):
    packed = await pack(ListedState(chunks))

    assert list(unpack(packed.format_version, packed.pieces)) == chunks
    assert packed.digest == hashlib.sha256(b"".join(packed.pieces)).hexdigest()
    assert packed.size_bytes == sum(map(len, packed.pieces))


async def test_packing_at_once_gives_the_same_bytes():
    chunks = [b"one", b"", os.urandom(1_000)]

    assert pack_chunks(chunks) == await pack(ListedState(chunks))


async def test_pieces_are_no_larger_than_a_row_may_be():
    chunks = [os.urandom(700_000) for _ in range(25)]

    pieces = await packed_pieces(*chunks)

    assert [len(piece) for piece in pieces[:-1]] == [PIECE_BYTES_MAX] * 2
    assert 0 < len(pieces[-1]) <= PIECE_BYTES_MAX
    assert list(unpack(VERSION, pieces)) == chunks


async def test_pieces_that_are_cut_elsewhere_read_the_same():
    (whole,) = await packed_pieces(b"one", b"two")

    assert list(unpack(VERSION, [whole[:3], b"", whole[3:]])) == [b"one", b"two"]


async def test_a_snapshot_cut_at_any_byte_is_refused():
    (whole,) = await packed_pieces(b"one", os.urandom(50))

    for size in range(len(whole)):
        with pytest.raises(PackingError):
            list(unpack(VERSION, [whole[:size]]))


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"no zlib stream", "can't be decompressed"),
        (zlib.compress(b"\0\0\0\5half"), "ends in the middle"),
        (zlib.compress(b"") + b"more", "has bytes after its end"),
        (zlib.compress((CHUNK_BYTES_MAX + 1).to_bytes(4, "big")), "is damaged"),
    ],
)
def test_what_was_never_packed_is_refused_in_one_line(stream, reason):
    with pytest.raises(PackingError, match=reason) as refused:
        list(unpack(VERSION, [stream]))

    assert "\n" not in str(refused.value)


def test_another_format_is_left_to_the_release_that_wrote_it():
    with pytest.raises(PackingError, match="restore with the release that stored it"):
        list(unpack(VERSION + 1, []))
