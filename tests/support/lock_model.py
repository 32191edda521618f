"""The rules of the lock table once more, independently and as plainly as possible."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from msgspec.structs import replace

from gorilla.domain.commands import Acquire, Batch, Command, Entry, Release, Renew
from gorilla.domain.limits import FENCING_EPOCH, Bounds
from gorilla.domain.outcomes import (
    Forgotten,
    Full,
    Granted,
    Held,
    Lease,
    NotFound,
    NotHolder,
    Outcome,
    Recovering,
    Released,
    Renewed,
    TtlTooShort,
)

BOUNDS = Bounds(
    locks=3,
    remembered_fencing_tokens=2,
    origins=2,
    outcomes_per_origin=3,
    origin_idle_ms=5_000,
)

Happened = tuple[str, str, str, int]
"""Kind of event, lock, holder, fencing token."""


def kept_ms(ttl_ms: int) -> int:
    """Return how long a promise of ``ttl_ms`` is kept: a thousandth longer, rounded up."""
    return ttl_ms + (ttl_ms + 999) // 1_000


def shown_ms(left_ms: int) -> int:
    """Return the longest promise that ``left_ms`` can keep, by trying."""
    promise_ms = left_ms
    while promise_ms > 0 and kept_ms(promise_ms) > left_ms:
        promise_ms -= 1
    return promise_ms


@dataclass
class ModelOrigin:
    confirmed: int
    used_ms: int
    answers: dict[int, Outcome] = field(default_factory=dict)


@dataclass
class Model:
    """What the rules say, as plainly as possible: every question looks at everything."""

    now_ms: int = 0
    wall_ms: int = 0
    counter: int = 0
    hold_until_ms: int = 0
    held: list[Lease] = field(default_factory=list)
    freed: list[tuple[str, int]] = field(default_factory=list)
    origins: dict[str, ModelOrigin] = field(default_factory=dict)
    happened: list[Happened] = field(default_factory=list)

    def apply(self, of: Entry) -> list[tuple[str, int, Outcome]]:
        self.happened = []
        self.now_ms = max(self.now_ms, of.stamp.now_ms)
        self.wall_ms = of.stamp.wall_ms
        due = [lease for lease in self.held if lease.expires_at_ms <= self.now_ms]
        for lease in sorted(due, key=lambda each: (each.expires_at_ms, each.fencing_token)):
            self.end(lease, "Expired")
        for name in list(self.origins):
            if self.now_ms - self.origins[name].used_ms > BOUNDS.origin_idle_ms:
                del self.origins[name]
        return [answer for batch in of.batches for answer in self.answers(batch)]

    def answers(self, batch: Batch) -> Iterable[tuple[str, int, Outcome]]:
        origin = self.enter(batch)
        if origin is None:
            return [(batch.origin, number, Forgotten()) for number, _ in batch.commands]
        given = []
        for number, command in batch.commands:
            if number <= origin.confirmed:
                continue
            if number not in origin.answers:
                if len(origin.answers) == BOUNDS.outcomes_per_origin:
                    given.append((batch.origin, number, Forgotten()))
                    continue
                origin.answers[number] = self.execute(command)
            given.append((batch.origin, number, origin.answers[number]))
        return given

    def enter(self, batch: Batch) -> ModelOrigin | None:
        origin = self.origins.pop(batch.origin, None)
        if origin is None:
            if not batch.opens:
                return None
            origin = ModelOrigin(batch.confirmed, self.now_ms)
            if len(self.origins) == BOUNDS.origins:
                del self.origins[next(iter(self.origins))]
        self.origins[batch.origin] = origin
        origin.used_ms = self.now_ms
        origin.confirmed = max(origin.confirmed, batch.confirmed)
        for number in list(origin.answers):
            if number <= origin.confirmed:
                del origin.answers[number]
        return origin

    def execute(self, command: Command) -> Outcome:
        if isinstance(command, Acquire):
            return self.acquire(command)
        proven = [
            lease
            for lease in self.held
            if (lease.lock, lease.secret) == (command.lock, command.secret)
        ]
        if not proven:
            return NotFound()
        if isinstance(command, Release):
            self.end(proven[0], "ReleasedEvent")
            return Released(proven[0].fencing_token)
        return self.renew(proven[0], command)

    def acquire(self, command: Acquire) -> Outcome:
        others = [lease for lease in self.held if lease.lock == command.lock]
        if not others:
            return self.grant(command)
        lease = others[0]
        if lease.holder != command.holder:
            return Held(
                lease.holder, lease.fencing_token, lease.expires_wall_ms, self.remaining(lease)
            )
        if self.now_ms + kept_ms(command.ttl_ms) > lease.expires_at_ms:
            lease = self.extend(lease, lease.secret, command.ttl_ms, lease.restored)
        again = replace(lease, is_known=True)
        self.held[self.held.index(lease)] = again
        return Granted(again, self.remaining(again), False)

    def grant(self, command: Acquire) -> Outcome:
        if self.now_ms < self.hold_until_ms:
            return Recovering(self.hold_until_ms - self.now_ms)
        if len(self.held) == BOUNDS.locks:
            return Full("locks_max")
        self.counter += 1
        lease = Lease(
            lock=command.lock,
            holder=command.holder,
            secret=command.secret,
            fencing_token=self.counter,
            ttl_ms=command.ttl_ms,
            expires_at_ms=self.now_ms + kept_ms(command.ttl_ms),
            metadata=command.metadata,
            created_wall_ms=self.wall_ms,
            updated_wall_ms=self.wall_ms,
            expires_wall_ms=self.wall_ms + command.ttl_ms,
            granted_ms=self.now_ms,
        )
        self.held.append(lease)
        self.freed = [(lock, token) for lock, token in self.freed if lock != command.lock]
        self.note("Acquired", lease)
        return Granted(lease, command.ttl_ms, True)

    def renew(self, lease: Lease, command: Renew) -> Outcome:
        if command.holder not in (None, lease.holder):
            return NotHolder(lease.holder)
        if command.ttl_ms < self.remaining(lease):
            return TtlTooShort(self.remaining(lease))
        lease = self.extend(lease, command.new_secret, command.ttl_ms, False)
        return Renewed(lease, self.remaining(lease))

    def extend(self, old: Lease, secret: str, ttl_ms: int, restored: bool) -> Lease:
        lease = Lease(
            lock=old.lock,
            holder=old.holder,
            secret=secret,
            fencing_token=old.fencing_token,
            ttl_ms=ttl_ms,
            expires_at_ms=max(old.expires_at_ms, self.now_ms + kept_ms(ttl_ms)),
            metadata=old.metadata,
            created_wall_ms=old.created_wall_ms,
            updated_wall_ms=self.wall_ms,
            expires_wall_ms=self.wall_ms + ttl_ms,
            restored=restored,
            granted_ms=old.granted_ms,
            is_known=True,
        )
        self.held[self.held.index(old)] = lease
        self.note("Extended", lease)
        return lease

    def end(self, lease: Lease, kind: str) -> None:
        self.held.remove(lease)
        self.freed.append((lease.lock, lease.fencing_token))
        self.freed = self.freed[-BOUNDS.remembered_fencing_tokens :]
        self.note(kind, lease)

    def note(self, kind: str, lease: Lease) -> None:
        self.happened.append((kind, lease.lock, lease.holder, lease.fencing_token))

    def remaining(self, lease: Lease) -> int:
        return shown_ms(lease.expires_at_ms - self.now_ms)

    def restore(self, floor: int, hold_ms: int) -> None:
        wall_ms = self.wall_ms
        self.counter = (max(self.counter, floor) // FENCING_EPOCH + 1) * FENCING_EPOCH
        self.hold_until_ms = self.now_ms + hold_ms
        self.origins = {}
        self.held = [
            Lease(
                lock=lease.lock,
                holder=lease.holder,
                secret=lease.secret,
                fencing_token=lease.fencing_token,
                ttl_ms=lease.ttl_ms,
                expires_at_ms=self.now_ms + kept_ms(lease.ttl_ms),
                metadata=lease.metadata,
                created_wall_ms=lease.created_wall_ms,
                updated_wall_ms=lease.updated_wall_ms,
                expires_wall_ms=wall_ms + lease.ttl_ms,
                restored=True,
                granted_ms=lease.granted_ms,
                is_known=lease.is_known,
            )
            for lease in self.held
        ]
