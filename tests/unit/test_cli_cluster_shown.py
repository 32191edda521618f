"""How a cluster is shown to people."""

import pytest

from gorilla.cli.cluster_outlook import Kind, Wanted, outlook
from gorilla.cli.cluster_shown import (
    alarms,
    member_table,
    missing,
    plan_views,
    report_views,
    status_of,
    status_views,
)
from gorilla.cli.tables import laid_out
from gorilla.wire.bodies import HistoryHealthBody, SnapshotHealthBody
from tests.support.cluster_views import report, view


def text_of(views, width=80):
    return "\n\n".join("\n".join(laid_out(one, width)) for one in views)


def test_a_healthy_cluster_at_a_glance():
    assert text_of(status_views(view(3))) == "\n".join(
        [
            "Cluster    shop (c1)",
            "Leader     n1, in term 7",
            "Members    3 of 3 up, 2 needed: 1 more may fail",
            "Locks      0 held, 0 waiting, 0 sessions",
            "Version    1.0.0; cluster version 1",
            "Snapshots  newest 2025-05-04 10:11:12 UTC",
            "History    kept, 0 events behind",
            "",
            "MEMBER  ROLE      STATE  LAG  HEARD  VERSION  HTTP",
            "n1      leader    up       0   0.1s  1.0.0    127.0.0.1:4000",
            "n2      follower  up       0   0.1s  1.0.0    127.0.0.2:4000",
            "n3      follower  up       0   0.1s  1.0.0    127.0.0.3:4000",
        ]
    )
    assert status_of(view(3)).healthy


def test_what_is_wrong_stands_in_the_status_as_alarms():
    failing = "2025-05-04T10:12:00"
    seen = view(
        3,
        down=("n3",),
        members={"n2": {"lag": 5000, "version": "1.1.0", "draining": True}},
        snapshots=SnapshotHealthBody(configured=True, stored_at=None, failing_since=failing),
        history=HistoryHealthBody(configured=True, behind=7, failing_since=failing),
    )

    assert list(alarms(seen)) == [
        "n2 is 5000 entries behind.",
        "n3 can't be reached.",
        "Snapshots can't be stored since 2025-05-04T10:12:00 UTC; locks go on.",
        "The history can't be written since 2025-05-04T10:12:00 UTC; locks go on.",
        "Versions are mixed (1.0.0, 1.1.0): finish the upgrade.",
    ]
    told = text_of(status_views(seen))
    assert "2 of 3 up, 2 needed: no more may fail" in told
    assert "drained" in told
    assert "down" in told


def test_a_minority_says_that_nothing_is_answered():
    seen = view(3, leader=None, down=("n2", "n3"))

    status = status_of(seen)

    assert (status.up, status.quorum, status.may_fail, status.tolerates) == (1, 2, -1, 1)
    assert not status.healthy
    assert status.alarms[0] == "There is no quorum: 1 up, 2 needed. Nothing is answered."
    assert "none, in term 7" in text_of(status_views(seen))


def test_a_view_of_a_follower_says_what_it_can_not_know():
    seen = view(3, node="n2", members={"n3": {"lag": None}})

    assert "n2 says so, and does not lead" in text_of(status_views(seen), 120)


def test_an_upgrade_that_can_be_finalised_is_told():
    second = {name: {"feature_level": 2} for name in ("n1", "n2", "n3")}

    told = text_of(status_views(view(3, members=second)), 120)

    assert "cluster version 1, can be finalised to 2 (cluster.finalise_level)" in told


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal(width):
    long = {
        f"n{n}": {"http": f"gorilla-{n}.locks.production.example.internal:4000", "peer": "x" * 60}
        for n in (1, 2, 3)
    }
    seen = view(3, members=long)
    changed = outlook(seen, Wanted(kind=Kind.REMOVE, member="n1"), None)
    views = [
        *status_views(seen),
        member_table(seen.members, places=True),
        *plan_views(changed, None),
    ]

    for one in views:
        assert max(map(len, laid_out(one, width))) <= width


def test_a_plan_shows_steps_the_quorum_before_and_after_and_warnings():
    answer = report("n1", "n2", "n3", "n4", steps=("let n4 learn the log", "make n4 a member"))
    found = outlook(view(3), Wanted(kind=Kind.ADD, member="n4"), answer)

    assert text_of(plan_views(found, answer)) == "\n".join(
        [
            "What will be done:",
            "  1. let n4 learn the log",
            "  2. make n4 a member",
            "",
            "          MEMBERS             UP  NEEDED  MAY FAIL",
            "now       n1, n2, n3      3 of 3       2         1",
            "after it  n1, n2, n3, n4  4 of 4       3         1",
            "",
            "! 4 members tolerate the loss of 1, no more than 3 do. Go on to 5, or stay at an",
            "odd number.",
        ]
    )


def test_a_plan_that_loses_the_quorum_says_so_in_its_row():
    found = outlook(view(3, down=("n3",)), Wanted(kind=Kind.REMOVE, member="n2"), None)

    assert "after it  n1, n3      1 of 2       2  no quorum" in text_of(plan_views(found, None))


def test_a_report_shows_what_was_done_and_the_cluster_after_it():
    told = text_of(report_views(report("n1", "n2", steps=("remove n3",), done=True)))

    assert told.startswith("Done:\n  remove n3\n\nMEMBER")
    assert told.endswith("2 members, 2 needed: none may be down.")
    assert "Nothing was to be done" in text_of(report_views(report("n1")))


def test_who_is_linked_and_silent_is_missing():
    assert list(missing(view(3, members={"n2": {"heard": 2.5}}))) == ["n2 can't be reached"]
