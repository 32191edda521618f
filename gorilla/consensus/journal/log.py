"""The log in memory: entries, term, vote and commit hint, and the rules that hold among them.

The journal changes it and records the change; recovery replays the records on an empty one. That
both use the same code is what makes a restart give the state that was there.
"""

from typing import Final

from gorilla.consensus.journal.errors import JournalInvariantError
from gorilla.consensus.journal.records import (
    Append,
    Checkpoint,
    Close,
    Entry,
    Forget,
    Record,
    Reset,
    SetCommit,
    SetTerm,
    Truncate,
)


class Log:
    """Entries with consecutive indexes.

    While segments are replayed whose predecessors were removed, the log starts with a hole: the
    entries from ``first_index`` to ``missing_to`` existed but can't be read. They must all be
    forgotten by the end of the replay, otherwise a segment is gone that is still needed.
    """

    __slots__ = ("bytes_held", "commit", "entries", "first_index", "missing_to", "term", "vote")

    def __init__(self) -> None:
        self.entries: Final[list[Entry]] = []
        self.first_index = 0
        self.missing_to = 0
        self.term = 0
        self.vote: str | None = None
        self.commit = 0
        self.bytes_held = 0

    @property
    def last_index(self) -> int:
        """The largest index; 0 when there is none."""
        return self.entries[-1][1] if self.entries else self.missing_to

    def holds(self, prev: Entry, last: Entry) -> bool:
        """Return whether two consecutive entries are in it, by index and term."""
        return [entry[1:] for entry in self._pair(prev[1])] == [prev[1:], last[1:]]

    def misfit(self, snapshot: tuple[Entry, Entry] | None) -> str | None:
        """Return why the log can't go on from a snapshot of these last two entries, else None.

        Without a snapshot it must begin at entry 1; with one, not after it.
        """
        if snapshot is None:
            problem = self.first_index > 1 and f"it starts at entry {self.first_index}"
            against = "there is no snapshot"
        else:
            prev, last = snapshot
            against = f"snapshot is of entry {last[1]}"
            if self.first_index > prev[1]:
                problem = f"it starts at entry {self.first_index}"
            else:
                is_other = self.holds(prev, last) and self._pair(prev[1]) != [prev, last]
                problem = is_other and f"its entry {prev[1]} or {last[1]} is another"
        return f"the log doesn't go with the snapshot: {problem}, {against}" if problem else None

    def _pair(self, index: int) -> list[Entry]:
        position = index - self.first_index
        return self.entries[position : position + 2] if position >= 0 else []

    def checkpoint(self) -> Checkpoint:
        """Return what the next segment has to start from."""
        return Checkpoint(self.first_index, self.last_index, self.term, self.vote, self.commit)

    def restart(self, checkpoint: Checkpoint) -> None:
        """Start from what a segment says was there before it, without its entries."""
        self.reset()
        self.first_index, self.missing_to = checkpoint.first, checkpoint.last
        self.term, self.vote, self.commit = checkpoint.term, checkpoint.vote, checkpoint.commit

    def add(self, command: bytes, index: int, term: int) -> None:
        """Add an entry at the end; an empty log takes any index."""
        entries = self.entries
        if entries:
            _, last, last_term = entries[-1]
            if index != last + 1 or term < last_term:
                raise JournalInvariantError(
                    f"entry {index} of term {term} can't follow entry {last} of term {last_term}"
                )
        elif self.missing_to:
            if index != self.missing_to + 1:
                raise JournalInvariantError(f"entry {index} can't follow {self.missing_to}")
        else:
            self.first_index = index
        entries.append((command, index, term))
        self.bytes_held += len(command)

    def truncate(self, first: int) -> None:
        """Drop the entries from index ``first`` on; the first entry of the log always stays."""
        if not self.first_index < first <= self.last_index:
            raise JournalInvariantError(
                f"can't drop the entries from {first} on: "
                f"the log is {self.first_index}..{self.last_index}"
            )
        entries = self.entries
        keep = max(0, first - entries[0][1]) if entries else 0
        self.bytes_held -= sum(len(command) for command, _, _ in entries[keep:])
        del entries[keep:]
        if not entries:
            self.missing_to = first - 1
        self.commit = min(self.commit, first - 1)

    def forget(self, first: int) -> None:
        """Drop the entries below index ``first``; the last entry of the log always stays."""
        if not self.first_index < first <= self.last_index:
            raise JournalInvariantError(
                f"can't forget the entries below {first}: "
                f"the log is {self.first_index}..{self.last_index}"
            )
        self.first_index = first
        if self.missing_to >= first:
            return
        self.missing_to = 0
        entries = self.entries
        count = first - entries[0][1]
        self.bytes_held -= sum(len(command) for command, _, _ in entries[:count])
        del entries[:count]

    def reset(self) -> None:
        """Drop all entries. The commit hint spoke of them and goes too; term and vote stay."""
        self.entries.clear()
        self.first_index = self.missing_to = self.commit = self.bytes_held = 0

    def set_term(self, term: int, vote: str | None) -> bool:
        """Enter a term or vote in it; say whether that changed anything."""
        if term < self.term:
            raise JournalInvariantError(f"the term can't go back from {self.term} to {term}")
        if term == self.term and self.vote is not None and vote != self.vote:
            raise JournalInvariantError(
                f"a vote for {vote} in term {term}, after one for {self.vote}"
            )
        changed = (term, vote) != (self.term, self.vote)
        self.term, self.vote = term, vote
        return changed

    def set_commit(self, index: int) -> None:
        """Note what is committed; never beyond the log.

        Were a larger number kept, entries that come later would look committed after a restart.
        """
        self.commit = min(index, self.last_index)

    def replay(self, record: Record) -> None:
        """Do again what a record says."""
        match record:
            case Append(command, index, term):
                self.add(command, index, term)
            case Truncate(first):
                self.truncate(first)
            case SetTerm(term, vote):
                self.set_term(term, vote)
            case SetCommit(index):
                self.set_commit(index)
            case Reset():
                self.reset()
            case Forget(first):
                self.forget(first)
            case Close():
                raise JournalInvariantError("a closing record among others")
