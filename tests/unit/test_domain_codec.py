"""The bytes of the log: what was written is read back, and nothing else is."""

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from gorilla.domain import codec, limits
from gorilla.domain.codec import MalformedEntryError, UnknownVersionError
from gorilla.domain.commands import (
    ENTRY_VERSION,
    Acquire,
    Batch,
    Command,
    Entry,
    Release,
    Renew,
    Stamp,
)
from gorilla.domain.table import LockTable
from tests.support.domain import acquire, batch, over_the_wire, release, reloaded, renew

GOLDEN_ENTRY = Entry(
    1,
    Stamp(7, 1_000, 1_700_000_000_000),
    (
        Batch(
            "n1",
            4,
            True,
            (
                (5, Acquire("db", "ann", 30_000, "s1", b'["x"]')),
                (6, Renew("db", "s1", "s2", 60_000)),
                (7, Renew("db", "s2", "s3", 60_000, "ann")),
                (8, Release("db", "s3")),
            ),
        ),
        Batch("é", 0, False, ()),
    ),
)
EARLIER_BYTES = bytes.fromhex(
    "93019307cd03e8cf0000018bcfe568009294a26e3104c39492059601a26462a3616e6ecd7530a27331c4055b"
    "2278225d92069603a26462a27331a27332cdea60c092079603a26462a27332a27333cdea60a3616e6e920893"
    "02a26462a2733394a2c3a900c290"
)
"""The same entry by a build without modes, waits and sessions: fields that it lacks are absent."""

GOLDEN_BYTES = bytes.fromhex(
    "93019307cd03e8cf0000018bcfe568009294a26e3104c39492059a01a26462a3616e6ecd7530a27331c4055b"
    "2278225d0100a0a092069603a26462a27331a27332cdea60c092079603a26462a27332a27333cdea60a3616e"
    "6e92089302a26462a2733394a2c3a900c290"
)

text = st.text(max_size=20)
number = st.integers(-(1 << 63), (1 << 64) - 1)
commands = st.one_of(
    st.builds(Acquire, text, text, number, text, st.binary(max_size=20)),
    st.builds(Release, text, text),
    st.builds(Renew, text, text, text, number, st.none() | text),
)
numbered = st.lists(st.tuples(number, commands), max_size=5).map(tuple)
batches = st.builds(Batch, text, number, st.booleans(), numbered)
entries = st.builds(
    Entry,
    st.just(ENTRY_VERSION),
    st.builds(Stamp, number, number, number),
    st.lists(batches, max_size=3).map(tuple),
)


def test_the_bytes_of_an_entry_of_version_1_never_change():
    joined = codec.join_entry(
        GOLDEN_ENTRY.stamp, [codec.encode_batch(each) for each in GOLDEN_ENTRY.batches]
    )

    assert joined.hex() == GOLDEN_BYTES.hex()
    assert codec.decode_entry(GOLDEN_BYTES) == GOLDEN_ENTRY
    assert codec.decode_entry(EARLIER_BYTES) == GOLDEN_ENTRY


@settings(max_examples=50, deadline=None)
@given(entries)
def test_an_entry_comes_out_of_the_log_as_it_was_joined(entry: Entry):
    assert over_the_wire(entry) == entry


@settings(max_examples=50, deadline=None)
@given(batches)
def test_a_batch_comes_over_the_wire_as_it_was_sent(asked: Batch):
    assert codec.decode_batch(codec.encode_batch(asked)) == asked


@settings(max_examples=50, deadline=None)
@given(entries)
def test_joining_encoded_batches_gives_what_encoding_the_entry_would(entry: Entry):
    parts = [codec.encode_batch(each) for each in entry.batches]

    raising = msgspec.structs.replace(entry, raises_to=2)
    assert codec.join_entry(entry.stamp, parts, 2) == msgspec.msgpack.encode(raising)


@settings(max_examples=40, deadline=None)
@given(st.lists(entries, max_size=6))
def test_no_entry_that_can_be_read_makes_the_table_raise_or_its_state_unreadable(
    log: list[Entry],
):
    table = LockTable()
    for entry in log:
        table.apply(entry)

    assert reloaded(table).digest() == table.digest()


@given(st.integers(0, len(GOLDEN_BYTES) - 1))
def test_an_entry_that_is_cut_is_malformed(size: int):
    with pytest.raises(MalformedEntryError):
        codec.decode_entry(GOLDEN_BYTES[:size])


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda tail: b"\x93\x01" + tail))
def test_any_other_bytes_are_refused_as_such(data: bytes):
    for decode in (codec.decode_entry, codec.decode_batch):
        try:
            decoded = decode(data)
        except codec.FormatError:
            continue
        assert isinstance(decoded, Entry | Batch)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        GOLDEN_BYTES + b"\x00",
        b"\x94" + GOLDEN_BYTES[1:] + b"\xc0",
        b"\x91" * 100_000,
        GOLDEN_BYTES.replace(b"\xa3ann", b"\xa3a\xffn"),
        b"\x93\x01" + b"\x91" * 100_000 + b"\xc0",
    ],
    ids=["empty", "nil", "trailing", "one field more", "deep", "not utf-8", "deep inside"],
)
def test_damaged_entries_are_malformed(data: bytes):
    with pytest.raises(MalformedEntryError):
        codec.decode_entry(data)


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\x90", GOLDEN_BYTES, b"\x94\xa1\xff\x00\xc3\x90"])
def test_damaged_batches_are_malformed(data: bytes):
    with pytest.raises(MalformedEntryError):
        codec.decode_batch(data)


def test_a_command_with_a_field_that_this_version_does_not_know_is_malformed():
    longer = msgspec.msgpack.encode(["n1", 0, True, [[1, [2, "db", "s1", "new"]]]])

    with pytest.raises(MalformedEntryError, match="at most length"):
        codec.decode_batch(longer)


@pytest.mark.parametrize("fields", [[], [[1, 2, 3], []], ["another", "shape", 3, 4]])
def test_an_entry_of_another_version_says_so_whatever_its_shape(fields: list):
    data = msgspec.msgpack.encode([ENTRY_VERSION + 1, *fields])

    with pytest.raises(UnknownVersionError, match="version 2; this node knows version 1") as caught:
        codec.decode_entry(data)

    assert caught.value.version == 2


@pytest.mark.parametrize(
    "command",
    [
        acquire(
            "x" * 255, "x" * 255, limits.TTL_MS_MAX, "x" * 64, b"x" * limits.METADATA_BYTES_MAX
        ),
        acquire("é" * 255, ttl_ms=1),
        release("x" * 255, "x" * 64),
        renew("x", "x", "x" * 64, 1, "x" * 255),
        renew(holder=None),
    ],
)
def test_commands_within_the_limits_are_valid(command: Command):
    assert codec.validate_batch(batch((1, command), origin="n" * 128)) is None


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        (acquire(lock=""), "lock must have 1 to 255 characters"),
        (acquire(lock="x" * 256), "lock must have 1 to 255 characters"),
        (acquire(holder=""), "holder must have 1 to 255 characters"),
        (acquire(holder="x" * 256), "holder must have 1 to 255 characters"),
        (acquire(secret=""), "secret must have 1 to 64 characters"),
        (
            acquire(metadata=b"x" * (limits.METADATA_BYTES_MAX + 1)),
            f"metadata must have at most {limits.METADATA_BYTES_MAX} bytes",
        ),
        (acquire(ttl_ms=0), f"ttl_ms must be between 1 and {limits.TTL_MS_MAX}"),
        (
            acquire(ttl_ms=limits.TTL_MS_MAX + 1),
            f"ttl_ms must be between 1 and {limits.TTL_MS_MAX}",
        ),
        (release(lock=""), "lock must have 1 to 255 characters"),
        (release(secret="x" * 65), "secret must have 1 to 64 characters"),
        (renew(new_secret=""), "new_secret must have 1 to 64 characters"),
        (renew(ttl_ms=-1), f"ttl_ms must be between 1 and {limits.TTL_MS_MAX}"),
        (renew(holder=""), "holder must have 1 to 255 characters"),
    ],
)
def test_a_command_beyond_a_limit_is_named_with_it(command: Command, fault: str):
    asked = batch((1, release()), (2, command))

    assert codec.validate_batch(asked) == f"command 2: {fault}"


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        (batch(origin=""), "origin must have 1 to 128 characters"),
        (batch(confirmed=-1), "confirmed must not be negative"),
        (batch((0, release())), "command 0: numbers start at 1"),
        (
            batch(*((i, release()) for i in range(1, limits.COMMANDS_PER_BATCH_MAX + 2))),
            "a batch must have at most 4096 commands",
        ),
    ],
)
def test_a_batch_beyond_a_limit_says_which(asked: Batch, fault: str):
    assert codec.validate_batch(asked) == fault
