"""One checker per file; each says in its docstring what no run may do."""

from collections.abc import Callable, Iterator

from tests.support.sim.checkers import (
    acknowledged,
    acks,
    apply_order,
    claims,
    deadlocks,
    definite,
    digests,
    elections,
    event_effects,
    event_logs,
    event_readers,
    event_streams,
    fencing,
    keys,
    left_behind,
    linearizable,
    logs,
    majority,
    mishaps,
    modes,
    overlap,
    past,
    places,
    policies,
    progress,
    prompt,
    queue_order,
    record,
    record_settled,
    record_writes,
    rosters,
    sessions,
    several,
    views,
    votes,
)
from tests.support.sim.history import History, Violation

ALL: dict[str, Callable[[History], Iterator[str]]] = {
    "elections": elections.check,
    "votes": votes.check,
    "logs": logs.check,
    "acks": acks.check,
    "majority": majority.check,
    "rosters": rosters.check,
    "apply order": apply_order.check,
    "digests": digests.check,
    "fencing": fencing.check,
    "overlap": overlap.check,
    "acknowledged": acknowledged.check,
    "definite": definite.check,
    "modes": modes.check,
    "queue order": queue_order.check,
    "places": places.check,
    "claims": claims.check,
    "deadlocks": deadlocks.check,
    "left behind": left_behind.check,
    "keys": keys.check,
    "sessions": sessions.check,
    "several": several.check,
    "policies": policies.check,
    "views": views.check,
    "record": record.check,
    "record writes": record_writes.check,
    "record settled": record_settled.check,
    "past": past.check,
    "prompt": prompt.check,
    "event effects": event_effects.check,
    "event logs": event_logs.check,
    "event streams": event_streams.check,
    "event readers": event_readers.check,
    "linearizable": linearizable.check,
    "progress": progress.check,
    "mishaps": mishaps.check,
}


def violations(history: History, *, without: str = "") -> list[Violation]:
    """Return everything that any checker, but for the one left out, has against a run."""
    return [
        Violation(name, text)
        for name, check in ALL.items()
        if name != without
        for text in check(history)
    ]
