"""Faults that take several steps, each for a chain of events that chance hardly ever brings about.

A schedule is a generator: it does a step and yields how many seconds the next one is away.
"""

import random
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tests.support.sim import churn, database, draining, links, upgrades

if TYPE_CHECKING:
    from tests.support.sim.node import SimNode
    from tests.support.sim.world import World

STEP_S = 0.02
"""How often a schedule looks whether what it waits for has happened."""


def late_acks(world: "World", _rng: random.Random) -> Iterator[float]:
    """Keep a follower's acknowledgements until its leader leads again, over a log it lost since.

    The leader and one follower are cut off with a tail nobody else gets, the way back held. The
    others elect somebody, whose log replaces the tail of both. Then only the first leader can win,
    and as soon as it has, it gets what the follower had acknowledged before.
    """
    leaders = world.leaders()
    if len(leaders) != 1 or len(world.nodes) < 5 or not all(map(_runs, world.nodes.values())):
        return
    old, network = leaders[0], world.network
    follower, *others = (node for node in world.nodes.values() if node is not old)
    network.block(follower.id, old.id)
    for node in others:
        _cut(world, old, node)
    yield from _until(world, lambda: any(node in others for node in world.leaders()), 4.0)
    yield 0.1
    for node in others:
        network.unblock(old.id, node.id)
        network.unblock(node.id, old.id)
    yield 0.25
    for successor in [node for node in world.leaders() if node is not old]:
        successor.pause()
        world.scheduler.after(3.5, successor.resume)
    ends = [follower, *others]
    for at, one in enumerate(ends):
        for two in ends[at + 1 :]:
            _cut(world, one, two)
    yield from _until(world, lambda: old in world.leaders(), 3.0)
    network.block(old.id, follower.id)
    network.unblock(follower.id, old.id)
    yield 0.4
    world.scheduler.note("HEAL")
    network.heal()


def _runs(node: "SimNode") -> bool:
    return node.is_up and not node.is_paused


def _cut(world: "World", one: "SimNode", two: "SimNode") -> None:
    world.network.block(one.id, two.id)
    world.network.block(two.id, one.id)


def _until(world: "World", condition: Callable[[], bool], within_s: float) -> Iterator[float]:
    end = world.scheduler.now + within_s
    while world.scheduler.now < end and not condition():
        yield STEP_S


def compact(world: "World", rng: random.Random) -> Iterator[float]:
    """Have a node make a snapshot at this very moment, due or not."""
    up = [node for node in world.nodes.values() if _runs(node)]
    if up:
        rng.choice(up).compact()
        yield 0.0


Schedule = Callable[["World", random.Random], Iterator[float]]

SCHEDULES: dict[str, Schedule] = {
    "late_acks": late_acks,
    "compact": compact,
    "bridge": links.bridge,
    "ring": links.ring,
    "flapping": links.flapping,
    "storm": links.storm,
    "member_add": churn.grow,
    "member_remove": churn.shrink,
    "member_resize": churn.resize,
    "member_replace": churn.replace,
    "member_lose": churn.lose,
    "member_move": churn.move,
    "member_return": churn.take_back,
    "transfer_to": churn.transfer_to,
    "drain": draining.drain,
    "stop": draining.stop,
    "upgrade": upgrades.upgrade,
    "roll_back": upgrades.roll_back,
    "finalise": upgrades.finalise,
    "database_away": database.away,
    "database_hung": database.hung,
    "database_slow": database.slow,
    "database_cut": database.cut,
    "database_old_writer": database.old_writer,
}
