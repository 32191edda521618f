"""The one database of a run: rows in memory behind connections that break, hang and lose answers.

It does as PostgreSQL does. Who writes holds the cluster's row from its first statement to its
commit, so writers take turns, and what is not committed nobody sees. A transaction whose node goes
away before it asked for the commit leaves nothing; one that asked may be committed later than its
node waits for, or lives.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gorilla.service.event_log import EventLog
from gorilla.service.history_records import (
    Beginning,
    Changes,
    Claim,
    Found,
    Gap,
    HistoryState,
    HoldChange,
    Question,
    Retention,
)
from gorilla.service.snapshots import StorageUnavailableError
from tests.support.history import MemoryHistory
from tests.support.sim.recorded import Recorded, Write, asking
from tests.support.sim.scheduler import Scheduler

if TYPE_CHECKING:
    from tests.support.sim.node import SimNode
    from tests.support.sim.world import World

CALL_S_MAX = 6.0
"""How long a node waits for a call. This and the next are a fifth of what they are in life, and so
still longer than it takes until another leads."""
IDLE_S_MAX = 2.0
"""How long a node that stands still may hold the row."""
WAY_S = 0.002
"""Average of a message's way."""
SLOW_S_MAX = 0.8
"""What a commit takes at most, unless the whole server stands still."""
SLOW_WAY_S_MAX = 0.3
"""What a message's way takes at most while all is slow."""
LATE = 0.06
"""Share of calls that are long on their way; who has asked may lead no more when they arrive."""
LATE_S_MAX = 1.2
BREAKS = 0.04
"""Share of calls that end before the commit, and of those whose answer is lost."""
UNSETTLED_S_MAX = 3.0
"""How long a gap is waited for."""
UNSETTLED_LOOK_S = 0.001
_LOOK_S = 0.05
_WRITES = {"begin", "append", "skip", "settle", "prune"}


@dataclass(slots=True, eq=False)
class Call:
    """One call of a node's process."""

    node: "SimNode"
    life: int
    name: str
    given: tuple[Any, ...]
    more: dict[str, Any]
    first_kept: int
    last_applied: int
    answer: "asyncio.Future[Any]"
    is_over: bool = False
    """Whether its process has an answer, or waits for none."""
    locked_at: float = 0.0

    @property
    def is_alive(self) -> bool:
        """Whether the process that asked still runs."""
        return self.node.is_up and self.node.life == self.life


@dataclass(slots=True)
class Troubles:
    """What is wrong with the database, each until a true time."""

    away: float = 0.0
    hung: float = 0.0
    slow: float = 0.0
    cut: dict[str, float] = field(default_factory=dict)
    """By node that can't reach it."""


class Database:
    """Takes calls, lets them wait for each other, and for better times."""

    def __init__(
        self, scheduler: Scheduler, recorded: Recorded, happens: Callable[[str], None]
    ) -> None:
        self.rows = MemoryHistory()
        self.troubles = Troubles()
        self._scheduler = scheduler
        self._recorded = recorded
        self._happens = happens
        self._rng = scheduler.random("database")
        self._holder: Call | None = None
        self._queue: deque[Call] = deque()
        self._last: dict[str, Call] = {}
        """By node, the last call that it made to write, or to find out what to write."""

    def mend(self) -> None:
        """End all that is wrong with it."""
        self.troubles = Troubles()

    def is_told_of_holds(self, node: str) -> bool:
        """Whether a node is on its way to tell what it has seen of holds."""
        call = self._last.get(node)
        return call is not None and not call.is_over and any(call.more.values())

    def take(self, call: Call) -> None:
        """Let a call be on its way."""
        if call.name != "find":
            self._last[call.node.id] = call
        is_late = self._rng.random() < LATE
        self._after(
            self._rng.uniform(0, LATE_S_MAX) if is_late else self._way_s(), self._arrived, call
        )

    # On the way of a call, one step after the other

    def _arrived(self, call: Call) -> None:
        if self._is_late(call, self._arrived):
            return
        if self._is_broken(call):
            self._break(call)
        elif call.name not in _WRITES:
            self._answer(call, self._performed(call))
        elif self._holder is not None:
            self._queue.append(call)
        else:
            self._lock(call)

    def _lock(self, call: Call) -> None:
        self._holder = call
        call.locked_at = self._scheduler.now
        self._after(self._way_s(), self._commits, call)

    def _commits(self, call: Call) -> None:
        """Its node asks for the commit; from here on nobody knows but the database."""
        is_idle = self._scheduler.now - call.locked_at > IDLE_S_MAX
        if not is_idle and self._is_late(call, self._commits):
            return
        if is_idle or self._is_broken(call):
            self._break(call)
            self._let_go()
            return
        delay_s = self._rng.uniform(0, SLOW_S_MAX) if self._rng.random() < 0.1 else self._way_s()
        if self._rng.random() < BREAKS:
            self._after(self._rng.uniform(0, delay_s), self._break, call)
        self._after(delay_s, self._committed, call)

    def _committed(self, call: Call) -> None:
        if self._is_late(None, self._committed, call):
            return
        if not self._is_gone(call.node.id) or self._rng.random() < 0.5:
            if call.is_over or not call.is_alive:
                self._happens("history: commits that nobody heard of")
            self._answer(call, self._performed(call))
        else:
            self._break(call)
        self._let_go()

    def _let_go(self) -> None:
        self._holder = None
        while self._queue and self._holder is None:
            call = self._queue.popleft()
            if not call.is_over and call.is_alive:
                self._lock(call)

    def _is_late(self, waiting: Call | None, step: Callable[[Call], None], *more: Call) -> bool:
        """Put a step off while the server stands still, or the node that has to do it."""
        left_s = self.troubles.hung - self._scheduler.now
        if waiting is not None and waiting.is_alive and waiting.node.is_paused:
            left_s = max(left_s, _LOOK_S)
        if left_s <= 0:
            return False
        self._after(left_s + self._way_s(), step, *((waiting,) if waiting else more))
        return True

    def _is_gone(self, node: str) -> bool:
        return self._scheduler.now < max(self.troubles.away, self.troubles.cut.get(node, 0.0))

    def _is_broken(self, call: Call) -> bool:
        is_gone = call.is_over or not call.is_alive or self._is_gone(call.node.id)
        return is_gone or self._rng.random() < BREAKS

    # What comes of it

    def _performed(self, call: Call) -> Any:
        """Do what is asked, all or nothing, and take note of it."""
        rows = self.rows
        before = (dict(rows.states), dict(rows.holds), dict(rows.waits), list(rows.gaps))
        try:
            result = _result(getattr(rows, call.name)(*call.given, **call.more))
        except (AssertionError, KeyError) as error:
            rows.states, rows.holds, rows.waits, rows.gaps = before
            return error
        if call.name in _WRITES:
            after = (rows.states, rows.holds, rows.waits, rows.gaps)
            self._note(call, before[0], is_changed=before != after)
        return result

    def _note(self, call: Call, states: dict[str, HistoryState], *, is_changed: bool) -> None:
        claim: Claim = call.given[0]
        kind = call.name if is_changed else f"{call.name} without effect"
        self._happens(f"history: {kind}")
        write = Write(
            at=self._scheduler.now,
            node=call.node.id,
            name=call.name,
            term=claim.term,
            first_kept=call.first_kept,
            last_applied=call.last_applied,
            span=_span(call),
            before=states.get(claim.cluster_id),
            after=self.rows.states[claim.cluster_id],
            is_changed=is_changed,
            shown=frozenset(
                one.fencing_token for one in self.rows.holds.values() if one.ended_ms is None
            ),
        )
        self._recorded.writes.append(write)
        self._scheduler.note("history", kind, call.node.id, f"term {claim.term}", write.span)

    def _break(self, call: Call) -> None:
        self._answer(call, StorageUnavailableError("the connection broke"))

    def _answer(self, call: Call, answer: Any) -> None:
        """Tell the process that asked, if it is there and waits."""
        if call.is_alive and not call.is_over:
            if isinstance(answer, StorageUnavailableError):
                self._happens("history: calls that failed")
            call.node.post(self._way_s(), _tell, call, answer)

    def _way_s(self) -> float:
        way_s = self._rng.expovariate(1 / WAY_S)
        is_slow = self._scheduler.now < self.troubles.slow
        return way_s + (self._rng.uniform(0, SLOW_WAY_S_MAX) if is_slow else 0.0)

    def _after(self, delay_s: float, call: Callable[..., None], *given: Call) -> None:
        self._scheduler.after(delay_s, call, *given)


def _tell(call: Call, answer: Any) -> None:
    if call.is_over or call.answer.done():
        return
    call.is_over = True
    if isinstance(answer, Exception):
        call.answer.set_exception(answer)
    else:
        call.answer.set_result(answer)


def _result(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run what waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the rows in memory wait for something")


def _span(call: Call) -> tuple[int, int]:
    match call.given:
        case (_, int(after), Changes() as changes):
            return after + 1, changes.last_number
        case (_, Gap() as gap):
            return gap.first_number, gap.last_number
    return 0, 0


class Connections:
    """What one process has of the database: meets ``service.history_records.History``."""

    def __init__(self, node: "SimNode", events: EventLog, database: Database) -> None:
        self._node = node
        self._life = node.life
        self._events = events
        self._database = database

    async def state(self, cluster_id: str) -> HistoryState | None:
        return await self._ask("state", cluster_id)

    async def begin(self, claim: Claim, beginning: Beginning) -> HistoryState:
        return await self._ask("begin", claim, beginning)

    async def append(self, claim: Claim, after: int, changes: Changes) -> HistoryState:
        return await self._ask("append", claim, after, changes)

    async def skip(self, claim: Claim, gap: Gap) -> HistoryState:
        return await self._ask("skip", claim, gap)

    async def open_holds(
        self, cluster_id: str, after: int, limit: int
    ) -> Sequence[tuple[int, str]]:
        return await self._ask("open_holds", cluster_id, after, limit)

    async def settle(
        self,
        claim: Claim,
        *,
        seen: Sequence[HoldChange] = (),
        lost: Sequence[int] = (),
        now_ms: int = 0,
        is_done: bool = False,
    ) -> HistoryState:
        more = {"seen": seen, "lost": lost, "now_ms": now_ms, "is_done": is_done}
        return await self._ask("settle", claim, **more)

    async def prune(self, claim: Claim, keep: Retention, rows_max: int) -> int:
        return await self._ask("prune", claim, keep, rows_max)

    async def find(self, cluster_id: str, question: Question) -> Found:
        reading, process = asking.get(None), self._node.process
        if reading is not None and process is not None:
            reading.number = self._events.last_number
            reading.term = process.replica.table.term
        return await self._ask("find", cluster_id, question)

    async def _ask(self, name: str, *given: Any, **more: Any) -> Any:
        node, events = self._node, self._events
        answer = node.loop.create_future()
        kept = (events.first_number, events.last_number)
        call = Call(node, self._life, name, given, more, *kept, answer)
        self._database.take(call)
        try:
            async with asyncio.timeout(CALL_S_MAX):
                return await answer
        except TimeoutError as error:
            raise StorageUnavailableError("no answer came") from error
        finally:
            call.is_over = True


# What may be wrong with it


def away(world: "World", rng: random.Random) -> Iterator[float]:
    """Let the server be down."""
    world.recording.database.troubles.away = world.scheduler.now + rng.uniform(0.3, 5.0)
    yield 0.0


def hung(world: "World", rng: random.Random) -> Iterator[float]:
    """Let the server stand still: nobody is told anything."""
    world.recording.database.troubles.hung = world.scheduler.now + rng.uniform(0.2, 3.0)
    yield 0.0


def slow(world: "World", rng: random.Random) -> Iterator[float]:
    """Let everything take its time."""
    world.recording.database.troubles.slow = world.scheduler.now + rng.uniform(0.5, 3.0)
    yield 0.0


def cut(world: "World", rng: random.Random) -> Iterator[float]:
    """Let one node not reach it, mostly the leader."""
    nodes = world.leaders() if rng.random() < 0.7 else list(world.nodes.values())
    if nodes:
        until = world.scheduler.now + rng.uniform(0.5, 5.0)
        world.recording.database.troubles.cut[rng.choice(nodes).id] = until
        yield 0.0


def old_writer(world: "World", rng: random.Random) -> Iterator[float]:
    """Let a leader stand still while it looks through holds behind a gap, and another go on."""
    database = world.recording.database
    away_s = rng.uniform(2.0, 3.5)
    database.troubles.away = world.scheduler.now + away_s
    yield away_s
    end = world.scheduler.now + UNSETTLED_S_MAX
    while world.scheduler.now < end:
        for leader in world.leaders():
            if database.is_told_of_holds(leader.id) and not leader.is_paused:
                leader.pause()
                world.scheduler.after(rng.uniform(1.3, 3.5), leader.resume)
                database.troubles.slow = world.scheduler.now + 4.0
                return
        yield UNSETTLED_LOOK_S
