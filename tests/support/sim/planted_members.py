"""Bugs to plant in membership and in rolling upgrades, from here, never in the product."""

from contextlib import AbstractContextManager
from typing import Any

from gorilla.consensus import compaction, roster_side
from gorilla.consensus.journal import records, recovery
from gorilla.consensus.leading import LeaderSide
from gorilla.consensus.reads import PendingReads
from gorilla.consensus.roster import Roster, RosterLog, encode_members, roster_after
from gorilla.consensus.roster_side import RosterSide
from gorilla.consensus.voters import Voters
from gorilla.service import upgrading
from gorilla.service.replica import LockReplica
from tests.support.sim.patching import replaced


def changes_at_once() -> AbstractContextManager[None]:
    """Write a change of the roster while another one is uncommitted (H12)."""

    def check(kind: str, member: Any, roster: Any, me: str, entries: Any, _: int) -> None:
        original(kind, member, roster, me, entries, 1 << 60)

    original = roster_side.check_change
    return replaced(roster_side, check_change=check, change_in_flight=lambda *_: False)


def old_roster_after_restart() -> AbstractContextManager[None]:
    """Count, after a restart, by the roster of the snapshot, whatever the log holds (H13)."""

    def init(self: Any, roster: Any, index: int, entries: Any) -> None:
        original_init(self, roster, index, entries)
        log = entries()
        self.started_at = log[-1][1] if log else 0

    def at(self: Any, until: int | None = None) -> Roster:
        if until is not None:
            return original_at(self, until)
        since = max(self.index, self.started_at)
        return roster_after(self._roster, self._entries(), since=since)

    original_init, original_at = RosterLog.__init__, RosterLog.at
    return replaced(RosterLog, __init__=init, at=at)


def roster_of_snapshot_too_new() -> AbstractContextManager[None]:
    """Put the newest roster into a snapshot, not the one as of its last entry (H14)."""

    def settle(self: Any, index: int) -> Roster:
        self._roster, self.index = self.at(), index
        return self._roster

    return replaced(RosterLog, settle=settle)


def learner_counted() -> AbstractContextManager[None]:
    """Count what a learner acknowledges as if a member had (H15)."""

    def judge_ack(self: Any, peer: Any, ack: Any, now: float, *, counts: bool) -> Any:
        judged = original(self, peer, ack, now, counts=counts)
        if judged is not None and judged["success"] and not counts:
            matches = self._core._SyncObj__raftMatchIndex
            others = sorted(self._core.otherNodes, key=lambda node: (matches[node], node.id))
            for slowest in others[:1]:
                matches[slowest] = max(matches[slowest], judged["next_node_idx"] - 1)
        return judged

    original = LeaderSide.judge_ack
    return replaced(LeaderSide, judge_ack=judge_ack)


def removed_forgotten_at_snapshot() -> AbstractContextManager[None]:
    """Leave those who were removed out of snapshots: their ids count as new ones."""
    return replaced(compaction, encode_roster=lambda roster: encode_members(roster.members))


def removed_not_told() -> AbstractContextManager[None]:
    """Let a removed member go on as if nothing had happened (H15)."""
    return replaced(RosterSide, committed=lambda *_: None, is_removed=lambda *_: False)


def newcomer_counts_itself() -> AbstractContextManager[None]:
    """Let a node vote, and ask for votes, before its log says that it is a member."""

    def refresh(self: Any) -> None:
        original(self)
        self.counts_me = True

    original = Voters.refresh
    return replaced(Voters, refresh=refresh)


def level_not_checked() -> AbstractContextManager[None]:
    """Write commands of a release that not all members run yet."""
    return replaced(LockReplica, _level_fault=lambda *_: None)


def version_raised_too_early() -> AbstractContextManager[None]:
    """Raise the cluster version although a member does not support it."""
    return replaced(upgrading, _obstacle=lambda *_: None)


def reads_before_applied() -> AbstractContextManager[None]:
    """Answer a confirmed read from a state that has not come so far."""

    def resolve(self: Any, applied: int) -> None:
        del applied
        original(self, 1 << 60)

    original = PendingReads.resolve
    return replaced(PendingReads, resolve=resolve)


def torn_frames_taken() -> AbstractContextManager[None]:
    """Take a frame of the journal for whole without looking at its checksum (H23)."""

    def decode_frame(magic: bytes, data: bytes, offset: int, seed: int = 0) -> Any:
        del seed
        start = offset + records.FRAME.size
        if start > len(data):
            return None
        found, sequence, length, _ = records.FRAME.unpack_from(data, offset)
        if found != magic or length > len(data) - start:
            return None
        return records.Frame(sequence, data[start : start + length], start + length)

    return replaced(recovery, decode_frame=decode_frame)
