"""The journal's files: one that grows, and those before it that still hold kept entries.

Order of a rotation, so that a crash between any two steps can be told from damage:

1. the next segment's file gets its header and is synced, then the directory is;
2. the old segment gets a closing frame and is synced: from now on, a missing successor is known
   to be missing;
3. frames go to the new segment.

A segment is removed when all its entries are below the first one kept, by what is durable.
"""

import re
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from gorilla.consensus.journal.records import (
    FORMAT_VERSION,
    FRAME_MAGIC,
    HEADER_MAGIC,
    Checkpoint,
    Close,
    Header,
    encode_frame,
    encode_header,
    encode_record,
    frame_seed,
)
from gorilla.consensus.ports import AppendFile, Disk, Readable

_NAME: Final = re.compile(r"journal-(\d{16})\.log")


def segment_name(number: int) -> str:
    """Return the file name of a segment."""
    return f"journal-{number:016d}.log"


def segment_numbers(disk: Readable) -> list[int]:
    """Return the numbers of the segments in a directory, ascending."""
    matches = (_NAME.fullmatch(name) for name in disk.names())
    return sorted(int(match[1]) for match in matches if match)


class ClosedSegment(NamedTuple):
    """A segment that doesn't grow any more."""

    number: int
    last_index: int
    """Largest index of the log when it was closed: none of its entries is beyond."""
    size: int
    """Bytes."""


class Segments:
    """Writes frames, each of them durable before the next."""

    def __init__(
        self,
        disk: Disk,
        node: str,
        segment_bytes: int,
        on_sync: Callable[[float], None] | None = None,
    ) -> None:
        """Prepare for ``node``; :meth:`create` or :meth:`resume` makes it usable.

        Args:
            disk: The data directory.
            node: Id of this member, written into every segment.
            segment_bytes: A segment larger than this is followed by a new one.
            on_sync: Told how long each frame took to become durable (seconds).
        """
        self._disk = disk
        self._on_sync = on_sync
        self._node = node
        self._seed = frame_seed(node)
        self._segment_bytes = segment_bytes
        self._closed: list[ClosedSegment] = []
        self._number = 0
        self._sequence = 0
        self._active: AppendFile | None = None

    def create(self) -> None:
        """Make the first segment of a new journal."""
        self._start_segment(1, 1, Checkpoint(0, 0, 0, None, 0))

    def resume(
        self, number: int, sequence: int, closed: list[ClosedSegment], close_sequence: int | None
    ) -> None:
        """Continue after recovery.

        What a killed process had written may not be durable yet, so it is made so first.

        Args:
            number: The segment to write to.
            sequence: Of its last frame.
            closed: The segments before it, oldest first.
            close_sequence: Sequence of the closing frame that the last of ``closed`` lacks,
                because the crash came before it; None when it has one.
        """
        self._number, self._sequence, self._closed = number, sequence, closed
        self._active = self._disk.append(segment_name(number))
        self._active.sync()
        self._disk.sync_directory()
        if close_sequence is not None:
            self._write_close(self._disk.append(segment_name(closed[-1].number)), close_sequence)

    @property
    def oldest(self) -> str:
        """Name of the oldest file."""
        return segment_name(self._closed[0].number if self._closed else self._number)

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self._closed) + self._file.size()

    @property
    def full(self) -> bool:
        """The active segment has reached its size: rotate."""
        return self._file.size() > self._segment_bytes

    @property
    def _file(self) -> AppendFile:
        assert self._active is not None, "the journal's files are not open"
        return self._active

    def append(self, payload: bytes) -> None:
        """Write one frame and make it durable."""
        active = self._file
        active.write(encode_frame(FRAME_MAGIC, self._sequence + 1, payload, self._seed))
        started_s = time.perf_counter()
        active.sync()
        self._sequence += 1
        if self._on_sync is not None:
            self._on_sync(time.perf_counter() - started_s)

    def rotate(self, checkpoint: Checkpoint) -> None:
        """Go on in a new segment; ``checkpoint`` is the state, all of it durable."""
        old, old_number, sequence = self._file, self._number, self._sequence + 1
        self._start_segment(old_number + 1, sequence, checkpoint)
        size = self._write_close(old, sequence)
        self._closed.append(ClosedSegment(old_number, checkpoint.last, size))

    def remove_below(self, first_index: int) -> None:
        """Remove the segments without entries from ``first_index`` on.

        The directory needs no sync for it: recovery takes the newest unbroken run of segments,
        and removes again what a power loss brought back.
        """
        while self._closed and self._closed[0].last_index < first_index:
            self._disk.remove(segment_name(self._closed[0].number))
            del self._closed[0]

    def close(self) -> None:
        """Close the active file without syncing; twice does no harm."""
        if self._active is not None:
            self._active.close()
            self._active = None

    def _start_segment(self, number: int, sequence: int, checkpoint: Checkpoint) -> None:
        header = Header(FORMAT_VERSION, number, checkpoint, self._node)
        active = self._disk.append(segment_name(number))
        active.write(encode_frame(HEADER_MAGIC, sequence, encode_header(header)))
        active.sync()
        self._disk.sync_directory()
        self._active, self._number, self._sequence = active, number, sequence

    def _write_close(self, file: AppendFile, sequence: int) -> int:
        """Mark the end of a segment; return its size."""
        file.write(encode_frame(FRAME_MAGIC, sequence, encode_record(Close()), self._seed))
        file.sync()
        size = file.size()
        file.close()
        return size
