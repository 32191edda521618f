"""Formation, case by case: what is started, wiped, cut off or configured, and what comes of it."""

import pytest

from gorilla.consensus.formation_actions import (
    Waiting,
)
from gorilla.consensus.identity import GENESIS_FILE, Identity, save
from tests.support.disks import MemoryDisk
from tests.support.forming import World, genesis_of, stored

NAMES = ("n1", "n2", "n3")
STATE = b"the restored lock table"


@pytest.fixture
def world():
    return World()


def start_all(world, names=NAMES, **first):
    return [
        world.start(name, names, **(first if index == 0 else {}))
        for index, name in enumerate(names)
    ]


def assert_waits_to_be_added(wiped, lost):
    """It belongs to no cluster, and says how it can take the place of the lost directory."""
    assert wiped.failure is None
    assert not stored(wiped).formed
    [waiting] = wiped.rules.waiting()
    assert "is waiting to be added" in waiting.reason
    assert f"by another data directory ({stored(lost).node_id}" in waiting.reason
    assert 'add this one with "replaces"' in waiting.reason


def connect_to_coordinator(world):
    coordinator, *others = world.processes
    for other in others:
        world.connect(coordinator, other)


def deliver_until(world, condition, but_not_to=None):
    while not condition():
        busy = [line for line in world.lines() if line.under_way and line.to is not but_not_to]
        world.deliver(busy[0])


def reasons(process):
    return {one.name: one.reason for one in process.rules.waiting()}


def assert_one_cluster(*processes):
    ids = {stored(one).cluster_id for one in processes}
    assert len(ids) == 1
    assert None not in ids
    assert all(one.joined for one in processes)


def test_three_nodes_form_one_cluster_with_the_ids_of_their_directories(world):
    nodes = start_all(world)

    world.settle()

    assert_one_cluster(*nodes)
    roster = stored(nodes[2]).members
    assert [one.name for one in roster] == ["n1", "n2", "n3"]
    assert [one.id for one in roster] == [one.identity.node_id for one in nodes]


def test_a_cluster_of_one_forms_at_once(world):
    alone = world.start("n1", ("n1",))
    assert_one_cluster(alone)
    assert alone.rules.waiting() == ()


def test_nothing_is_formed_or_promised_while_a_member_is_missing(world):
    n1, n2 = world.start("n1", NAMES), world.start("n2", NAMES)

    world.settle()

    assert not n1.joined
    assert stored(n2).promised_to is None
    assert n1.rules.waiting() == (
        Waiting("n2", "it is there; its promise is awaited"),
        Waiting("n3", "not heard from yet"),
    )


def test_the_reason_for_waiting_is_the_latest_that_is_known(world):
    n1 = world.start("n1", NAMES)

    n1.rules.troubled("n2", "connection refused")

    assert reasons(n1) == {"n2": "connection refused", "n3": "not heard from yet"}


def test_a_follower_says_that_it_waits_for_the_coordinator(world):
    n1, n2 = world.start("n1", NAMES), world.start("n2", NAMES)
    assert reasons(n2) == {"n1": "not heard from yet"}

    world.connect(n1, n2)

    assert reasons(n2) == {"n1": "it is there; it forms the cluster when all members are"}


def test_a_coordinator_that_stops_before_it_wrote_forms_after_its_restart(world):
    n1, n2, n3 = start_all(world)
    connect_to_coordinator(world)
    deliver_until(world, lambda: stored(n2).promised_to and stored(n3).promised_to)
    assert not stored(n1).formed

    n1 = world.restart(n1)
    world.settle()

    assert_one_cluster(n1, n2, n3)


def test_members_adopt_from_each_other_when_the_coordinator_is_gone_for_good(world):
    n1, n2, n3 = start_all(world)
    connect_to_coordinator(world)
    deliver_until(world, lambda: stored(n1).formed)
    deliver_until(world, lambda: stored(n2).formed, but_not_to=n3)
    n1.crash()
    assert not stored(n3).formed

    world.settle()

    assert_one_cluster(n2, n3)


def test_a_coordinator_wiped_after_forming_forms_nothing_and_waits_to_replace_itself(world):
    n1, n2, n3 = start_all(world)
    world.settle()

    wiped = world.wipe(n1)
    world.settle()

    assert_waits_to_be_added(wiped, n1)
    assert_one_cluster(n2, n3)


def test_a_member_wiped_after_adopting_waits_to_be_added_and_says_the_remedy(world):
    n1, n2, n3 = start_all(world)
    world.settle()

    wiped = world.wipe(n3)
    world.settle()

    assert_waits_to_be_added(wiped, n3)
    assert_one_cluster(n1, n2)


def test_a_member_wiped_before_it_adopted_waits_to_be_added_too(world):
    n1, n2, n3 = start_all(world)
    connect_to_coordinator(world)
    deliver_until(world, lambda: stored(n1).formed)

    wiped = world.wipe(n3)
    world.settle()

    assert_waits_to_be_added(wiped, n3)
    assert_one_cluster(n1, n2)


def test_members_bound_to_a_lost_coordinator_say_how_to_free_them(world):
    n1, n2, n3 = start_all(world)
    connect_to_coordinator(world)
    deliver_until(world, lambda: stored(n2).promised_to and stored(n3).promised_to)

    another = world.wipe(n1)
    world.settle()

    assert not another.joined
    assert "n2 has promised itself to another data directory of n1" in reasons(another)["n2"]
    assert "empty the data directory of n2" in reasons(n2)["n1"]
    emptied = [world.wipe(n2), world.wipe(n3)]
    world.settle()
    assert_one_cluster(another, *emptied)


def test_two_nodes_of_one_name_stop_formation_until_one_is_gone(world):
    nodes = start_all(world)
    double = world.start("n3", NAMES)

    world.settle()

    assert not nodes[0].joined
    assert (
        "two nodes with different data directories are both called n3" in (reasons(nodes[0])["n3"])
    )
    double.crash()
    world.settle()
    assert_one_cluster(*nodes)


def test_two_coordinators_of_one_name_form_one_cluster_between_them(world):
    first, n2, n3 = start_all(world)
    second = world.start("n1", NAMES)

    world.settle()

    formed = [one for one in (first, second) if stored(one).formed]
    assert len(formed) <= 1
    assert stored(n2).cluster_id == stored(n3).cluster_id


@pytest.mark.parametrize(
    "theirs", [("n1", "n3", "n2"), ("n1", "n2"), ("n1", "n2", "n3", "n4"), ("n2", "n1", "n3")]
)
def test_different_lists_of_members_are_shown_and_nothing_is_formed(world, theirs):
    n1, n2 = world.start("n1", NAMES), world.start("n2", theirs)
    world.start("n3", NAMES)

    world.settle()

    assert not stored(n1).formed
    assert reasons(n1)["n2"] == (
        f"it lists the members {', '.join(theirs)}, this node lists n1, n2, n3: they must be the "
        f"same, in the same order"
    )
    assert not stored(n2).formed


def test_a_formed_node_keeps_its_members_when_the_configuration_changes(world):
    nodes = start_all(world)
    world.settle()
    before = stored(nodes[1])

    changed = world.restart(nodes[1], ("n2", "n4", "n5"))
    world.settle()

    assert stored(changed) == before


def test_a_directory_brought_back_from_an_older_copy_is_refused(world):
    nodes = start_all(world)
    disk = MemoryDisk({name: nodes[2].disk.read(name) for name in nodes[2].disk.names()})
    world.settle()
    nodes[2].crash()

    older = world.start("n3", NAMES, disk=disk)
    world.settle()

    assert "an older copy was brought back" in older.failure
    assert not stored(older).formed


def test_a_restored_state_reaches_every_node_before_it_is_a_member(world):
    nodes = start_all(world, genesis=STATE)

    world.settle()

    assert_one_cluster(*nodes)
    assert [one.disk.read(GENESIS_FILE) for one in nodes] == [STATE] * 3
    assert stored(nodes[2]).genesis == genesis_of(STATE)


def test_a_cut_in_the_middle_of_the_genesis_begins_it_again(world):
    nodes = start_all(world, genesis=STATE)
    for _ in range(3):
        connect_to_coordinator(world)
        deliver_until(world, lambda: GENESIS_FILE + ".part" in nodes[1].disk.names())
        nodes[1] = world.restart(nodes[1])
        assert not stored(nodes[1]).formed

    world.settle()

    assert_one_cluster(*nodes)
    assert nodes[1].disk.read(GENESIS_FILE) == STATE


def test_two_nodes_that_adopted_apart_leave_their_formation_link(world):
    nodes = start_all(world)
    world.settle()
    assert all(not one.lines for one in nodes)


def test_a_directory_bound_to_one_coordinator_never_becomes_another(world):
    bound = Identity(node_id="one", name="n1", promised_to="two")
    disk = MemoryDisk()
    save(disk, bound)

    n1, n2 = world.start("n1", ("n1", "n2"), disk=disk), world.start("n2", ("n1", "n2"))
    world.settle()

    assert stored(n1) == bound
    assert stored(n2).promised_to is None
    assert "it has promised itself to another coordinator (two)" in reasons(n1)["n1"]
