"""The nemesis: breaks what a plan lets it break, and mends everything at the end.

The faults of a run are a list that is drawn before it begins. Each draws what else it needs (whom,
how long) from a generator of its own, so that leaving one out moves none of the others.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.sim.scheduler import RATE_PPM_MAX
from tests.support.sim.schedules import SCHEDULES

if TYPE_CHECKING:
    from tests.support.sim.node import SimNode
    from tests.support.sim.profiles import Profile
    from tests.support.sim.world import World


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    number: int
    """Which one of its run: what it draws depends on the seed and on this."""
    at: float
    """True seconds since the start of the run."""
    kind: str


def plan(profile: "Profile", seed: int) -> list[Fault]:
    """Return the faults of a run, in their order."""
    rng = random.Random(f"{seed}/faults")
    faults, at = list[Fault](), 0.0
    while profile.faults:
        at += rng.expovariate(1 / profile.fault_gap_s)
        if at > profile.duration_s:
            break
        kind = rng.choices(list(profile.faults), list(profile.faults.values()))[0]
        faults.append(Fault(len(faults), at, kind))
    return faults


class Nemesis:
    """Lets the faults of a plan happen, each with its own end."""

    def __init__(self, world: "World", faults: Sequence[Fault]) -> None:
        self._world = world
        self._faults = faults
        self._rng = random.Random()
        self._stopped = False
        self._partitions = 0
        self.counts: dict[str, int] = {}
        self._kinds: dict[str, Callable[[], bool]] = {
            "crash": lambda: self._crash(self._any_up()),
            "crash_leader": lambda: self._crash(self._leader()),
            "crash_all": self._crash_all,
            "kill_at_disk": lambda: self._at_disk(is_power_loss=False),
            "power": lambda: self._power(self._any_up()),
            "power_all": self._power_all,
            "power_at_disk": lambda: self._at_disk(is_power_loss=True),
            "pause": lambda: self._pause(self._any_up()),
            "pause_leader": lambda: self._pause(self._leader()),
            "partition": lambda: self._partition(self._some(), both_ways=True),
            "one_way": lambda: self._partition(self._some(), both_ways=False),
            "isolate_leader": self._isolate_leader,
            "reset": self._reset,
            "offers_twice": self._offers_twice,
            "slow_disk": self._slow_disk,
            "full_disk": self._full_disk,
            "disk_error": self._disk_error,
            "step_wall": self._step_wall,
            "slew": self._slew,
            "transfer": self._transfer,
        }
        for name, schedule in SCHEDULES.items():
            self._kinds[name] = lambda schedule=schedule: self._begin(
                schedule(self._world, self._rng)
            )  # type: ignore[misc]  # a default is the usual way to bind a loop's variable
        unknown = {fault.kind for fault in faults} - self._kinds.keys()
        assert not unknown, f"no such fault: {unknown}"

    def begin(self) -> None:
        """Let the plan run."""
        for fault in self._faults:
            self._world.scheduler.after(fault.at, self._strike, fault)

    def end(self) -> None:
        """Stop it, and mend everything."""
        self._stopped = True
        self._world.network.heal()
        self._world.network.calm_down()
        newest = max(node.machine.level for node in self._world.nodes.values())
        for node in self._world.nodes.values():
            node.machine.disk.mend()
            node.machine.level = newest
            node.resume()
            if not node.is_up:
                node.start()

    def _strike(self, fault: Fault) -> None:
        if self._stopped:
            return
        self._rng = random.Random(f"{self._world.seed}/fault {fault.number}")
        self._world.scheduler.note("FAULT", fault.number, fault.kind)
        if self._kinds[fault.kind]():
            self.counts[fault.kind] = self.counts.get(fault.kind, 0) + 1

    def _begin(self, schedule: Iterator[float]) -> bool:
        """Run a schedule step by step; each tells how many seconds its next one is away."""
        pause_s = None if self._stopped else next(schedule, None)
        if pause_s is not None:
            self._world.scheduler.after(pause_s, self._begin, schedule)
        return pause_s is not None

    # Who

    def _any_up(self) -> "SimNode | None":
        up = [node for node in self._world.nodes.values() if node.is_up]
        return self._rng.choice(up) if up else None

    def _leader(self) -> "SimNode | None":
        leaders = self._world.leaders()
        return self._rng.choice(leaders) if leaders else None

    def _some(self) -> list[str]:
        ids = list(self._world.nodes)
        return self._rng.sample(ids, self._rng.randint(1, max(1, len(ids) - 1)))

    # What: each returns whether it did anything

    def restart_later(self, node: "SimNode") -> None:
        """Bring a node back after a while."""
        rng = random.Random(f"{self._world.seed}/restart {node.id} {node.life}")
        delay_s = rng.expovariate(1 / self._world.profile.restart_s)
        self._world.scheduler.after(delay_s, self._restart, node)

    def _restart(self, node: "SimNode") -> None:
        if not node.is_up and node.id in self._world.nodes:
            node.start()

    def _crash(self, node: "SimNode | None") -> bool:
        if node is None:
            return False
        self._world.kill(node, "kill -9")
        self.restart_later(node)
        return True

    def _crash_all(self) -> bool:
        for node in list(self._world.nodes.values()):
            if node.is_up:
                self._crash(node)
        return True

    def _power(self, node: "SimNode | None") -> bool:
        if node is None:
            return False
        self._world.kill(node, "power loss", is_power_loss=True)
        self.restart_later(node)
        return True

    def _power_all(self) -> bool:
        for node in list(self._world.nodes.values()):
            if node.is_up:
                self._power(node)
        return True

    def _at_disk(self, *, is_power_loss: bool) -> bool:
        node = self._any_up() if self._rng.random() < 0.5 else self._leader()
        if node is None:
            return False
        node.machine.disk.die_after(self._rng.randint(1, 12), is_power_loss=is_power_loss)
        return True

    def _pause(self, node: "SimNode | None") -> bool:
        if node is None or node.is_paused:
            return False
        node.pause()
        self._world.scheduler.after(self._rng.uniform(0.1, 2.5), node.resume)
        return True

    def _partition(self, side: list[str], *, both_ways: bool) -> bool:
        network = self._world.network
        self._world.scheduler.note("PARTITION", sorted(side), "both" if both_ways else "one way")
        for inside in side:
            for other in self._world.nodes:
                if other not in side:
                    network.block(inside, other)
                    if both_ways:
                        network.block(other, inside)
        if self._rng.random() < 0.6:
            self._world.scheduler.after(self._rng.uniform(0.1, 1.5), network.reset_blocked)
        self._partitions += 1
        self._world.scheduler.after(self._rng.uniform(0.3, 2.5), self._heal, self._partitions)
        return True

    def _heal(self, partition: int) -> None:
        if partition == self._partitions:
            self._world.scheduler.note("HEAL")
            self._world.network.heal()

    def _isolate_leader(self) -> bool:
        leader = self._leader()
        if leader is None:
            return False
        return self._partition([leader.id], both_ways=self._rng.random() < 0.6)

    def _reset(self) -> bool:
        if len(self._world.nodes) < 2:
            return False
        a, b = self._rng.sample(list(self._world.nodes), 2)
        self._world.network.reset(a, b)
        return True

    def _slow_disk(self) -> bool:
        node = self._any_up()
        if node is None:
            return False
        node.machine.disk.slow_s = self._rng.uniform(0.01, 0.15)
        self._world.scheduler.after(self._rng.uniform(0.5, 2.0), node.machine.disk.be_fast)
        return True

    def _disk_error(self) -> bool:
        """A write or sync fails: the process has to stop, and never to try it again."""
        node = self._any_up()
        if node is None:
            return False
        operation = self._rng.choice(["write", "sync"])
        node.machine.disk.fail_after(operation, self._rng.randint(1, 6))
        return True

    def _full_disk(self) -> bool:
        """Nothing more can be written for a while: the process stops, and can't start."""
        node = self._any_up()
        if node is None:
            return False
        node.machine.disk.be_full()
        self._world.scheduler.after(self._rng.uniform(0.3, 2.0), node.machine.disk.be_freed)
        return True

    def _offers_twice(self) -> bool:
        """What nodes offer to the leader arrives twice for a while."""
        network = self._world.network
        network.doubles_until = self._world.scheduler.now + self._rng.uniform(0.5, 2.0)
        return True

    def _transfer(self) -> bool:
        """The leader hands leadership over, and stays a member."""
        leader = self._leader()
        if leader is None or leader.is_paused:
            return False
        leader.hand_over(self._rng.uniform(0.2, 1.0))
        return True

    def _slew(self) -> bool:
        """A node's clock goes on at another rate, faster or slower, as NTP makes it do."""
        node = self._any_up()
        if node is None:
            return False
        ppm = self._rng.uniform(-RATE_PPM_MAX, RATE_PPM_MAX)
        node.machine.clock.slew(1 + ppm / 1_000_000)
        return True

    def _step_wall(self) -> bool:
        node = self._any_up()
        if node is None:
            return False
        node.machine.clock.step_wall(self._rng.randint(-3_600_000, 3_600_000))
        return True
