"""Processes that are killed, paused or restarted."""

import asyncio
import signal
from pathlib import Path

from typing_extensions import override

from tests.support.chaos.machine import FOREIGN_AT_START_MAX
from tests.support.chaos.nemesis import (
    FOLLOWER_GAP_S_MAX,
    LEADER_S_MAX,
    RESTART_S_MAX,
    Nemesis,
    until,
)

STOPPED_S_MAX = 2.0


def state_of(pid: int) -> str:
    """Return the letter that the kernel has for it: R, S, T, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


class Kill(Nemesis):
    """kill -9."""

    victims: list[str]

    async def choose(self) -> list[str]:
        raise AssertionError("nobody to kill")

    @override
    async def start(self) -> None:
        self.victims = await self.choose()
        self.faults = len(self.victims)
        self.acts()
        await asyncio.to_thread(self.nodes.kill, *self.victims)
        if 2 * len(self.victims) > len(self.nodes.names):
            self.without_majority = self.nodes.others(*self.victims)
            self.is_cut_off = True

    @override
    async def proof(self) -> str | None:
        codes = [self.nodes.processes[name].poll() for name in self.victims]
        return f"{', '.join(self.victims)} killed" if set(codes) == {-signal.SIGKILL} else None

    @override
    async def heal(self) -> None:
        self.nodes.start(*self.victims)


class KillLeader(Kill):
    name = "kill leader"
    gap_s_max = LEADER_S_MAX
    first_s_max = LEADER_S_MAX

    @override
    async def choose(self) -> list[str]:
        return [await self.environment.leader()]


class KillFollower(Kill):
    name = "kill follower"
    gap_s_max = FOLLOWER_GAP_S_MAX

    @override
    async def choose(self) -> list[str]:
        return [await self.follower()]


class KillMajority(Kill):
    name = "kill majority"
    foreign_max = FOREIGN_AT_START_MAX
    first_s_max = RESTART_S_MAX
    counts_from_heal = True
    hold_s = 6.0

    @override
    async def choose(self) -> list[str]:
        return self.rng.sample(self.nodes.names, len(self.nodes.names) // 2 + 1)


class KillAll(Kill):
    name = "kill all"
    foreign_max = FOREIGN_AT_START_MAX
    first_s_max = RESTART_S_MAX
    counts_from_heal = True
    hold_s = 1.0

    @override
    async def choose(self) -> list[str]:
        return list(self.nodes.names)


class Pause(Nemesis):
    """SIGSTOP, for longer than an election takes and than all locks of the clients live."""

    hold_s = 6.0
    victims: list[str]

    async def choose(self) -> list[str]:
        raise AssertionError("nobody to pause")

    @override
    async def start(self) -> None:
        self.victims = await self.choose()
        self.faults = len(self.victims)
        self.acts()
        for name in self.victims:
            self.nodes.signal(name, signal.SIGSTOP)
        await until(self._are_stopped, STOPPED_S_MAX)
        if 2 * len(self.victims) > len(self.nodes.names):
            self.without_majority = self.nodes.others(*self.victims)
            self.is_cut_off = True

    def _are_stopped(self) -> bool:
        return all(state_of(self.nodes.processes[name].pid) == "T" for name in self.victims)

    @override
    async def proof(self) -> str | None:
        return f"{', '.join(self.victims)} stopped" if self._are_stopped() else None

    @override
    async def heal(self) -> None:
        for name in self.victims:
            self.nodes.signal(name, signal.SIGCONT)


class PauseLeader(Pause):
    name = "pause leader"
    gap_s_max = LEADER_S_MAX
    first_s_max = LEADER_S_MAX

    @override
    async def choose(self) -> list[str]:
        return [await self.environment.leader()]


class PauseLeaderBriefly(PauseLeader):
    """Longer than the election timeout, shorter than most locks live."""

    name = "pause leader briefly"
    hold_s = 1.6


class PauseFollower(Pause):
    name = "pause follower"
    gap_s_max = FOLLOWER_GAP_S_MAX

    @override
    async def choose(self) -> list[str]:
        return [await self.follower()]


class PauseMajority(Pause):
    name = "pause majority"
    first_s_max = RESTART_S_MAX
    counts_from_heal = True

    @override
    async def choose(self) -> list[str]:
        return self.rng.sample(self.nodes.names, len(self.nodes.names) // 2 + 1)


class PauseAll(Pause):
    """All stand still together, as on one machine that is held up."""

    name = "pause all"
    first_s_max = RESTART_S_MAX
    counts_from_heal = True
    hold_s = 1.2

    @override
    async def choose(self) -> list[str]:
        return list(self.nodes.names)


class RollingRestart(Nemesis):
    """Every node is stopped in order and started again, one after the other, the leader last."""

    name = "rolling restart"
    hold_s = 0.5
    gap_s_max = LEADER_S_MAX

    @override
    async def start(self) -> None:
        self.before = {name: self.nodes.processes[name].pid for name in self.nodes.names}
        self.codes: list[int] = []
        leader = await self.environment.leader()
        self.acts()
        for name in [*self.nodes.others(leader), leader]:
            self.codes += await asyncio.to_thread(self.nodes.stop, name)
            self.nodes.start(name)
            await self.nodes.until_ready(name)
        self.faults = len(self.codes)

    @override
    async def proof(self) -> str | None:
        fresh = [n for n in self.nodes.names if self.nodes.processes[n].pid != self.before[n]]
        is_done = fresh == self.nodes.names and not any(self.codes)
        return f"{', '.join(fresh)} stopped and started" if is_done else None

    @override
    async def heal(self) -> None:
        self.nodes.start()


ALL: tuple[type[Nemesis], ...] = (
    KillLeader,
    KillFollower,
    KillMajority,
    KillAll,
    PauseLeader,
    PauseLeaderBriefly,
    PauseFollower,
    PauseMajority,
    PauseAll,
    RollingRestart,
)
