"""Nobody is left behind in a queue.

By the log, after every entry: whoever nothing keeps from what it waits for was told its turn, and
has had it for less than the table gives it; nobody else waits longer than it wanted to, or at a
node that was not heard of for too long. In the calm at the end every request is answered, and
whoever is next has the lock, or has gone, within ``HANDOVER_S_MAX`` and the time that its place is
kept for when it is not there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from gorilla.domain import limits
from gorilla.domain.events import Left, LeftEvent
from tests.support.sim.history import Effects, History, Result
from tests.support.sim.lock_log import Scene, State, Wait, scenes

HANDOVER_S_MAX = 1.0
_LOST = {Left.UNCLAIMED, Left.NODE_LOST}


@dataclass(slots=True)
class _Watch:
    """What is known of those who wait."""

    history: History
    told: dict[int, int] = field(default_factory=dict)
    """When (cluster time) tickets were told last that it is their turn."""
    next_since: dict[int, tuple[int, float, Wait]] = field(default_factory=dict)
    """Since when (cluster time, true time) nothing keeps a wait from what it waits for."""
    heard_ms: dict[str, int] = field(default_factory=dict)
    kept_s: dict[bytes, float] = field(init=False)
    """For how long whose place (by its secret) is kept when the wait is over."""

    def __post_init__(self) -> None:
        """Learn who may be away for a moment."""
        kept = [(ask.mark, ask.wish.keep_ms / 1_000) for ask in self.history.asks]
        self.kept_s = {mark: kept_s for mark, kept_s in kept if mark and kept_s}

    def after(self, state: State, entry: Effects) -> Iterator[str]:
        """Look at everybody who waits after an entry."""
        told = [turn.ticket for turn in entry.turns if turn.left is None]
        self.told |= dict.fromkeys(told, entry.now_ms)
        self.heard_ms |= dict.fromkeys(entry.heard, entry.now_ms)
        yield from self._served_late(state, entry)
        for ticket, wait in state.waits.items():
            if entry.now_ms - self.heard_ms[wait.origin] >= limits.WAITER_ORIGIN_IDLE_MS_MAX:
                yield f"at {entry.index} {wait} waits at {wait.origin}, which is gone"
            if not state.is_eligible(wait):
                # A policy came between: who has been told its turn has that time to claim it.
                self.next_since.pop(ticket, None)
                claim_by_ms = self.told.get(ticket, -limits.CLAIM_MS_MAX) + limits.CLAIM_MS_MAX
                if entry.now_ms >= max(wait.until_ms, claim_by_ms):
                    yield f"at {entry.index} {wait} waits for longer than it wanted to"
                continue
            now = (entry.now_ms, entry.at, wait)
            since_ms, _, _ = self.next_since.setdefault(ticket, now)
            if ticket not in self.told:
                yield f"at {entry.index} {wait} is not told its turn"
            elif entry.now_ms - since_ms >= limits.CLAIM_MS_MAX:
                yield f"at {entry.index} {wait} has had its turn since {since_ms}"

    def _served_late(self, state: State, entry: Effects) -> Iterator[str]:
        for ticket in self.next_since.keys() - state.waits.keys():
            _, since, wait = self.next_since.pop(ticket)
            within_s = HANDOVER_S_MAX + self.kept_s.get(wait.secret.encode(), 0.0)
            if wait.since >= self.history.calm_from and entry.at - since > within_s:
                yield f"{wait} was next at {since:.3f}, and went at {entry.at:.3f}"


def check(history: History) -> Iterator[str]:
    """Yield everybody who waits although it should not, or was lost."""
    watch = _Watch(history)
    for scene in scenes(history):
        if scene.step is None:
            yield from watch.after(scene.state, scene.entry)
        elif isinstance(scene.event, LeftEvent):
            yield from _lost_in_calm(scene, scene.event, history)
    for ask in history.asks:
        if ask.invoked_at >= history.calm_from and ask.result in {Result.UNKNOWN, Result.DEFINITE}:
            yield f"without an answer although nothing goes wrong: {ask}"


def _lost_in_calm(scene: Scene, event: LeftEvent, history: History) -> Iterator[str]:
    wait = scene.state.waits.get(event.ticket)
    if wait is not None and wait.since >= history.calm_from and event.why in _LOST:
        yield f"{wait} is lost ({event.why}) although nothing goes wrong"
