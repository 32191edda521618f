"""Planted bugs that the simulation must find: ``python -m tests.support.sim.mutants [NAME...]``.

Each switches one safeguard off and says which profiles have to notice within how many seeds. A
mutant that survives means that a checker or a fault is missing.
"""

import argparse
import functools
import logging
import multiprocessing
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from typing_extensions import override

from tests.support.sim import (
    planted_consensus,
    planted_deadlocks,
    planted_events,
    planted_history,
    planted_locks,
    planted_members,
    planted_policies,
    planted_queues,
    planted_views,
)
from tests.support.sim.history import Violation
from tests.support.sim.profiles import PROFILES
from tests.support.sim.world import Outcome, World

Patch = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Mutant:
    """A planted bug, and where it must be found."""

    patch: Patch
    profiles: tuple[str, ...]
    seeds: int = 40
    """Within so many seeds of each profile."""
    by: tuple[str, ...] = ()
    """Which checkers have to find it, one of them; none: any will do."""

    @property
    def name(self) -> str:
        """What the command line calls it."""
        return str(self.patch.__name__).replace("_", "-")


_CONSENSUS = (
    Mutant(planted_consensus.no_sync_before_promises, ("power",)),
    Mutant(planted_consensus.acks_of_any_term, ("late_acks",)),
    Mutant(planted_consensus.truncate_on_redundant_append, ("backlog",)),
    Mutant(planted_consensus.ack_more_than_proved, ("backlog", "backlog5", "member_storm")),
    Mutant(planted_consensus.commit_more_than_proved, ("backlog",)),
    Mutant(planted_consensus.commit_on_snapshot_message, ("snapshots",)),
    Mutant(planted_consensus.vote_forgotten, ("elections", "elections5")),
    Mutant(planted_consensus.vote_forgotten_at_rotation, ("elections", "elections5")),
    Mutant(planted_consensus.commit_index_beyond_proof, ("crash", "everything")),
    Mutant(planted_consensus.journal_cleared_at_start, ("power", "snapshots")),
    Mutant(planted_consensus.snapshot_not_synced, ("power",)),
    Mutant(planted_consensus.reads_without_majority, ("reads",), 300),
    Mutant(planted_consensus.stale_reads, ("calm", "partition")),
)
_LOCKS = (
    Mutant(planted_locks.double_apply, ("handover",)),
    Mutant(planted_locks.fencing_lost_at_snapshot, ("snapshots",)),
    Mutant(planted_locks.expiry_by_wall_clock, ("drift", "everything")),
    Mutant(planted_locks.early_expiry, ("calm",)),
    Mutant(planted_locks.any_token_works, ("calm",)),
    Mutant(planted_locks.time_jumps_at_election, ("crash", "partition")),
    Mutant(planted_locks.unknown_told_as_undone, ("crash", "partition")),
)
_MEMBERS = (
    Mutant(planted_members.changes_at_once, ("member_storm", "member_storm5"), 80),
    Mutant(planted_members.old_roster_after_restart, ("members", "member_storm")),
    Mutant(planted_members.roster_of_snapshot_too_new, ("members", "member_storm")),
    Mutant(planted_members.learner_counted, ("members", "member_storm")),
    Mutant(planted_members.removed_forgotten_at_snapshot, ("members",)),
    Mutant(planted_members.removed_not_told, ("members",)),
    Mutant(planted_members.newcomer_counts_itself, ("members", "member_storm")),
    Mutant(planted_members.level_not_checked, ("versions",)),
    Mutant(planted_members.version_raised_too_early, ("versions",)),
    Mutant(planted_members.reads_before_applied, ("reads", "partition")),
    Mutant(planted_members.torn_frames_taken, ("power",)),
)
_QUEUEING = ("queueing", "queueing5")
_QUEUES = (
    Mutant(planted_queues.overtaking_in_the_queue, _QUEUEING, by=("queue order",)),
    Mutant(planted_queues.sharer_beside_exclusive, _QUEUEING, by=("modes",)),
    Mutant(planted_queues.claim_not_checked, _QUEUEING, by=("modes", "queue order")),
    Mutant(planted_queues.waiters_lost_at_snapshot, _QUEUEING),
    Mutant(planted_queues.keys_lost_at_snapshot, _QUEUEING, by=("keys",)),
    Mutant(planted_queues.session_end_forgets_waits, _QUEUEING, by=("sessions",)),
    Mutant(planted_queues.several_in_part, _QUEUEING, by=("several",)),
    Mutant(planted_queues.hang_up_forgotten, _QUEUEING, by=("claims",)),
    Mutant(planted_queues.key_forgotten_at_take_over, _QUEUEING, by=("keys",)),
    Mutant(planted_queues.place_lost_at_renewal, _QUEUEING, by=("places",)),
    Mutant(planted_queues.place_given_up_at_once, _QUEUEING, by=("places",)),
    Mutant(planted_queues.place_kept_for_nobody, _QUEUEING, by=("left behind",)),
    Mutant(planted_queues.turn_not_told, _QUEUEING, by=("left behind",)),
    Mutant(planted_queues.taken_back_from_its_owner, _QUEUEING, by=("modes",)),
    Mutant(planted_queues.time_promised_again, _QUEUEING, by=("modes",)),
)
_POLICIES = (
    Mutant(planted_policies.gap_lost_at_snapshot, _QUEUEING, by=("policies", "digests")),
    Mutant(planted_policies.policies_lost_at_snapshot, _QUEUEING, by=("policies",)),
    Mutant(planted_policies.extended_past_its_lifetime, _QUEUEING, by=("policies",)),
    Mutant(planted_policies.policy_not_asked_at_claim, _QUEUEING, by=("policies",)),
)
_DEADLOCKS = (
    Mutant(planted_deadlocks.deadlocks_not_looked_for, _QUEUEING, by=("deadlocks",)),
    Mutant(planted_deadlocks.every_circle_refused, _QUEUEING, by=("deadlocks",)),
    Mutant(planted_deadlocks.only_holders_looked_at, _QUEUEING, by=("deadlocks",)),
)
_VIEWS = (
    Mutant(planted_views.shown_without_the_last_waiter, _QUEUEING, by=("views",)),
    Mutant(planted_views.wish_lost_at_extension, _QUEUEING, by=("views",)),
    Mutant(planted_views.everybody_before_is_in_the_way, _QUEUEING, by=("views",)),
    Mutant(planted_views.chain_not_followed, _QUEUEING, by=("views",)),
    Mutant(planted_views.stale_told_as_latest, _QUEUEING, by=("views",)),
)
_WATCHING = ("watching", "watching5")
_STREAMS = ("event streams",)
_EVENTS = (
    Mutant(planted_events.extension_not_told, _WATCHING, by=("event effects",)),
    Mutant(planted_events.end_in_a_session_told_twice, _WATCHING, by=("event effects",)),
    Mutant(planted_events.members_not_noted, _WATCHING, by=("event readers",)),
    Mutant(planted_events.events_lost_at_snapshot, _WATCHING, by=("event logs",)),
    Mutant(planted_events.state_not_taken_over, _WATCHING, by=("event logs",)),
    Mutant(planted_events.events_numbered_by_node, _WATCHING, by=_STREAMS),
    Mutant(planted_events.ring_off_by_one, _WATCHING, by=_STREAMS),
    Mutant(planted_events.leader_not_asked, _WATCHING, by=_STREAMS),
    Mutant(planted_events.gap_not_told, _WATCHING, by=_STREAMS),
    Mutant(planted_events.unknown_not_told, _WATCHING, by=_STREAMS),
    Mutant(planted_events.hole_in_a_stream, _WATCHING, by=_STREAMS),
    Mutant(planted_events.rest_of_a_piece_lost, _WATCHING, by=_STREAMS),
    Mutant(planted_events.slow_readers_passed_over, _WATCHING, by=_STREAMS),
    Mutant(planted_events.news_not_told, _WATCHING, by=("event readers",)),
    Mutant(planted_events.streams_kept_while_cut_off, _WATCHING, by=("event readers",)),
    Mutant(planted_events.served_while_cut_off, _WATCHING, by=("event readers",)),
)
_RECORDING = ("recording", "recording5")
_WRITES = ("record writes",)
_SETTLED = ("record settled",)
_HISTORY = (
    Mutant(planted_history.events_added_anywhere, _RECORDING, by=_WRITES),
    Mutant(planted_history.terms_not_compared, ("late_writes",), by=_WRITES),
    Mutant(planted_history.gap_not_told, _RECORDING, by=_WRITES),
    Mutant(planted_history.gap_of_what_is_there, _RECORDING, by=_WRITES),
    Mutant(planted_history.holds_looked_through_first, _RECORDING, by=_WRITES),
    Mutant(planted_history.written_again_after_no_answer, _RECORDING, by=("record",)),
    Mutant(planted_history.extensions_counted_behind_a_gap, _RECORDING, by=("record",)),
    Mutant(planted_history.holds_not_looked_through, _RECORDING, by=_SETTLED),
    Mutant(planted_history.only_the_first_holds_looked_through, _RECORDING, by=_SETTLED),
    Mutant(planted_history.complete_up_to_now, _RECORDING, by=("past",)),
    Mutant(planted_history.releases_wait_for_the_database, _RECORDING, by=("prompt",)),
)
MUTANTS: dict[str, Mutant] = {
    mutant.name: mutant
    for group in (
        _CONSENSUS,
        _LOCKS,
        _MEMBERS,
        _QUEUES,
        _POLICIES,
        _DEADLOCKS,
        _VIEWS,
        _EVENTS,
        _HISTORY,
    )
    for mutant in group
}


@dataclass(frozen=True, slots=True)
class Hunt:
    """What became of a mutant."""

    name: str
    runs: int
    """How many runs it took, or how many were not enough."""
    bound: int
    """How many it may take."""
    caught: Outcome | None

    @override
    def __str__(self) -> str:
        bound = f"{self.runs:4} of {self.bound:3} runs"
        if self.caught is None:
            return f"SURVIVES {self.name:30} {bound}"
        violation = _found(self.name, self.caught)[0]
        found = f"{self.caught.profile} seed {self.caught.seed}: {violation}"
        return f"caught   {self.name:30} {bound}  {found:.110}"


def _found(name: str, outcome: Outcome) -> list[Violation]:
    """Return what those say of a run who have to find a mutant."""
    by = MUTANTS[name].by
    return [one for one in outcome.violations if not by or one.checker in by]


def _check_planting(name: str, outcome: Outcome) -> None:
    """Refuse a planted bug that no longer fits the code: an error of its own proves nothing."""
    for violation in outcome.violations:
        if any(error in violation.text for error in ("TypeError", "AttributeError", "NameError")):
            raise RuntimeError(f"{name} is planted wrongly: {violation.text}")


def hunt(name: str, seeds: int | None = None) -> Hunt:
    """Run a mutant until it is caught, or for all seeds it may take."""
    logging.disable(logging.CRITICAL)
    mutant, runs = MUTANTS[name], 0
    seeds = seeds or mutant.seeds
    bound = seeds * len(mutant.profiles)
    with mutant.patch():
        for seed in range(1, seeds + 1):
            for profile in mutant.profiles:
                runs += 1
                outcome = World(PROFILES[profile], seed).run()
                _check_planting(name, outcome)
                if _found(name, outcome):
                    return Hunt(name, runs, bound, outcome)
    return Hunt(name, runs, bound, None)


def main() -> int:
    """Hunt the mutants; returns how many survive."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.sim.mutants")
    parser.add_argument("names", nargs="*", default=list(MUTANTS), metavar="NAME")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--seeds", type=int, help="how many seeds at most")
    arguments = parser.parse_args()
    started, hunts = time.monotonic(), list[Hunt]()
    with multiprocessing.Pool(arguments.jobs) as pool:
        find = functools.partial(hunt, seeds=arguments.seeds)
        for done in pool.imap_unordered(find, arguments.names):
            hunts.append(done)
            print(f"[{len(hunts):2}/{len(arguments.names)}] {done}", flush=True)
    survivors = [one.name for one in hunts if one.caught is None]
    print(
        f"{len(hunts) - len(survivors)} of {len(hunts)} planted bugs caught in"
        f" {sum(one.runs for one in hunts)} runs, {time.monotonic() - started:.0f} s"
    )
    return len(survivors)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
