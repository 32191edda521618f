"""A healthy leader stays, and there is a leader again soon: links that half work, and pauses."""

import itertools

import pytest

from gorilla.consensus.pauses import STOOD_STILL_S, TURN_S_MAX
from gorilla.consensus.settings import EngineSettings
from gorilla.domain.outcomes import Granted
from gorilla.service.ports import Role
from tests.support.engines import SETTINGS, Cluster

STEP_S = 0.02
FAILOVER_S = 3.0


def both_ways(one, two):
    return {(one, two), (two, one)}


def only(links):
    """Cut everything but these pairs of five nodes."""
    pairs = {frozenset(pair) for pair in itertools.combinations("abcde", 2)}
    kept = {frozenset(pair) for pair in links}
    return {cut for pair in pairs - kept for cut in itertools.permutations(pair)}


def term_of(cluster):
    return max(node.engine.view().term for node in cluster.nodes.values())


def serving(cluster):
    """Nodes that believe to lead and to have a majority."""
    return [n for n in cluster.nodes.values() if n.engine.view().leader == n.engine.me]


def until(cluster, condition, limit_s):
    """Let time pass until ``condition`` holds; returns how long it took (seconds)."""
    began = cluster.clock.now
    while not condition():
        assert cluster.clock.now - began < limit_s, "it takes too long"
        cluster.run(STEP_S / 2, STEP_S)
    return cluster.clock.now - began


def grants(cluster, node, number=1):
    assert cluster.acquire(node, number, lock=f"lock-{number}")
    until(cluster, lambda: number in node.outcomes, 1.0)
    return isinstance(node.outcomes[number], Granted)


# -- a healthy leader stays


@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize("period_s", [0.2, 0.5, 0.9, 1.4, 2.5])
def test_a_flapping_node_does_not_depose_the_leader(count, period_s):
    cluster = Cluster(count)
    leader = cluster.elect()
    term, flapping = term_of(cluster), cluster.followers()[0]

    for number in range(1, 9):
        cluster.isolate(flapping.name)
        cluster.run(period_s)
        cluster.cut.clear()
        for other in cluster.nodes:
            if other != flapping.name:
                cluster.relink(flapping.name, other)
        cluster.run(period_s)
        assert grants(cluster, leader, number)

    assert cluster.leader() is leader
    assert term_of(cluster) == term


@pytest.mark.parametrize("count", [3, 5])
def test_a_node_that_crashes_and_comes_back_again_and_again_does_not_depose_the_leader(count):
    cluster = Cluster(count)
    leader = cluster.elect()
    term, name = term_of(cluster), cluster.followers()[0].name

    for number in range(1, 9):
        cluster.restart(name, power=number % 2 == 0, seed=number)
        cluster.run(0.4 * number)
        assert grants(cluster, leader, number)

    assert cluster.leader() is leader
    assert term_of(cluster) == term


HALF = {
    "deaf to the leader": lambda leader, node, others: {(leader, node)},
    "cut off from the leader": lambda leader, node, others: both_ways(leader, node),
    "hears all, is heard by none": lambda leader, node, others: {(node, o) for o in others},
    "is heard by all, hears none": lambda leader, node, others: {(o, node) for o in others},
}


@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize("kind", HALF)
def test_a_half_connected_node_does_not_depose_the_leader(kind, count):
    cluster = Cluster(count)
    leader = cluster.elect()
    term, node = term_of(cluster), cluster.followers()[0].name

    cluster.cut = HALF[kind](leader.name, node, set(cluster.nodes) - {node})
    cluster.run(10)
    assert grants(cluster, leader)
    cluster.cut.clear()
    cluster.run(3)

    assert cluster.leader() is leader
    assert term_of(cluster) == term
    assert len(cluster.digests()) == 1


def bridge(middle, leader):
    """Two pairs that reach each other through ``middle`` only."""
    one, two, three, four = (name for name in "abcde" if name != middle)
    pairs = [(one, two), (three, four), *((middle, name) for name in (one, two, three, four))]
    return only(pairs)


def ring(_middle, _leader):
    return only(zip("abcde", "bcdea", strict=True))


@pytest.mark.parametrize("shape", [bridge, ring])
@pytest.mark.parametrize("middle", "abcde")
def test_a_leader_that_reaches_a_majority_stays_behind_a_bridge_and_in_a_ring(shape, middle):
    cluster = Cluster(5)
    leader = cluster.elect()
    term = term_of(cluster)

    cluster.cut = shape(middle, leader.name)
    cluster.run(10)

    assert serving(cluster) == [leader]
    assert term_of(cluster) == term
    assert grants(cluster, leader)


# -- there is a leader again


@pytest.mark.parametrize("seed", range(10))
def test_the_one_node_that_reaches_a_majority_becomes_the_leader(seed):
    cluster = Cluster(5, seed=seed)
    old = cluster.elect()
    hub = cluster.followers()[seed % 4]

    cluster.cut = only((hub.name, name) for name in "abcde" if name != hub.name)
    until(cluster, lambda: serving(cluster) == [hub], 2 * FAILOVER_S)

    assert old.role is not Role.LEADER
    assert grants(cluster, hub)
    term = term_of(cluster)
    cluster.run(5)
    assert serving(cluster) == [hub]
    assert term_of(cluster) == term


@pytest.mark.parametrize("kind", ["deaf", "mute", "isolated"])
@pytest.mark.parametrize("count", [3, 5])
@pytest.mark.parametrize("seed", range(5))
def test_a_leader_that_is_cut_off_one_way_or_both_is_replaced_soon(kind, count, seed):
    cluster = Cluster(count, seed=seed)
    old = cluster.elect()
    others = {name for name in cluster.nodes if name != old.name}
    deaf, mute = {(o, old.name) for o in others}, {(old.name, o) for o in others}

    cluster.cut = {"deaf": deaf, "mute": mute, "isolated": deaf | mute}[kind]
    until(cluster, lambda: any(node is not old for node in serving(cluster)), FAILOVER_S)

    [new] = (node for node in serving(cluster) if node is not old)
    assert grants(cluster, new)
    cluster.run(1)
    assert serving(cluster) == [new]


@pytest.mark.parametrize("reached", [0, 1])
@pytest.mark.parametrize("seed", range(5))
def test_a_leader_without_a_majority_steps_down_within_two_election_timeouts(reached, seed):  # H43
    cluster = Cluster(5, seed=seed)
    leader = cluster.elect()
    lost = cluster.followers()[reached:]

    for node in lost:
        cluster.cut |= both_ways(leader.name, node.name)
    took = until(cluster, lambda: leader.role is not Role.LEADER, 2 * SETTINGS.election_s_min)

    assert took > SETTINGS.election_s_min
    assert not cluster.acquire(leader, 1)


# -- pauses


def pause(cluster, names, seconds, *, messages_first):
    """Let the processes of ``names`` stand still while time goes on, and the others with it.

    What was sent to them waits in their sockets. On waking they may look at the clock first.
    """
    waiting = []

    def hold(frm, to, message):
        if to in names:
            waiting.append((frm, to, message))
        return to not in names

    cluster.filter = hold
    awake = {name: node for name, node in cluster.nodes.items() if name not in names}
    end = cluster.clock.now + seconds
    everybody = cluster.nodes
    while cluster.clock.now < end:
        cluster.clock.now += STEP_S
        for node in awake.values():
            node.turn()
        cluster.deliver()
    cluster.filter = lambda *_: True
    cluster.nodes = everybody
    if not messages_first:
        for name in names:
            cluster.nodes[name].engine.turn()
    for frm, to, message in waiting:
        cluster.nodes[to].engine.received(frm, message)


ORDERS = pytest.mark.parametrize("messages_first", [False, True], ids=["clock", "messages"])


@ORDERS
@pytest.mark.parametrize("seconds", [1.0, 5.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_follower_that_stood_still_does_not_depose_the_leader(messages_first, seconds, seed):
    cluster = Cluster(seed=seed)
    leader = cluster.elect()
    term = term_of(cluster)

    pause(cluster, [cluster.followers()[0].name], seconds, messages_first=messages_first)
    cluster.run(3)

    assert cluster.leader() is leader
    assert term_of(cluster) == term


@ORDERS
@pytest.mark.parametrize("seed", range(5))
def test_a_leader_that_stood_still_for_less_than_an_election_timeout_stays(messages_first, seed):
    cluster = Cluster(seed=seed)
    leader = cluster.elect()
    term = term_of(cluster)

    pause(cluster, [leader.name], 0.5, messages_first=messages_first)
    cluster.run(3)

    assert cluster.leader() is leader
    assert term_of(cluster) == term


@ORDERS
@pytest.mark.parametrize("seed", range(5))
def test_a_leader_that_stood_still_for_a_second_costs_one_election_at_most(messages_first, seed):
    cluster = Cluster(seed=seed)
    leader = cluster.elect()
    term = term_of(cluster)
    assert grants(cluster, leader)

    pause(cluster, [leader.name], 1.0, messages_first=messages_first)
    until(cluster, lambda: len(serving(cluster)) == 1, 0.5)
    cluster.run(3)

    assert term_of(cluster) <= term + 1
    assert grants(cluster, cluster.leader(), 2)
    cluster.run(0.5)
    assert len(cluster.digests()) == 1


@ORDERS
@pytest.mark.parametrize("seconds", [1.0, 30.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_machine_that_stood_still_with_all_nodes_costs_no_election(messages_first, seconds, seed):
    cluster = Cluster(seed=seed)
    leader = cluster.elect()
    term = term_of(cluster)

    pause(cluster, list(cluster.nodes), seconds, messages_first=messages_first)
    cluster.run(3)

    assert cluster.leader() is leader
    assert term_of(cluster) == term


@pytest.mark.parametrize("heartbeat_s", [0.01, 0.1, 2.0])
def test_a_node_has_its_next_turn_soon_whatever_the_heartbeat_so_that_it_knows_a_pause(heartbeat_s):
    settings = EngineSettings(
        heartbeat_s=heartbeat_s, election_s_min=7, election_s_max=12, fallback_s=10
    )
    cluster = Cluster(settings=settings)
    cluster.run(30)
    assert serving(cluster)
    for node in cluster.nodes.values():
        assert node.engine.next_due() - node.engine.now() <= TURN_S_MAX < STOOD_STILL_S


@ORDERS
def test_a_leader_that_stood_still_takes_nothing_until_it_has_heard_a_majority_again(
    messages_first,
):
    cluster = Cluster()
    leader = cluster.elect()
    cluster.settle()

    pause(cluster, list(cluster.nodes), 5.0, messages_first=messages_first)
    leader.turn()
    assert leader.engine.view().leader is None
    assert not cluster.acquire(leader, 1)

    cluster.settle()
    assert grants(cluster, leader)


@pytest.mark.parametrize("seconds", [2.0, 5.0, 60.0])
def test_a_leader_that_was_replaced_in_its_pause_answers_nothing_of_the_past(seconds):
    cluster = Cluster()
    old = cluster.elect()
    cluster.isolate(old.name)
    pause(cluster, [old.name], seconds, messages_first=False)
    [new] = serving(cluster)
    assert new is not old

    seen = []
    assert old.role is Role.LEADER
    assert not cluster.acquire(old, 1)
    old.engine.read(seen.append, old.engine.now() + 0.5)
    assert grants(cluster, new)
    cluster.run(2)
    assert seen == [None]
    assert old.role is not Role.LEADER


def test_a_leader_without_a_majority_that_also_stands_still_steps_down_when_it_runs():  # H43
    cluster = Cluster()
    leader = cluster.elect()
    cluster.isolate(leader.name)
    for _ in range(4):
        pause(cluster, [leader.name], 1.0, messages_first=False)
        assert not cluster.acquire(leader, 1)
    until(cluster, lambda: leader.role is not Role.LEADER, 2 * SETTINGS.election_s_min)


@pytest.mark.parametrize("step_s", [0.35, 0.6])
def test_nodes_that_are_always_slow_elect_a_leader_and_serve_all_the_same(step_s):
    cluster = Cluster()
    cluster.run(60, step=step_s)
    [leader] = serving(cluster)
    term = term_of(cluster)

    assert cluster.acquire(leader, 1)
    cluster.run(10, step=step_s)
    assert isinstance(leader.outcomes[1], Granted)
    assert serving(cluster) == [leader]
    assert term_of(cluster) == term
