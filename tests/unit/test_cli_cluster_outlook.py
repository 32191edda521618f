"""What an operator is told of a change before it is made."""

import pytest

from gorilla.cli.cluster_outlook import Kind, Wanted, outlook, stage_of
from tests.support.cluster_views import report, view


def wanted(kind, member="", leaving=""):
    return Wanted(kind=kind, member=member, leaving=leaving)


def figures(stages):
    return [(stage.when, stage.up, len(stage.members), stage.quorum) for stage in stages]


@pytest.mark.parametrize(
    ("count", "quorum", "tolerates"),
    [(1, 1, 0), (2, 2, 0), (3, 2, 1), (4, 3, 1), (5, 3, 2), (6, 4, 2), (7, 4, 3)],
)
def test_a_cluster_tolerates_what_its_size_says_as_the_server_counts(count, quorum, tolerates):
    stage = stage_of(view(count))

    assert (stage.quorum, stage.tolerates, stage.spare) == (quorum, tolerates, tolerates)
    said = report(*stage.members)
    assert (said.quorum, said.tolerates) == (quorum, tolerates)


def test_a_fourth_member_tolerates_no_more_than_three():
    found = outlook(view(3), wanted(Kind.ADD, "n4"), report("n1", "n2", "n3", "n4"))

    assert figures(found.stages) == [("now", 3, 3, 2), ("after it", 4, 4, 3)]
    assert found.warnings == (
        "4 members tolerate the loss of 1, no more than 3 do. Go on to 5, or stay at an odd "
        "number.",
    )


def test_a_fifth_member_is_nothing_to_be_warned_of():
    found = outlook(view(4), wanted(Kind.ADD, "n5"), report("n1", "n2", "n3", "n4", "n5"))

    assert figures(found.stages) == [("now", 4, 4, 3), ("after it", 5, 5, 3)]
    assert found.warnings == ()


def test_a_member_that_is_added_again_changes_nothing():
    found = outlook(view(3), wanted(Kind.ADD, "n3"), report("n1", "n2", "n3"))

    assert found.stages[0].members == found.stages[1].members
    assert found.warnings == ()


def test_two_members_tolerate_none():
    found = outlook(view(3), wanted(Kind.REMOVE, "id-n3"), report("n1", "n2"))

    assert figures(found.stages) == [("now", 3, 3, 2), ("after it", 2, 2, 2)]
    assert found.bears_less
    assert not found.loses_quorum
    assert found.warnings == (
        "Fewer may fail than now: none, instead of 1.",
        "Two members tolerate no loss: both must be up. Add a third one at once.",
        "n3 is up: its process ends, and its data directory is no member's any more.",
    )


def test_the_last_but_one_member_that_goes_leaves_the_only_copy():
    found = outlook(view(2), wanted(Kind.REMOVE, "n2"), report("n1"))

    assert found.warnings[0] == ("One member is left: its disk is the only copy of the locks.")


def test_a_dead_member_that_is_replaced_brings_the_tolerance_back():
    found = outlook(
        view(3, down=("n3",)), wanted(Kind.REPLACE, "n4", "n3"), report("n1", "n2", "n4")
    )

    assert figures(found.stages) == [
        ("now", 2, 3, 2),
        ("for a moment", 2, 2, 2),
        ("after it", 3, 3, 2),
    ]
    assert found.stages[-1].members == ("n1", "n2", "n4")
    assert found.warnings == ()


def test_between_the_steps_of_a_replacement_both_others_must_be_up():
    found = outlook(view(3), wanted(Kind.REPLACE, "n4", "n3"), report("n1", "n2", "n4"))

    assert "Between the two steps, for the time of one commit, n1 and n2 must be up." in (
        found.warnings
    )


def test_a_member_that_is_up_is_not_removed_unasked_while_another_is_down():
    found = outlook(
        view(5, down=("n5",)), wanted(Kind.REMOVE, "n4"), report("n1", "n2", "n3", "n5")
    )

    assert figures(found.stages) == [("now", 4, 5, 3), ("after it", 3, 4, 3)]
    assert "Fewer may fail than now: none, instead of 1." in found.warnings
    assert "n5 can't be reached: was that one meant?" in found.warnings


def test_a_removal_that_leaves_no_majority_up_is_told_as_that():
    found = outlook(view(3, down=("n3",)), wanted(Kind.REMOVE, "n2"), None)

    assert found.loses_quorum
    assert found.warnings[0] == (
        "1 of 2 members would be up, and 2 are needed: the cluster would answer nothing, and could "
        "not be changed back."
    )


def test_a_leader_that_goes_hands_over_first():
    for kind, leaving in ((Kind.REMOVE, ""), (Kind.DRAIN, ""), (Kind.REPLACE, "n1")):
        found = outlook(view(3), wanted(kind, "n4" if leaving else "n1", leaving), None)

        assert "n1 leads: it hands over first, and requests wait for a moment." in found.warnings


def test_what_changes_no_vote_has_one_stage():
    for kind in (Kind.MOVE, Kind.TRANSFER, Kind.DRAIN, Kind.UNDRAIN):
        found = outlook(view(3), wanted(kind, "n2"), None)

        assert figures(found.stages) == [("now", 3, 3, 2)]


def test_a_member_that_is_up_is_better_stopped_before_it_moves():
    up = outlook(view(3), wanted(Kind.MOVE, "n2"), None)
    down = outlook(view(3, down=("n2",)), wanted(Kind.MOVE, "n2"), None)

    assert [text for text in up.warnings if "Stop it first" in text]
    assert down.warnings == ()


def test_the_last_member_that_takes_requests_is_named():
    drained = {"n3": {"draining": True}}
    found = outlook(view(3, members=drained), wanted(Kind.DRAIN, "n2"), None)

    assert found.warnings == ("Only n1 takes new requests then.",)
