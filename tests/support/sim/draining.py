"""Nodes that leave in order, so that nobody notices: who watches there goes on elsewhere."""

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.sim.node import SimNode
    from tests.support.sim.streaming import EventEdge
    from tests.support.sim.world import World

LEAVE_S = 0.3
"""How long a stopping node goes on serving when it says that it stops."""
LAST_S = (0.02, 0.3)
"""How long what is under way has, after the streams were ended, until the process is gone."""
DRAINED_S = (0.5, 3.0)


def drain(world: "World", rng: random.Random) -> Iterator[float]:
    """Have an operator let a node take no requests for a while."""
    _, edge = _any(world, rng)
    if edge is not None:
        edge.cluster.drain(True)
        world.scheduler.after(rng.uniform(*DRAINED_S), edge.cluster.drain, False)
        yield 0.0


def stop(world: "World", rng: random.Random) -> Iterator[float]:
    """Stop a node as its daemon does: it says so, ends its streams, and is gone."""
    node, edge = _any(world, rng)
    if node is not None and edge is not None:
        edge.cluster.start_draining()
        node.post(LEAVE_S, edge.feed.end_all)
        gone_s = LEAVE_S + rng.uniform(*LAST_S)
        world.scheduler.after(gone_s, _gone, world, node, node.life, edge)
        yield 0.0


def _any(world: "World", rng: random.Random) -> "tuple[SimNode | None, EventEdge | None]":
    up = [node for node in world.nodes.values() if node.process is not None and not node.is_paused]
    node = rng.choice(up) if up else None
    return node, node.process.edge if node and node.process else None


def _gone(world: "World", node: "SimNode", life: int, edge: "EventEdge") -> None:
    if node.life != life or not node.is_up:
        return
    if world.nemesis._stopped:
        edge.cluster._stopping = False  # the time for faults is over: it was called off
        return
    world.kill(node, "it has stopped")
    world.nemesis.restart_later(node)
