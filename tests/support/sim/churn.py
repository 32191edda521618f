"""Faults that are changes of the cluster: nodes that come, go, move and are lost for good."""

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.sim.world import World

MEMBERS_MAX = 5
PATH = (5, 3, 1, 3)
"""How many members a cluster is to have, one after the other, and then again."""


def grow(world: "World", rng: random.Random) -> Iterator[float]:
    """Let a new node join."""
    if len(world.members()) < MEMBERS_MAX and world.operator.add(rng):
        yield 0.0


def shrink(world: "World", rng: random.Random) -> Iterator[float]:
    """Remove any member, the leader included."""
    if len(world.members()) > 1 and world.operator.remove(rng, rng.choice(world.members())):
        yield 0.0


def resize(world: "World", rng: random.Random) -> Iterator[float]:
    """Go one step on the way 3, 5, 3, 1, 3, and so on."""
    count, path = len(world.members()), world.sizes
    if count == path[0]:
        path.append(path.pop(0))
    change = grow if count < path[0] else shrink
    yield from change(world, rng)


def replace(world: "World", rng: random.Random) -> Iterator[float]:
    """Let a new node take the place of any member."""
    if world.operator.replace(rng, rng.choice(world.members())):
        yield 0.0


def lose(world: "World", rng: random.Random) -> Iterator[float]:
    """Have a member lose its disk for ever, and replaced by a node with a new one."""
    lost = rng.choice(world.members())
    if len(world.members()) > 2 and world.operator.replace(rng, lost):
        node = world.nodes[lost]
        if node.is_up:
            world.kill(node, "its disk is lost")
        world.retire(node, "lost")
        yield 0.0


def move(world: "World", rng: random.Random) -> Iterator[float]:
    """Give a member another address."""
    if world.operator.move(rng, rng.choice(world.members())):
        yield 0.0


def transfer_to(world: "World", rng: random.Random) -> Iterator[float]:
    """Let any other member lead, or end the attempt after a while."""
    leaders = [node for node in world.leaders() if not node.is_paused]
    if not leaders:
        return
    leader = rng.choice(leaders)
    others = [one for one in leader.voters_now() if one != leader.id]
    if others:
        leader.ask_roster("transfer", rng.choice(others))
        world.scheduler.after(rng.uniform(0.3, 1.5), leader.ask_roster, "keep")
        yield 0.0
