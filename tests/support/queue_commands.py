"""What may be asked of a lock table, drawn so that it is often about something that is there."""

import random

from gorilla.domain import commands as c
from tests.support.domain import entry
from tests.support.queue_state import State, Wait

ORIGINS = ["n1", "n2", "n3"]
HOLDERS = ["ann", "bob", "cay", "dan"]
SLOTS = {"a": 1, "a/b": 1, "b": 1, "p": 2, "q": 3}
"""What each lock is mostly asked for with; those with one are shared, too."""

SESSIONS = {"S1": "ann", "S2": "ann", "S3": "bob", "S4": "cay"}
TTLS_MS = [1, 1_000, 8_000, 20_000, 60_000]
WAITS_MS = [0, 500, 8_000, 30_000, 30_000]
PASSED_MS = [0, 0, 0, 1, 1, 1, 2, 20, 100, 500, 1_000, 4_000]
PREFIXES = ["", "a", "a/", "a/b", "p", "b"]
KEYS = ["k1", "k2", "k3", "k4", "k5", "k6"]


class Draw:
    """One run's chance, the state that it looks at, and what it counts."""

    def __init__(self, seed: int, state: State) -> None:
        self.chance = random.Random(seed)
        self.state = state
        self.counted = 0
        self.numbers = dict.fromkeys(ORIGINS, 0)
        self.requests: dict[str, c.Plain] = {}
        """What was last asked under each key."""

    def entry(self) -> c.Entry:
        """Return what comes next: time, and what some of the nodes ask; others just speak."""
        chance, state = self.chance, self.state
        now_ms = state.now_ms + chance.choice(PASSED_MS)
        next_ms = state.next_ms()
        if next_ms is not None and chance.random() < 1 / 5:
            now_ms = max(state.now_ms, next_ms + chance.choice([-1, 0, 1]))
        speaking = [origin for origin in ORIGINS if chance.random() < 3 / 4]
        return entry(now_ms, *(self.batch(origin) for origin in speaking))

    def batch(self, origin: str) -> c.Batch:
        confirmed = self.numbers[origin]
        commands = [self.command(origin) for _ in range(self.chance.choice([0, 0, 1, 1, 2]))]
        self.numbers[origin] += len(commands)
        return c.Batch(origin, confirmed, True, tuple(enumerate(commands, start=confirmed + 1)))

    def command(self, origin: str) -> c.Command:
        if self.chance.random() < 1 / 4:
            return self.under_a_key()
        return self.plain()

    def under_a_key(self) -> c.Once:
        waiting = [wait.key for wait in self.state.waits if wait.key]
        key = self.chance.choice([*KEYS, *waiting, *waiting])
        if key in self.requests and self.chance.random() < 2 / 3:
            request = self.requests[key]
            if isinstance(request, c.Acquire | c.AcquireAll):
                request = self.again(request)
            return c.Once(key, repr(self.requests[key]).encode(), request)
        kinds = [self.plain, self.acquire, self.acquire_all]
        self.requests[key] = request = self.chance.choice(kinds)()
        return c.Once(key, repr(request).encode(), request)

    def again(self, request: c.Plain) -> c.Plain:
        """Return a request as another node would pass it on: with a secret of its own."""
        fields = {name: getattr(request, name) for name in request.__struct_fields__}
        return type(request)(**(fields | {"secret": self.secret()}))

    def plain(self) -> c.Plain:
        chance, state = self.chance, self.state
        turns = [wait for wait in state.waits if wait.claim_by_ms]
        kinds = [self.acquire] * 10 + [self.acquire_all] * 4 + [self.hold] * 4 + [self.session] * 2
        kinds += [self.policy, self.policy, self.look] + [self.claim] * (8 * bool(turns) + 1)
        return chance.choice(kinds)()

    # One kind each

    def secret(self) -> str:
        self.counted += self.chance.random() < 9 / 10
        return f"s{self.counted}"

    def asked(self, first: str) -> dict[str, object]:
        chance = self.chance
        there = [session.id for session in self.state.sessions]
        session = chance.choice(["", "", "", *there, *there])
        if chance.random() < 1 / 30:
            session = chance.choice(list(SESSIONS))
        holder = SESSIONS.get(session, chance.choice(HOLDERS))
        if chance.random() < 1 / 30:
            holder = chance.choice(HOLDERS)
        slots = SLOTS[first]
        if slots == 1 and chance.random() < 1 / 3:
            slots = c.SHARED
        if chance.random() < 1 / 30:
            slots = chance.choice([0, 1, 2, 3])
        ttls = [*TTLS_MS, 0, 0] if session or chance.random() < 1 / 10 else TTLS_MS
        return {
            "holder": holder,
            "ttl_ms": chance.choice(ttls),
            "secret": self.secret(),
            "slots": slots,
            "wait_ms": chance.choice(WAITS_MS),
            "session": session,
        }

    def acquire(self) -> c.Plain:
        waits = self.state.waits
        if waits and self.chance.random() < 1 / 5:
            ready = [wait for wait in waits if wait.claim_by_ms]
            return self.once_more(self.chance.choice(ready or waits))
        lock = self.chance.choice(list(SLOTS))
        return c.Acquire(lock, **self.asked(lock))  # type: ignore[arg-type]

    def once_more(self, wait: Wait) -> c.Plain:
        """Ask for what an owner waits for already, or for some of it."""
        session = next((s.id for s in self.state.sessions if s.number == wait.session), "")
        rest = (wait.holder, 3_000, self.secret(), b"[]", wait.slots)
        wait_ms = self.chance.choice(WAITS_MS)
        if wait.is_group and self.chance.random() < 2 / 3:
            return c.AcquireAll(wait.locks, *rest, wait_ms, session)
        return c.Acquire(self.chance.choice(wait.locks), *rest, wait_ms, session)

    def acquire_all(self) -> c.Plain:
        locks = self.chance.sample(list(SLOTS), self.chance.choice([1, 2, 2, 3]))
        asked = self.asked(locks[0])
        if self.chance.random() < 9 / 10:
            locks = [lock for lock in locks if SLOTS[lock] == SLOTS[locks[0]]]
        return c.AcquireAll(tuple(locks), **asked)  # type: ignore[arg-type]

    def claim(self) -> c.Plain:
        chance, waits = self.chance, self.state.waits
        ready = [wait for wait in waits if wait.claim_by_ms]
        if not waits:
            return c.Claim(1, "none")
        wait = chance.choice(ready if ready and chance.random() < 4 / 5 else waits)
        secret = wait.secret if chance.random() < 19 / 20 else "wrong"
        return chance.choice([c.Claim] * 4 + [c.Leave])(wait.ticket, secret)

    def hold(self) -> c.Plain:
        chance, holds = self.chance, self.state.holds
        if not holds:
            return c.Release("a", "none")
        hold = chance.choice(holds)
        secret = hold.secret if chance.random() < 19 / 20 else "wrong"
        holder = chance.choice([None, None, hold.holder, chance.choice(HOLDERS)])
        ttl_ms = chance.choice([1_000, 8_000, 30_000, 30_000])
        alone: list[c.Plain] = [
            c.Release(hold.lock, secret),
            c.Release(hold.lock, secret),
            c.Renew(hold.lock, secret, self.secret(), ttl_ms, holder),
            c.Renew(hold.lock, secret, self.secret(), ttl_ms, holder),
            c.TakeBack(hold.lock, secret),
            chance.choice([c.Force(hold.lock, "why"), c.AskRelease(hold.lock, "eve")]),
        ]
        group = hold.group or secret
        together: list[c.Plain] = [
            c.ReleaseAll(group),
            c.RenewAll(group, self.secret(), ttl_ms, holder),
            c.TakeBack("", group),
        ]
        return chance.choice(alone + together * (2 * bool(hold.group)))

    def session(self) -> c.Plain:
        session = self.chance.choice(list(SESSIONS))
        ttl_ms = self.chance.choice([2_000, 6_000, 40_000])
        kinds: list[c.Plain] = [
            *[c.OpenSession(session, SESSIONS[session], ttl_ms)] * 3,
            *[c.KeepSession(session)] * 3,
            c.EndSession(session),
        ]
        return self.chance.choice(kinds)

    def policy(self) -> c.Plain:
        chance = self.chance
        waited = [lock for wait in self.state.waits for lock in wait.locks]
        prefix = chance.choice([*PREFIXES, *waited, *waited])
        if chance.random() < 2 / 5:
            there = [policy.prefix for policy in self.state.policies]
            return c.DropPolicy(chance.choice([prefix, *there, *there]))
        rules: dict[str, object] = {
            "ttl_ms_max": 2_000,
            "lifetime_ms_max": 5_000,
            "wait_ms_max": 1_000,
            "holders_max": chance.choice([1, 1, 2]),
            "gap_ms": chance.choice([600, 6_000, 6_000]),
            "owners": chance.choice([("ann",), ("b*", "ann")]),
        }
        chosen = chance.sample(list(rules), chance.choice([0, 1, 1, 2]))
        return c.SetPolicy(c.Policy(prefix, **{name: rules[name] for name in chosen}))  # type: ignore[arg-type]

    def look(self) -> c.Plain:
        members = tuple(self.chance.sample(ORIGINS, 2))
        return c.NoteMembers(self.state.members_index + self.chance.choice([0, 1]), members)
