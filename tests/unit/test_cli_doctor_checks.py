"""What the doctor makes of what it saw of the cluster: one fact each, and its sentence."""

import pytest

from gorilla.cli.doctor_cluster import check_cluster
from gorilla.cli.doctor_evidence import Address, Trips
from gorilla.cli.doctor_findings import Check, Grade, Verdict, diagnosis
from gorilla.wire.bodies import HistoryHealthBody, SnapshotHealthBody
from tests.support.doctor_cases import every, evidence, fields_of, found, node, silent, three


def test_a_healthy_cluster_has_nothing_but_good_findings():
    findings = every(evidence(*three(), trips=Trips(seconds=(0.003, 0.004))))

    assert {one.grade for one in findings} == {Grade.OK}
    assert {one.check for one in findings} >= {
        Check.SETTINGS, Check.REACHABLE, Check.QUORUM, Check.AGREEMENT, Check.VERSIONS, Check.READY,
        Check.LAG, Check.CLOCK, Check.DATABASE, Check.ROUND_TRIP,
    }  # fmt: skip
    judged = diagnosis(findings, reached=True)
    assert judged.verdict is Verdict.HEALTHY
    order = list(Check)
    assert [one.check for one in judged.findings] == sorted(
        (one.check for one in findings), key=order.index
    )


def test_every_finding_that_is_not_good_says_what_to_do():
    seen = evidence(
        node("n1", down=("n2", "n3"), draining=True, caught_up=False),
        silent("n2"),
        silent("n3", given=False),
        trips=Trips(code="no_quorum", detail="No leader."),
        has_token=True,
        open_files=("config.toml",),
    )

    findings = every(seen)

    assert all(one.remedy for one in findings if one.grade is not Grade.OK)
    assert diagnosis(findings, reached=True).verdict is Verdict.BAD


def test_nothing_that_answers_is_told_for_each_endpoint_and_judged_apart():
    findings = every(evidence(silent("db-a"), silent("db-b")))

    assert len(found(findings, Check.REACHABLE)) == 2
    assert diagnosis(findings, reached=False).verdict is Verdict.UNREACHABLE


def test_a_member_that_is_down_is_bad_and_one_that_only_we_do_not_reach_is_told():
    down = {"down": ("n3",)}
    bad = found(check_cluster(evidence(node("n1", **down), silent("n3"))), Check.REACHABLE)
    hidden = evidence(node("n1"), node("n2"), silent("n3", given=False))
    told = found(check_cluster(hidden), Check.REACHABLE)

    assert bad[-1][0] == "bad"
    assert told[-1] == (
        "warning",
        "n3",
        "http://127.0.0.3:4000 answers the other members, and not this machine: the connection was "
        "refused.",
    )


def test_a_member_that_is_linked_and_silent_counts_as_down():
    stopped = {"n3": {"heard": 3.0}}
    seen = evidence(node("n1", members=stopped), silent("n3", given=False, failure="no answer"))

    findings = list(check_cluster(seen))

    assert found(findings, Check.REACHABLE)[-1][0] == "bad"
    assert found(findings, Check.QUORUM)[0][2] == (
        "n1 leads; 2 of 3 members are up and 2 are needed, so no more may fail."
    )


@pytest.mark.parametrize(
    ("count", "down", "grade", "part"),
    [
        (3, (), "ok", "n1 leads; 3 of 3 members are up and 2 are needed, so 1 more may fail."),
        (3, ("n3",), "ok", "so no more may fail"),
        (3, ("n2", "n3"), "bad", "There is no quorum: 1 of 3 members are up and 2 are needed"),
        (1, (), "warning", "its disk is the only copy"),
        (2, (), "warning", "can't do without either of them"),
        (4, (), "warning", "no more losses than 3 would"),
    ],
)
def test_the_quorum_is_counted(count, down, grade, part):
    seen = evidence(node("n1", count=count, down=down))

    told = found(check_cluster(seen), Check.QUORUM)[-1]

    assert told[0] == grade
    assert part in told[2]


def test_a_majority_without_a_leader_is_bad():
    told = found(check_cluster(evidence(node("n1", leader=None))), Check.QUORUM)

    assert told == [
        ("bad", "shop", "No leader is known, though 3 of 3 members are up and 2 are needed.")
    ]


def test_two_leaders_of_one_term_are_bad_and_of_two_terms_a_moment():
    same = evidence(node("n1"), node("n2", leader="n2"))
    later = evidence(node("n1"), node("n2", leader="n2", term=8))

    assert "n1 and n2 say both that they lead term 7." in [
        text for _, _, text in found(check_cluster(same), Check.AGREEMENT)
    ]
    assert found(check_cluster(later), Check.AGREEMENT) == [
        ("warning", "n1", "It is in term 7, and n2 in 8.")
    ]


def test_states_that_differ_at_one_index_are_bad():
    told = found(check_cluster(evidence(node("n1"), node("n2", chain="cd"))), Check.AGREEMENT)
    elsewhere = evidence(node("n1"), node("n2", chain="cd", applied_index=99))

    assert told == [("bad", "state", "n1 and n2 applied 100 entries and differ.")]
    assert found(check_cluster(elsewhere), Check.AGREEMENT)[0][0] == "ok"


def test_addresses_of_two_clusters_are_bad():
    told = found(check_cluster(evidence(node("n1"), node("n2", cluster_id="c2"))), Check.AGREEMENT)

    assert ("bad", "clusters", "The addresses belong to 2 clusters: n1 and n2.") in told


def test_a_node_that_waits_to_be_added_is_no_cluster_of_its_own_and_says_how_to_take_it_in():
    alone = {"count": 1, "cluster_id": "", "leader": None, "term": 0, "caught_up": False}
    waiting = Address(
        **fields_of(node("n3", **alone), ready=False, unready="this node belongs to no cluster yet")
    )

    findings = every(evidence(node("n1", down=("n3",)), waiting))

    assert [grade for grade, _, _ in found(findings, Check.AGREEMENT)] == ["ok"]
    assert [one.remedy for one in findings if one.grade is Grade.BAD] == [
        "Take it in: gorilla cluster replace n3 (or add, if it was never a member)."
    ]
    assert "n1 leads; 2 of 3" in found(findings, Check.QUORUM)[0][2]


def test_mixed_versions_are_an_upgrade_that_is_not_finished():
    mixed = {"n3": {"version": "1.1.0"}}
    told = found(check_cluster(evidence(node("n1", members=mixed))), Check.VERSIONS)

    assert told[0][2] == "An upgrade is not finished: n1, n2 1.0.0; n3 1.1.0."


def test_a_level_that_everybody_has_and_nobody_uses_is_an_upgrade_that_is_not_finalised():
    second = {name: {"feature_level": 2} for name in ("n1", "n2", "n3")}
    one_old = {**second, "n3": {"feature_level": 1}}
    unknown = {**second, "n3": {"feature_level": None}}

    told = found(check_cluster(evidence(node("n1", members=second))), Check.VERSIONS)

    assert told[-1][2] == "The cluster version is 1, and every member supports 2."
    for members in (one_old, unknown):
        seen = evidence(node("n1", members=members))
        assert len(found(check_cluster(seen), Check.VERSIONS)) == 1


def test_lag_is_told_by_the_leader_from_a_thousand_entries_on():
    behind = {"n2": {"lag": 1001}, "n3": {"lag": 1000}}
    told = found(check_cluster(evidence(node("n1", members=behind))), Check.LAG)

    assert told == [("warning", "n2", "It is 1001 entries behind the leader.")]


def test_a_drained_node_is_a_warning_and_an_unready_one_bad():
    drained = evidence(node("n1", draining=True))
    unready = Address(**{**fields_of(node("n1")), "ready": False, "unready": "No leader."})

    assert found(check_cluster(drained), Check.READY)[0][0] == "warning"
    assert found(check_cluster(evidence(unready)), Check.READY) == [
        ("bad", "n1", "It is not ready: No leader.")
    ]


@pytest.mark.parametrize(
    ("snapshots", "history", "grades"),
    [
        ((False, None, None), (False, None, None), ["warning"]),
        ((True, None, None), (True, 0, None), ["warning", "ok"]),
        ((True, "2025-05-04T10:11:12", None), (True, None, None), ["ok", "ok"]),
        ((True, "2025-05-04T10:11:12", None), (True, 9_000, None), ["ok", "warning"]),
        (
            (True, "2025-05-04T10:11:12", "2025-05-04T10:12:12"),
            (True, 5, "2025-05-04T10:12:12"),
            ["bad", "bad"],
        ),
    ],
)
def test_what_the_database_lacks_is_told(snapshots, history, grades):
    configured, stored, failing = snapshots
    kept, behind, unwritten = history
    seen = evidence(
        node(
            "n1",
            snapshots=SnapshotHealthBody(
                configured=configured, stored_at=stored, failing_since=failing
            ),
            history=HistoryHealthBody(configured=kept, behind=behind, failing_since=unwritten),
        )
    )

    assert [grade for grade, _, _ in found(check_cluster(seen), Check.DATABASE)] == grades
