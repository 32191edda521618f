"""Rolling changes of version: nodes that come back with a later release, or an earlier one.

The later release brings the command for renewals; to the former one it is unknown. It may be
written once the cluster version was raised, and the version only when the operator allows it.
"""

import functools
import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from gorilla.domain.commands import Renew
from gorilla.domain.versions import FIRST_LEVEL, batch_level
from gorilla.service import replica
from tests.support.sim.patching import replaced

if TYPE_CHECKING:
    from tests.support.sim.world import World

NEW_LEVEL = FIRST_LEVEL + 1


def commands_of(*, is_upgraded: bool) -> AbstractContextManager[None]:
    """Make renewals a command of the later release, in a run that has two."""
    if not is_upgraded:
        return nullcontext()
    levels = {Renew: NEW_LEVEL}
    return replaced(replica, batch_level=functools.partial(batch_level, levels=levels))


def upgrade(world: "World", rng: random.Random) -> Iterator[float]:
    """Restart a node with the later release."""
    yield from _restart(world, rng, NEW_LEVEL)


def roll_back(world: "World", rng: random.Random) -> Iterator[float]:
    """Restart a node with the former release; it stops by itself if that comes too late."""
    yield from _restart(world, rng, FIRST_LEVEL)


def _restart(world: "World", rng: random.Random, level: int) -> Iterator[float]:
    nodes = [node for node in world.nodes.values() if node.is_up and node.machine.level != level]
    if nodes:
        node = rng.choice(nodes)
        node.machine.level = level
        node.machine.was_upgraded |= level == NEW_LEVEL
        world.kill(node, f"restart with feature level {level}")
        yield rng.uniform(0.05, 0.5)
        if not node.is_up and node.id in world.nodes:
            node.start()


def finalise(world: "World", rng: random.Random) -> Iterator[float]:
    """Allow the later version on every node, from its next start on; restart some of them."""
    for node in list(world.nodes.values()):
        node.machine.allowed_level = NEW_LEVEL
        if node.is_up and rng.random() < 0.5:
            world.kill(node, "restart to finalise an upgrade")
            world.nemesis.restart_later(node)
    yield 0.0
