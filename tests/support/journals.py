"""Short ways to make and look at journals in tests."""

import random
from pathlib import Path

from gorilla.consensus.disk import DirectoryDisk
from gorilla.consensus.journal import Entry, Journal
from gorilla.consensus.journal.records import FRAME, HEADER_MAGIC, decode_frame
from gorilla.consensus.journal.segments import segment_name
from gorilla.consensus.ports import Disk
from tests.support.simdisk import SimDisk

NODE = "5b0c2f0e-9f0b-4c39-a3f7-0d7e2b6f4a11"


class Killed(BaseException):
    """The process is gone: nothing of it may run any more."""


def open_journal(disk: Disk, **settings) -> Journal:
    defaults = {
        "node": NODE,
        "retain_entries": 0,
        "retain_bytes": 1 << 20,
        "segment_bytes": 1 << 20,
    }
    return Journal.open(disk, **(defaults | settings))


def entry(index: int, term: int = 1, size: int = 8) -> Entry:
    return (f"{index}/{term}:".encode().ljust(size, b"x"), index, term)


def add(journal: Journal, *indexes: int, term: int = 1) -> None:
    for index in indexes:
        journal.add(*entry(index, term))


def synced(journal: Journal, *indexes: int, term: int = 1) -> None:
    """One frame for each index."""
    for index in indexes:
        add(journal, index, term=term)
        journal.sync()


def held(journal: Journal) -> list[int]:
    return [index for _, index, _ in journal[:]]


def kill_at(disk: SimDisk, nth: int) -> None:
    """Kill the process at the ``nth`` moment from now (0 is the next)."""
    left = nth

    def on_op(what: str) -> None:
        nonlocal left
        if left == 0:
            raise Killed(what)
        left -= 1

    disk.on_op = on_op


def power_loss(disk: SimDisk, seed: int) -> None:
    disk.crash(random.Random(seed), power=True)


def files_of(disk: SimDisk) -> dict[str, bytes]:
    return {name: disk.read(name) for name in disk.names()}


def disk_with(files: dict[str, bytes]) -> SimDisk:
    disk = SimDisk()
    for name, data in files.items():
        file = disk.append(name)
        file.write(data)
        file.sync()
        file.close()
    disk.sync_directory()
    return disk


def directory_with(path: Path, files: dict[str, bytes]) -> DirectoryDisk:
    disk = DirectoryDisk(path)
    for name, data in files.items():
        (path / name).write_bytes(data)
    return disk


FIRST = segment_name(1)

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
