"""A node votes for one candidate of a term at most, and still knows it after a restart.

Asking for votes is a vote for oneself. What a node told anybody must be in its journal whenever a
process opens it, or the next candidate may get a second vote.
"""

from collections.abc import Iterator

from tests.support.sim.history import History


def check(history: History) -> Iterator[str]:
    """Yield every second vote of a node in a term, and every vote that a restart forgot."""
    given: dict[tuple[str, int], str] = {}
    for vote in history.votes:
        first = given.setdefault((vote.node, vote.term), vote.candidate)
        if first != vote.candidate:
            yield (
                f"{vote.node} votes in term {vote.term} for {first}"
                f" and, at {vote.at:.3f}, for {vote.candidate}"
            )
    for opened in history.opened:
        told = [one for one in history.votes if one.node == opened.node and one.at <= opened.at]
        last = max(told, key=lambda vote: vote.term, default=None)
        if last is None or last.term < opened.term:
            continue
        if (last.term, last.candidate) != (opened.term, opened.vote):
            yield (
                f"{opened.node} starts at {opened.at:.3f} with term {opened.term} and a vote for"
                f" {opened.vote}, after one for {last.candidate} in term {last.term}"
            )
