"""Which changes of the cluster are refused, and the steps of those that are not."""

import msgspec
import pytest

from gorilla.consensus.membership.plan import (
    BEHIND_MAX,
    ClusterSight,
    Standing,
    as_resumed,
    is_in_force,
    pinned,
    plan,
)
from gorilla.service.errors import ChangeRefusedError, MemberNotFoundError
from gorilla.service.ports import (
    AddMember,
    DrainMember,
    Member,
    MoveMember,
    RemoveMember,
    TransferLeadership,
)


def member(name):
    return Member(id=f"id-{name}", name=name, peer=f"{name}:1", http=f"{name}:2")


def sight(names="abc", *, down="", behind=None, drained="", **more):
    members = tuple(
        Standing(member(n), n not in down, (behind or {}).get(n, 0), n in drained) for n in names
    )
    return ClusterSight(f"id-{names[0]}", members, **more)


def add(name="d", **more):
    return AddMember(**({"name": name, "peer": f"{name}:1", "http": f"{name}:2"} | more))


def steps(plan_):
    return [
        (
            type(s).__name__,
            getattr(s, "kind", None),
            getattr(s, "member", getattr(s, "to", None)).name,
        )
        for s in plan_.steps
    ]


@pytest.mark.parametrize(
    ("reason", "seen", "change"),
    [
        ("under_way", sight(under_way=True), RemoveMember(member="b")),
        ("exists", sight(newcomer="id-x"), add("b", peer="x:1", http="x:2")),
        ("exists", sight(newcomer="id-d"), add(peer="b:1")),
        ("exists", sight(newcomer="id-d"), add(http="b:1")),
        ("exists", sight(newcomer="id-b"), add()),
        ("exists", sight(newcomer="id-d"), add(http="d:1")),
        ("exists", sight(), MoveMember(member="a", http="c:2")),
        ("exists", sight(), MoveMember(member="a", http="a:1")),
        ("removed", sight(newcomer="id-d", removed=frozenset({"id-d"})), add()),
        ("newcomer_not_up", sight(), add()),
        ("last_member", sight("a"), RemoveMember(member="a")),
        ("last_member", sight("a", newcomer="id-d"), add(replaces="a")),
        ("unreachable", sight(down="b"), TransferLeadership(to="b")),
        ("unreachable", sight(down="bc"), TransferLeadership()),
        ("unreachable", sight(down="b"), DrainMember(member="b", draining=True)),
        ("last_serving", sight(down="bc"), DrainMember(member="a", draining=True)),
        (
            "last_serving",
            sight("abc", down="c", drained="b"),
            DrainMember(member="a", draining=True),
        ),
    ],
)
def test_a_change_that_must_not_be_made_is_refused_forced_or_not(reason, seen, change):
    for force in (False, True):
        with pytest.raises(ChangeRefusedError) as refused:
            plan(seen, change, force=force)
        assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("reason", "seen", "change"),
    [
        ("no_quorum", sight(down="c"), RemoveMember(member="b")),
        ("no_quorum", sight("abcd", down="cd", newcomer="id-e"), add("e", replaces="b")),
        ("no_quorum", sight("abcde", down="cde", newcomer="id-f"), add("f")),
        ("not_caught_up", sight(behind={"b": BEHIND_MAX + 1}), TransferLeadership(to="b")),
    ],
)
def test_what_only_costs_availability_can_be_forced(reason, seen, change):
    with pytest.raises(ChangeRefusedError) as refused:
        plan(seen, change, force=False)
    assert refused.value.reason == reason
    assert plan(seen, change, force=True).steps


@pytest.mark.parametrize(
    "change",
    [
        RemoveMember(member="z"),
        MoveMember(member="z"),
        TransferLeadership(to="z"),
        add(replaces="z"),
    ],
)
def test_a_change_of_a_member_that_there_is_not_is_told_as_such(change):
    with pytest.raises(MemberNotFoundError, match="'z'"):
        plan(sight(newcomer="id-d"), change, force=True)


def test_a_newcomer_learns_before_it_counts():
    made = plan(sight(newcomer="id-d"), add(), force=False)
    assert steps(made) == [("Learn", None, "d"), ("Propose", "add", "d")]
    report = made.report(done=False)
    assert [m.name for m in report.members] == list("abcd")
    assert (report.done, report.quorum, report.tolerates) == (False, 3, 1)


def test_a_dead_member_leaves_only_when_its_successor_has_the_log():
    made = plan(sight(down="c", newcomer="id-n"), add("n", replaces="c"), force=False)
    assert steps(made) == [("Learn", None, "n"), ("Propose", "rem", "c"), ("Propose", "add", "n")]
    assert [m.name for m in made.members] == list("abn")


def test_a_successor_may_have_the_name_and_the_addresses_of_whom_it_replaces():
    made = plan(sight(down="c", newcomer="id-new"), add("c", replaces="id-c"), force=False)
    assert [m.id for m in made.members] == ["id-a", "id-b", "id-new"]


def test_a_leader_that_is_removed_hands_over_to_the_member_that_is_furthest():
    made = plan(sight(behind={"b": 3}), RemoveMember(member="id-a"), force=False)
    assert steps(made) == [("HandOver", None, "c"), ("Propose", "rem", "a")]
    assert [str(step) for step in made.steps] == ["hand leadership over to c", "remove a"]


def test_a_dead_member_of_three_can_be_removed():
    made = plan(sight(down="c"), RemoveMember(member="c"), force=False)
    assert steps(made) == [("Propose", "rem", "c")]
    assert made.report(done=True).tolerates == 0


def test_a_move_changes_what_is_named_and_nothing_else():
    made = plan(sight(), MoveMember(member="b", peer="new:1"), force=False)
    assert made.steps[0].member == msgspec.structs.replace(member("b"), peer="new:1")
    assert plan(sight(), MoveMember(member="b", peer="b:1"), force=False).steps == ()


def test_a_transfer_to_the_leader_itself_has_no_steps():
    assert plan(sight(), TransferLeadership(to="a"), force=False).steps == ()
    assert steps(plan(sight(), TransferLeadership(to="b"), force=False)) == [
        ("HandOver", None, "b")
    ]


def replaced(name="c"):
    """What the leader sees when an empty directory has taken a member's place and its name."""
    seen = sight()
    new = msgspec.structs.replace(member(name), id="id-new")
    members = (*(one for one in seen.members if one.member.name != name), Standing(new))
    return msgspec.structs.replace(seen, members=members)


def test_a_member_of_the_same_name_and_address_is_in_force_once_it_is_another_one():
    change = pinned(add("c", replaces="c"), [one.member for one in sight().members])
    assert change.replaces == "id-c"
    assert not is_in_force(sight(), change)
    assert not is_in_force(sight("ab"), change)
    assert is_in_force(replaced(), change)


def test_what_is_left_of_a_replacement_and_what_was_made_of_it():
    change = add(replaces="id-c")
    assert as_resumed(sight(), change) == (change, ())
    assert as_resumed(sight("ab"), change) == (add(), ("remove id-c",))
    assert is_in_force(sight("ab"), RemoveMember(member="c"))
    assert not is_in_force(sight(), RemoveMember(member="c"))
