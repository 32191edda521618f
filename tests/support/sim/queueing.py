"""Clients that queue, share, count, ask for several at once, live in sessions and repeat.

Each is an owner on a clock of its own that asks one thing at a time. It hangs up now and then,
also when it has lost its patience, and then often asks the same again: at another node, under the
same idempotency key if it used one, or as the same owner. What was answered under a key is asked
again, too. Who is told that its place in the queue is kept mostly goes on from it. Now and then it
leaves a session alone, or makes whoever holds a lock let go.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.support.sim.history import Ask, Asked, Hold, Result, Wish
from tests.support.sim.scheduler import NodeClock

if TYPE_CHECKING:
    import asyncio

    from tests.support.sim.world import World

LIMIT = 2
"""How many may hold a counted lock at once."""
SEVERAL_MAX = 3
REPEATS_MAX = 4
USED_KEPT = 6
KEEP_MS = (300, 1_000)
"""How long a place is kept for who asks again, shortest and longest."""
SLICE_MS = (50, 800)
"""How long each request waits whose place is kept."""
SESSION_MS = (1_200, 4_000)
"""How long a session lives after each sign of life, shortest and longest."""

_AGAIN = {Result.UNKNOWN, Result.DEFINITE, Result.HUNG_UP}


def is_counted(lock: str) -> bool:
    """Return whether a lock is one that so many may hold; everybody asks for it as that."""
    return int(lock.rpartition("-")[2]) % 2 == 1


@dataclass(slots=True)
class Told:
    """What a node tells a client that queues."""

    result: Result
    leases: tuple[tuple[str, int, str], ...] = ()
    """(lock, fencing number, token) of each that was granted or extended."""
    token: str = ""
    """What proves all of them, or the session."""
    remaining_ms: int = 0
    is_open_ended: bool = False
    """Whether only the end of its session ends what was granted."""
    kept_ms: int = 0
    """How long its place in the queue is kept."""
    sent_at: float = 0.0
    """When it left the node (true seconds): what remains counts from then."""


@dataclass(slots=True, eq=False)
class Call:
    """One request on its way."""

    operation: Ask
    client: "Queuer"
    is_open: bool = True
    has_arrived: bool = False
    life: int = 0
    """Of the node that serves it."""
    hung_up: "asyncio.Future[None] | None" = None
    """Done, on the loop of that node, when the client has gone."""
    task: "asyncio.Task[None] | None" = None
    is_cancelled: bool = False
    """Whether the node, when the client has gone, cancels the call rather than telling it so."""


@dataclass(slots=True)
class Belief:
    """What a client thinks it has: a lock, or several under one token."""

    locks: tuple[str, ...]
    slots: int
    fencing: tuple[int, ...]
    token: str
    session: str
    is_open_ended: bool
    """Whether only the end of its session ends it."""


class Queuer:
    """An owner. It asks one thing at a time and goes on after every answer, also after none."""

    def __init__(self, world: "World", name: str, clock: NodeClock) -> None:
        self.name = name
        self.clock = clock
        self.session = ""
        self.session_ms = 0
        self.beliefs: list[Belief] = []
        self._world = world
        self._rng = world.scheduler.random(f"queuer {name}")
        self._places = world.scheduler.random(f"places of {name}")
        self._stopped = False
        self._again: Wish | None = None
        self._repeats = 0
        self._keys = 0
        self._used: list[Wish] = []
        """What it asked under a key lately, and asks again now and then."""
        self._given_up: set[int] = set()
        """Fencing numbers that it asked, or may have asked, to end: it relies on none of them."""
        self._ended: set[str] = set()
        """Sessions that it asked to end."""

    def begin(self) -> None:
        """Start asking."""
        self._pause()

    def stop(self) -> None:
        """Ask nothing more."""
        self._stopped = True

    def _pause(self) -> None:
        think_s = self._rng.expovariate(1 / self._world.profile.think_s)
        self._world.scheduler.after(think_s, self._step)

    def _step(self) -> None:
        if not self._stopped:
            self._ask(self._choose())

    # What to ask

    def _choose(self) -> Wish:
        again, self._again = self._again, None
        if again is not None and self._repeats < REPEATS_MAX and self._rng.random() < 0.85:
            self._repeats += 1
            return again
        self._repeats = 0
        if self._used and self._rng.random() < 0.1:
            return self._rng.choice(self._used)
        draw = self._rng.random()
        if draw < 0.02:
            return self._keyed(Wish(Asked.FORCE, (self._rng.choice(self._world.resources),)))
        if draw < 0.14:
            return self._of_session()
        if self.beliefs and draw < 0.65:
            return self._of_belief(self._rng.choice(self.beliefs))
        return self._acquire()

    def _keyed(self, wish: Wish) -> Wish:
        """Let a request be known again, or not."""
        if self._rng.random() < 0.5:
            return wish
        self._keys += 1
        wish = replace(wish, key=f"{self.name}/{self._keys}")
        self._used = [*self._used, wish][-USED_KEPT:]
        return wish

    def _of_session(self) -> Wish:
        if not self.session:
            self.session_ms = int(self._rng.uniform(*SESSION_MS))
            return self._keyed(Wish(Asked.OPEN, timeout_ms=self.session_ms))
        session, draw = self.session, self._rng.random()
        if draw < 0.6:
            return Wish(Asked.KEEP, session=session, timeout_ms=self.session_ms)
        self.session = ""
        left = [one for one in self.beliefs if one.session != session]
        if draw < 0.75:  # left alone: the cluster ends it, and all that lives in it
            self.beliefs = left
            return self._acquire()
        self.beliefs = left
        self._ended.add(session)
        self._let_go({one.fencing for one in self._holds() if one.session == session})
        return self._keyed(Wish(Asked.END, session=session))

    def _of_belief(self, belief: Belief) -> Wish:
        if len(belief.locks) == 1 and self._rng.random() < 0.2:
            timeout_ms = int(self._rng.uniform(*self._world.profile.timeouts_s) * 1_000)
            wish = Wish(Asked.EXTEND, belief.locks, belief.slots, timeout_ms, 0, belief.session)
            return self._keyed(replace(wish, token=belief.token))
        self.beliefs.remove(belief)
        self._let_go(set(belief.fencing))
        kind = Asked.RELEASE if len(belief.locks) == 1 else Asked.RELEASE_ALL
        return self._keyed(Wish(kind, belief.locks, token=belief.token))

    def _acquire(self) -> Wish:
        rng, counted = self._rng, self._rng.random() < 0.4
        kin = [lock for lock in self._world.resources if is_counted(lock) is counted]
        number = rng.randint(2, SEVERAL_MAX) if rng.random() < 0.25 else 1
        locks = tuple(rng.sample(kin, min(number, len(kin))))
        low_s, high_s = self._world.profile.timeouts_s
        waits_s = self._world.profile.waits_s or (0.0, 0.0)
        session = self.session if rng.random() < 0.6 else ""
        wish = Wish(
            Asked.SEVERAL if len(locks) > 1 else Asked.ACQUIRE,
            locks,
            LIMIT if counted else rng.choice((0, 1)),
            0 if session and rng.random() < 0.5 else int(rng.uniform(low_s, high_s) * 1_000),
            int(rng.uniform(*waits_s) * 1_000) if rng.random() < 0.85 else 0,
            session,
        )
        if wish.wait_ms and self._places.random() < 0.3:
            wait_ms, keep_ms = (int(self._places.uniform(*span)) for span in (SLICE_MS, KEEP_MS))
            wish = replace(wish, wait_ms=wait_ms, keep_ms=keep_ms)
        return self._keyed(wish)

    # On its way

    def _ask(self, wish: Wish) -> None:
        """Send a request; the answer, or none, comes to :meth:`answered`."""
        world, rng = self._world, self._rng
        up = [node.id for node in world.nodes.values() if node.is_up]
        node = rng.choice(up if up and rng.random() < 0.9 else list(world.nodes))
        call = Call(world.new_ask(self.name, wish, node), self, is_cancelled=rng.random() < 0.2)
        world.opened(call)
        world.scheduler.note("asks", call.operation)
        world.scheduler.after(world.client_latency(), world.arrive, call)
        wait_s = wish.wait_ms / 1_000
        patience_s = wait_s + rng.uniform(*world.profile.patience_s)
        world.scheduler.after(patience_s, self._go, call, Result.UNKNOWN)
        if wait_s and rng.random() < 0.15:
            world.scheduler.after(rng.uniform(0.0, wait_s), self._go, call, Result.HUNG_UP)

    def _go(self, call: Call, result: Result) -> None:
        """Wait no longer; mostly the node hears of it."""
        if not call.is_open:
            return
        if self._rng.random() < 0.8:
            self._world.hang_up(call)
        self.answered(call, Told(result))

    def answered(self, call: Call, told: Told) -> None:
        """Take an answer, unless there was one (or the patience ended) before."""
        if not call.is_open:
            return
        call.is_open = False
        self._world.closed(call)
        ask = call.operation
        ask.result = told.result
        if told.kept_ms:
            ask.kept_ms, ask.kept_from = told.kept_ms, told.sent_at
            self._again = self._keyed(replace(ask.wish, key=""))
        if told.result not in _AGAIN:
            ask.returned_at = self._world.scheduler.now
        elif ask.wish.kind is not Asked.FORCE:
            self._again = ask.wish
        ask.fencing = tuple(number for _, number, _ in told.leases)
        ask.tokens = tuple(token for _, _, token in told.leases)
        self._world.scheduler.note("answer", ask)
        self._learn(call, told)
        self._pause()

    # What it learns

    def _learn(self, call: Call, told: Told) -> None:
        wish = call.operation.wish
        if told.result is Result.ALIVE:
            self._lives(call, told)
        elif told.result in {Result.GRANTED, Result.RENEWED}:
            self._has(call.operation, told)
        elif told.result is Result.NOT_FOUND:
            if wish.session and wish.session == self.session:
                self.session = ""
            if wish.token:
                self.beliefs = [one for one in self.beliefs if one.token != wish.token]

    def _lives(self, call: Call, told: Told) -> None:
        session = call.operation.wish.session
        if call.operation.kind is Asked.OPEN:
            if told.remaining_ms:
                self.session = told.token
            return
        for belief in self.beliefs:
            if belief.session == session and belief.is_open_ended:
                self._rely(belief, self._until(told))

    def _until(self, told: Told) -> float:
        return self.clock.true(self.clock.at(told.sent_at) + told.remaining_ms / 1_000)

    def _has(self, ask: Ask, told: Told) -> None:
        wish, numbers = ask.wish, ask.fencing
        self.beliefs = [one for one in self.beliefs if not set(numbers) & set(one.fencing)]
        slots, session = wish.slots, wish.session
        locks = tuple(lock for lock, _, _ in told.leases)
        belief = Belief(locks, slots, numbers, told.token, session, told.is_open_ended)
        if told.remaining_ms and not self._given_up & set(numbers):
            self.beliefs.append(belief)
            self._rely(belief, self._until(told))

    def _rely(self, belief: Belief, until: float) -> None:
        if belief.session in self._ended:
            return
        now = self._world.scheduler.now
        for lock, number in zip(belief.locks, belief.fencing, strict=True):
            hold = Hold(self.name, belief.session, lock, belief.slots, number, now, until)
            self._world.history.holds.append(hold)

    def _holds(self) -> list[Hold]:
        return [one for one in self._world.history.holds if one.client == self.name]

    def _let_go(self, numbers: set[int]) -> None:
        """Rely on none of these from now on."""
        self._given_up |= numbers
        for one in self._holds():
            if one.fencing in numbers:
                one.until = min(one.until, self._world.scheduler.now)
