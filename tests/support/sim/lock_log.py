"""What the applied log says of locks, event by event: who held, who queued, who lived.

Written anew from the promises, with nothing of the product's rules in it: it takes events and
outcomes for what they say and follows them. Checkers walk through the scenes and object.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gorilla.domain.commands import (
    Acquire,
    AcquireAll,
    Claim,
    Command,
    DropPolicy,
    Once,
    Plain,
    Policy,
    SetPolicy,
)
from gorilla.domain.events import (
    Acquired,
    Event,
    Expired,
    Forced,
    LeftEvent,
    QueuedEvent,
    ReleasedEvent,
)
from gorilla.domain.outcomes import (
    Done,
    Granted,
    GrantedAll,
    Lease,
    Queued,
    Session,
    SessionAlive,
    SessionEnded,
)
from tests.support.sim.history import Effects, History, Step

EXCLUSIVE = 1
SHARED = 0
FREE = Policy("")
"""What rules where no policy does."""


@dataclass(slots=True, frozen=True)
class Held:
    """A lock that is held."""

    lock: str
    holder: str
    session: int
    slots: int
    fencing: int


@dataclass(slots=True)
class Wait:
    """A request that queues, as it was asked last."""

    ticket: int
    holder: str
    session: int
    locks: tuple[str, ...]
    slots: int
    secret: str
    origin: str
    key: str
    until_ms: int
    since: float
    """True seconds."""
    is_group: bool = False
    """Whether it was asked for as several at once."""

    def __str__(self) -> str:
        return f"ticket {self.ticket} of {self.holder} for {', '.join(self.locks)}"


@dataclass(slots=True)
class State:
    """Locks, queues and sessions at one point of the log."""

    now_ms: int = 0
    held: dict[str, dict[int, Held]] = field(default_factory=dict)
    """By lock and fencing number."""
    queues: dict[str, dict[int, Wait]] = field(default_factory=dict)
    """By lock and ticket, in the order of the log."""
    waits: dict[int, Wait] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    """By prefix."""
    cooling: dict[str, int] = field(default_factory=dict)
    """Cluster time before which a lock is not to be granted again."""

    def holders(self, lock: str) -> list[Held]:
        """Return who holds a lock."""
        return list(self.held.get(lock, {}).values())

    def ahead(self, lock: str, ticket: float = math.inf) -> list[Wait]:
        """Return who queues for a lock and came before ``ticket``."""
        return [one for one in self.queues.get(lock, {}).values() if one.ticket < ticket]

    def policy(self, lock: str) -> Policy:
        """Return what rules a lock: of all prefixes that it begins with, the longest one's."""
        fitting = [prefix for prefix in self.policies if lock.startswith(prefix)]
        return self.policies[max(fitting, key=len)] if fitting else FREE

    def is_eligible(self, wait: Wait) -> bool:
        """Return whether no holder, nobody who came before and no policy stops a wait."""
        return all(self._has_room(lock, wait) for lock in wait.locks)

    def _has_room(self, lock: str, wait: Wait) -> bool:
        before = [one.slots for one in (*self.holders(lock), *self.ahead(lock, wait.ticket))]
        is_cooling = self.cooling.get(lock, 0) > self.now_ms
        most = self.policy(lock).holders_max or math.inf
        return fits(wait.slots, before) and len(before) < most and not is_cooling


def fits(slots: int, others: Sequence[int]) -> bool:
    """Return whether one more of ``slots`` goes beside the others: alone, sharing, or counted."""
    if slots == SHARED:
        return all(one == SHARED for one in others)
    return all(one == slots for one in others) and len(others) < slots


@dataclass(slots=True, frozen=True)
class Scene:
    """A point of the log: before an event, or (None) after a step, or (None) after an entry."""

    state: State
    entry: Effects
    step: Step | None
    event: Event | None
    granted: Wait | None = None
    """Whose turn it is that the step takes."""
    over: tuple[int, ...] = ()
    """After a step: the sessions that ended with it, by number."""


def plain(command: Command) -> Plain:
    """Return what is asked, with a key or without."""
    return command.command if isinstance(command, Once) else command


def new_leases(step: Step) -> tuple[Lease, ...]:
    """Return what a step granted."""
    match step.outcome:
        case Granted(lease=lease, is_new=True):
            return (lease,)
        case GrantedAll(leases=leases, is_new=True):
            return leases
    return ()


def scenes(history: History) -> Iterator[Scene]:
    """Walk through the log; the state changes when the next scene is asked for."""
    state = State()
    for entry in history.effects:
        yield from _entry(state, entry)


def _entry(state: State, entry: Effects) -> Iterator[Scene]:
    state.now_ms = entry.now_ms
    steps = list(entry.steps)
    if not steps or steps[0].command is not None:
        steps.insert(0, Step(None, "", None, ()))
    for number, step in enumerate(steps):
        granted = _granted(state, step)
        for event in step.events:
            yield Scene(state, entry, step, event, granted)
            _follow(state, entry, step, event)
        if granted is not None:
            _take_out(state, granted)
        over = _past(state) if number == 0 else ()
        yield Scene(state, entry, step, None, granted, over + _settle(state, step))
    yield Scene(state, entry, None, None)


def _granted(state: State, step: Step) -> Wait | None:
    """Return the wait that a step's grant is of: it is claimed, or its owner asks again."""
    leases = new_leases(step)
    if step.command is None or not leases:
        return None
    command = plain(step.command)
    if isinstance(command, Claim):
        return state.waits.get(command.ticket)
    mine, lock = (leases[0].holder, leases[0].session), leases[0].lock
    for wait in state.ahead(lock):
        is_same = len(wait.locks) == len(leases) and wait.slots == leases[0].slots
        if is_same and (wait.holder, wait.session) == mine:
            return wait
    return None


def _follow(state: State, entry: Effects, step: Step, event: Event) -> None:
    match event:
        case Acquired():
            held = Held(event.lock, event.holder, event.session, event.slots, event.fencing_token)
            state.held.setdefault(event.lock, {})[held.fencing] = held
            if gap_ms := state.policy(event.lock).gap_ms:
                state.cooling[event.lock] = state.now_ms + gap_ms
        case ReleasedEvent() | Expired() | Forced():
            state.held.get(event.lock, {}).pop(event.fencing_token, None)
        case QueuedEvent():
            wait = state.waits.get(event.ticket) or _new_wait(state, entry, step, event)
            state.waits[event.ticket] = wait
            state.queues.setdefault(event.lock, {})[event.ticket] = wait
        case LeftEvent():
            state.queues.get(event.lock, {}).pop(event.ticket, None)
            state.waits.pop(event.ticket, None)


def _new_wait(state: State, entry: Effects, step: Step, event: QueuedEvent) -> Wait:
    assert step.command is not None
    command = plain(step.command)
    assert isinstance(command, Acquire | AcquireAll)
    session = state.sessions.get(command.session)
    return Wait(
        event.ticket,
        command.holder,
        0 if session is None else session.number,
        (command.lock,) if isinstance(command, Acquire) else command.locks,
        command.slots,
        command.secret,
        step.origin,
        step.command.key if isinstance(step.command, Once) else "",
        entry.now_ms + event.wait_ms,
        entry.at,
        isinstance(command, AcquireAll),
    )


def _take_out(state: State, wait: Wait) -> None:
    state.waits.pop(wait.ticket, None)
    for lock in wait.locks:
        state.queues.get(lock, {}).pop(wait.ticket, None)


def _past(state: State) -> tuple[int, ...]:
    """End the sessions that time ends; return their numbers."""
    past = [one for one in state.sessions.values() if one.expires_at_ms <= state.now_ms]
    for session in past:
        del state.sessions[session.id]
    return tuple(session.number for session in past)


def _settle(state: State, step: Step) -> tuple[int, ...]:
    """Follow what an outcome says and no event does; return the numbers of sessions that end."""
    if step.command is None:
        return ()
    command = plain(step.command)
    match step.outcome:
        case SessionAlive(session=session):
            state.sessions[session.id] = session
        case SessionEnded():
            session = state.sessions.pop(command.session, None)  # type: ignore[union-attr]
            return () if session is None else (session.number,)
        case Queued(ticket=ticket) if isinstance(command, Acquire | AcquireAll):
            wait = state.waits.get(ticket)
            if wait is not None and wait.secret != command.secret:
                _asked_again(state, step, wait, command)
        case Done() if isinstance(command, SetPolicy):
            state.policies[command.policy.prefix] = command.policy
        case Done() if isinstance(command, DropPolicy):
            state.policies.pop(command.prefix, None)
    return ()


def _asked_again(state: State, step: Step, wait: Wait, command: Acquire | AcquireAll) -> None:
    """Its owner asks for what it queues for, perhaps at another node: that is its caller now."""
    wait.secret, wait.origin = command.secret, step.origin
    wait.key = step.command.key if isinstance(step.command, Once) else ""
    allowed = [state.policy(lock).wait_ms_max for lock in wait.locks]
    wait.until_ms = state.now_ms + min(filter(None, (command.wait_ms, *allowed)), default=0)
