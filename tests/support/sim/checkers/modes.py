"""One holder alone, or sharers alone, or as many as the limit says: by the log and by the clients.

By the log: whoever is granted a lock goes beside those who hold it at that point. By the clients:
at no instant do more rely on a lock than may hold it. A client relies on it from the answer until
what was left then has passed on its own clock, it asks for the end, or somebody forces it away;
until then it does not end.
"""

import math
from collections.abc import Iterator

from gorilla.domain.events import Acquired, Expired, Forced, ReleasedEvent
from tests.support.sim.history import History, Hold
from tests.support.sim.lock_log import fits, scenes


def check(history: History) -> Iterator[str]:
    """Yield every grant, and every two holds of clients, that don't go together."""
    yield from _by_log(history)
    yield from _by_clients(history)


def _by_log(history: History) -> Iterator[str]:
    for scene in scenes(history):
        event = scene.event
        if isinstance(event, Acquired):
            holders = scene.state.holders(event.lock)
            if not fits(event.slots, [one.slots for one in holders]):
                beside = ", ".join(f"{one.holder} ({one.slots})" for one in holders)
                yield (
                    f"at {scene.entry.index} {event.holder} gets {event.lock} ({event.slots})"
                    f" beside {beside}"
                )
        elif isinstance(event, ReleasedEvent | Expired | Forced):
            held = scene.state.held.get(event.lock, {}).get(event.fencing_token)
            if held is None or held.holder != event.holder:
                yield f"at {scene.entry.index} ends what nobody holds: {event}"


def _ends(history: History) -> dict[int, tuple[float, bool]]:
    """Return when each grant ended (true seconds), by its number, and whether by force."""
    return {
        event.fencing_token: (entry.at, isinstance(event, Forced))
        for entry in history.effects
        for step in entry.steps
        for event in step.events
        if isinstance(event, ReleasedEvent | Expired | Forced)
    }


def _by_clients(history: History) -> Iterator[str]:
    ends = _ends(history)
    by_lock: dict[str, list[tuple[float, Hold]]] = {}
    for hold in history.holds:
        until, (at, is_forced) = hold.until, ends.get(hold.fencing, (math.inf, False))
        if is_forced:
            until = min(until, at)
        if until > hold.since:
            by_lock.setdefault(hold.lock, []).append((until, hold))
        if until > max(at, hold.since):
            yield f"{hold} ended at {at:.4f}"
    for holds in by_lock.values():
        yield from _together(sorted(holds, key=lambda one: one[1].since))


def _together(holds: list[tuple[float, Hold]]) -> Iterator[str]:
    open_holds: list[tuple[float, Hold]] = []
    for until, hold in holds:
        open_holds = [one for one in open_holds if one[0] > hold.since]
        others = {one.fencing: one.slots for _, one in open_holds if one.fencing != hold.fencing}
        if not fits(hold.slots, list(others.values())):
            beside = "; ".join(f"{one} until {end:.4f}" for end, one in open_holds)
            yield f"{hold} until {until:.4f} is relied on beside {beside}"
        open_holds.append((until, hold))
