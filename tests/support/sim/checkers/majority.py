"""What is applied anywhere for the first time is in the logs of a majority at that instant.

This holds of every entry, whoever committed it: those who acknowledged it can't lose it any more.
A log counts with what it had in memory, that of a dead process with what it had when it died, so
nobody is blamed for less than there was.
"""

from collections.abc import Iterator

from tests.support.sim.history import History


def check(history: History) -> Iterator[str]:
    """Yield every entry that was applied before a majority had it."""
    for commit in history.commits:
        if 2 * len(commit.holders) <= commit.members:
            have = ", ".join(commit.holders) or "nobody"
            yield (
                f"{commit.node} applies {commit.index} of term {commit.term} at {commit.at:.3f}"
                f" when only {have} of {commit.members} have it"
            )
