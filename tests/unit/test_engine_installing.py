"""A received snapshot is decoded beside the loop, and becomes the state in one step (H39)."""

import pytest

from gorilla.domain.table import LockTable
from gorilla.service import replica as replicas
from gorilla.service.ports import Role
from tests.support.engines import lagging_follower, snapshot_piece
from tests.support.replicas import Stand, acquire


def digest(node):
    return node.replica.table.digest()


@pytest.fixture
def decoded(monkeypatch):
    """How many snapshots were decoded so far."""
    calls = []
    load = LockTable.load

    def counted(*args, **options):
        calls.append(args)
        return load(*args, **options)

    monkeypatch.setattr(LockTable, "load", counted)
    return calls


def receiving(**options):
    """A follower that has got all of a snapshot, with the worker thread not started yet."""
    cluster, leader, away = lagging_follower(**options)
    away.holds_offloads = True
    cluster.cut.clear()
    for _ in range(200):
        cluster.run(0.02)
        if away.offloaded:
            return cluster, leader, away
    raise AssertionError("no snapshot arrives")


def test_turns_go_on_while_a_snapshot_is_decoded_and_the_state_changes_in_one_step(decoded):
    cluster, leader, away = receiving()
    [(work, done)] = away.offloaded
    before, applied, term = digest(away), away.applied, leader.engine.view().term
    heard = []
    cluster.filter = lambda frm, _to, message: heard.append((frm, message["type"])) or True

    cluster.run(3)
    assert decoded == []
    work()
    assert len(decoded) == 1
    cluster.run(3)

    assert (digest(away), away.applied) == (before, applied)
    assert heard.count((away.name, "installing")) >= 10
    assert cluster.leader() is leader
    assert leader.engine.view().term == term

    done(None)

    assert len(decoded) == 1
    assert away.applied == away.engine.view().snapshot_index > applied
    away.holds_offloads = False
    cluster.run(1)
    assert digest(away) == digest(leader)


def test_a_newer_snapshot_that_comes_meanwhile_does_no_harm():
    cluster, leader, away = receiving()
    first = leader.store.latest().meta.index
    cluster.fill(leader, range(30, 60))
    assert leader.store.latest().meta.index > first

    away.release_offloads()

    assert away.engine.view().snapshot_index == first
    cluster.run(3)
    assert away.engine.view().snapshot_index > first
    assert digest(away) == digest(leader)


def test_a_leader_that_dies_meanwhile_does_no_harm():
    cluster, leader, away = receiving()
    [(work, done)] = away.offloaded
    work()
    cluster.remove(leader.name)
    cluster.run(4)
    assert cluster.leader() is not away

    done(None)
    away.holds_offloads = False
    cluster.run(3)

    assert digest(away) == digest(cluster.leader())


def test_a_snapshot_that_the_log_has_passed_meanwhile_is_dropped():
    cluster, leader, away = receiving()
    [(work, done)] = away.offloaded
    work()
    sent = leader.store.latest()
    data = sent.read(0, sent.size)
    # Another transfer of the same snapshot ends first, as after a change of the leader.
    away.offloaded, away.holds_offloads = [], False
    installer = away.engine._following._installer
    installer._is_finishing, installer._receiver = False, None
    piece = snapshot_piece(sent.meta.index, leader.engine.view().term, data)
    away.engine.received(leader.name, piece)
    cluster.run(1)
    assert digest(away) == digest(leader)
    cluster.fill(leader, range(60, 63))
    after = away.applied

    done(None)

    assert away.applied == after
    assert digest(away) == digest(leader)


@pytest.mark.parametrize("power", [False, True], ids=["kill", "power loss"])
@pytest.mark.parametrize("is_decoded", [False, True], ids=["before", "after"])
def test_a_crash_meanwhile_leaves_the_state_before_and_the_snapshot_comes_anew(is_decoded, power):
    cluster, leader, away = receiving()
    applied = away.applied
    if is_decoded:
        away.offloaded[0][0]()
    away.holds_offloads = False

    cluster.restart(away.name, power=power)

    assert away.applied <= applied
    assert away.store.latest() is None
    assert not [name for name in away.disk.names() if name.endswith(".part")]
    cluster.run(3)
    assert digest(away) == digest(leader)
    assert away.role is Role.FOLLOWER


def test_a_snapshot_that_can_not_be_decoded_stops_the_node_with_its_state_as_it_was(monkeypatch):
    _, _, away = receiving()
    before = digest(away)

    def refuse(*_args, **_options):
        raise ValueError("of a later version")

    monkeypatch.setattr(LockTable, "load", refuse)

    with pytest.raises(ValueError, match="later version"):
        away.release_offloads()

    assert digest(away) == before
    assert away.store.latest() is None


def test_a_big_state_that_was_replaced_is_freed_beside_the_loop(monkeypatch):
    stand = Stand()
    stand.replica.lead(1)
    stand.propose(*(acquire(f"lock-{number}") for number in range(5)))
    stand.replica.follow()
    old, empty = stand.replica.table, LockTable()
    before = old.digest()

    assert stand.replica.adopt(9, empty) is None
    monkeypatch.setattr(replicas, "FREED_AT_ONCE", 4)
    assert stand.replica.adopt(9, old) is None
    free = stand.replica.adopt(9, empty)
    assert free is not None
    free()

    assert old.digest() == before
    assert stand.replica.table is empty
