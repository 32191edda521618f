"""Faults of the network that take several steps: bridges, rings, links that flap, storms."""

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from tests.support.sim.network import Weather

if TYPE_CHECKING:
    from tests.support.sim.world import World

Pairs = Sequence[tuple[str, str]]


def bridge(world: "World", rng: random.Random) -> Iterator[float]:
    """Cut the nodes in two halves that hear each other through one node only."""
    ids = _shuffled(world, rng)
    if len(ids) >= 3:
        middle = len(ids) // 2
        pairs = list(itertools.product(ids[:middle], ids[middle + 1 :]))
        yield from _cut(world, rng, pairs)


def ring(world: "World", rng: random.Random) -> Iterator[float]:
    """Let each node hear its two neighbours only."""
    ids = _shuffled(world, rng)
    if len(ids) >= 4:
        last = len(ids) - 1
        pairs = [
            (ids[one], ids[two])
            for one, two in itertools.combinations(range(len(ids)), 2)
            if two - one not in {1, last}
        ]
        yield from _cut(world, rng, pairs)


def flapping(world: "World", rng: random.Random) -> Iterator[float]:
    """Cut the links of a node, or one way of them, and mend them, over and over."""
    ids = _shuffled(world, rng)
    if len(ids) < 2:
        return
    others = ids[1:] if rng.random() < 0.6 else ids[1:2]
    pairs = [(ids[0], other) for other in others]
    both_ways = rng.random() < 0.6
    for _ in range(rng.randint(3, 10)):
        _block(world, pairs, both_ways=both_ways)
        yield rng.uniform(0.02, 0.5)
        if rng.random() < 0.4:
            world.network.reset_blocked()
        _unblock(world, pairs)
        yield rng.uniform(0.02, 0.4)


def storm(world: "World", rng: random.Random) -> Iterator[float]:
    """Make many messages of all nodes late, and links break now and then."""
    world.network.weather = Weather(slow=rng.uniform(0.2, 0.6), slow_s=rng.uniform(0.3, 1.5))
    for _ in range(rng.randint(2, 8)):
        yield rng.uniform(0.1, 0.4)
        ids = _shuffled(world, rng)
        if len(ids) >= 2:
            world.network.reset(ids[0], ids[1])
    world.network.weather = world.network.usual_weather


def _cut(world: "World", rng: random.Random, pairs: Pairs) -> Iterator[float]:
    _block(world, pairs, both_ways=True)
    world.scheduler.note("CUT", *pairs)
    if rng.random() < 0.6:
        yield rng.uniform(0.1, 1.0)
        world.network.reset_blocked()
    yield rng.uniform(0.3, 2.5)
    world.scheduler.note("MEND", *pairs)
    _unblock(world, pairs)


def _shuffled(world: "World", rng: random.Random) -> list[str]:
    ids = list(world.nodes)
    rng.shuffle(ids)
    return ids


def _block(world: "World", pairs: Pairs, *, both_ways: bool) -> None:
    for one, two in pairs:
        world.network.block(one, two)
        if both_ways:
            world.network.block(two, one)


def _unblock(world: "World", pairs: Pairs) -> None:
    for one, two in pairs:
        world.network.unblock(one, two)
        world.network.unblock(two, one)
