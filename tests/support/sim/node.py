"""One node: its machine (disk, clock) outlives its processes, which come and go."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from tests.support.sim.history import Led, Loaded
from tests.support.sim.loop import NodeLoop
from tests.support.sim.parts import Process, boot
from tests.support.sim.scheduler import Event, NodeClock, Scheduler

STALLED_TURNS_MAX = 2_000
"""Turns in a row, at one instant, that say there is more work at once: more is a livelock."""


class Surroundings(Protocol):
    """What a node sees of the simulated world."""

    scheduler: Scheduler

    def sends(self, node: str, peer: str, message: dict[str, Any]) -> None:
        """A node hands a message to the network."""
        ...

    def died(self, node: "SimNode", why: str, *, is_mishap: bool) -> None:
        """A node's process came to its end by itself."""
        ...


class SimNode:
    """A machine of the cluster and, while it is up, the process on it."""

    def __init__(self, world: Surroundings, machine: "Machine") -> None:
        self.world = world
        self.machine = machine
        self.id = machine.member_id
        self.scheduler = world.scheduler
        self.rng = world.scheduler.random(f"node {self.id}")
        self.life = 0
        self.is_paused = False
        self.dying: str | None = None
        self.process: Process | None = None
        self._held: deque[tuple[int, Callable[..., object], tuple[Any, ...]]] = deque()
        self._loop: NodeLoop | None = None
        self._turn: Event | None = None
        self._turn_at = 0.0
        self._stalled = 0

    @property
    def is_up(self) -> bool:
        """Whether a process runs (paused or not)."""
        return self.process is not None

    # Life

    def start(self) -> None:
        """Start a process on what the disk holds."""
        self.life += 1
        self.dying = None
        self.machine.disk.restart()
        loop = NodeLoop(
            self.post, self.machine.clock.monotonic, self.machine.clock.rate, self._loop_error
        )
        self._loop = loop
        self._enter(self.life, self._boot, ())

    def _boot(self) -> None:
        process = boot(self)
        self.process = process
        index, digest = process.position()
        self.world.scheduler.note("start", self.id, f"life {self.life}", process.describe())
        self.record_loaded(index, digest)
        self.wake()

    def kill(self, why: str) -> None:
        """End the process at this instant: kill -9."""
        if self.process is not None:
            self.scheduler.note("KILL", self.id, why, self.process.describe())
        self.process = None
        self.is_paused = False
        self._held.clear()
        self.life += 1
        if self._loop is not None:
            self._loop.kill()
            self._loop = None

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
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self._loop)
        try:
            call(*args)
        except self.machine.disk.deaths as death:
            self.dying = self.dying or f"at {death}"
        except Exception as error:  # any error that leaves the process ends it, as in the daemon
            self.scheduler.note("ERROR", self.id, repr(error))
            explained = self.dying is not None or self.machine.disk.is_faulty
            self.dying = self.dying or repr(error)
            if not explained:
                self.world.died(self, f"{type(error).__name__}: {error}", is_mishap=True)
                return
        finally:
            asyncio._set_running_loop(before)
        if self.machine.disk.is_dead or self.dying is not None:
            self.world.died(self, self.dying or "disk operation", is_mishap=False)

    def _loop_error(self, message: str, error: BaseException | None) -> None:
        if isinstance(error, self.machine.disk.deaths):
            self.dying = self.dying or f"at {error}"
        elif self.dying is None:
            raise LoopError(f"{message}: {error!r}") from error

    # Turns

    def wake(self, within_s: float = 0.0005) -> None:
        """Give the process a turn soon."""
        self._plan(self.rng.uniform(0.0, within_s))

    def _plan(self, delay_s: float) -> None:
        at = self.scheduler.now + delay_s
        if self._turn is not None:
            if self._turn_at <= at:
                return
            self._turn.cancel()
        self._turn_at = at
        self._turn = self.post(delay_s, self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        process = self.process
        if process is None:
            return
        if process.engine.turn():
            self._stalled += 1
            if self._stalled > STALLED_TURNS_MAX:
                raise LoopError("turn() says for ever that there is more work at once")
            self.wake()
            return
        self._stalled = 0
        due_s = process.engine.next_due() - self.machine.clock.at(self.scheduler.now)
        # Timers of a real loop fire late, by about a millisecond.
        self._plan(max(due_s, 0.0) / self.machine.clock.rate + self.rng.uniform(0.0, 0.001))

    # The network's side

    def link_up(self, peer: str) -> None:
        """Tell the engine of a connection."""
        self.post(0.0, self._input, "connected", peer)

    def link_down(self, peer: str) -> None:
        """Tell the engine that a connection is gone."""
        self.post(0.0, self._input, "disconnected", peer)

    def refused(self, peer: str) -> None:
        """Tell the engine that nobody listens there."""
        self.post(0.0, self._input, "unreachable", peer)

    def deliver(self, peer: str, message: dict[str, Any]) -> None:
        """Hand a message to the engine."""
        self.post(0.0, self._input, "received", peer, message)

    def _input(self, name: str, *args: Any) -> None:
        if self.process is not None:
            getattr(self.process.engine, name)(*args)
            self.wake()

    # The clients' side

    def run_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine on this node's loop."""
        assert self._loop is not None
        self._loop.create_task(coroutine)

    # What the checkers hear

    def record_role(self, role: str, term: int) -> None:
        """Note a change of role."""
        self.scheduler.note("role", self.id, role, f"term {term}")
        if role == "leader":
            self.machine.history.led.append(Led(self.scheduler.now, self.id, term))

    def record_loaded(self, index: int, digest: str) -> None:
        """Note that a snapshot is the state now."""
        self.machine.history.loaded.append(
            Loaded(self.scheduler.now, self.id, self.life, index, digest)
        )


class LoopError(Exception):
    """The process did what no process may: a lost exception, or a livelock."""
