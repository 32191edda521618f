"""Planted bugs that the simulation must find: ``python -m tests.support.sim.mutants [NAME...]``.

Each switches one safeguard off, from here and never in the product, and says which profiles have
to notice within how many seeds. A mutant that survives means that a checker or a fault is missing.

Three are hunted by name only: what they switch off matters in a chain of events so rare that random
runs have not met it yet. Until a profile provokes it, unit tests of guards and journal stand for
them.
"""

import argparse
import functools
import logging
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
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
from gorilla.domain import lease_clock, limits, table
from gorilla.domain.commands import Batch
from gorilla.domain.lock_records import LockRecord
from gorilla.domain.outcomes import Outcome
from gorilla.domain.table import LockTable
from gorilla.service import proposals
from gorilla.service.errors import NoLeaderError
from gorilla.service.ports import ReadPoint
from gorilla.service.replica import LockReplica
from gorilla.service.time import ClusterClock
from tests.support.sim.patching import replaced
from tests.support.sim.profiles import PROFILES
from tests.support.sim.world import World

Patch = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A planted bug, and where it must be found."""

    name: str
    patch: Patch
    profiles: tuple[str, ...]
    seeds: int = 40


# Consensus


def _no_sync_before_promises() -> AbstractContextManager[None]:
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
    return _both(replaced(Outbox, flush=flush), replaced(Journal, sync=lambda _: None))


def _acks_of_any_term() -> AbstractContextManager[None]:
    """Count acknowledgements of an earlier leadership, and beyond the log."""

    def judge(self: Any, peer: str, ack: Any, last_index: int, sent: int) -> Any:
        return original(self, peer, ack | {"term": self.term}, max(last_index, 1 << 60), sent)

    original = AckLedger.judge
    return replaced(AckLedger, judge=judge)


def _truncate_on_redundant_append() -> AbstractContextManager[None]:
    """Let the library drop every entry behind the append at hand (H5)."""

    def rewrite(message: Any, log: Any, committed: int) -> Append | Conflict:
        plan = rewrite_append(message, log, committed)
        previous = message["prevLogIdx"]
        if isinstance(plan, Conflict) or previous is None or previous < log.first_index:
            return plan
        return Append(message, is_gap=plan.is_gap)

    return replaced(following, rewrite_append=rewrite)


def _ack_more_than_proved() -> AbstractContextManager[None]:
    """Acknowledge the whole log when a redundant append only proves a part of it."""

    def rewrite(message: Any, log: Any, committed: int) -> Append | Conflict:
        plan = rewrite_append(message, log, committed)
        return plan if isinstance(plan, Conflict) else Append(plan.message, is_gap=plan.is_gap)

    return replaced(following, rewrite_append=rewrite)


def _commit_more_than_proved() -> AbstractContextManager[None]:
    """Take over the leader's commit index although the tail of the log may not be its own."""

    def rewrite(message: Any, log: Any, committed: int) -> Append | Conflict:
        plan = rewrite_append(message, log, committed)
        if isinstance(plan, Append):
            plan.message["commit_index"] = message["commit_index"]
        return plan

    return replaced(following, rewrite_append=rewrite)


def _commit_on_snapshot_message() -> AbstractContextManager[None]:
    """Commit whatever the log holds when a piece of a snapshot arrives (H1)."""

    def heartbeat(message: Any) -> Any:
        return original(message) | {"commit_index": message["index"] + 10}

    original = guards.heartbeat_only
    return replaced(following, heartbeat_only=heartbeat)


def _vote_forgotten() -> AbstractContextManager[None]:
    """Come back from a restart without memory of the vote given (H9)."""
    return replaced(Journal, getVotedForNodeId=lambda _: None)


def _vote_forgotten_at_rotation() -> AbstractContextManager[None]:
    """Leave the vote out of the state that a new journal segment starts with."""

    def checkpoint(self: Any) -> Checkpoint:
        return original(self)._replace(vote=None)

    original = Log.checkpoint
    return replaced(Log, checkpoint=checkpoint)


def _commit_index_beyond_proof() -> AbstractContextManager[None]:
    """Believe after a restart that all of the log is committed (H8)."""
    return replaced(Journal, getRaftCommitIndex=lambda self: max(1, self.last_index))


def _journal_cleared_at_start() -> AbstractContextManager[None]:
    """Start from the snapshot alone, as the library does unless its log fits exactly (H2)."""

    def align(self: Any, prev: Any, last: Any) -> None:
        self.clear()
        self.add(*prev)
        self.add(*last)

    return replaced(Journal, align=align)


def _snapshot_not_synced() -> AbstractContextManager[None]:
    """Publish a snapshot that is not on disk yet."""

    def commit_file(self: Any) -> None:
        self._file.write(self._encoder.end())
        self._size = self._file.size()
        self._file.close()

    return replaced(SnapshotWriter, commit_file=commit_file)


def _reads_without_majority() -> AbstractContextManager[None]:
    """Let a leader answer reads without asking whether it still is one."""

    def close(self: Any, members: int, now_ms: Any) -> None:
        del members
        original(self, 1, now_ms)

    original = LeaderRounds.close
    return replaced(LeaderRounds, close=close)


def _stale_reads() -> AbstractContextManager[None]:
    """Answer reads from the node's own state as it stands."""

    async def read_point(self: Any, deadline_s: float) -> ReadPoint:
        del deadline_s
        return ReadPoint(self.view().applied_index, 0)

    return replaced(Driver, read_point=read_point)


# The lock table


def _double_apply() -> AbstractContextManager[None]:
    """Forget what an origin's commands gave, so that one offered again is done again."""

    def apply_batch(self: Any, batch: Batch, outcomes: list[tuple[str, int, Outcome]]) -> None:
        for number, command in batch.commands:
            outcomes.append((batch.origin, number, self._execute(command)))

    return replaced(LockTable, _apply_batch=apply_batch)


def _fencing_lost_at_snapshot() -> AbstractContextManager[None]:
    """Take the counter, after a snapshot is loaded, from the leases that are left."""

    def load(cls: Any, chunks: Iterable[bytes], bounds: Any = limits.BOUNDS) -> LockTable:
        loaded: LockTable = original(cls, chunks, bounds)
        left = [lease.fencing_token for lease in loaded.leases()]
        loaded.fencing_counter = max(left, default=0)
        return loaded

    original = LockTable.load.__func__  # type: ignore[attr-defined]  # a classmethod has one
    return replaced(LockTable, load=classmethod(load))


def _expiry_by_wall_clock() -> AbstractContextManager[None]:
    """Let cluster time follow the leader's wall clock."""

    def now_ms(self: Any) -> int:
        if not hasattr(self, "wall_start_ms") or self._base_ms != self.wall_base_ms:
            self.wall_base_ms, self.wall_start_ms = self._base_ms, self._clock.wall_ms()
        moved_ms = self._clock.wall_ms() - self.wall_start_ms
        self._shown_ms = max(self._shown_ms, self._base_ms + moved_ms)
        return int(self._shown_ms)

    return replaced(ClusterClock, now_ms=now_ms)


def _early_expiry() -> AbstractContextManager[None]:
    """End leases a little before their time."""

    def deadline_ms(now_ms: int, ttl_ms: int) -> int:
        return now_ms + ttl_ms * 9 // 10

    return _both(
        replaced(table, deadline_ms=deadline_ms), replaced(lease_clock, deadline_ms=deadline_ms)
    )


def _any_token_works() -> AbstractContextManager[None]:
    """Take every token of a lock for its holder's."""
    return replaced(LockRecord, lease_with=lambda self, _secret: self.holders[0])


def _time_from_zero() -> AbstractContextManager[None]:
    """Let a new leader's cluster time jump ahead of what the state has."""

    def lead(self: Any, term: int) -> None:
        original(self, term)
        self._running.start(self.table.now_ms + 1_500)

    original = LockReplica.lead
    return replaced(LockReplica, lead=lead)


# The service


def _unknown_told_as_undone() -> AbstractContextManager[None]:
    """Tell a caller that nothing was done when nobody knows."""

    def unknown(waited_s: float) -> NoLeaderError:
        return NoLeaderError(f"nothing was done in {waited_s} s")

    return replaced(proposals, OutcomeUnknownError=unknown)


@contextmanager
def _both(*parts: AbstractContextManager[None]) -> Iterator[None]:
    with ExitStack() as stack:
        for part in parts:
            stack.enter_context(part)
        yield


MUTANTS: dict[str, Mutant] = {
    mutant.name: mutant
    for mutant in (
        Mutant("no-sync-before-promises", _no_sync_before_promises, ("power",)),
        Mutant("acks-of-any-term", _acks_of_any_term, ("backlog",), 100),
        Mutant("truncate-on-redundant-append", _truncate_on_redundant_append, ("backlog",)),
        Mutant("ack-more-than-proved", _ack_more_than_proved, ("backlog",), 100),
        Mutant("commit-more-than-proved", _commit_more_than_proved, ("backlog",), 100),
        Mutant("commit-on-snapshot-message", _commit_on_snapshot_message, ("snapshots",)),
        Mutant("vote-forgotten", _vote_forgotten, ("elections", "elections5"), 100),
        Mutant(
            "vote-forgotten-at-rotation",
            _vote_forgotten_at_rotation,
            ("elections", "elections5"),
            100,
        ),
        Mutant("commit-index-beyond-proof", _commit_index_beyond_proof, ("crash", "everything")),
        Mutant("journal-cleared-at-start", _journal_cleared_at_start, ("power", "snapshots")),
        Mutant("snapshot-not-synced", _snapshot_not_synced, ("power",)),
        Mutant("reads-without-majority", _reads_without_majority, ("reads",)),
        Mutant("stale-reads", _stale_reads, ("calm", "partition")),
        Mutant("double-apply", _double_apply, ("crash", "partition")),
        Mutant("fencing-lost-at-snapshot", _fencing_lost_at_snapshot, ("snapshots",)),
        Mutant("expiry-by-wall-clock", _expiry_by_wall_clock, ("drift", "everything")),
        Mutant("early-expiry", _early_expiry, ("calm",)),
        Mutant("any-token-works", _any_token_works, ("calm",)),
        Mutant("time-jumps-at-election", _time_from_zero, ("crash", "partition")),
        Mutant("unknown-told-as-undone", _unknown_told_as_undone, ("crash", "partition")),
    )
}


RARE = frozenset({"acks-of-any-term", "ack-more-than-proved", "vote-forgotten-at-rotation"})


def hunt(name: str, seeds: int | None = None) -> tuple[str, str | None]:
    """Run a mutant until it is found; returns its name and who found it where, or None."""
    logging.disable(logging.CRITICAL)
    mutant = MUTANTS[name]
    with mutant.patch():
        for seed in range(1, (seeds or mutant.seeds) + 1):
            for profile in mutant.profiles:
                violations = World(PROFILES[profile], seed).run().violations
                if violations:
                    return name, f"{profile} seed {seed}: {violations[0]}"
    return name, None


def main() -> int:
    """Hunt the mutants; returns how many survive."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.sim.mutants")
    parser.add_argument("names", nargs="*", default=sorted(MUTANTS.keys() - RARE), metavar="NAME")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--seeds", type=int, help="how many seeds at most")
    arguments = parser.parse_args()
    started, survivors = time.monotonic(), 0
    with multiprocessing.Pool(arguments.jobs) as pool:
        find = functools.partial(hunt, seeds=arguments.seeds)
        for name, found in pool.imap_unordered(find, arguments.names):
            survivors += found is None
            print(f"{name:30} {(found or 'SURVIVES')[:150]}", flush=True)
    print(f"{survivors} survive, {time.monotonic() - started:.0f} s")
    return survivors


if __name__ == "__main__":
    sys.exit(min(main(), 1))
