"""What stands between peers and the library: pure decisions, each about one kind of message.

Raft as PySyncObj implements it is sound at its core (votes, commit rule, entry shipping); these
functions mend its edges. Each one is switched off in turn by the simulation, which must then find
the violation that it prevents. Hazard numbers refer to docs/track-record.md.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

from gorilla.consensus.codec import LogEntry
from gorilla.consensus.ports import Message

Ack = Message


class LogView(Protocol):
    """What the guards read of the journal."""

    @property
    def first_index(self) -> int:
        """Index of the first entry that is kept."""
        ...

    @property
    def last_index(self) -> int:
        """Index of the last entry."""
        ...

    @property
    def last_term(self) -> int:
        """Term of the last entry."""
        ...

    def term_at(self, index: int) -> int | None:
        """Return the term of an entry, None when it isn't kept."""
        ...


class Append(msgspec.Struct, frozen=True):
    """Let the library handle this append; cap what its acknowledgement may claim."""

    message: Message
    ack_cap: int | None = None
    """The acknowledged next index is at most this one."""
    is_gap: bool = False
    """The reset that answers it says where our log ends, and stays as it is."""


class Conflict(msgspec.Struct, frozen=True):
    """The leader contradicts an entry that is committed here: the node must stop."""

    index: int


_EMPTY: Final[Sequence[LogEntry]] = ()


def rewrite_append(message: Message, log: LogView, committed: int) -> Append | Conflict:
    """Reduce an append to what is new, so that the library never drops entries that match (H5).

    The library truncates behind ``prevLogIdx`` whenever its log is longer. Entries that are already
    there are taken out of the message; an append that holds nothing new becomes an empty one at
    the end of the log, whose acknowledgement and commit index are capped to what it proves.

    Args:
        message: ``append_entries`` with ``prevLogIdx``.
        log: This node's log.
        committed: Largest index known to be committed or applied here.

    """
    previous, entries = message["prevLogIdx"], message["entries"]
    if previous is None or previous > log.last_index:
        return Append(message, is_gap=True)
    if previous < log.first_index:
        # Everything up to our first entry is in a snapshot, so it is committed and equal.
        skipped = log.first_index - previous
        if len(entries) <= skipped:
            return _nothing_new(message, log, committed)
        entries, previous = entries[skipped:], log.first_index
    elif log.term_at(previous) != message["prevLogTerm"]:
        return Conflict(previous) if previous <= committed else Append(message)
    return _without_matching(message, log, committed, (previous, entries))


def _without_matching(
    message: Message, log: LogView, committed: int, rest: tuple[int, Sequence[LogEntry]]
) -> Append | Conflict:
    previous, entries = rest
    end = previous + len(entries)
    same = 0
    for _, index, term in entries:
        if index > log.last_index or log.term_at(index) != term:
            break
        same += 1
    if same == len(entries) and end < log.last_index:
        return _nothing_new(message, log, end)
    if same < len(entries) and entries[same][1] <= committed:
        return Conflict(entries[same][1])
    at = previous + same
    return Append(
        message
        | {
            "prevLogIdx": at,
            "prevLogTerm": log.term_at(at),
            "entries": list(entries[same:]),
            "commit_index": min(message["commit_index"], end),
        }
    )


def _nothing_new(message: Message, log: LogView, proven: int) -> Append:
    """Make an empty append at the end of the log; ``proven`` is the last index known to match."""
    return Append(
        message
        | {
            "prevLogIdx": log.last_index,
            "prevLogTerm": log.last_term,
            "entries": list(_EMPTY),
            "commit_index": min(message["commit_index"], proven),
        },
        ack_cap=proven + 1,
    )


def heartbeat_only(message: Message) -> Message:
    """Make of a message of the present leader one that resets the election timer, no more (H1).

    An append without ``prevLogIdx`` makes the library take over the commit index with no check of
    the log; with commit index 0 it takes over nothing.
    """
    return {
        "type": "append_entries",
        "term": message["term"],
        "commit_index": 0,
        "serialized": None,
    }


def start_of_conflict(log: LogView, next_index: int, committed: int) -> int:
    """Step back over a whole conflicting term instead of one index per round trip (H27)."""
    term = log.term_at(next_index)
    if term is None:
        return next_index
    index = next_index
    while index > committed + 1 and log.term_at(index - 1) == term:
        index -= 1
    return index


class AckLedger:
    """What each follower has acknowledged in this leader's term (H6, H16, H27)."""

    def __init__(self) -> None:
        self.term = 0
        self._match: dict[str, int] = {}
        self._rewound_at: dict[str, int] = {}

    def begin(self, term: int) -> None:
        """Forget everything of an earlier term."""
        if term != self.term:
            self.term = term
            self._match.clear()
            self._rewound_at.clear()

    def judge(self, peer: str, ack: Ack, last_index: int, sent: int) -> Ack | None:
        """Return the acknowledgement as the library may see it, None to drop it.

        Args:
            peer: Who sends it, a member.
            ack: ``next_node_idx`` with ``term`` and ``echo`` (number of the append it answers).
            last_index: Of this leader's log.
            sent: Number of the newest append that was sent.

        """
        if ack["term"] != self.term or ack["next_node_idx"] > last_index + 1:
            return None
        match = self._match.get(peer, 0)
        if ack["success"]:
            self._match[peer] = max(match, ack["next_node_idx"] - 1)
        elif ack["reset"]:
            if ack["echo"] <= self._rewound_at.get(peer, 0):
                return ack | {"reset": False}
            self._rewound_at[peer] = sent
            # What it acknowledged in this term is there: it steps back over a term as a whole.
            return ack | {"next_node_idx": max(ack["next_node_idx"], match + 1)}
        return ack


class VoteBox:
    """Counts one vote per member and term (H49)."""

    def __init__(self) -> None:
        self._term = 0
        self._voters: set[str] = set()

    def take(self, peer: str, term: int) -> bool:
        """Return whether this vote counts."""
        if term > self._term:
            self._term, self._voters = term, set()
        if term < self._term or peer in self._voters:
            return False
        self._voters.add(peer)
        return True


def is_up_to_date(log: LogView, last_term: int, last_index: int) -> bool:
    """Return whether a candidate's log is at least as complete as ours (Raft 5.4.1)."""
    return (last_term, last_index) >= (log.last_term, log.last_index)


def learn_term(term: int) -> Message:
    """Make a message that moves the library to a later term without granting a vote (H33)."""
    return {"type": "request_vote", "term": term, "last_log_index": 0, "last_log_term": -1}


def is_majority(count: int, members: int) -> bool:
    """Return whether ``count`` of ``members`` is more than half."""
    return 2 * count > members


def heard_since(heard: Mapping[str, float], peers: Sequence[str], since: float) -> int:
    """Count the peers that were heard after ``since``."""
    return sum(heard.get(peer, float("-inf")) > since for peer in peers)


def coalesce(outbox: Sequence[tuple[str, Message]]) -> list[tuple[str, Message]]:
    """Drop every empty append that a later one to the same peer makes superfluous.

    The library sends one append when it has applied entries and another when it adds some, in one
    tick; both carry the same commit index.
    """
    kept: list[tuple[str, Message]] = []
    later: dict[str, Message] = {}
    for peer, message in reversed(outbox):
        if message["type"] == "append_entries" and "prevLogIdx" in message:
            follow_up = later.get(peer)
            if follow_up is not None and _covers(follow_up, message):
                continue
            later[peer] = message
        kept.append((peer, message))
    kept.reverse()
    return kept


def _covers(later: Message, earlier: Message) -> bool:
    return (
        not earlier["entries"]
        and later["prevLogIdx"] == earlier["prevLogIdx"]
        and later["term"] == earlier["term"]
        and later["commit_index"] >= earlier["commit_index"]
    )
