"""Processes that are killed, paused or restarted."""

import asyncio
import signal
from pathlib import Path

from typing_extensions import override

from tests.support.chaos.nemesis import (
    FOLLOWER_GAP_S_MAX,
    LEADER_GAP_S_MAX,
    RESTART_GAP_S_MAX,
    Nemesis,
)


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
        if 2 * len(self.victims) > len(self.nodes.names):
            self.without_majority = self.nodes.others(*self.victims)
        await asyncio.to_thread(self.nodes.kill, *self.victims)

    @override
    async def proof(self) -> str | None:
        codes = [self.nodes.processes[name].poll() for name in self.victims]
        return f"{self.victims} gone" if set(codes) == {-signal.SIGKILL} else None

    @override
    async def heal(self) -> None:
        self.nodes.start(*self.victims)


class KillLeader(Kill):
    name = "kill leader"
    gap_s_max = LEADER_GAP_S_MAX

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
    gap_s_max = RESTART_GAP_S_MAX
    gap_from_heal = True

    @override
    async def choose(self) -> list[str]:
        return self.rng.sample(self.nodes.names, len(self.nodes.names) // 2 + 1)


class KillAll(Kill):
    name = "kill all"
    gap_s_max = RESTART_GAP_S_MAX
    gap_from_heal = True
    hold_s = 1.0

    @override
    async def choose(self) -> list[str]:
        return list(self.nodes.names)


class Pause(Nemesis):
    """SIGSTOP, for longer than an election takes and than most locks of the clients live."""

    hold_s = 6.0
    victim = ""

    async def choose(self) -> str:
        raise AssertionError("nobody to pause")

    @override
    async def start(self) -> None:
        self.victim = await self.choose()
        self.nodes.signal(self.victim, signal.SIGSTOP)

    @override
    async def proof(self) -> str | None:
        state = state_of(self.nodes.processes[self.victim].pid)
        return f"{self.victim} in state {state}" if state == "T" else None

    @override
    async def heal(self) -> None:
        self.nodes.signal(self.victim, signal.SIGCONT)


class PauseLeader(Pause):
    name = "pause leader"
    gap_s_max = LEADER_GAP_S_MAX

    @override
    async def choose(self) -> str:
        return await self.environment.leader()


class PauseFollower(Pause):
    name = "pause follower"
    gap_s_max = FOLLOWER_GAP_S_MAX

    @override
    async def choose(self) -> str:
        return await self.follower()


class RollingRestart(Nemesis):
    """Every node is stopped in order and started again, one after the other."""

    name = "rolling restart"
    hold_s = 0.5
    gap_s_max = LEADER_GAP_S_MAX

    @override
    async def start(self) -> None:
        self.before = {name: self.nodes.processes[name].pid for name in self.nodes.names}
        self.codes: list[int] = []
        for name in self.nodes.names:
            self.codes += await asyncio.to_thread(self.nodes.stop, name)
            self.nodes.start(name)
            await self.nodes.until_ready(name)

    @override
    async def proof(self) -> str | None:
        fresh = [n for n in self.nodes.names if self.nodes.processes[n].pid != self.before[n]]
        return f"{fresh} are new" if fresh == self.nodes.names and not any(self.codes) else None

    @override
    async def heal(self) -> None:
        self.nodes.start()
