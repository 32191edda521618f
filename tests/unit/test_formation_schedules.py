"""Formation under random schedules: one cluster, once, whatever happens and when."""

from random import Random

from hypothesis import given, settings, strategies as st

from gorilla.consensus.identity import GENESIS_FILE
from tests.support.forming import World, stored

NAMES = ("n1", "n2", "n3")
STATE = b"the restored lock table"
LISTS = [NAMES, ("n2", "n1", "n3"), ("n1", "n4", "n5"), ("n3", "n4", "n5"), ("n1", "n2")]
CROWD = 9
"""Processes at most."""


def stir(world, random):
    """One random event in the world."""
    what = random.random()
    running = world.running()
    lines = [line for line in world.lines() if line.under_way or not line.back.open]
    if what < 0.70 and lines:
        world.deliver(random.choice(lines))
    elif what < 0.88 and len(running) > 1:
        world.connect(*random.sample(running, 2))
    elif what < 0.91:
        world.crash_at = random.randint(0, 6)
    elif what < 0.96 and world.processes:
        world.restart(random.choice(world.processes))
    elif world.lines():
        line = random.choice(world.lines())
        line.to.unlink(line.said_at_hello.id)


def blunder(world, random):
    """One random event that only a careless operator causes."""
    names = random.choice(LISTS)
    name = random.choice(names)
    process = random.choice(world.processes)
    what = random.random()
    if what < 0.3:
        world.wipe(process)
    elif what < 0.6 and len(world.processes) < CROWD:
        state = STATE if name == names[0] and random.random() < 0.5 else None
        world.start(name, names, genesis=state)
    elif process.identity.name in names:
        world.restart(process, names)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.01, 0.05, 0.2]), st.integers(0, 300))
def test_no_two_clusters_share_a_directory_whatever_happens(seed, carelessness, steps):
    random = Random(seed)
    world = World()  # its check runs at every write of an identity
    lists = random.choices(LISTS, weights=[8, 2, 2, 2, 2], k=random.randint(1, 2))
    for name in NAMES + tuple(random.choices(NAMES, k=random.randint(0, 3))):
        world.start(name, random.choice([names for names in [*lists, NAMES] if name in names]))
    for _ in range(steps):
        if random.random() < carelessness:
            blunder(world, random)
        else:
            stir(world, random)
    for process in world.processes:
        world.check(stored(process))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 200), st.booleans())
def test_after_any_crashes_and_cuts_all_nodes_end_in_one_cluster(seed, steps, restored):
    random = Random(seed)
    world = World()
    for name in NAMES:
        world.start(name, NAMES, genesis=STATE if restored and name == "n1" else None)
    for _ in range(steps):
        stir(world, random)
    world.crash_at = None
    for process in list(world.processes):
        if not process.alive:
            world.restart(process)

    world.settle()

    assert [one.failure for one in world.processes] == [None] * 3
    assert len({stored(one).cluster_id for one in world.processes}) == 1
    assert all(stored(one).formed for one in world.processes)
    if restored:
        assert [one.disk.read(GENESIS_FILE) for one in world.processes] == [STATE] * 3
