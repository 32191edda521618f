"""The journal that PySyncObj writes its log to: on disk, and nothing promised before it is.

The library adds and drops entries freely within a turn; :meth:`Journal.sync` makes all of it
durable at once, before any message or answer of that turn leaves the process (hazards H2 to H9,
H23, H37, H47 and H50 of the library end here).
"""

from collections.abc import Callable
from typing import Final, NoReturn, overload

from pysyncobj.journal import Journal as LibraryJournal

from gorilla.consensus.journal.errors import (
    CorruptJournalError,
    JournalFailedError,
    JournalInvariantError,
)
from gorilla.consensus.journal.log import Log
from gorilla.consensus.journal.records import (
    FRAME_BYTES_MAX,
    Entry,
    Forget,
    Record,
    Reset,
    SetCommit,
    SetTerm,
    Truncate,
    encode_record,
    entry_head,
)
from gorilla.consensus.journal.recovery import RecoveryReport, recover
from gorilla.consensus.journal.segments import Segments
from gorilla.consensus.ports import Disk
from gorilla.consensus.remedies import told


class Journal(LibraryJournal):
    """Log entries, term, vote and commit hint of one member.

    The *view* is the list of entries that the library sees; positions count from its first. One
    that is closed or has failed raises JournalFailedError from every method but ``_destroy``.

    Attributes:
        before_forget: Called before entries are dropped in favour of a snapshot, which must be
            durable by then.
        recovered: What opening found.
        retain_bytes: Most bytes of commands that stay in the view behind a snapshot.
    """

    def __init__(
        self,
        log: Log,
        segments: Segments,
        recovered: RecoveryReport,
        *,
        retain_entries: int,
        retain_bytes: int,
    ) -> None:
        """Use :meth:`open`."""
        self._log: Final = log
        self._entries: Final = log.entries
        self._segments: Final = segments
        self._retain_entries: Final = retain_entries
        self.retain_bytes: Final = retain_bytes
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._commit_written = log.commit
        self._durable_index = log.last_index
        self._failure: str | None = None
        self.recovered: Final = recovered
        self.before_forget: Callable[[], None] | None = None

    @classmethod
    def open(  # noqa: PLR0913  everything of a journal is decided here
        cls,
        disk: Disk,
        *,
        node: str,
        retain_entries: int,
        retain_bytes: int,
        segment_bytes: int,
        must_exist: bool = False,
        on_sync: Callable[[float], None] | None = None,
    ) -> "Journal":
        """Read the journal in ``disk``, or begin one.

        Args:
            disk: The data directory.
            node: Id of this member; a journal of another is refused.
            retain_entries: Entries kept in the view although a snapshot has them, so that a
                follower a little behind needs no snapshot.
            retain_bytes: Bound of the commands kept for that.
            segment_bytes: A segment file larger than this is followed by a new one.
            must_exist: The member took part already, so a missing journal is a loss.
            on_sync: Told how long each sync took (seconds).

        Raises:
            CorruptJournalError: It can't be trusted; says where, and what to do.
            JournalFailedError: The disk refused a write or a sync.
        """
        segments = Segments(disk, node, segment_bytes, on_sync)
        try:
            found = recover(disk, node, must_exist=must_exist)
            if found.number:
                segments.resume(found.number, found.sequence, found.closed, found.close_sequence)
            else:
                segments.create()
        except OSError as error:
            segments.close()
            raise JournalFailedError(f"the journal can't be opened: {told(error)}") from error
        return cls(
            found.log,
            segments,
            found.report,
            retain_entries=retain_entries,
            retain_bytes=retain_bytes,
        )

    # -- what the library calls: the view

    def add(self, command: bytes, idx: int, term: int) -> None:
        """Add an entry at the end."""
        if self._failure is not None:
            self._refuse()
        if self._pending_bytes + len(command) > FRAME_BYTES_MAX - 4096:
            self._make_room(len(command))
        self._log.add(command, idx, term)
        head = entry_head(command, idx, term)
        self._pending += (head, command)
        self._pending_bytes += len(head) + len(command)

    def clear(self) -> None:
        """Drop all entries, in favour of a snapshot."""
        self._before_forgetting()
        self._log.reset()
        self._durable_index = 0
        self._record(Reset())
        self._commit_written = self._log.commit  # replay forgets it with the entries

    def deleteEntriesFrom(self, position: int) -> None:
        """Drop the entries from a position on, in favour of a leader's. The first one stays."""
        if position >= len(self):
            return
        if position < 1:
            raise JournalInvariantError("the first entry of the log can't be dropped")
        first = self._entries[position][1]
        self._log.truncate(first)
        self._durable_index = min(self._durable_index, first - 1)
        self._record(Truncate(first))
        self._commit_written = min(self._commit_written, first - 1)

    def deleteEntriesTo(self, position: int) -> None:
        """Drop the entries before a position, which a snapshot has, but for those to retain."""
        if position >= len(self):
            raise JournalInvariantError(f"position {position} is beyond the log")
        keep_from = self._retained_from(position)
        if keep_from > 0:
            self._before_forgetting()
            self._forget_below(self._entries[keep_from][1])

    @overload
    def __getitem__(self, item: int) -> Entry: ...
    @overload
    def __getitem__(self, item: slice) -> list[Entry]: ...
    def __getitem__(self, item: int | slice) -> Entry | list[Entry]:
        """Return the entry at a position, or those of a slice."""
        if self._failure is not None:
            self._refuse()
        return self._entries[item]

    def __len__(self) -> int:
        """Return how many entries the view has."""
        if self._failure is not None:
            self._refuse()
        return len(self._entries)

    def _destroy(self) -> None:
        """Sync and close; after a failure only close."""
        try:
            if self._failure is None:
                self.sync()
        finally:
            self._failure = self._failure or "it is closed"
            self._segments.close()

    # -- what the library calls: term, vote, commit index

    def setRaftCommitIndex(self, index: int) -> None:
        """Note what is committed. It goes to disk with the next frame and needs none itself."""
        self._usable.set_commit(index)

    def getRaftCommitIndex(self) -> int:
        """Return the noted commit index, never beyond the log; at least 1, as the library wants."""
        return max(1, self._usable.commit)

    def setCurrentTerm(self, term: int, vote: str | None) -> None:
        """Enter a term or vote in it.

        Raises:
            JournalInvariantError: The term would go back or the vote in it would change.
        """
        if self._usable.set_term(term, vote):
            self._record(SetTerm(term, vote))

    def getCurrentTerm(self) -> int:
        """Return the term; 0 before the first."""
        return self._usable.term

    def getVotedForNodeId(self) -> str | None:
        """Return the id of the member that has this term's vote."""
        return self._usable.vote

    def onOneSecondTimer(self) -> None:
        """Have the commit index written although nothing else may be: restarts catch up sooner."""
        self._record_commit()

    # -- ours

    @property
    def dirty(self) -> bool:
        """There is something to sync."""
        self._check()
        return bool(self._pending)

    @property
    def durable_index(self) -> int:
        """Largest index up to which the view is on disk; 0 when none is."""
        self._check()
        return self._durable_index

    @property
    def first_index(self) -> int:
        """Index of the first entry; 0 when there is none."""
        return self._usable.first_index

    @property
    def last_index(self) -> int:
        """Index of the last entry; 0 when there is none."""
        return self._usable.last_index

    @property
    def last_term(self) -> int:
        """Term of the last entry; 0 when there is none."""
        entries = self._usable.entries
        return entries[-1][2] if entries else 0

    @property
    def bytes_held(self) -> int:
        """Bytes of the commands in the view."""
        return self._usable.bytes_held

    @property
    def bytes_on_disk(self) -> int:
        """Bytes of all segment files."""
        self._check()
        return self._segments.size

    def term_at(self, index: int) -> int | None:
        """Return the term of the entry with this index; None when the view has none."""
        if self._failure is not None:
            self._refuse()
        position = index - self._log.first_index
        return self._entries[position][2] if 0 <= position < len(self._entries) else None

    def entries_from(self, index: int) -> list[Entry]:
        """Return the entries from ``index`` on.

        Raises:
            IndexError: Some of them are forgotten.
        """
        position = index - self.first_index
        if position < 0 and self._entries:
            raise IndexError(f"entry {index} is forgotten, the log starts at {self.first_index}")
        return self._entries[max(0, position) :]

    def sync(self) -> None:
        """Make everything so far durable: one frame, one write, one fdatasync.

        Raises:
            JournalFailedError: The disk refused. Nothing since the last sync may be promised, and
                the journal is of no use any more.
        """
        if self._failure is not None:
            self._refuse()
        if not self._pending:
            return
        self._record_commit()
        payload = b"".join(self._pending)
        segments, log = self._segments, self._log
        try:
            segments.append(payload)
            self._pending.clear()
            self._pending_bytes = 0
            self._durable_index = log.last_index
            if segments.full:
                segments.rotate(log.checkpoint())
            segments.remove_below(log.first_index)
        except OSError as error:
            self._failure = f"writing failed: {error}"
            raise JournalFailedError(f"the journal can't be written: {told(error)}") from error

    def align(self, prev: Entry, last: Entry) -> None:
        """Make the view start exactly at the two last entries of the snapshot, at start-up.

        What follows them is kept when it belongs to them; a log that is older or conflicts gives
        way, for a snapshot holds committed entries only. The library drops the whole log unless
        it finds it like this.

        Raises:
            CorruptJournalError: The log starts after the snapshot, or has another command at its
                place: a file is missing or damaged.
        """
        self._refuse_misfit((prev, last))
        position = prev[1] - self.first_index
        if self._log.holds(prev, last):
            if position > 0:
                self._before_forgetting()
                self._forget_below(prev[1])
        else:
            self.clear()
            self.add(*prev)
            self.add(*last)
        if self._log.commit < last[1]:
            self._log.set_commit(last[1])
        if self._log.term < last[2]:
            # Only a power loss between snapshot and term leaves this; no vote was given then.
            self.setCurrentTerm(last[2], None)

    def expect_no_snapshot(self) -> None:
        """Check at start-up that a member without a snapshot has its whole log.

        Raises:
            CorruptJournalError: The log starts later: the snapshot with the rest is missing.
        """
        self._refuse_misfit(None)

    # -- inside

    @property
    def _usable(self) -> Log:
        """The log, unless it was closed or has failed."""
        self._check()
        return self._log

    def _check(self) -> None:
        if self._failure is not None:
            self._refuse()

    def _refuse(self) -> NoReturn:
        raise JournalFailedError(f"the journal can't be used: {self._failure}")

    def _refuse_misfit(self, snapshot: tuple[Entry, Entry] | None) -> None:
        problem = self._usable.misfit(snapshot)
        if problem is not None:
            raise CorruptJournalError(self._segments.oldest, 0, problem)

    def _record(self, record: Record) -> None:
        data = encode_record(record)
        self._pending.append(data)
        self._pending_bytes += len(data)

    def _record_commit(self) -> None:
        commit = self._usable.commit
        if commit != self._commit_written:
            self._commit_written = commit
            self._record(SetCommit(self._commit_written))

    def _make_room(self, size: int) -> None:
        """Keep the frame within its bound: what waits goes to disk first."""
        if size > FRAME_BYTES_MAX // 2:
            raise JournalInvariantError(f"a command of {size} bytes is too large")
        self.sync()

    def _before_forgetting(self) -> None:
        self._check()
        if self.before_forget is not None:
            self.before_forget()

    def _forget_below(self, first: int) -> None:
        self._log.forget(first)
        self._record(Forget(first))

    def _retained_from(self, position: int) -> int:
        """Return the position of the first entry to retain before ``position``."""
        start, held = position, 0
        lowest = max(0, position - self._retain_entries)
        while start > lowest:
            held += len(self._entries[start - 1][0])
            if held > self.retain_bytes:
                break
            start -= 1
        return start
