"""A node with one safeguard switched off, to see that the faults find it out:
``python -m tests.support.chaos.planted NAME run --node n1``. The bugs are those of the simulation.
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager

from gorilla.daemon.__main__ import main
from tests.support.sim import (
    planted_consensus as consensus,
    planted_locks as locks,
    planted_queues as queues,
)

BUGS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    bug.__name__.replace("_", "-"): bug
    for bug in (
        consensus.acks_of_any_term,
        consensus.commit_more_than_proved,
        consensus.reads_without_majority,
        consensus.stale_reads,
        consensus.vote_forgotten,
        locks.double_apply,
        locks.fencing_lost_at_snapshot,
        locks.expiry_by_wall_clock,
        locks.early_expiry,
        locks.any_token_works,
        locks.unknown_told_as_undone,
        queues.overtaking_in_the_queue,
        queues.sharer_beside_exclusive,
        queues.claim_not_checked,
        queues.hang_up_forgotten,
    )
}

if __name__ == "__main__":
    with BUGS[sys.argv[1]]():
        sys.exit(main(sys.argv[2:]))
