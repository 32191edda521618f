"""Frames: whole, in pieces, damaged, too long, and any bytes at all."""

import struct
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, strategies as st

from gorilla.consensus.peers.frames import (
    FRAME_BYTES_MAX,
    STRANGER_BYTES_MAX,
    FrameDecoder,
    FrameError,
    encode_frame,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
messages = st.dictionaries(st.text(), values, max_size=6)


def frame_of(body: bytes) -> bytes:
    return struct.pack(">II", len(body), zlib.crc32(body)) + body


@given(st.lists(messages, max_size=5), st.lists(st.integers(0, 400), max_size=12))
def test_messages_come_out_as_they_went_in_however_the_stream_is_cut(sent, cuts):
    stream = b"".join(map(encode_frame, sent))
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    decoder = FrameDecoder(FRAME_BYTES_MAX)

    received = [
        message for start, end in pairwise(edges) for message in decoder.messages(stream[start:end])
    ]

    assert received == sent
    assert decoder.pending_bytes == 0


@given(messages, st.data())
def test_a_frame_that_is_cut_short_is_waited_for(message, data):
    frame = encode_frame(message)
    cut = data.draw(st.integers(0, len(frame) - 1))
    decoder = FrameDecoder(FRAME_BYTES_MAX)

    assert list(decoder.messages(frame[:cut])) == []
    assert decoder.pending_bytes == cut
    assert list(decoder.messages(frame[cut:])) == [message]


@given(messages, st.data())
def test_a_frame_with_any_flipped_body_bit_is_refused(message, data):
    frame = bytearray(encode_frame(message))
    bit = data.draw(st.integers(4 * 8, len(frame) * 8 - 1))
    frame[bit // 8] ^= 1 << bit % 8

    with pytest.raises(FrameError, match="damaged"):
        list(FrameDecoder(FRAME_BYTES_MAX).messages(bytes(frame)))


@given(st.binary(max_size=300))
def test_any_bytes_at_all_give_messages_or_a_frame_error(data):
    decoder = FrameDecoder()
    try:
        received = list(decoder.messages(data))
    except FrameError:
        return
    assert all(isinstance(message, dict) for message in received)
    assert decoder.pending_bytes <= len(data)


@given(st.binary(max_size=300))
def test_any_body_with_a_right_checksum_gives_a_message_or_a_frame_error(body):
    try:
        [message] = FrameDecoder().messages(frame_of(body))
    except FrameError:
        return
    assert isinstance(message, dict)


def test_a_huge_length_is_refused_before_its_body_arrives():
    decoder = FrameDecoder()

    with pytest.raises(FrameError, match="exceeds the bound"):
        list(decoder.messages(struct.pack(">II", 0xFFFF_FFFF, 0)))


@pytest.mark.parametrize(
    "greeting",
    [b"GET / HTTP/1.1\r\nHost: n1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"SSH-2.0-x\r\n"],
)
def test_other_protocols_are_refused_at_their_first_bytes(greeting):
    with pytest.raises(FrameError, match="exceeds the bound"):
        list(FrameDecoder().messages(greeting[:8].ljust(8, b"\0")))


def test_a_stranger_is_held_to_the_small_bound_to_the_byte():
    overhead = len(encode_frame({"a": b"x" * 1000})) - 8 - 1000
    fits = {"a": b"x" * (STRANGER_BYTES_MAX - overhead)}
    beyond = {"a": b"x" * (STRANGER_BYTES_MAX - overhead + 1)}

    assert list(FrameDecoder().messages(encode_frame(fits))) == [fits]
    with pytest.raises(FrameError, match="exceeds the bound of 4096"):
        list(FrameDecoder().messages(encode_frame(beyond)))


def test_the_bound_may_rise_between_two_messages_of_one_chunk():
    small, big = {"kind": "proof"}, {"data": b"x" * 100_000}
    decoder = FrameDecoder()

    received = []
    for message in decoder.messages(encode_frame(small) + encode_frame(big)):
        received.append(message)
        decoder.bytes_max = FRAME_BYTES_MAX

    assert received == [small, big]


def test_a_message_too_big_for_a_frame_is_not_encoded():
    with pytest.raises(FrameError, match="exceeds the 16777216"):
        encode_frame({"data": bytes(FRAME_BYTES_MAX)})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc0",
        b"\x01",
        b"\x91\x01",
        b"\x81\x01\x02",
        b"\x81\xa1a",
        b"\x81\xa1a" + b"\x91" * 3_000,
        b"\x81\xa1a\xdd\xff\xff\xff\xff",
        b"\x81\xa1a\xa2\xff\xfe",
        b"\x81\xa1a\x01\x01",
    ],
    ids=[
        "empty",
        "nil",
        "number",
        "list",
        "key-not-text",
        "no-value",
        "deep",
        "huge-list",
        "not-utf8",
        "trailing",
    ],
)
def test_a_body_that_is_not_one_message_is_refused(body):
    with pytest.raises(FrameError, match="does not hold a message"):
        list(FrameDecoder().messages(frame_of(body)))
