"""Faults that are changes of the cluster: nodes that come, go, move and are lost for good."""

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.sim.operator import Operator
    from tests.support.sim.world import World

MEMBERS_MAX = 5
PATH = (5, 3, 1, 3)
"""How many members a cluster is to have, one after the other, and then again."""


def grow(world: "World", rng: random.Random) -> Iterator[float]:
    """Let a new node join."""
    operator = _idle(world)
    if operator is not None and len(world.members()) < MEMBERS_MAX and operator.add(rng):
        yield 0.0


def shrink(world: "World", rng: random.Random) -> Iterator[float]:
    """Remove any member, the leader included."""
    operator, free = _idle(world), _free(world)
    if operator is None or len(free) < 2 or _lacks_one(world):
        return
    if operator.remove(rng, rng.choice(free)):
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
    operator, free = _idle(world), _free(world)
    if operator is None or len(free) < 2 or _lacks_one(world):
        return
    if operator.replace(rng, rng.choice(free)):
        yield 0.0


def lose(world: "World", rng: random.Random) -> Iterator[float]:
    """Have a member lose its disk for ever, and replaced by a node with a new one."""
    members = world.members()
    if len(members) < 3 or any(operator.is_busy for operator in world.operators):
        return
    operator, lost = world.operators[0], rng.choice(members)
    if operator.replace(rng, lost):
        operator.replaces_the_lost = True
        node = world.nodes[lost]
        if node.is_up:
            world.kill(node, "its disk is lost")
        world.retire(node, "lost")
        yield 0.0


def move(world: "World", rng: random.Random) -> Iterator[float]:
    """Give a member another address."""
    operator, free = _idle(world), _free(world)
    if operator is not None and free and operator.move(rng, rng.choice(free)):
        yield 0.0


def take_back(world: "World", rng: random.Random) -> Iterator[float]:
    """Ask for a removed member to be taken in again, which is refused for ever."""
    operator = _idle(world)
    if operator is not None and operator.take_back(rng):
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


def _idle(world: "World") -> "Operator | None":
    return next((one for one in world.operators if not one.is_busy), None)


def _lacks_one(world: "World") -> bool:
    """Whether a member is lost for ever and still counts: nobody else may go then."""
    return any(one.is_busy and one.replaces_the_lost for one in world.operators)


def _free(world: "World") -> list[str]:
    """Return the members that nobody changes just now."""
    busy = {one for operator in world.operators if operator.is_busy for one in operator.touched}
    return [one for one in world.members() if one not in busy]
