"""What is applied anywhere for the first time is in the logs of a majority at that instant.

This holds of every entry, whoever committed it: those who acknowledged it can't lose it any more.
A majority is one of the roster by which it was counted: the newest in the leader's log, committed
or not. A log counts with what it had in memory, that of a dead process with what it had when it
died, so nobody is blamed for less than there was.
"""

from collections.abc import Iterator

from tests.support.sim.history import Committed, History


def check(history: History) -> Iterator[str]:
    """Yield every entry that was applied before a majority had it."""
    for commit in history.commits:
        if not any(_is_majority(commit, roster) for roster in commit.rosters):
            have = ", ".join(commit.holders) or "nobody"
            yield (
                f"{commit.node} applies {commit.index} of term {commit.term} at {commit.at:.3f}"
                f" when only {have} have it, of {' or '.join(map(str, commit.rosters))}"
            )


def _is_majority(commit: Committed, roster: tuple[str, ...]) -> bool:
    return 2 * len(set(roster) & set(commit.holders)) > len(roster)
