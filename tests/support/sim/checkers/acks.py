"""What a leader counts as acknowledged is in the follower's log, and is the same entry there.

Looked at whenever a leader has taken an acknowledgement of a follower that has gone on to no later
term: up to the index that the leader counts, their logs agree.
"""

from collections.abc import Iterator

from tests.support.sim.history import History


def check(history: History) -> Iterator[str]:
    """Yield every acknowledgement that was counted and isn't true."""
    for counted in history.counted:
        if not counted.is_there:
            yield (
                f"{counted.leader} counts {counted.index} in term {counted.term} as acknowledged"
                f" by {counted.node} at {counted.at:.3f}, which does not have it"
            )
