"""One node: its machine (disk, clock) outlives its processes, which come and go."""

import asyncio
import traceback
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from gorilla.consensus.peers.handshake import Reason
from gorilla.consensus.roster import RosterRefusedError
from tests.support.sim.disk import KilledError
from tests.support.sim.history import Changed, Led, Loaded, Opened
from tests.support.sim.loop import NodeLoop
from tests.support.sim.parts import Machine, Process, peer_info
from tests.support.sim.scheduler import Event, Scheduler

if TYPE_CHECKING:
    from gorilla.consensus.journal import Journal

STEPS_PER_INSTANT_MAX = 20_000
"""What one process may do without time passing: more is a livelock."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a leader counts on a follower to have."""

    term: int
    """Of the leader."""
    index: int
    entry_term: int


class Surroundings(Protocol):
    """What a node sees of the simulated world."""

    scheduler: Scheduler

    def sends(self, node: str, peer: str, message: dict[str, Any]) -> None:
        """A node hands a message to the network."""
        ...

    def counts(self, node: "SimNode", peer: str, claim: "Claim") -> None:
        """A leader has taken an acknowledgement of a peer."""
        ...

    def applies(self, node: "SimNode", index: int, term: int) -> None:
        """A node applies an entry."""
        ...

    def happens(self, what: str) -> None:
        """Count something."""
        ...

    def commits_change(self, changed: Changed) -> None:
        """A node applies a change of the roster."""
        ...

    def level_of(self, peer: str) -> int:
        """Return the feature level of the process that runs on a node."""
        ...

    def name_of(self, peer: str) -> str:
        """Return what a node is called, and found by."""
        ...

    def led_without(self, node: "SimNode", term: int) -> tuple[int, ...]:
        """Return the indices that were committed in earlier terms and that a new leader lacks."""
        ...

    def died(self, node: "SimNode", why: str, error: Exception | None) -> None:
        """A node's process came to its end by itself: at a disk operation, if by no error."""
        ...


class SimNode:
    """A machine of the cluster and, while it is up, the process on it."""

    def __init__(self, world: Surroundings, machine: Machine) -> None:
        self.world = world
        self.machine = machine
        self.id = machine.member_id
        self.scheduler = world.scheduler
        self.rng = world.scheduler.random(f"node {self.id}")
        self.life = 0
        self.is_paused = False
        self.process: Process | None = None
        self.voters: tuple[str, ...] = ()
        """Who counted by the newest roster in its log when that was last looked at."""
        self.journal: Journal | None = None
        """The last one that a process of this node had open."""
        self._loop: NodeLoop | None = None
        self._dying: str | None = None
        self._error: Exception | None = None
        self._held: deque[tuple[int, Callable[..., object], tuple[Any, ...]]] = deque()
        self._instant = 0.0
        self._steps = 0

    @property
    def is_up(self) -> bool:
        """Whether a process runs (paused or not)."""
        return self.process is not None

    @property
    def loop(self) -> NodeLoop:
        """The event loop of the process that runs."""
        assert self._loop is not None
        return self._loop

    # Life

    def start(self) -> None:
        """Start a process on what the disk holds."""
        if self._loop is not None or self.machine.is_waiting:
            return
        self.life += 1
        self._dying = self._error = None
        self.machine.busy_until = 0.0
        self.machine.disk.restart()
        clock = self.machine.clock
        self._loop = NodeLoop(  # type: ignore[abstract]  # the rest of a loop is never called
            self.post, clock.monotonic, clock.rate, self.rng, self._loop_error
        )
        self._enter(self.life, self._boot, ())

    def _boot(self) -> None:
        self.process = process = Process(self)
        self.journal = process.journal
        self._remembers(process.journal)
        self.scheduler.note("start", self.id, f"life {self.life}", process.describe())
        self.record_loaded()

    def _remembers(self, journal: "Journal") -> None:
        term, vote = journal.getCurrentTerm(), journal.getVotedForNodeId()
        opened = Opened(self.scheduler.now, self.id, term, vote)
        self.machine.history.opened.append(opened)

    def kill(self, why: str) -> None:
        """End the process at this instant: kill -9."""
        self.scheduler.note("KILL", self.id, why, self._state())
        self.look_at_roster()
        self.process = None
        self.is_paused = False
        self._held.clear()
        if self._loop is not None:
            self._loop.kill()
            self._loop = None

    def look_at_roster(self) -> None:
        """Note who counts by its log now, if it runs."""
        if self.process is not None:
            self.voters = self.process.voters()

    def _state(self) -> str:
        if self.process is None:
            return "which had not started"
        try:
            return self.process.describe()
        except Exception as error:  # it is about to be killed because something is broken
            return repr(error)

    def failed(self, error: BaseException) -> None:
        """The process can't go on (fail-stop)."""
        if isinstance(error, KilledError):
            self._dying = self._dying or str(error)
        elif isinstance(error, Exception):
            self._error = self._error or error

    def pause(self) -> None:
        """Stop the process (SIGSTOP): what happens to it meanwhile waits."""
        self.is_paused = True
        self.scheduler.note("PAUSE", self.id)

    def resume(self) -> None:
        """Let it go on; everything that waited happens now, in order."""
        if not self.is_paused:
            return
        self.is_paused = False
        self.scheduler.note("RESUME", self.id)
        held, self._held = self._held, deque()
        for life, call, args in held:
            self.scheduler.after(0.0, self._enter, life, call, args)

    # Everything that the process does enters here

    def post(self, delay_s: float, call: Callable[..., object], *args: Any) -> Event:
        """Run ``call`` in this process after a while, unless it is gone by then."""
        return self.scheduler.after(delay_s, self._enter, self.life, call, args)

    def _enter(self, life: int, call: Callable[..., object], args: tuple[Any, ...]) -> None:
        if life != self.life or self._loop is None:
            return
        if self.is_paused:
            self._held.append((life, call, args))
            return
        busy_s = self.machine.busy_until - self.scheduler.now
        if busy_s > 0:
            self.scheduler.after(busy_s, self._enter, life, call, args)
            return
        self._count_step()
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self._loop)
        try:
            call(*args)
        except KilledError as death:
            self._dying = self._dying or str(death)
        except Exception as error:
            self._error = self._error or error
        finally:
            asyncio._set_running_loop(before)
        self._end_if_due()

    def _end_if_due(self) -> None:
        if self.machine.disk.is_dead:
            self.world.died(self, f"at {self._dying or 'a disk operation'}", None)
        elif self._error is not None:
            why = f"{type(self._error).__name__}: {self._error}"
            for line in traceback.format_exception(self._error)[-6:]:
                self.scheduler.note(line.strip())
            self.world.died(self, why, self._error)

    def _count_step(self) -> None:
        if self.scheduler.now - self._instant > 0.001:
            self._instant, self._steps = self.scheduler.now, 0
        self._steps += 1
        if self._steps > STEPS_PER_INSTANT_MAX:
            self._error = LivelockError(f"{self._steps} steps in a millisecond")

    def _loop_error(self, message: str, error: BaseException | None) -> None:
        self.failed(error or RuntimeError(message))

    def holds(self, index: int, term: int) -> bool:
        """Whether its log had this entry when it was last in use, or a snapshot in its place."""
        if self.journal is None:
            return False
        if self.machine.disk.is_faulty:
            return True  # its journal may have failed and can't be looked at: nobody is blamed
        return index < self.journal.first_index or self.journal.term_at(index) == term

    def is_beyond(self, term: int) -> bool:
        """Whether it has gone on to a later term, as far as can be told."""
        if self.journal is None or self.machine.disk.is_faulty:
            return True
        return self.journal.getCurrentTerm() > term

    # The network's side

    def link_up(self, peer: str) -> None:
        """Tell the process of a connection."""
        info = peer_info(peer, self.world.level_of(peer))
        self.post(0.0, self._input, "connected", peer, info)

    def link_down(self, peer: str) -> None:
        """Tell the process that a connection is gone."""
        self.post(0.0, self._input, "disconnected", peer)

    def refused(self, peer: str) -> None:
        """Tell the process that nobody listens there."""
        self.post(0.0, self._input, "unreachable", peer)

    def dials(self, peer: str) -> bool:
        """Whether its process wants a connection to ``peer``: it goes by the name."""
        return self.process is not None and self.process.knows(self.world.name_of(peer))

    def removed(self, peer: str) -> bool:
        """Whether its process knows that ``peer`` was removed for good."""
        return self.process is not None and self.process.engine.roster.is_removed(peer)

    def told_removed(self, by: str) -> None:
        """Tell the process that ``by`` refuses it."""
        self.post(0.0, self._input, "refused", by, Reason.REMOVED, "it was removed")

    def deliver(self, peer: str, message: dict[str, Any]) -> None:
        """Hand a message to the process."""
        self.post(0.0, self._input, "received", peer, message)

    def _input(self, name: str, *args: Any) -> None:
        if self.process is not None:
            getattr(self.process.driver, name)(*args)
        if name == "received" and args[1].get("type") == "next_node_idx":
            self._counts(args[0])

    def _counts(self, peer: str) -> None:
        if self.process is None or not self.process.is_leader():
            return
        term, index, entry_term = self.process.counts(peer)
        if entry_term is not None:
            self.world.counts(self, peer, Claim(term, index, entry_term))

    # The operator's side

    def voters_now(self) -> tuple[str, ...]:
        """Return who counts by its log, if it runs."""
        return self.process.voters() if self.process is not None else ()

    def ask_roster(self, what: str, *args: str) -> None:
        """Let the process begin or end to hand leadership over; it may refuse."""
        self.post(0.0, self._ask_roster, what, *args)

    def _ask_roster(self, what: str, *args: str) -> None:
        if self.process is not None:
            try:
                getattr(self.process.engine.roster, what)(*args)
            except RosterRefusedError as refusal:
                self.scheduler.note("refused", self.id, refusal)
            self.process.driver.wake()

    def compact(self) -> None:
        """Let the process make a snapshot now, unless it makes one."""
        self.post(0.0, self._compact)

    def _compact(self) -> None:
        if self.process is not None:
            self.process.compact()

    def hand_over(self, while_s: float) -> None:
        """Let the process give leadership away, and be an ordinary member again after a while."""
        self.post(0.0, self._hand_over, True)
        self.post(while_s, self._hand_over, False)

    def _hand_over(self, is_leaving: bool) -> None:
        if self.process is not None:
            self.process.hand_over(is_leaving=is_leaving)

    # The clients' side

    def run_task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine on this node's loop."""
        return self.loop.create_task(coroutine)

    # What the checkers hear

    def record_role(self, role: str, term: int) -> None:
        """Note a change of role."""
        self.scheduler.note("role", self.id, role, f"term {term}")
        if role == "leader":
            lacks = self.world.led_without(self, term)
            self.machine.history.led.append(Led(self.scheduler.now, self.id, term, lacks))

    def record_loaded(self) -> None:
        """Note that a snapshot is the state now."""
        if self.process is not None:
            index, digest = self.process.position()
            self.machine.history.loaded.append(
                Loaded(self.scheduler.now, self.id, self.life, index, digest)
            )


class LivelockError(Exception):
    """A process is busy for ever without time passing."""
