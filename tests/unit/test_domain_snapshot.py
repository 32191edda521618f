"""Snapshots: canonical, complete, and refused when anything is wrong with them."""

from collections.abc import Iterable
from hashlib import blake2b, sha256

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from gorilla.domain.codec import UnknownVersionError
from gorilla.domain.snapshot_format import MalformedSnapshotError
from gorilla.domain.table import LockTable
from tests.support.domain import (
    Caller,
    acquire,
    batch,
    entry,
    outcomes,
    pulse,
    release,
    reloaded,
    renew,
)

EARLIER_BYTES = bytes.fromhex(
    "0000003694ad676f72696c6c612d7461626c650197021ecf0000018bcfe56800030500c4101e9b0002adbf9c"
    "97ca39d2cb692888e794020102050000006d9293a16202919ba162a3626f62a2733202cd2710cd272ec4025b"
    "5dcf0000018bcfe5680acf0000018bcfe56814cf0000018bcfe58f24c293a16303919ba163a3616e6ea27331"
    "03cd2710cd2738c4025b5dcf0000018bcfe5681ecf0000018bcfe5681ecf0000018bcfe58f2ec20000000591"
    "92a161010000000f9294a26e3101140394a26e32001e02000000c595920294019ba162a3626f62a2733102cd"
    "2710cd2724c4025b5dcf0000018bcfe5680acf0000018bcfe5680acf0000018bcfe58f1ac2cd2710c3920392"
    "0301920493029ba162a3626f62a2733202cd2710cd272ec4025b5dcf0000018bcfe5680acf0000018bcfe568"
    "14cf0000018bcfe58f24c2cd2710920194019ba163a3616e6ea2733103cd2710cd2738c4025b5dcf0000018b"
    "cfe5681ecf0000018bcfe5681ecf0000018bcfe58f2ec2cd2710c392029504a3626f6202cf0000018bcfe58f"
    "24cd270600000022c420e107c5e4750640f281af57b08d0d45e203110f1d80edf77b28e837fe7d6a4180"
)
"""The same state by a build without modes, waits, sessions and events."""

GOLDEN_BYTES = bytes.fromhex(
    "0000004094ad676f72696c6c612d7461626c65019b021ecf0000018bcfe56800030500c410c80471942c489d"
    "c956d75ef4a80002df010000909a02010205000000000005000000819293a1620291dc0013a162a3626f62a2"
    "733202cd2710cd272ec4025b5dcf0000018bcfe5680acf0000018bcfe56814cf0000018bcfe58f24c20100a0"
    "0a00a0c0c393a1630391dc0013a163a3616e6ea2733103cd2710cd2738c4025b5dcf0000018bcfe5681ecf00"
    "00018bcfe5681ecf0000018bcfe58f2ec20100a01e00a0c0c2000000059192a161010000000f9294a26e3101"
    "140394a26e32001e02000000e49592029401dc0013a162a3626f62a2733102cd2710cd2724c4025b5dcf0000"
    "018bcfe5680acf0000018bcfe5680acf0000018bcfe58f1ac20100a00a00a0c0c2cd2710c392039203019204"
    "9302dc0013a162a3626f62a2733202cd2710cd272ec4025b5dcf0000018bcfe5680acf0000018bcfe56814cf"
    "0000018bcfe58f24c20100a00a00a0c0c3cd271092019401dc0013a163a3616e6ea2733103cd2710cd2738c4"
    "025b5dcf0000018bcfe5681ecf0000018bcfe5681ecf0000018bcfe58f2ec20100a01e00a0c0c2cd2710c392"
    "029604a3626f6202cf0000018bcfe58f24cd2706a000000082959d01010acf0000018bcfe5680aa161a3616e"
    "6e01cd2710010000a0009d01020acf0000018bcfe5680aa162a3626f6202cd2710010000a00099030314cf00"
    "00018bcfe56814a161a3616e6e010a0098020414cf0000018bcfe56814a162a3626f6202cd27109d01051ecf"
    "0000018bcfe5681ea163a3616e6e03cd2710010000a00000000022c4204f71b1472446114d99389a54b8869e"
    "4d0b3954996e5c6af6e949196d80fa4da2"
)


def small_table() -> LockTable:
    """Return a table with something of everything in it."""
    table = LockTable()
    table.apply(entry(10, batch((1, acquire("a", secret="sa")), (2, acquire("b", "bob")))))
    table.apply(entry(20, batch((3, release("a", "sa")), (4, renew("b")), confirmed=1), term=2))
    table.apply(entry(30, batch((1, acquire("c")), (2, acquire("b", "cay")), origin="n2")))
    return table


def whole(table: LockTable) -> bytes:
    return b"".join(table.freeze().chunks())


def frames(*payloads: object) -> bytes:
    """Return well-framed and correctly hashed bytes that hold ``payloads``."""
    framed = b""
    for payload in payloads:
        encoded = msgspec.msgpack.encode(payload)
        framed += len(encoded).to_bytes(4, "big") + encoded
    trailer = msgspec.msgpack.encode(blake2b(framed, digest_size=32).digest())
    return framed + len(trailer).to_bytes(4, "big") + trailer


def payloads(data: bytes) -> list:
    """Return what the frames of a snapshot hold, without the trailer."""
    found = []
    while data:
        size = int.from_bytes(data[:4], "big")
        found.append(msgspec.msgpack.decode(data[4 : 4 + size]))
        data = data[4 + size :]
    return found[:-1]


def test_the_bytes_of_a_snapshot_of_version_1_never_change():
    assert whole(small_table()).hex() == GOLDEN_BYTES.hex()


def test_a_snapshot_of_version_1_is_still_read():
    table = LockTable.load([GOLDEN_BYTES])

    assert table.digest() == small_table().digest()
    assert (table.term, table.now_ms, table.fencing_counter, table.held) == (2, 30, 3, 2)


def test_a_snapshot_of_an_earlier_build_is_still_read():
    table = LockTable.load([EARLIER_BYTES])

    assert [lease.fencing_token for lease in table.leases()] == [2, 3]
    assert (table.term, table.now_ms, table.fencing_counter, table.held) == (2, 30, 3, 2)
    assert (len(table.waiters), table.session_count, list(table.recent_events)) == (0, 0, [])


def test_an_empty_table_has_a_snapshot_too():
    assert LockTable.load(LockTable().freeze().chunks()).digest() == LockTable().digest()


def test_a_loaded_table_goes_on_exactly_as_the_one_that_was_frozen():
    table = small_table()
    other = reloaded(table)
    next_entry = entry(40, batch((4, renew("b")), (5, acquire("a")), confirmed=2))

    assert other.apply(next_entry) == table.apply(next_entry)
    assert pulse(other, 99_999) == pulse(table, 99_999)
    assert other.digest() == table.digest()
    assert other.chain == table.chain


def test_the_digest_is_the_hash_of_the_chunks():
    table = small_table()

    assert table.digest() == sha256(whole(table)).hexdigest()


def test_the_chain_tells_tables_apart_whose_state_is_equal_again():
    one, other = Caller(LockTable()), Caller(LockTable())
    one.at(0, acquire())
    other.at(0, acquire(metadata=b"[1]"))
    one.at(1, release())
    other.at(1, release())

    assert one.table.chain != other.table.chain
    assert len(one.table.chain) == 16


def test_a_frozen_table_does_not_change_when_the_table_moves_on():
    table = small_table()
    frozen = table.freeze()
    before = frozen.digest()

    table.apply(entry(40, batch((5, acquire("new")), (6, release("b", "s2")), confirmed=4)))
    pulse(table, 1_000_000)

    assert frozen.digest() == before
    assert table.digest() != before


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 700))
def test_a_snapshot_is_read_however_its_bytes_are_cut(size: int):
    data = whole(small_table())
    pieces = [data[i : i + size] for i in range(0, len(data), size)]

    assert LockTable.load([b"", *pieces, b""]).digest() == small_table().digest()


def test_chunks_are_about_a_quarter_of_a_mebibyte():
    caller = Caller(LockTable())
    metadata = b'["' + b"x" * 4_000 + b'"]'
    caller.at(0, *(acquire(f"lock-{i}", secret="s", metadata=metadata) for i in range(300)))

    sizes = [len(chunk) for chunk in caller.table.freeze().chunks()]

    assert max(sizes) <= 256 * 1024 + 16
    assert len(sizes) > 8
    assert reloaded(caller.table).digest() == caller.table.digest()


def refused(chunks: Iterable[bytes], match: str | None = None) -> None:
    with pytest.raises(MalformedSnapshotError, match=match):
        LockTable.load(chunks)


def test_a_snapshot_cut_at_any_byte_is_refused():
    data = whole(small_table())
    for size in range(len(data)):
        refused([data[:size]], "cut short")


def test_a_snapshot_with_any_byte_changed_is_refused():
    data = whole(small_table())
    for i in range(len(data)):
        damaged = bytearray(data)
        damaged[i] ^= 0x01
        with pytest.raises((MalformedSnapshotError, UnknownVersionError)):
            LockTable.load([bytes(damaged)])


def test_bytes_after_the_end_are_refused():
    data = whole(small_table())

    refused([data + b"\x00"], "after the end")
    refused([data, b"", b"\x00"], "after the end")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes):
    refused([data])


def test_an_absurd_frame_length_is_refused_before_anything_is_read():
    refused([b"\xff\xff\xff\xff", b"never read"], "longer than any")


def test_another_kind_of_file_is_refused():
    refused([frames(["something-else", 1])], "not a snapshot of a lock table")


def test_a_later_version_says_so_whatever_its_shape():
    with pytest.raises(UnknownVersionError, match="snapshot of format version 2"):
        LockTable.load([frames(["gorilla-table", 2, "new", "shape"])])


def test_a_section_longer_than_the_header_says_is_refused():
    header, *sections = payloads(whole(small_table()))
    header[3][0] -= 1

    refused([frames(header, *sections)], "longer than the header says")


def test_outcomes_that_no_origin_has_are_refused():
    header, records, tokens, origins, *rest = payloads(whole(small_table()))
    origins[0][3] -= 1

    refused([frames(header, records, tokens, origins, *rest)], "outcomes are not those")


@pytest.mark.parametrize("order", [slice(None, None, -1), [0, 0]], ids=["reversed", "twice"])
def test_locks_out_of_order_are_refused(order):
    header, records, *rest = payloads(whole(small_table()))
    changed = records[order] if isinstance(order, slice) else [records[i] for i in order]

    refused([frames(header, changed, *rest)], "not in order")


def test_a_lock_without_a_holder_is_refused():
    header, records, *rest = payloads(whole(small_table()))
    records[0][2] = []

    refused([frames(header, records, *rest)], "no holder")


def test_outcomes_survive_a_snapshot_so_a_repeat_is_still_a_repeat():
    table = small_table()
    asked = batch((3, release("a", "sa")), (4, renew("b")))
    expected = table.apply(entry(50, asked))

    again = reloaded(small_table()).apply(entry(50, asked))

    assert outcomes(again) == outcomes(expected)
    assert again.events == []
