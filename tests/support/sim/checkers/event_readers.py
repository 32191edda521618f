"""Nobody who watches is left in silence.

Some time after the last fault everybody has had the last event, and the members told last are the
members. In the calm at the end whoever reads is told at once. While faults go on, a node that has
not been ready for long ends its streams, so that its readers go to one that hears more.
"""

from collections.abc import Iterator

from tests.support.sim.happened import Happened
from tests.support.sim.history import History
from tests.support.sim.streaming import LIMITS
from tests.support.sim.watch_history import Watch

SILENCE_S_MAX = LIMITS.unserved_s_max + 2 * LIMITS.sweep_s + 0.7
"""How long a node that is not ready may keep a stream; what is added is for a busy disk."""

TOLD_S_MAX = 0.5
"""How long after its entry was applied anywhere, or what came before was told, an event is told in
the calm: less than a heartbeat takes, with which everything is told that was forgotten."""


def check(history: History) -> Iterator[str]:
    """Yield everybody who is behind in the end, and every stream that a cut off node kept."""
    yield from history.watching.late
    unready = _unready(history)
    for watch in history.watching.watches:
        for since, until in unready.get((watch.node, watch.life), []):
            if _overlap(watch, since, until) > SILENCE_S_MAX:
                yield f"{watch} goes on while its node is not ready ({since:.3f} to {until:.3f})"
    happened = Happened(history)
    for watch in history.watching.watches:
        yield from _told_late(watch, happened, history.calm_from)


def _told_late(watch: Watch, happened: Happened, calm_from: float) -> Iterator[str]:
    if watch.opened is None or watch.is_slow:
        return
    since = max(calm_from, watch.opened.at)
    for line in watch.lines:
        if line.at < since:
            continue
        if line.kind not in {"position", "gap"} and happened.event(line.number) is not None:
            # Who has much to catch up with gets it piece by piece.
            at = max(since, happened.times[line.number - 1])
            if line.at - at > TOLD_S_MAX:
                yield f"{watch} tells {line}, which was due at {at:.3f}"
        since = line.at


def _unready(history: History) -> dict[tuple[str, int], list[tuple[float, float]]]:
    """Return from when to when which process was not ready: at each look, and between them."""
    spans: dict[tuple[str, int], list[tuple[float, float]]] = {}
    was_ready: dict[tuple[str, int], bool] = {}
    for look in history.watching.looks:
        key = (look.node, look.life)
        if not look.is_ready:
            known = spans.setdefault(key, [])
            if was_ready.get(key, True):
                known.append((look.at, look.at))
            known[-1] = (known[-1][0], look.at)
        was_ready[key] = look.is_ready
    return spans


def _overlap(watch: Watch, since: float, until: float) -> float:
    if watch.opened is None:
        return 0.0
    return min(watch.ended_at, until) - max(watch.opened.at, since)
