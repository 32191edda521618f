"""Everything that happens to a lock is one event, with the right number, in the order of the log.

Events are numbered 1, 2, 3 and so on. What a command did has its events and no others: a grant for
each lock, an extension, an end; and only time lets a lease run out. A fencing token begins once and
ends once, and nothing happens to it before or after. What a client was told of has its event.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from gorilla.domain.events import (
    Acquired,
    Event,
    Expired,
    Extended,
    Forced,
    ReleaseAsked,
    ReleasedEvent,
)
from gorilla.domain.outcomes import (
    ForcedAway,
    Granted,
    GrantedAll,
    Lease,
    Outcome,
    Released,
    ReleasedAll,
    ReleaseWished,
    Renewed,
    RenewedAll,
    SessionEnded,
)
from tests.support.sim.happened import Happened
from tests.support.sim.history import Ask, Asked, History, Result, Step

Held = Acquired | Extended | ReleasedEvent | Expired | Forced | ReleaseAsked
_ENDS = (ReleasedEvent, Expired, Forced)


@dataclass(slots=True)
class _Life:
    """What events say of a fencing token."""

    lock: str
    holder: str
    kinds: list[type[Event]] = field(default_factory=list)
    at: list[float] = field(default_factory=list)


def check(history: History) -> Iterator[str]:
    """Yield every event that is missing, or is too much."""
    happened = Happened(history)
    for number, event in enumerate(happened.events, start=1):
        if event.number != number:
            yield f"event {number} is numbered {event.number}: {event}"
            return
    for entry in history.effects:
        for step in entry.steps:
            yield from (f"at {entry.index} {text}" for text in _misfits(step))
    lives: dict[int, _Life] = {}
    for event, at in zip(happened.events, happened.times, strict=True):
        if isinstance(event, Held):
            yield from _follow(lives, event, at)
    yield from _acknowledged(history, lives)


def _misfits(step: Step) -> Iterator[str]:
    """Compare what an outcome says with the events of the same step."""
    found = [event for event in step.events if isinstance(event, Held)]
    told = [(type(event), event.fencing_token) for event in found]
    if step.command is None:
        wrong = [event for event in found if not isinstance(event, Expired)]
        if wrong:
            yield f"time alone did {wrong}"
    elif isinstance(step.outcome, SessionEnded | ReleaseWished):
        kind = ReleaseAsked if isinstance(step.outcome, ReleaseWished) else ReleasedEvent
        if [one for one, _ in told] != [kind] * _count(step.outcome):
            yield f"{step.outcome} has the events {found}"
    elif told != _expected(step.outcome) and not _is_same_again(step.outcome, told):
        yield f"{step.outcome} has the events {found}"


def _count(outcome: SessionEnded | ReleaseWished) -> int:
    return len(outcome.holders) if isinstance(outcome, ReleaseWished) else outcome.released


def _expected(outcome: Outcome | None) -> list[tuple[type[Event], int]]:
    match outcome:
        case Granted(is_new=True) | GrantedAll(is_new=True):
            return _of(Acquired, _leases(outcome))
        case Renewed() | RenewedAll():
            return _of(Extended, _leases(outcome))
        case Released(fencing_token=token):
            return [(ReleasedEvent, token)]
        case ReleasedAll(fencing_tokens=tokens):
            return [(ReleasedEvent, token) for token in tokens]
        case ForcedAway(fencing_tokens=tokens):
            return [(Forced, token) for token in tokens]
    return []


def _leases(outcome: Granted | GrantedAll | Renewed | RenewedAll) -> tuple[Lease, ...]:
    return outcome.leases if isinstance(outcome, GrantedAll | RenewedAll) else (outcome.lease,)


def _of(kind: type[Event], leases: tuple[Lease, ...]) -> list[tuple[type[Event], int]]:
    return [(kind, lease.fencing_token) for lease in leases]


def _is_same_again(outcome: Outcome | None, told: list[tuple[type[Event], int]]) -> bool:
    """Whether a holder asked once more for what it has, and has some of it for longer now."""
    if not isinstance(outcome, Granted | GrantedAll) or outcome.is_new:
        return False
    return [one for one in _of(Extended, _leases(outcome)) if one in told] == told


def _follow(lives: dict[int, _Life], event: Held, at: float) -> Iterator[str]:
    token = event.fencing_token
    life = lives.setdefault(token, _Life(event.lock, event.holder))
    is_begun = Acquired in life.kinds
    is_over = any(kind in _ENDS for kind in life.kinds)
    if is_begun is isinstance(event, Acquired) or is_over:
        yield f"of {token} there was {[kind.__name__ for kind in life.kinds]} before {event}"
    if (life.lock, life.holder) != (event.lock, event.holder):
        yield f"{token} is {life.holder}'s for {life.lock}, and not so in {event}"
    life.kinds.append(type(event))
    life.at.append(at)


def _acknowledged(history: History, lives: dict[int, _Life]) -> Iterator[str]:
    tokens = {
        token: number
        for ask in history.asks
        for token, number in zip(ask.tokens, ask.fencing, strict=True)
    }
    for ask in history.asks:
        if not all(_has(lives, *one, ask) for one in _effects(ask, tokens)):
            yield f"no event of {ask}"
    for operation in history.operations:
        if operation.result is Result.GRANTED and operation.fencing not in lives:
            yield f"no event of {operation}"


def _effects(ask: Ask, tokens: dict[str, int]) -> list[tuple[int, type[Event], str]]:
    """Return which events its answer says there have been: token, kind, lock."""
    pairs = list(zip(ask.wish.locks, ask.fencing, strict=False))
    if ask.result is Result.GRANTED:
        return [(number, Acquired, lock) for lock, number in pairs]
    if ask.result is Result.RENEWED:
        return [(number, Extended, lock) for lock, number in pairs]
    if ask.result is Result.RELEASED and ask.kind is Asked.RELEASE and ask.wish.token in tokens:
        return [(tokens[ask.wish.token], ReleasedEvent, ask.wish.locks[0])]
    return []


def _has(lives: dict[int, _Life], number: int, kind: type[Event], lock: str, ask: Ask) -> bool:
    """Whether an event of this kind had happened to a token when its holder was told."""
    life = lives.get(number)
    if life is None or (life.holder, life.lock) != (ask.client, lock):
        return False
    pairs = zip(life.kinds, life.at, strict=True)
    return any(one is kind and at <= ask.returned_at for one, at in pairs)
