"""The state of the plain model of the whole lock table (see ``queue_model``): a list of each thing.

Every question looks at all of them. Whoever can be served is found anew after each command, so
nobody can be forgotten; whether a wait could end is played out.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from gorilla.domain import commands as c
from gorilla.domain.limits import NEVER_MS, Bounds
from tests.support.lock_model import shown_ms

BOUNDS = Bounds(
    locks=6,
    remembered_fencing_tokens=3,
    slots=3,
    waiters=5,
    waiters_per_lock=3,
    claim_ms=1_000,
    sessions=3,
    session_leases=3,
    keys=4,
    key_kept_ms=3_000,
    policies=3,
    events=10,
)

Answer = tuple[str, int | None, tuple[Any, ...]]
"""Name of an outcome, what is left of it (milliseconds; None: nothing is said), and the rest."""

Party = tuple[str, int]


def answer(name: str, *rest: Any, left: int | None = None) -> Answer:
    return (name, left, rest)


@dataclass
class Hold:
    lock: str
    holder: str
    session: int
    secret: str
    token: int
    ends_ms: int
    slots: int
    group: str
    granted_ms: int
    is_known: bool = False

    @property
    def party(self) -> Party:
        return (self.holder, self.session)


@dataclass
class Wait:
    ticket: int
    origin: str
    locks: tuple[str, ...]
    holder: str
    session: int
    secret: str
    slots: int
    ttl_ms: int
    is_group: bool
    since_ms: int
    until_ms: int
    claim_by_ms: int
    key: str
    fingerprint: bytes

    @property
    def party(self) -> Party:
        return (self.holder, self.session)


@dataclass
class Session:
    id: str
    number: int
    holder: str
    ttl_ms: int
    ends_ms: int


@dataclass
class Key:
    key: str
    fingerprint: bytes
    answer: Answer
    of: Any
    """(lock, secret) of each lease in the answer, or the id of a session."""
    at_ms: int

    def is_wait(self, ticket: int) -> bool:
        return self.answer[0] == "Queued" and self.answer[2][0] == ticket


@dataclass
class State:
    now_ms: int = 0
    tokens: int = 0
    numbers: int = 0
    session_numbers: int = 0
    holds: list[Hold] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    policies: list[c.Policy] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    cooling: dict[str, int] = field(default_factory=dict)
    spoke_ms: dict[str, int] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    members_index: int = 0
    events: list[tuple[Any, ...]] = field(default_factory=list)
    """Of the last entry: kind, then what tells it from others."""
    turns: list[tuple[str, int, str, str | None]] = field(default_factory=list)
    """Of the last entry: origin, ticket, secret, and why it left (None: its turn has come)."""

    # Looking

    def on(self, lock: str) -> list[Hold]:
        return [hold for hold in self.holds if hold.lock == lock]

    def queue(self, lock: str) -> list[Wait]:
        return [wait for wait in self.waits if lock in wait.locks]

    def of_session(self, number: int) -> Session:
        return next(each for each in self.sessions if each.number == number)

    def ends(self, hold: Hold) -> int:
        if not hold.session:
            return hold.ends_ms
        return min(hold.ends_ms, self.of_session(hold.session).ends_ms)

    def left(self, *holds: Hold) -> int:
        return min(shown_ms(max(0, self.ends(hold) - self.now_ms)) for hold in holds)

    def policy(self, lock: str) -> c.Policy:
        ruling = [each for each in self.policies if lock.startswith(each.prefix)]
        return max(ruling, key=lambda each: len(each.prefix), default=c.Policy(""))

    def most(self, lock: str) -> int:
        return self.policy(lock).holders_max or BOUNDS.slots

    def is_cooling(self, lock: str) -> bool:
        return self.cooling.get(lock, 0) > self.now_ms

    def fits(self, slots: int, before: list[int], lock: str) -> bool:
        """Return whether ``slots`` may have ``lock`` beside those ``before``."""
        if slots == c.SHARED:
            return 1 not in before and len(before) < self.most(lock)
        return len(before) < min(slots, self.most(lock))

    def before(self, lock: str, ticket: int | None = None) -> list[int]:
        """Return the slots of who has a lock, and of who queues for it (before ``ticket``)."""
        ahead = [w.slots for w in self.queue(lock) if ticket is None or w.ticket < ticket]
        return [hold.slots for hold in self.on(lock)] + ahead

    def is_next(self, wait: Wait) -> bool:
        return all(
            not self.is_cooling(lock)
            and self.fits(wait.slots, self.before(lock, wait.ticket), lock)
            for lock in wait.locks
        )

    def position(self, wait: Wait) -> int:
        places = ([w.ticket for w in self.queue(lock)].index(wait.ticket) for lock in wait.locks)
        return 1 + max(places)

    def due(self) -> list[tuple[int, int, Any]]:
        """Return when what happens for time alone: waits, sessions, pauses, in that order."""
        waits = [(wait.claim_by_ms or wait.until_ms, 0, wait.ticket) for wait in self.waits]
        sessions = [(session.ends_ms, 1, session.number) for session in self.sessions]
        return sorted(waits + sessions) + sorted((at, 2, lock) for lock, at in self.cooling.items())

    def next_ms(self) -> int | None:
        due = [at_ms for at_ms, _, _ in self.due()]
        due += [hold.ends_ms for hold in self.holds if hold.ends_ms != NEVER_MS]
        due += [self.lost_ms(wait.origin) for wait in self.waits]
        return min(due, default=None)

    def lost_ms(self, origin: str) -> int:
        return self.spoke_ms[origin] + BOUNDS.waiter_origin_idle_ms

    # Waits that can't end

    def deadlocks(self, wait: Wait) -> bool:
        """Return whether ``wait``, which just came last, waits for ever, and for itself."""
        rest = replace(self, holds=list(self.holds), waits=list(self.waits), cooling={})
        moved = True
        while moved:
            waiting = {each.party for each in rest.waits}
            before = len(rest.holds), len(rest.waits)
            rest.holds = [hold for hold in rest.holds if hold.party in waiting]
            served = next((each for each in rest.waits if rest.is_next(each)), None)
            if served is not None:
                rest.waits.remove(served)
                rest.holds += [_as_held(served, lock) for lock in served.locks]
            moved = (len(rest.holds), len(rest.waits)) != before
        seen: set[Party] = set()
        unseen = [wait] if wait in rest.waits else []
        while unseen:
            found = rest.blockers(unseen.pop()) - seen
            seen |= found
            unseen += [each for each in rest.waits if each.party in found]
        return wait.party in seen

    def blockers(self, wait: Wait) -> set[Party]:
        """Return who of those who are left keeps ``wait`` from a lock."""
        found: set[Party] = set()
        for lock in wait.locks:
            before = self.before(lock, wait.ticket)
            if not self.fits(wait.slots, before, lock):
                there = [*self.on(lock), *(w for w in self.queue(lock) if w.ticket < wait.ticket)]
                full = wait.slots != c.SHARED or len(before) >= self.most(lock)
                found |= {each.party for each in there if full or each.slots == 1}
        return found

    # Changing

    def note(self, kind: str, *what: Any) -> None:
        self.numbers += 1
        self.events.append((kind, *what))

    def end(self, hold: Hold, kind: str, session: int | None = None) -> None:
        self.holds.remove(hold)
        inside = () if session is None else (session,)
        self.note(kind, hold.lock, hold.holder, hold.token, *inside)

    def leave(self, wait: Wait, why: str) -> None:
        self.waits.remove(wait)
        for lock in wait.locks:
            self.note("LeftEvent", lock, wait.holder, wait.ticket, why)
        if why == "timeout":
            self.settle(wait, answer("TimedOut", self.now_ms - wait.since_ms), ())
        else:
            self.forget_wait(wait)
        self.turns.append((wait.origin, wait.ticket, wait.secret, why))

    def wake(self) -> None:
        for wait in self.waits:
            if not wait.claim_by_ms and self.is_next(wait):
                wait.claim_by_ms = self.now_ms + BOUNDS.claim_ms
                self.turns.append((wait.origin, wait.ticket, wait.secret, None))

    def end_session(self, session: Session, kind: str) -> int:
        for wait in [each for each in self.waits if each.session == session.number]:
            self.leave(wait, "session_ended")
        inside = [hold for hold in self.holds if hold.session == session.number]
        for hold in inside:
            self.end(hold, kind, session.number)
        self.sessions.remove(session)
        return len(inside)

    def pass_time(self, now_ms: int) -> None:
        self.events, self.turns = [], []
        self.now_ms = max(self.now_ms, now_ms)
        over = [hold for hold in self.holds if hold.ends_ms <= self.now_ms]
        for hold in sorted(over, key=lambda each: (each.ends_ms, each.token)):
            self.end(hold, "Expired", 0)
        while (due := min(self.due(), key=lambda each: each[:2], default=None)) is not None:
            at_ms, kind, what = due
            if at_ms > self.now_ms:
                break
            if kind == 0:
                wait = next(each for each in self.waits if each.ticket == what)
                self.leave(wait, "unclaimed" if wait.claim_by_ms else "timeout")
            elif kind == 1:
                self.end_session(self.of_session(what), "Expired")
            else:
                del self.cooling[what]
        self.wake()

    def drop_lost(self) -> None:
        for wait in sorted(self.waits, key=lambda each: (each.origin, each.ticket)):
            if self.lost_ms(wait.origin) <= self.now_ms:
                self.leave(wait, "node_lost")
        self.wake()

    # Keys

    def forget_keys(self) -> None:
        self.keys = [k for k in self.keys if self.now_ms - k.at_ms <= BOUNDS.key_kept_ms]

    def known(self, key: str) -> Key | None:
        return next((each for each in self.keys if each.key == key), None)

    def keep(self, key: str, fingerprint: bytes, given: Answer, of: Any) -> None:
        self.keys = [each for each in self.keys if each.key != key]
        if given[0] not in ("Full", "Recovering") and len(self.keys) < BOUNDS.keys:
            self.keys.append(Key(key, fingerprint, given, of, self.now_ms))

    def settle(self, wait: Wait, given: Answer, of: Any) -> None:
        if wait.key:
            self.forget_keys()
            known = self.known(wait.key)
            if known is None or known.is_wait(wait.ticket):
                self.keep(wait.key, wait.fingerprint, given, of)

    def forget_wait(self, wait: Wait) -> None:
        self.keys = [
            each for each in self.keys if each.key != wait.key or not each.is_wait(wait.ticket)
        ]

    def again(self, known: Key) -> Answer:
        """Return an earlier answer with what is left of it now."""
        name, left, rest = known.answer
        if name == "SessionAlive":
            kept = [each for each in self.sessions if each.id == known.of]
            left = shown_ms(kept[0].ends_ms - self.now_ms) if kept else 0
        elif known.of:
            found = [[h for h in self.on(lock) if h.secret == secret] for lock, secret in known.of]
            left = min(self.left(each[0]) if each else 0 for each in found)
        return (f"Replayed {name}", left, rest)


def _as_held(wait: Wait, lock: str) -> Hold:
    return Hold(lock, wait.holder, wait.session, "", 0, NEVER_MS, wait.slots, "", 0)
