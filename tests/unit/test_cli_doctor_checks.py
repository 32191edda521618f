"""What the doctor makes of what it saw: one fact each, and its sentence."""

from datetime import UTC, datetime, timedelta

import pytest

from gorilla.cli import doctor_machines
from gorilla.cli.doctor_cluster import check_cluster
from gorilla.cli.doctor_entrance import check_entrance
from gorilla.cli.doctor_evidence import (
    Address,
    Certificate,
    Evidence,
    Look,
    Passed,
    Settings,
    Trips,
)
from gorilla.cli.doctor_findings import Check, Grade, Verdict, diagnosis
from gorilla.cli.doctor_machines import check_machines, rate_of, wall_offset_of
from gorilla.daemon import doctor as examining
from gorilla.domain import limits
from gorilla.wire.bodies import HistoryHealthBody, SnapshotHealthBody
from tests.support.cluster_views import address as address_of, member, view

NOW = datetime(2025, 5, 4, 10, 0, tzinfo=UTC)
WALL_S = NOW.timestamp()


def look(node="n1", *, at_s=0.0, uptime=60.0, took_s=0.002, date_s=WALL_S, **changes):
    return Look(
        asked_s=at_s,
        answered_s=at_s + took_s,
        asked_at_s=WALL_S + at_s,
        answered_at_s=WALL_S + at_s + took_s,
        date_s=None if date_s is None else float(int(date_s + at_s)),
        view=view(node=node, uptime=uptime, **changes),
    )


def node(name, *, given=True, late=None, **changes):
    first = look(name, **changes)
    more = {} if late is None else late
    last = look(name, at_s=3.0, **{"uptime": 63.0, **changes, **more})
    return Address(
        url=f"http://{address_of(name)}",
        given=given,
        member=name,
        looks=(first, last),
        ready=True,
        nodes=(name,) * 6,
    )


def silent(name, *, given=True, failure="the connection was refused"):
    return Address(
        url=f"http://{address_of(name)}",
        given=given,
        member=name if name.startswith("n") else None,
        failure=failure,
    )


def evidence(*addresses, trips=None, **settings):
    told = {"source": "the command line", "endpoints": tuple(a.url for a in addresses if a.given)}
    return Evidence(
        settings=Settings(**{**told, **settings}), addresses=addresses, trips=trips, now=NOW
    )


def three(**changes):
    return [node(name, **changes) for name in ("n1", "n2", "n3")]


def found(findings, check):
    return [(one.grade.value, one.about, one.text) for one in findings if one.check is check]


def worst(findings):
    order = list(Grade)
    return max((one.grade for one in findings), key=order.index)


def every(seen):
    return [*check_cluster(seen), *check_machines(seen), *check_entrance(seen)]


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
        **_fields(node("n3", **alone), ready=False, unready="this node belongs to no cluster yet")
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
    unready = Address(**{**_fields(node("n1")), "ready": False, "unready": "No leader."})

    assert found(check_cluster(drained), Check.READY)[0][0] == "warning"
    assert found(check_cluster(evidence(unready)), Check.READY) == [
        ("bad", "n1", "It is not ready: No leader.")
    ]


def _fields(struct, **changes):
    return {**{name: getattr(struct, name) for name in struct.__struct_fields__}, **changes}


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


# -- machines


@pytest.mark.parametrize(
    ("uptime", "grade"),
    [
        (63.0, "ok"),
        (63.002, "ok"),
        (63.010, "bad"),
        (62.990, "bad"),
        (60.0, "bad"),
        (5.0, "warning"),
    ],
)
def test_a_clock_is_as_fast_as_ours_to_a_thousandth(uptime, grade):
    told = found(check_machines(evidence(node("n1", late={"uptime": uptime}))), Check.CLOCK)

    assert [one[0] for one in told] == [grade]


def test_a_slow_network_never_makes_a_clock_look_wrong():
    seen = look(took_s=0.5), look(at_s=3.0, uptime=63.4, took_s=0.5)

    low, high = rate_of(*seen)

    assert low < 1 < high
    assert high - low > 0.2


def test_rates_are_judged_by_what_a_lease_bears():
    assert doctor_machines.RATE_ERROR_MAX == limits.CLOCK_RATE_PPM / 1e6


@pytest.mark.parametrize(("ahead_s", "count"), [(0, 0), (2, 0), (-2, 0), (9, 1), (-9, 1)])
def test_a_wall_clock_that_is_off_is_a_warning(ahead_s, count):
    seen = evidence(node("n1", date_s=WALL_S + ahead_s))

    told = [one for one in found(check_machines(seen), Check.CLOCK) if "wall clock" in one[2]]

    assert [grade for grade, _, _ in told] == ["warning"] * count


def test_the_offset_of_a_wall_clock_is_narrowed_by_every_look():
    looks = (look(date_s=WALL_S), look(at_s=0.9, date_s=WALL_S), look(at_s=1.1, date_s=WALL_S))

    low, high = wall_offset_of(looks)

    assert low <= 0 <= high
    assert high - low < 2.01
    assert wall_offset_of((look(date_s=None),)) is None


def test_nodes_behind_other_addresses_are_looked_at_all_the_same():
    """Ports of a container, for example: the addresses of the members are of another network."""
    figures = {"gorilla_data_free_bytes": 5e9}
    mapped = [
        Address(**_fields(node(name), url=f"http://127.0.0.1:{port}", member=None, metrics=figures))
        for port, name in ((5001, "n1"), (5002, "n2"), (5003, "n3"))
    ]
    hidden = [silent(name, given=False, failure="no way") for name in ("n1", "n2", "n3")]

    findings = every(evidence(*mapped, *hidden))

    assert worst(findings) is Grade.OK
    assert [about for _, about, _ in found(findings, Check.DISK)] == ["n1", "n2", "n3"]
    assert found(findings, Check.BALANCER)[0][2] == "Another address of n1."


def test_free_space_that_is_not_known_is_not_told():
    seen = Address(**_fields(node("n1"), metrics={"gorilla_data_free_bytes": float("nan")}))

    assert found(check_machines(evidence(seen)), Check.DISK) == []


@pytest.mark.parametrize(
    ("free_mib", "grade"), [(100, "bad"), (255, "bad"), (256, "warning"), (1024, "ok")]
)
def test_free_space_is_judged_as_on_the_machine_itself(free_mib, grade):
    figures = {"gorilla_data_free_bytes": free_mib * 1024 * 1024}
    seen = Address(**_fields(node("n1"), metrics=figures))

    told = found(check_machines(evidence(seen)), Check.DISK)

    assert [one[0] for one in told] == [grade]
    assert doctor_machines.FREE_BYTES_MIN == examining.FREE_BYTES_MIN


def test_a_slow_disk_and_files_that_run_out_are_told():
    figures = {
        "gorilla_journal_sync_seconds_sum": 6.0,
        "gorilla_journal_sync_seconds_count": 100.0,
        "process_open_fds": 900.0,
        "process_max_fds": 1024.0,
    }
    seen = evidence(Address(**_fields(node("n1"), metrics=figures)))

    assert "60 ms on average" in found(check_machines(seen), Check.DISK)[0][2]
    assert "900 of 1024" in found(check_machines(seen), Check.RESOURCES)[0][2]


# -- the way in


def balancer(*nodes, **changes):
    told = node("n1")
    return Address(
        **_fields(told, url="http://127.0.0.9:4080", member=None, nodes=nodes, **changes)
    )


def test_a_balancer_that_reaches_several_nodes_is_fine_and_one_that_does_not_is_told():
    good = found(check_entrance(evidence(balancer("n1", "n2", "n1"))), Check.BALANCER)
    one = found(check_entrance(evidence(balancer("n1", "n1", "n1"))), Check.BALANCER)
    alone = evidence(balancer("n1", "n1", looks=(look(count=1),)))

    assert [grade for grade, _, _ in good] == ["ok"]
    assert one[0][2] == "It is no member's address, and only n1 answered 3 requests."
    assert found(check_entrance(alone), Check.BALANCER)[0][0] == "ok"


def test_a_member_is_no_balancer():
    assert found(check_entrance(evidence(*three())), Check.BALANCER) == []


@pytest.mark.parametrize(
    ("code", "took_s", "grade"),
    [
        ("wait_timeout", 20.01, "ok"),
        ("wait_timeout", 15.0, "bad"),
        ("outcome_unknown", 15.0, "bad"),
    ],
)
def test_a_wait_that_is_cut_short_on_its_way_is_bad(code, took_s, grade):
    passed = Passed(asked_s=20.0, took_s=took_s, code=code)
    seen = evidence(balancer("n1", "n2", passed=passed))

    assert found(check_entrance(seen), Check.BALANCER)[-1][0] == grade


@pytest.mark.parametrize(
    ("days", "grade"),
    [(-1, "bad"), (6.9, "bad"), (7.1, "warning"), (29.9, "warning"), (30.1, "ok")],
)
def test_a_certificate_is_told_before_it_ends(days, grade):
    ending = Certificate(ends=NOW + timedelta(days=days))
    seen = evidence(balancer("n1", "n2", certificate=ending), client_certificate=ending)

    told = found(check_entrance(seen), Check.TLS)

    assert [one[:2] for one in told] == [
        (grade, "127.0.0.9:4080"),
        (grade, "client certificate"),
    ]


def test_a_certificate_that_is_not_accepted_is_bad():
    refused = Certificate(ends=NOW + timedelta(days=90), failure="it is signed by nobody we know")
    told = found(check_entrance(evidence(balancer("n1", certificate=refused))), Check.TLS)

    assert told[0][0] == "bad"
    assert "signed by nobody we know" in told[0][2]


def test_a_token_in_the_clear_and_an_open_file_are_told_but_not_on_loopback():
    far = node("n1")
    far = Address(**_fields(far, url="http://10.0.0.7:4000"))
    told = evidence(far, node("n2"), has_token=True, open_files=("/etc/x.toml",))
    near = evidence(*three(), has_token=True)

    about = [
        name for grade, name, _ in found(check_entrance(told), Check.SETTINGS) if grade != "ok"
    ]
    assert about == ["token", "/etc/x.toml"]
    assert worst(check_entrance(near)) is Grade.OK


def test_one_endpoint_of_one_node_is_told_and_a_balancer_is_enough():
    one = found(check_entrance(evidence(node("n2"))), Check.SETTINGS)
    enough = found(check_entrance(evidence(balancer("n1", "n2"))), Check.SETTINGS)

    assert [grade for grade, _, _ in one] == ["ok", "warning"]
    assert [grade for grade, _, _ in enough] == ["ok"]


@pytest.mark.parametrize(
    ("trips", "grade"),
    [
        (Trips(seconds=(0.002, 0.1)), "ok"),
        (Trips(seconds=(0.3, 0.3, 0.01)), "warning"),
        (Trips(code="recovering", detail="Wait."), "warning"),
        (Trips(code="forbidden", detail="No."), "warning"),
        (Trips(code="no_quorum", detail="No leader."), "bad"),
    ],
)
def test_a_round_trip_is_judged_by_its_median(trips, grade):
    told = found(check_entrance(evidence(*three(), trips=trips)), Check.ROUND_TRIP)

    assert [one[0] for one in told] == [grade]


def test_views_of_tests_are_of_real_members():
    assert member("n2").http == "127.0.0.2:4000"
