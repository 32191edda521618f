"""While a policy is in force it rules what begins and what is extended; the longest prefix alone.

By the log: a grant is to somebody whom its lock's policy allows, beside no more than it allows,
for no longer than the least of its rules, and not before the gap is over that was in force at the
lock's earlier grant. An extension ends no later than the rules say, counted from the grant or from
now, unless the hold would have lasted that long without it. So much later than was promised as
clocks may drift apart every hold is over. Who queues waits for no longer than the policy allowed.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from gorilla.domain.commands import Policy
from gorilla.domain.events import Acquired, Expired, Extended, Forced, QueuedEvent, ReleasedEvent
from gorilla.domain.limits import CLOCK_RATE_PPM
from tests.support.sim.history import History
from tests.support.sim.lock_log import Scene, State, scenes

_MILLION = 1_000_000


@dataclass(slots=True)
class _Lives:
    """Of everything that is held, since when and until when (cluster time) by its events."""

    since_ms: dict[int, int] = field(default_factory=dict)
    until_ms: dict[int, float] = field(default_factory=dict)

    def begin(self, event: Acquired, now_ms: int) -> None:
        """Take note of a grant."""
        self.since_ms[event.fencing_token] = now_ms
        self.until_ms[event.fencing_token] = _end_ms(now_ms, event.ttl_ms)

    def extend(self, event: Extended, policy: Policy, now_ms: int) -> Iterator[str]:
        """Take note of an extension, and object when the policy does not allow it."""
        number = event.fencing_token
        if number not in self.until_ms:
            yield f"extended, and by its events not held: {event}"
            return
        until_ms, before_ms = _end_ms(now_ms, event.ttl_ms), self.until_ms[number]
        allowed = [math.inf]
        if policy.lifetime_ms_max:
            allowed.append(_end_ms(self.since_ms[number], policy.lifetime_ms_max))
        if policy.ttl_ms_max and event.ttl_ms:
            allowed.append(_end_ms(now_ms, policy.ttl_ms_max))
        if until_ms > max(before_ms, min(allowed)):
            yield f"until {until_ms} (before: {before_ms}) under {policy}: {event}"
        self.until_ms[number] = max(before_ms, until_ms)

    def end(self, number: int) -> None:
        """Take note that something is held no more."""
        self.since_ms.pop(number, None)
        self.until_ms.pop(number, None)

    def over(self, now_ms: int) -> Iterator[str]:
        """Yield what should have ended by now."""
        for number, until_ms in self.until_ms.items():
            if until_ms <= now_ms:
                yield f"{number} is held at {now_ms}, and was to end at {until_ms}"


def check(history: History) -> Iterator[str]:
    """Yield everything that a policy in force does not allow."""
    lives = _Lives()
    for scene in scenes(history):
        for text in _objections(scene, lives):
            yield f"at {scene.entry.index} {text}"


def _objections(scene: Scene, lives: _Lives) -> Iterator[str]:
    state, now_ms = scene.state, scene.entry.now_ms
    match scene.event:
        case Acquired() as event:
            yield from _granted(state, event)
            lives.begin(event, now_ms)
        case Extended() as event:
            yield from lives.extend(event, state.policy(event.lock), now_ms)
        case QueuedEvent() as event:
            most_ms = state.policy(event.lock).wait_ms_max
            if most_ms and event.wait_ms > most_ms:
                yield f"may wait for {most_ms}: {event}"
        case ReleasedEvent() | Expired() | Forced() as event:
            lives.end(event.fencing_token)
        case None if scene.step is None:
            yield from lives.over(now_ms)


def _granted(state: State, event: Acquired) -> Iterator[str]:
    policy, others = state.policy(event.lock), len(state.holders(event.lock))
    if state.cooling.get(event.lock, 0) > state.now_ms:
        yield f"granted before {state.cooling[event.lock]}: {event}"
    if policy.owners and not any(_is_meant(event.holder, one) for one in policy.owners):
        yield f"not one of {policy.owners}: {event}"
    if policy.holders_max and others >= policy.holders_max:
        yield f"beside {others} under {policy}: {event}"
    ttl_ms = event.ttl_ms or math.inf
    if policy.lifetime_ms_max and ttl_ms > policy.lifetime_ms_max:
        yield f"for longer than it may live under {policy}: {event}"
    # What would live as long as its session has no timeout that could be too long.
    is_as_session = event.session and event.ttl_ms == policy.lifetime_ms_max
    if policy.ttl_ms_max and event.ttl_ms > policy.ttl_ms_max and not is_as_session:
        yield f"for longer than {policy}: {event}"


def _is_meant(owner: str, pattern: str) -> bool:
    beginning = pattern.removesuffix("*")
    return owner == pattern or (beginning != pattern and owner.startswith(beginning))


def _end_ms(now_ms: int, ttl_ms: int) -> float:
    """Return when what is promised for so long is over on every clock; 0: with its session."""
    return now_ms + ttl_ms + math.ceil(ttl_ms * CLOCK_RATE_PPM / _MILLION) if ttl_ms else math.inf
