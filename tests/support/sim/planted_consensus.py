"""Bugs to plant in consensus: each switches one safeguard off, from here, never in the product."""

from contextlib import AbstractContextManager
from typing import Any

from gorilla.consensus import following, guards
from gorilla.consensus.driver import Driver
from gorilla.consensus.guards import AckLedger, Append, Conflict, rewrite_append
from gorilla.consensus.journal import Journal
from gorilla.consensus.journal.log import Log
from gorilla.consensus.journal.records import Checkpoint
from gorilla.consensus.outbox import Outbox
from gorilla.consensus.reads import LeaderRounds
from gorilla.consensus.snapshots import SnapshotWriter
from gorilla.service.ports import ReadPoint
from tests.support.sim.patching import both, replaced


def no_sync_before_promises() -> AbstractContextManager[None]:
    """Acknowledge and vote first, write to disk some turns later."""

    def flush(self: Any) -> None:
        messages, self._messages = self._messages, []
        for peer, message in messages:
            self._wire.send(peer, message)
        self._wire.flush()
        self.turns = getattr(self, "turns", 0) + 1
        if self.turns % 8 == 0:
            original_sync(self._journal)

    original_sync = Journal.sync
    return both(replaced(Outbox, flush=flush), replaced(Journal, sync=lambda _: None))


def acks_of_any_term() -> AbstractContextManager[None]:
    """Count acknowledgements of an earlier leadership, and beyond the log."""

    def judge(self: Any, peer: str, ack: Any, last_index: int, sent: int) -> Any:
        return original(self, peer, ack | {"term": self.term}, max(last_index, 1 << 60), sent)

    original = AckLedger.judge
    return replaced(AckLedger, judge=judge)


def truncate_on_redundant_append() -> AbstractContextManager[None]:
    """Let the library drop every entry behind the append at hand (H5)."""

    def rewrite(message: Any, log: Any, committed: int) -> Append | Conflict:
        plan = rewrite_append(message, log, committed)
        previous = message["prevLogIdx"]
        if isinstance(plan, Conflict) or previous is None or previous < log.first_index:
            return plan
        return Append(message, is_gap=plan.is_gap)

    return replaced(following, rewrite_append=rewrite)


def ack_more_than_proved() -> AbstractContextManager[None]:
    """Acknowledge the whole log when a redundant append only proves a part of it."""

    def rewrite(message: Any, log: Any, committed: int) -> Append | Conflict:
        plan = rewrite_append(message, log, committed)
        return plan if isinstance(plan, Conflict) else Append(plan.message, is_gap=plan.is_gap)

    return replaced(following, rewrite_append=rewrite)


def commit_more_than_proved() -> AbstractContextManager[None]:
    """Take over the leader's commit index although the tail of the log may not be its own."""

    def rewrite(message: Any, log: Any, committed: int) -> Append | Conflict:
        plan = rewrite_append(message, log, committed)
        if isinstance(plan, Append):
            plan.message["commit_index"] = message["commit_index"]
        return plan

    return replaced(following, rewrite_append=rewrite)


def commit_on_snapshot_message() -> AbstractContextManager[None]:
    """Commit whatever the log holds when a piece of a snapshot arrives (H1)."""

    def heartbeat(message: Any) -> Any:
        return original(message) | {"commit_index": message["index"] + 10}

    original = guards.heartbeat_only
    return replaced(following, heartbeat_only=heartbeat)


def vote_forgotten() -> AbstractContextManager[None]:
    """Come back from a restart without memory of the vote given (H9)."""
    return replaced(Journal, getVotedForNodeId=lambda _: None)


def vote_forgotten_at_rotation() -> AbstractContextManager[None]:
    """Leave the vote out of the state that a new journal segment starts with."""

    def checkpoint(self: Any) -> Checkpoint:
        return original(self)._replace(vote=None)

    original = Log.checkpoint
    return replaced(Log, checkpoint=checkpoint)


def commit_index_beyond_proof() -> AbstractContextManager[None]:
    """Believe after a restart that all of the log is committed (H8)."""
    return replaced(Journal, getRaftCommitIndex=lambda self: max(1, self.last_index))


def journal_cleared_at_start() -> AbstractContextManager[None]:
    """Start from the snapshot alone, as the library does unless its log fits exactly (H2)."""

    def align(self: Any, prev: Any, last: Any) -> None:
        self.clear()
        self.add(*prev)
        self.add(*last)

    return replaced(Journal, align=align)


def snapshot_not_synced() -> AbstractContextManager[None]:
    """Publish a snapshot that is not on disk yet."""

    def commit_file(self: Any) -> None:
        self._file.write(self._encoder.end())
        self._size = self._file.size()
        self._file.close()

    return replaced(SnapshotWriter, commit_file=commit_file)


def reads_without_majority() -> AbstractContextManager[None]:
    """Let a leader answer reads without asking whether it still is one."""

    def close(self: Any, members: int, now_ms: Any) -> None:
        del members
        original(self, 1, now_ms)

    original = LeaderRounds.close
    return replaced(LeaderRounds, close=close)


def stale_reads() -> AbstractContextManager[None]:
    """Answer reads from the node's own state as it stands."""

    async def read_point(self: Any, deadline_s: float) -> ReadPoint:
        del deadline_s
        return ReadPoint(self.view().applied_index, 0)

    return replaced(Driver, read_point=read_point)
