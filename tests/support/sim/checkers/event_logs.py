"""The event log of a node holds what the log of the cluster caused: all of it, up to where it is.

Its numbers have no hole; the event of a number is the same on every node, in every life; the last
one is that of the last entry applied. It reaches as far back as its size lets it, or, behind a
snapshot that was taken over, as far as the state remembers: so what a gap says is gone is gone.
"""

from collections.abc import Iterator

from tests.support.sim.happened import Happened
from tests.support.sim.history import History
from tests.support.sim.watch_history import LogKept


def check(history: History) -> Iterator[str]:
    """Yield everything that the event log of a node lacks, or has otherwise."""
    watching, happened = history.watching, Happened(history)
    opened = [one for watch in watching.watches for one in (watch.asked, watch.opened) if one]
    for log in (*watching.logs, *opened):
        yield from _wrong_ends(log, happened)
    for log in watching.logs:
        yield from _wrong_events(log, happened)


def _wrong_ends(log: LogKept, happened: Happened) -> Iterator[str]:
    last, first = happened.at_index(log.index), happened.first_at_most(log)
    if log.last != last:
        yield f"{_named(log)} ends with {log.last}, and entry {log.index} with event {last}"
    elif not 1 <= log.first <= first:
        yield f"{_named(log)} begins with {log.first}, and should reach back to {first}"


def _wrong_events(log: LogKept, happened: Happened) -> Iterator[str]:
    numbers = [event.number for event in log.events]
    if numbers != list(range(log.first, log.last + 1)):
        yield f"{_named(log)} of {log.first} to {log.last} has {numbers}"
        return
    for event in log.events:
        if event != happened.event(event.number):
            yield f"{_named(log)} has {event}, which was {happened.event(event.number)}"


def _named(log: LogKept) -> str:
    return f"at {log.at:.3f} the event log of {log.node}/{log.life}"
