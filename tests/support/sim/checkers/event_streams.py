"""Whoever watches is told everything that it wants, once, in order, or is told what it is not told.

A stream goes on right after the event that its reader named, or says which numbers are missing:
those that this node no longer has, or that the cluster has never given. From there on numbers rise,
and nothing between two of them was wanted. What is told of an event is what happened, whichever
node tells it, and nobody is told of what has not happened yet.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from gorilla.api.answers import encode_json
from gorilla.api.event_frames import TYPES, EventFilter, event_body
from gorilla.domain.events import Event, MembersChanged
from tests.support.sim.happened import Happened
from tests.support.sim.history import History
from tests.support.sim.watch_history import Line, Watch


def check(history: History) -> Iterator[str]:
    """Yield everything that a stream lacks, or has too much."""
    happened = Happened(history)
    bodies: dict[int, Any] = {}
    for watch in history.watching.watches:
        if watch.lines:
            problems = (*_opening(watch, happened), *_lines(watch, happened, bodies))
            yield from (f"{watch}: {problem}" for problem in problems[:1])


def _opening(watch: Watch, happened: Happened) -> Iterator[str]:
    """Look at where it begins: where it was asked to, or at a gap that is true."""
    line, begins = watch.lines[0], _begins(watch)
    if line.kind == "gap":
        is_true = _is_gone if line.body["reason"] == "history" else _is_unknown
        if not is_true(watch, line, happened):
            yield f"tells of {line.body} with {line}, where {begins} is now"
    elif line.kind != "position":
        yield f"begins with {line}"
    elif line.number != watch.after and not (watch.after is None and line.number in begins):
        yield f"begins at {line.number}, and says nothing of what is before that"


def _begins(watch: Watch) -> range:
    """Return the numbers that were the last one while the request was there."""
    assert watch.asked is not None
    assert watch.opened is not None
    return range(watch.asked.last, watch.opened.last + 1)


def _is_gone(watch: Watch, line: Line, _: Happened) -> bool:
    """Whether a gap is what the node no longer has of what comes next."""
    assert watch.opened is not None
    body = line.body
    if watch.after is None:
        is_next = body["from"] - 1 in _begins(watch)
    else:
        is_next = body["from"] - 1 == watch.after
    return is_next and body["from"] <= body["to"] == line.number == watch.opened.first - 1


def _is_unknown(watch: Watch, line: Line, happened: Happened) -> bool:
    """Whether a number was never given by the cluster, and the stream goes on from now."""
    if watch.after is None or (line.body["from"], line.body["to"]) != (
        line.number + 1,
        watch.after,
    ):
        return False
    return watch.after > happened.until(watch.asked_at) and line.number in _begins(watch)


def _lines(watch: Watch, happened: Happened, bodies: dict[int, Any]) -> Iterator[str]:
    at = watch.lines[0].number
    for line in watch.lines[1:]:
        number = line.number
        is_event = line.kind not in {"position", "gap"}
        if line.kind == "gap" or number < at + is_event:
            yield f"after {at}: {line}"
            return
        left_out = range(at + 1, number if is_event else number + 1)
        lacks = [one for one in left_out if _is_wanted(watch.wanted, happened.event(one))]
        if lacks:
            yield f"goes on from {at} to {line}, without {lacks}"
        if number > happened.until(line.at):
            yield f"{line} has not happened yet"
        elif is_event:
            yield from _otherwise(watch, line, happened, bodies)
        at = number


def _otherwise(
    watch: Watch, line: Line, happened: Happened, bodies: dict[int, Any]
) -> Iterator[str]:
    event = happened.event(line.number)
    assert event is not None
    if line.number not in bodies:
        bodies[line.number] = msgspec.json.decode(encode_json(event_body(event)))
    if not _is_wanted(watch.wanted, event):
        yield f"{line} is not wanted"
    if line.kind != TYPES[type(event)] or line.body != bodies[line.number]:
        yield f"{line} says {line.body} of {event}"
    elif line.body["number"] != line.number:
        yield f"{line} is numbered {line.body['number']} in its text"


def _is_wanted(wanted: EventFilter, event: Event | None) -> bool:
    """Return whether a reader is to be told of an event."""
    if event is None or (wanted.types is not None and TYPES[type(event)] not in wanted.types):
        return False
    if isinstance(event, MembersChanged):
        return wanted.prefix == wanted.owner == ""
    is_owner = wanted.owner in {"", event.holder}
    return is_owner and event.lock[: len(wanted.prefix)] == wanted.prefix
