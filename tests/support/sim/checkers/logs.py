"""Log matching, state machine safety and leader completeness, as far as the logs seen tell.

Two logs with an entry of the same index and term are equal up to it; an index is applied with the
same command and term everywhere; what was applied once is never replaced in any log seen later.
"""

import zlib
from collections.abc import Iterator

from tests.support.sim.history import Applied, History, LogSeen


def check(history: History) -> Iterator[str]:
    """Yield every index at which two nodes disagree and may not."""
    yield from _same_applied(history)
    yield from _matching(history)


def _same_applied(history: History) -> Iterator[str]:
    first: dict[int, Applied] = {}
    for applied in history.applied:
        other = first.setdefault(applied.index, applied)
        if (other.term, other.payload) != (applied.term, applied.payload):
            yield (
                f"index {applied.index} is applied by {other.node} with term {other.term} and by"
                f" {applied.node} with term {applied.term}, {_compared(other, applied)} command"
            )


def _compared(one: Applied, two: Applied) -> str:
    return "the same" if one.payload == two.payload else "another"


def _matching(history: History) -> Iterator[str]:
    newest: dict[str, LogSeen] = {}
    for seen in history.logs:
        for other in newest.values():
            if other.node != seen.node:
                yield from _compare(other, seen)
        newest[seen.node] = seen


def _compare(one: LogSeen, two: LogSeen) -> Iterator[str]:
    common = sorted(one.entries.keys() & two.entries.keys(), reverse=True)
    agree_at: int | None = None
    for index in common:
        a, b = one.entries[index], two.entries[index]
        if agree_at is None and a[0] == b[0]:
            agree_at = index
        if agree_at is not None and a != b:
            yield (
                f"{one.node} and {two.node} have the same term at {agree_at} but differ at"
                f" {index}: {a} at {one.at:.3f}, {b} at {two.at:.3f}"
            )
            return


def checksum(command: bytes) -> int:
    """Return what stands for a command in :class:`LogSeen`."""
    return zlib.crc32(command)
