"""A single node in memory: an honest consensus whose offers can be told to meet any fate.

Everything runs on virtual time: a wait costs nothing, and waiting for nothing is an error.
"""

import asyncio
import functools
import selectors
from collections import deque
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Any

from typing_extensions import override

from gorilla.domain import codec
from gorilla.domain.commands import Batch, Entry
from gorilla.domain.outcomes import Outcome
from gorilla.domain.table import LockTable
from gorilla.service.cluster import ClusterService
from gorilla.service.errors import NoLeaderError
from gorilla.service.event_log import EventLog
from gorilla.service.locks import LockService, LockSettings
from gorilla.service.moments import Moments
from gorilla.service.pending import ProposalLimits
from gorilla.service.policies import PolicyService
from gorilla.service.ports import ConsensusView, Member, MemberProgress, ReadPoint, Role
from gorilla.service.proposals import Proposals
from gorilla.service.repairs import RepairService
from gorilla.service.replica import LockReplica
from gorilla.service.sessions import SessionService
from gorilla.service.watching import EventService

ORIGIN = "gorilla-1/a"
WALL_START_MS = 1_700_000_000_000

_JUMP_S_MIN = 1e-6
"""Less than this might be lost in rounding, and virtual time would stand still."""


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting, lets virtual time pass."""

    now_s = 1_000.0

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events:
            return events
        if timeout is None:
            raise RuntimeError("nothing is scheduled: this would wait for ever")
        if timeout > 0:
            self.now_s += max(timeout, _JUMP_S_MIN)
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only when there is nothing else to do, and then at once."""

    def __init__(self) -> None:
        self._virtual = _JumpingSelector()
        super().__init__(self._virtual)

    @override
    def time(self) -> float:
        return self._virtual.now_s


def on_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a coroutine function a test that runs on virtual time."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


async def turns(count: int = 3) -> None:
    """Let the event loop go round, without time passing."""
    for _ in range(count):
        await asyncio.sleep(0)


class LoopClock:
    """A machine whose clocks are the loop's; ``skew_s`` and ``wall_step_ms`` may be changed."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._started_s = loop.time()
        self.skew_s = 0.0
        self.wall_step_ms = 0

    def monotonic(self) -> float:
        return self._loop.time() + self.skew_s

    def wall_ms(self) -> int:
        passed_s = self._loop.time() - self._started_s
        return WALL_START_MS + int(passed_s * 1_000) + self.wall_step_ms


class Fate(StrEnum):
    """What becomes of an offer that consensus took."""

    DELIVER = "deliver"
    DROP = "drop"
    DELAY = "delay"
    """It comes with :meth:`MemoryConsensus.deliver_delayed`."""
    DUPLICATE = "duplicate"
    """It comes at once, and a second time as if delayed."""
    REFUSE = "refuse"


def member(name: str) -> Member:
    return Member(id=f"id-{name}", name=name, peer=f"{name}:4100", http=f"{name}:4000")


class MemoryConsensus:
    """A ``Consensus`` of one node: an offer is in the log, and applied, a turn later.

    Attributes:
        fates: What becomes of the next offers, one each; then ``fate`` holds.
        offered: Every batch it took, whatever became of it.
        entries: The log.
        on_change: Called when the leader changed; consensus proper tells ``Proposals.poke``.

    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.fate = Fate.DELIVER
        self.fates: deque[Fate] = deque()
        self.offered: list[Batch] = []
        self.entries: list[Entry] = []
        self.on_change: Callable[[], None] = lambda: None
        self.me = member("gorilla-1")
        self.leader: Member | None = None
        self.term = 0
        self.caught_up = False
        self.progress: tuple[MemberProgress, ...] = ()
        self._loop = loop
        self._replica: LockReplica | None = None
        self._delayed: list[bytes] = []
        self._waiting: deque[bytes] = deque()
        self._reads: list[asyncio.Future[None]] = []
        self._pulse: asyncio.TimerHandle | None = None

    @property
    def replica(self) -> LockReplica:
        assert self._replica is not None, "attach a replica first"
        return self._replica

    @property
    def index(self) -> int:
        return len(self.entries)

    # Told by the test

    def attach(self, replica: LockReplica) -> None:
        """Drive ``replica``; nobody leads yet."""
        self._replica = replica

    def elect(self, leader: Member | None = None) -> None:
        """Begin a new term. The log is this node's in any case; who leads it is a name."""
        self.term += 1
        self.leader = leader or self.me
        self.caught_up = True
        self.replica.follow()
        self.replica.lead(self.term)
        for read in self._reads:
            if not read.done():
                read.set_result(None)
        self._reads.clear()
        self._commit_soon()
        self.on_change()

    def lose_leader(self) -> None:
        """Know no leader from now on: offers are not taken, nothing is written."""
        self.leader = None
        self.replica.follow()
        self.on_change()

    def deliver_delayed(self, rearrange: Callable[[list[bytes]], None] | None = None) -> None:
        """Let what was delayed arrive, in the order in which it was offered or another one."""
        if rearrange is not None:
            rearrange(self._delayed)
        self._waiting.extend(self._delayed)
        self._delayed.clear()
        self._commit_soon()

    def write(self, batch: Batch) -> None:
        """Write and apply a batch, as if another node had offered it."""
        self._waiting.append(codec.encode_batch(batch))
        self._commit()

    # Asked by the service

    def view(self) -> ConsensusView:
        is_leader = self.leader is not None and self.leader.id == self.me.id
        return ConsensusView(
            cluster_id="cluster",
            me=self.me,
            role=Role.LEADER if is_leader else Role.FOLLOWER,
            term=self.term,
            leader=self.leader,
            commit_index=self.index,
            applied_index=self.index,
            last_index=self.index,
            snapshot_index=0,
            caught_up=self.caught_up,
            progress=self.progress,
        )

    def offer(self, offer: int, batch: bytes) -> bool:
        if self.leader is None:
            return False
        fate = self.fates.popleft() if self.fates else self.fate
        self.offered.append(codec.decode_batch(batch))
        match fate:
            case Fate.DELIVER:
                self._waiting.append(batch)
            case Fate.DUPLICATE:
                self._waiting.append(batch)
                self._delayed.append(batch)
            case Fate.DELAY:
                self._delayed.append(batch)
            case Fate.REFUSE:
                self._loop.call_soon(self.replica.refused, offer)
            case Fate.DROP:
                pass
        self._commit_soon()
        return True

    async def read_point(self, deadline_s: float) -> ReadPoint:
        while self.leader is None:
            elected = self._loop.create_future()
            self._reads.append(elected)
            left_s = max(0.0, deadline_s - self._loop.time())
            await asyncio.wait([elected], timeout=left_s)
            if not elected.done():
                raise NoLeaderError("no leader confirmed the read in time")
        if self.replica.pulse_due():
            self._commit()
        return ReadPoint(self.index, self.replica.now_ms())

    # The log

    def _commit_soon(self) -> None:
        self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        """Write at most one entry, and apply it."""
        if self.leader is None:
            return
        payload = self.replica.compose(list(self._waiting))
        self._waiting.clear()
        if payload is not None:
            self.entries.append(codec.decode_entry(payload))
            self.replica.apply(self.index, payload)
        self._arm_pulse()

    def _arm_pulse(self) -> None:
        if self._pulse is not None:
            self._pulse.cancel()
            self._pulse = None
        wait_s = self.replica.next_pulse_in_s()
        if wait_s is not None:
            self._pulse = self._loop.call_later(wait_s, self._commit)


class Node:
    """Everything of the service on one :class:`MemoryConsensus`; to be made on a running loop.

    While it ``is_deaf`` no caller hears of what is applied, as when a snapshot is installed.
    """

    def __init__(
        self,
        *,
        elected: bool = True,
        bounds: ProposalLimits | None = None,
        settings: LockSettings | None = None,
        table: LockTable | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.clock = LoopClock(self.loop)
        self.consensus = MemoryConsensus(self.loop)
        self.proposals = Proposals(self.consensus, self.loop, ORIGIN, bounds)
        self.replica = LockReplica(self.clock, self._resolve, self.proposals.refused, ORIGIN, table)
        self.consensus.attach(self.replica)
        self.consensus.on_change = self.proposals.poke
        self.is_deaf = False
        self.locks = LockService(self.proposals, self.consensus, self.replica, self.loop, settings)
        settings = settings or LockSettings()
        moments = Moments(
            self.consensus,
            self.replica,
            self.loop,
            request_deadline_s=settings.request_deadline_s,
            leader_grace_s=settings.leader_grace_s,
        )
        parts = (self.proposals, moments, self.replica, self.loop, settings)
        self.repairs = RepairService(*parts)
        self.sessions = SessionService(*parts)
        self.policies = PolicyService(*parts)
        self.cluster = ClusterService(self.consensus, self.replica, self.clock, "1.2.3")
        self.event_log = EventLog(self.replica)
        self.events = EventService(self.event_log, self.consensus, self.cluster)
        if elected:
            self.consensus.elect()

    def _resolve(self, number: int, outcome: Outcome) -> None:
        if not self.is_deaf:
            self.proposals.resolve(number, outcome)


async def acquired(node: Node, holder: str, lock: str = "db", **more: Any) -> Any:
    """Ask for a lock for ten seconds."""
    return await node.locks.acquire(lock=lock, holder=holder, ttl_ms=10_000, **more)


async def waiting(node: Node, holder: str, wait_ms: int = 60_000, **more) -> asyncio.Task:
    """Begin to wait, and be in the queue."""
    call = asyncio.ensure_future(acquired(node, holder, wait_ms=wait_ms, **more))
    await turns(8)
    assert not call.done(), call.result()
    return call
