"""What a fault is: something that starts, proves that it acted, and heals."""

import asyncio
import random
import time
from collections.abc import Callable

from tests.support.chaos.environment import Environment
from tests.support.chaos.machine import FOREIGN_MAX

LEADER_S_MAX = 3.0
FOLLOWER_GAP_S_MAX = 0.5
RESTART_S_MAX = 5.0


class Nemesis:
    """One fault. ``proof`` is asked before ``heal``; None makes the round count as undecided."""

    name = ""
    nodes_min = 3
    hold_s = 4.0
    gap_s_max: float | None = None
    """How long nobody may get an answer from the balancer; None where nothing is promised."""
    first_s_max: float | None = None
    """How long after the fault a request may first succeed; None where nothing is promised."""
    counts_from_heal = False
    """Whether both count from the end of the fault: there was no majority before."""
    foreign_max = FOREIGN_MAX
    """The bounds are judged where others had no more of the processors than that."""
    faults = 1
    """How many things were done to the cluster."""
    needs_database = False

    def __init__(self, environment: Environment, rng: random.Random) -> None:
        """Prepare; every round has a new one."""
        self.environment = environment
        self.nodes = environment.nodes
        self.network = environment.network
        self.rng = rng
        self.acted_at = 0.0
        """When the fault began to act, and :meth:`heal` to end it."""
        self.healed_at = 0.0
        self.without_majority: list[str] = []
        """Nodes that may answer nothing but 503 and 504 while it lasts."""
        self.is_cut_off = False
        """Whether they neither hear nor reach a majority, and so soon know that they have none."""

    async def start(self) -> None:
        raise AssertionError(f"{type(self).__name__} does not start")

    async def proof(self) -> str | None:
        """Say what shows that it acted; None when nothing does."""
        raise AssertionError(f"{type(self).__name__} proves nothing")

    async def heal(self) -> None:
        raise AssertionError(f"{type(self).__name__} does not heal")

    def acts(self) -> None:
        """Note that it acts from now on."""
        self.acted_at = time.monotonic()

    async def follower(self) -> str:
        """Any node that does not lead."""
        return self.rng.choice(self.nodes.others(await self.environment.leader()))


async def until(condition: Callable[[], bool], within_s: float) -> bool:
    """Wait for a condition; False when it did not come true in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return True
        await asyncio.sleep(0.02)
    return condition()
