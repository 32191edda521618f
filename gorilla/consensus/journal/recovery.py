"""Reading a journal back: what a crash may leave is mended, anything else is refused.

A crash can leave exactly this: a torn frame at the end of the last segment (it was being written,
so nobody was promised anything of it); a newest segment without an intact header (a rotation did
not get further); a segment without its closing frame before the newest one (likewise); segments
that should be removed already. Whatever else is wrong is damage to what others were promised.
"""

import logging
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gorilla.consensus.journal.errors import CorruptJournalError, JournalInvariantError
from gorilla.consensus.journal.log import Log
from gorilla.consensus.journal.records import (
    FORMAT_VERSION,
    FRAME_MAGIC,
    HEADER_BYTES_MAX,
    HEADER_MAGIC,
    Append,
    Close,
    Frame,
    Header,
    MalformedRecordError,
    Record,
    decode_frame,
    decode_header,
    decode_records,
    find_frame,
    frame_seed,
)
from gorilla.consensus.journal.segments import ClosedSegment, segment_name, segment_numbers
from gorilla.consensus.ports import Disk, Readable
from gorilla.consensus.remedies import SET_ASIDE, START_LATER

log = logging.getLogger(__name__)

_CLOSING: Final[list[Record]] = [Close()]


class RecoveryReport(NamedTuple):
    """What opening a journal found and did."""

    segments: int = 0
    """Segment files read."""
    frames: int = 0
    """Intact frames, headers not counted."""
    bytes_cut: int = 0
    """Length of the torn frame that was cut from the end; 0 after a clean stop."""
    cut_file: str | None = None
    """Where it was cut."""
    removed: tuple[str, ...] = ()
    """Files removed: unfinished or no longer needed."""


class SegmentFound(NamedTuple):
    """What one segment file holds."""

    name: str
    size: int
    """Bytes."""
    frames: int
    """Intact ones, header and closing frame not counted."""
    entries: int
    """Entries that were appended in it, kept or dropped later."""


class Cut(NamedTuple):
    """A torn frame at the end of a segment, to be cut."""

    name: str
    at: int
    """Offset (bytes)."""
    size: int
    """Bytes that go."""


@dataclass(slots=True)
class Recovered:
    """A journal as read back. ``number`` is 0 when there is none yet."""

    log: Log
    found: list[SegmentFound] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    """What a crash left at the end of segments; the last one's may be of the newest."""
    leftovers: list[str] = field(default_factory=list)
    """Segments that are unfinished, or no longer needed."""
    number: int = 0
    sequence: int = 0
    closed: list[ClosedSegment] = field(default_factory=list)
    close_sequence: int | None = None
    """Of the closing frame that the last of ``closed`` lacks."""
    report: RecoveryReport = field(default_factory=RecoveryReport)


@dataclass(slots=True)
class _Scan:
    """A segment as read: its header, its records, and where intact frames end."""

    name: str
    header: Header
    header_sequence: int
    frames: list[tuple[int, int, list[Record]]]
    """Offset, sequence and records of each frame; the closing frame is not among them."""
    end: int
    """Offset after the last intact frame."""
    size: int
    is_closed: bool


def recover(disk: Disk, node: str, *, must_exist: bool) -> Recovered:
    """Read the journal of ``node`` in ``disk``, mending what a crash may leave.

    Args:
        disk: The data directory.
        node: Id of this member.
        must_exist: The member took part already: an empty directory is a loss, not a beginning.

    Raises:
        CorruptJournalError: The journal can't be trusted.
    """
    result = read_back(disk, node, must_exist=must_exist)
    _remove(disk, result)
    for cut in result.cuts:
        log.warning("%s: cutting a torn frame of %d bytes", cut.name, cut.size)
        disk.truncate(cut.name, cut.at)
    return result


def read_back(disk: Readable, node: str, *, must_exist: bool) -> Recovered:
    """Read the journal like :func:`recover`, but change nothing.

    Raises:
        CorruptJournalError: The journal can't be trusted.
        OSError: A file can't be read.
    """
    numbers, stale = _newest_run(segment_numbers(disk))
    scans, unfinished = _scan_all(disk, node, numbers)
    if not scans and (must_exist or numbers[:1] > [1]):
        raise CorruptJournalError(
            unfinished or segment_name(1), 0, "the journal of a member that took part is missing"
        )
    result = _replay(scans)
    result.leftovers = stale + ([unfinished] if unfinished else [])
    open_ended = scans[-1:] if result.close_sequence is None else scans[-2:]
    result.cuts = [
        Cut(scan.name, scan.end, scan.size - scan.end)
        for scan in open_ended
        if scan.end < scan.size
    ]
    newest = next((cut for cut in result.cuts if cut.name == scans[-1].name), None)
    if newest is not None:
        result.report = result.report._replace(bytes_cut=newest.size, cut_file=newest.name)
    return result


def _newest_run(numbers: list[int]) -> tuple[list[int], list[str]]:
    """Split into the newest unbroken run and the names of the files before it.

    Those before a gap are leftovers of a removal that a power loss undid in part; if the run
    turns out to need them, that is noticed when it is replayed.
    """
    start = len(numbers)
    while start and (start == len(numbers) or numbers[start - 1] + 1 == numbers[start]):
        start -= 1
    return numbers[start:], [segment_name(number) for number in numbers[:start]]


def _scan_all(disk: Readable, node: str, numbers: list[int]) -> tuple[list[_Scan], str | None]:
    """Read all segments; also return the name of a newest one that was never in use."""
    scans: list[_Scan] = []
    for number in numbers:
        scan = _scan(disk, node, number)
        if scan is None:
            if number != numbers[-1] or (scans and _promised_more(scans[-1])):
                raise CorruptJournalError(segment_name(number), 0, "the segment has no header")
            return scans, segment_name(number)
        scans.append(scan)
    if scans and scans[-1].is_closed:
        raise CorruptJournalError(
            segment_name(numbers[-1] + 1), 0, "the segment is missing: the one before says so"
        )
    return scans, None


def _promised_more(scan: _Scan) -> bool:
    """Whether the segment after ``scan`` had an intact header once, or ``scan`` is damaged."""
    return scan.is_closed or scan.end < scan.size


def _scan(disk: Readable, node: str, number: int) -> _Scan | None:
    """Read a segment; None when it has no intact header and nothing else that is intact."""
    name, seed = segment_name(number), frame_seed(node)
    data = disk.read(name)
    first = decode_frame(HEADER_MAGIC, data, 0)
    if first is None:
        if len(data) > HEADER_BYTES_MAX or find_frame(data, 0, seed) is not None:
            raise CorruptJournalError(name, 0, "the header is damaged and frames follow it")
        return None
    header = _check_header(name, node, number, first)
    scan = _Scan(name, header, first.sequence, [], first.end, len(data), is_closed=False)
    while scan.end < len(data) and not scan.is_closed:
        frame = decode_frame(FRAME_MAGIC, data, scan.end, seed)
        if frame is None:
            break
        _take(scan, frame)
    if scan.end < len(data) and find_frame(data, scan.end, seed) is not None:
        raise CorruptJournalError(name, scan.end, "the frame is damaged and intact ones follow it")
    return scan


def _check_header(name: str, node: str, number: int, frame: Frame) -> Header:
    try:
        header = decode_header(frame.payload)
    except MalformedRecordError as error:
        raise CorruptJournalError(name, 0, str(error)) from error
    if header.version > FORMAT_VERSION:
        raise CorruptJournalError(
            name,
            0,
            f"format version {header.version} is later than {FORMAT_VERSION}, the last that this "
            "program knows",
            START_LATER,
        )
    if header.node != node:
        raise CorruptJournalError(
            name,
            0,
            f"the segment belongs to member {header.node}, this is {node}",
            "Put each member's own data directory back in its place; " + SET_ASIDE.lower(),
        )
    if header.segment != number:
        raise CorruptJournalError(name, 0, f"the file is segment {header.segment} by its header")
    return header


def _take(scan: _Scan, frame: Frame) -> None:
    """Add an intact frame to its segment, if it is the next one."""
    offset = scan.end
    expected = scan.header_sequence + len(scan.frames) + 1
    if frame.sequence != expected:
        raise CorruptJournalError(
            scan.name, offset, f"frame {frame.sequence} stands where {expected} belongs"
        )
    try:
        records = list(decode_records(frame.payload))
    except MalformedRecordError as error:
        raise CorruptJournalError(scan.name, offset, str(error)) from error
    scan.end = frame.end
    if records == _CLOSING:
        scan.is_closed = True
    else:
        scan.frames.append((offset, frame.sequence, records))


def _replay(scans: list[_Scan]) -> Recovered:
    result = Recovered(Log())
    for position, scan in enumerate(scans):
        if position == 0:
            result.log.restart(scan.header.checkpoint)
        else:
            _check_succession(scans[position - 1], scan, result)
        for offset, _, records in scan.frames:
            _replay_frame(result.log, scan.name, offset, records)
        result.number = scan.header.segment
        result.sequence = scan.header_sequence + len(scan.frames)
        result.found.append(_found(scan))
    if result.log.missing_to:
        raise CorruptJournalError(
            segment_name(scans[0].header.segment - 1),
            0,
            f"the segment is missing, entries {result.log.first_index} to {result.log.missing_to} "
            "were in it or before it",
        )
    frames = sum(len(scan.frames) for scan in scans)
    result.report = RecoveryReport(segments=len(scans), frames=frames)
    return result


def _found(scan: _Scan) -> SegmentFound:
    entries = sum(isinstance(record, Append) for frame in scan.frames for record in frame[2])
    return SegmentFound(scan.name, scan.size, len(scan.frames), entries)


def _check_succession(before: _Scan, scan: _Scan, result: Recovered) -> None:
    """Note that ``before`` is complete, as the header after it tells."""
    if scan.header_sequence != result.sequence + 1:
        raise CorruptJournalError(
            before.name, before.end, f"the last frames before {scan.name} are missing or damaged"
        )
    if scan.header.checkpoint != result.log.checkpoint():
        raise CorruptJournalError(scan.name, 0, "the header contradicts the segments before it")
    result.closed.append(
        ClosedSegment(before.header.segment, scan.header.checkpoint.last, before.size)
    )
    result.close_sequence = None if before.is_closed else scan.header_sequence


def _replay_frame(target: Log, name: str, offset: int, records: list[Record]) -> None:
    try:
        for record in records:
            target.replay(record)
    except JournalInvariantError as error:
        raise CorruptJournalError(name, offset, str(error)) from error


def _remove(disk: Disk, result: Recovered) -> None:
    """Remove files; durable once the directory is synced, which opening does next."""
    for name in result.leftovers:
        log.warning("removing %s: unfinished, or its entries are in a snapshot", name)
        disk.remove(name)
    result.report = result.report._replace(removed=tuple(result.leftovers))
