"""The rules of the whole lock table once more, independently and as plainly as possible.

It shares nothing with the table but the types of commands and the names of outcomes.
"""

from dataclasses import replace
from typing import Any

from gorilla.domain import commands as c
from gorilla.domain.events import Event, LeftEvent, MembersChanged, QueuedEvent
from gorilla.domain.limits import NEVER_MS
from gorilla.domain.outcomes import (
    Deadlock,
    Granted,
    GrantedAll,
    Outcome,
    Renewed,
    RenewedAll,
    Replayed,
    SessionAlive,
)
from tests.support.lock_model import kept_ms
from tests.support.queue_rules import Given, Rules, bare
from tests.support.queue_state import BOUNDS, Answer, Hold, Wait, answer


def gist(outcome: Outcome) -> Answer:
    """Return an outcome of the table as the model would say it."""
    if isinstance(outcome, Replayed):
        again = gist(outcome.outcome)
        return (f"Replayed {again[0]}", *again[1:])
    fields = {name: getattr(outcome, name) for name in outcome.__struct_fields__}
    match outcome:
        case Granted(lease) | Renewed(lease):
            fields["lease"] = (lease.fencing_token, lease.secret)
        case GrantedAll(leases) | RenewedAll(leases):
            fields["leases"] = [(lease.fencing_token, lease.secret) for lease in leases]
        case SessionAlive(session):
            fields["session"] = session.number
        case Deadlock():
            fields = {}
    left_ms = fields.pop("remaining_ms", None)
    fields.pop("expires_wall_ms", None)
    return answer(type(outcome).__name__, *fields.values(), left=left_ms)


def told(event: Event) -> tuple[Any, ...]:
    """Return an event of the table as the model would say it."""
    kind = type(event).__name__
    if isinstance(event, MembersChanged):
        return (kind, event.members)
    if isinstance(event, QueuedEvent):
        return (kind, event.lock, event.holder, event.ticket, event.position)
    if isinstance(event, LeftEvent):
        return (kind, event.lock, event.holder, event.ticket, event.why.value)
    what = (kind, event.lock, event.holder, event.fencing_token)
    return (*what, event.session) if kind in ("Expired", "ReleasedEvent") else what


class Model(Rules):
    """What the rules say."""

    def apply(self, of: c.Entry) -> list[Answer]:
        self.pass_time(of.stamp.now_ms)
        given = []
        for batch in of.batches:
            self.spoke_ms[batch.origin] = self.now_ms
            for _, command in batch.commands:
                given.append(self.execute(command, batch.origin))
                self.wake()
        self.drop_lost()
        return given

    def execute(self, command: c.Command, origin: str) -> Answer:
        if not isinstance(command, c.Once):
            return self.do(command, origin)[0]
        self.forget_keys()
        known = self.known(command.key)
        if known and known.fingerprint != command.fingerprint:
            return answer("KeyConflict")
        if known and known.answer[0] != "Queued":
            return self.again(known)
        if not known and len(self.keys) >= BOUNDS.keys:
            return answer("Full", "idempotency_keys_max")
        given, of = self.do(command.command, origin, command.key, command.fingerprint)
        for wait in [w for w in self.waits if known and known.is_wait(w.ticket)]:
            if given[0] != "Queued" and wait.key == command.key:
                self.leave(wait, "replaced")
        self.keep(command.key, command.fingerprint, given, of)
        return given

    def do(self, command: c.Plain, origin: str, key: str = "", fingerprint: bytes = b"") -> Given:
        if isinstance(command, c.Acquire | c.AcquireAll):
            return self.acquire(command, origin, key, fingerprint)
        return self.claim(command) if isinstance(command, c.Claim) else self.rule(command)

    # Getting

    def acquire(
        self, command: c.Acquire | c.AcquireAll, origin: str, key: str, fingerprint: bytes
    ) -> Given:
        is_group = isinstance(command, c.AcquireAll)
        locks = command.locks if isinstance(command, c.AcquireAll) else (command.lock,)
        number = 0
        if command.session:
            session = next((each for each in self.sessions if each.id == command.session), None)
            if session is None:
                return answer("SessionNotFound"), ()
            if session.holder != command.holder:
                return answer("NotHolder", session.holder), ()
            number = session.number
        most = [self.policy(lock).wait_ms_max or command.wait_ms for lock in locks]
        wait_ms = min(command.wait_ms, *most)
        asked = Wait(
            0, origin, locks, command.holder, number, command.secret, command.slots,
            command.ttl_ms, is_group, self.now_ms, self.now_ms + wait_ms, 0, key, fingerprint,
        )  # fmt: skip
        refused = self.forbidden(asked)
        if refused:
            return refused, ()
        own = [hold for lock in locks for hold in self.on(lock) if hold.party == asked.party]
        if own:
            return self.once_more(asked, own)
        for lock in locks:
            others = [*self.on(lock), *(w for w in self.queue(lock) if w.party != asked.party)]
            if others and max(others[0].slots, 1) != max(asked.slots, 1):
                return answer("Mismatch", lock, "slots", others[0].slots), ()
        return self.serve(asked, wait_ms)

    def forbidden(self, asked: Wait) -> Answer | None:
        for lock in asked.locks:
            policy = self.policy(lock)
            names = [
                name for name in policy.owners if name in (asked.holder, asked.holder[0] + "*")
            ]
            if policy.owners and not names:
                return answer("PolicyRefused", policy.prefix, "owners", 0)
            if policy.holders_max and asked.slots > policy.holders_max:
                return answer("PolicyRefused", policy.prefix, "holders_max", policy.holders_max)
        return None

    def once_more(self, asked: Wait, own: list[Hold]) -> Given:
        for hold in own:
            if hold.slots != asked.slots:
                changes = {(0, 1): "upgrade", (1, 0): "downgrade"}
                why = changes.get((hold.slots, asked.slots), "slots")
                return answer("Mismatch", hold.lock, why, hold.slots), ()
        if len(own) < len(asked.locks):
            return answer("Mismatch", own[0].lock, "partly_held", own[0].slots), ()
        group = [hold for hold in self.holds if hold.group and hold.group == own[0].group]
        if asked.is_group and {h.lock for h in group} != {h.lock for h in own}:
            return answer("Mismatch", own[0].lock, "held_apart", own[0].slots), ()
        for hold in own:
            self.lengthen(hold, asked.ttl_ms)
            hold.is_known = True
        return self.granted(asked, own, is_new=False)

    def granted(self, asked: Wait, holds: list[Hold], is_new: bool) -> Given:
        of = tuple((hold.lock, hold.secret) for hold in holds)
        if asked.is_group:
            pairs = [(hold.token, hold.secret) for hold in holds]
            return answer("GrantedAll", pairs, is_new, left=self.left(*holds)), of
        pair = (holds[0].token, holds[0].secret)
        return answer("Granted", pair, is_new, left=self.left(*holds)), of

    def serve(self, asked: Wait, wait_ms: int) -> Given:
        earlier = [w for w in self.waits if w.party == asked.party and {*w.locks} & {*asked.locks}]
        for wait in earlier:
            same = (wait.locks, wait.slots, wait.is_group)
            if same == (asked.locks, asked.slots, asked.is_group):
                return self.take_place(wait, asked, wait_ms)
        for wait in earlier if wait_ms else []:
            self.leave(wait, "replaced")
        for lock in asked.locks:
            refused = self.in_the_way(asked, lock)
            if refused:
                return (self.enqueue(asked) if wait_ms else refused), ()
        refused = self.no_room(asked)
        if refused:
            return refused, ()
        for wait in [w for w in earlier if w in self.waits]:
            self.leave(wait, "replaced")
        return self.grant(asked)

    def take_place(self, wait: Wait, asked: Wait, wait_ms: int) -> Given:
        if not wait_ms and not (wait.claim_by_ms and self.is_next(wait)):
            return next(filter(None, (self.in_the_way(asked, x) for x in asked.locks))), ()
        self.turns.append((wait.origin, wait.ticket, wait.secret, "replaced"))
        if wait.key != asked.key:
            self.settle(wait, answer("TimedOut", self.now_ms - wait.since_ms), ())
        taken = replace(
            asked, ticket=wait.ticket, since_ms=wait.since_ms, claim_by_ms=wait.claim_by_ms
        )
        self.waits[self.waits.index(wait)] = taken
        if taken.claim_by_ms:
            return self.claimed(taken)
        return answer("Queued", taken.ticket, self.position(taken)), ()

    def in_the_way(self, asked: Wait, lock: str) -> Answer | None:
        if self.is_cooling(lock):
            return answer("Cooling", lock, left=self.cooling[lock] - self.now_ms)
        holds = self.on(lock)
        if not self.fits(asked.slots, [hold.slots for hold in holds], lock):
            first = min(holds, key=self.ends)
            named = lock if asked.is_group else ""
            return answer("Held", first.holder, first.token, named, left=self.left(first))
        if not self.fits(asked.slots, self.before(lock), lock):
            return answer("Reserved", lock, self.queue(lock)[0].holder)
        return None

    def no_room(self, asked: Wait) -> Answer | None:
        if len(self.holds) + len(asked.locks) > BOUNDS.locks:
            return answer("Full", "locks_max")
        inside = [hold for hold in self.holds if asked.session and hold.session == asked.session]
        if asked.session and len(inside) + len(asked.locks) > BOUNDS.session_leases:
            return answer("Full", "session_leases_max")
        return None

    def enqueue(self, asked: Wait) -> Answer:
        if len(self.holds) >= BOUNDS.locks:
            return answer("Full", "locks_max")
        if len(self.waits) >= BOUNDS.waiters:
            return answer("Full", "waiters_max")
        if any(len(self.queue(lock)) >= BOUNDS.waiters_per_lock for lock in asked.locks):
            return answer("Full", "waiters_per_lock_max")
        wait = replace(asked, ticket=self.numbers + 1)
        self.waits.append(wait)
        if self.deadlocks(wait):
            self.waits.remove(wait)
            return answer("Deadlock")
        for lock in wait.locks:
            self.note("QueuedEvent", lock, wait.holder, wait.ticket, len(self.queue(lock)))
        return answer("Queued", wait.ticket, self.position(wait))

    def grant(self, asked: Wait) -> Given:
        holds = []
        for n, lock in enumerate(asked.locks):
            policy = self.policy(lock)
            limits = [policy.lifetime_ms_max]
            if asked.ttl_ms or not asked.session:
                limits += [max(1, asked.ttl_ms), policy.ttl_ms_max]
            ttl_ms = min(filter(None, limits), default=0)
            ends_ms = self.now_ms + kept_ms(ttl_ms) if ttl_ms else NEVER_MS
            secret = f"{asked.secret}.{n}" if asked.is_group else asked.secret
            self.tokens += 1
            hold = Hold(
                lock, asked.holder, asked.session, secret, self.tokens, ends_ms, asked.slots,
                asked.secret if asked.is_group else "", self.now_ms,
            )  # fmt: skip
            self.holds.append(hold)
            holds.append(hold)
            self.note("Acquired", lock, hold.holder, hold.token)
            if policy.gap_ms:
                self.cooling[lock] = self.now_ms + policy.gap_ms
        return self.granted(asked, holds, is_new=True)

    def claim(self, command: c.Claim) -> Given:
        for wait in self.waits:
            if (wait.ticket, wait.secret) == (command.ticket, command.secret):
                return self.claimed(wait)
        return bare("Gone")

    def claimed(self, wait: Wait) -> Given:
        if not self.is_next(wait):
            wait.claim_by_ms = 0
            return answer("Queued", wait.ticket, self.position(wait)), ()
        refused = self.forbidden(wait) or self.no_room(wait)
        if refused:
            self.leave(wait, "refused")
            return refused, ()
        self.waits.remove(wait)
        given, of = self.grant(wait)
        self.settle(wait, given, of)
        return given, of
