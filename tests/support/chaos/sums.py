"""Two faults at once."""

import asyncio

from typing_extensions import override

from tests.support.chaos.faults_of_machines import ClockStrobe
from tests.support.chaos.faults_of_members import Churn, Replacement
from tests.support.chaos.faults_of_network import (
    IsolatedFollower,
    IsolatedLeader,
    MuteFollower,
    Weather,
)
from tests.support.chaos.faults_of_processes import KillAll, KillFollower, KillLeader, PauseLeader
from tests.support.chaos.machine import FOREIGN_AT_START_MAX
from tests.support.chaos.nemesis import FOLLOWER_GAP_S_MAX, LEADER_S_MAX, RESTART_S_MAX, Nemesis

FIRST_S_MAX = 5.0
UNDER_S = 1.5


class Sum(Nemesis):
    """It acted when both did; the second comes when the first one acts."""

    kinds: tuple[type[Nemesis], type[Nemesis]]
    hold_s = 6.0

    @override
    async def start(self) -> None:
        self.parts: list[Nemesis] = []
        first, second = (kind(self.environment, self.rng) for kind in self.kinds)
        self.parts.append(first)
        await first.start()
        self.first_proof = await self._proof_of(first)
        self.parts.append(second)
        await second.start()
        self.acted_at = second.acted_at
        self.without_majority = first.without_majority + second.without_majority
        self.is_cut_off = first.is_cut_off or second.is_cut_off

    async def _proof_of(self, first: Nemesis) -> str | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + FIRST_S_MAX
        while not (proof := await first.proof()) and loop.time() < deadline:
            await asyncio.sleep(0.05)
        return proof

    @override
    async def proof(self) -> str | None:
        second = await self.parts[1].proof()
        self.faults = sum(part.faults for part in self.parts)
        return f"{self.first_proof} + {second}" if self.first_proof and second else None

    @override
    async def heal(self) -> None:
        for part in reversed(self.parts):
            await part.heal()


class KillInWeather(Sum):
    name = "kill leader + delay and loss"
    kinds = (Weather, KillLeader)


class KillUnderJumps(Sum):
    name = "kill leader + clocks strobe"
    kinds = (ClockStrobe, KillLeader)
    gap_s_max = LEADER_S_MAX
    first_s_max = LEADER_S_MAX


class ApartUnderJumps(Sum):
    name = "isolate follower + clocks strobe"
    kinds = (ClockStrobe, IsolatedFollower)
    gap_s_max = FOLLOWER_GAP_S_MAX


class PauseUnderJumps(Sum):
    name = "pause leader + clocks strobe"
    kinds = (ClockStrobe, PauseLeader)
    gap_s_max = LEADER_S_MAX
    first_s_max = LEADER_S_MAX


class KillAllUnderJumps(Sum):
    """All nodes are killed while clocks jump, and start under other clocks."""

    name = "kill all + clocks strobe"
    foreign_max = FOREIGN_AT_START_MAX
    hold_s = 1.0
    kinds = (ClockStrobe, KillAll)
    first_s_max = RESTART_S_MAX
    counts_from_heal = True

    @override
    async def heal(self) -> None:
        if len(self.parts) > 1:
            await self.parts[1].heal()
            await asyncio.sleep(UNDER_S)
        await self.parts[0].heal()


class TwoDown(Sum):
    """Of five, one follower is dead and the leader is alone: three make a majority."""

    name = "kill follower + isolate leader"
    nodes_min = 5
    kinds = (KillFollower, IsolatedLeader)
    gap_s_max = LEADER_S_MAX
    first_s_max = LEADER_S_MAX


class TwoTroubled(Sum):
    """Of five, one follower can't be heard and the leader dies."""

    name = "mute follower + kill leader"
    nodes_min = 5
    kinds = (MuteFollower, KillLeader)
    gap_s_max = LEADER_S_MAX
    first_s_max = LEADER_S_MAX


class ChurnInWeather(Sum):
    name = "membership churn + delay and loss"
    kinds = (Weather, Churn)


class ReplacementUnderJumps(Sum):
    name = "dead member replaced + clocks strobe"
    kinds = (ClockStrobe, Replacement)
    gap_s_max = FOLLOWER_GAP_S_MAX


ALL: tuple[type[Nemesis], ...] = (
    KillInWeather,
    KillUnderJumps,
    ApartUnderJumps,
    PauseUnderJumps,
    KillAllUnderJumps,
    TwoDown,
    TwoTroubled,
    ChurnInWeather,
    ReplacementUnderJumps,
)
