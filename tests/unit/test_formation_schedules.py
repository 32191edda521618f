"""Formation under random schedules: one cluster, once, whatever happens and when.

Mutations of the rules that were tried, and which test caught them, stand at the end.
"""

from hypothesis import given, settings, strategies as st

from tests.support.forming import World, stored

NAMES = ("n1", "n2", "n3")
STATE = b"the restored lock table"
LISTS = [NAMES, ("n2", "n1", "n3"), ("n1", "n4", "n5"), ("n3", "n4", "n5"), ("n1", "n2")]


def stir(world, choose):
    """One random event in the world."""
    running = world.running()
    what = choose(0, 99)
    if what < 50 and (busy := world.lines()):
        world.deliver(busy[choose(0, len(busy) - 1)])
    elif what < 75 and len(running) > 1:
        one, other = choose(0, len(running) - 1), choose(0, len(running) - 2)
        world.connect(running[one], running[other if other < one else other + 1])
    elif what < 80 and running:
        running[choose(0, len(running) - 1)].crash()
    elif what < 84:
        world.crash_at = choose(0, 6)
    elif what < 92 and world.processes:
        world.restart(world.processes[choose(0, len(world.processes) - 1)])
    elif world.lines():
        line = world.lines()[choose(0, len(world.lines()) - 1)]
        line.to.unlink(line.said_at_hello.id)


def mischief(world, choose):
    """One random event that only a careless operator causes."""
    what = choose(0, 3)
    names = LISTS[choose(0, len(LISTS) - 1)]
    name = ("n1", "n2", "n3", "n4", "n5")[choose(0, 4)]
    if what == 0 and world.processes:
        world.wipe(world.processes[choose(0, len(world.processes) - 1)])
    elif what == 1 and len(world.processes) < 9 and name in names:
        world.start(name, names)
    elif what == 2 and world.processes:
        process = world.processes[choose(0, len(world.processes) - 1)]
        if process.identity.name in names:
            world.restart(process, names)
    elif what == 3 and name in names and len(world.processes) < 9:
        world.start(name, names, genesis=STATE if name == names[0] else None)


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(20, 250), st.integers(0, 25))
def test_no_two_clusters_share_a_directory_whatever_happens(random, steps, carelessness):
    world = World()  # its check runs at every write of an identity
    for name in NAMES:
        world.start(name, NAMES)
    for _ in range(steps):
        if random.randint(0, 99) < carelessness:
            mischief(world, random.randint)
        else:
            stir(world, random.randint)
    for process in world.processes:
        world.check(stored(process))


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(0, 200), st.booleans())
def test_after_any_crashes_and_cuts_all_nodes_end_in_one_cluster(random, steps, restored):
    world = World()
    nodes = [
        world.start(name, NAMES, genesis=STATE if restored and name == "n1" else None)
        for name in NAMES
    ]
    for _ in range(steps):
        stir(world, random.randint)
    world.crash_at = None
    for process in list(world.processes):
        if not process.alive:
            world.restart(process)

    world.settle()

    assert len(world.processes) == len(nodes)
    assert [one.failure for one in world.processes] == [None] * 3
    assert len({stored(one).cluster_id for one in world.processes}) == 1
    assert all(stored(one).formed for one in world.processes)
