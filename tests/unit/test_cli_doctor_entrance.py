"""What the doctor makes of the way in: settings, load balancer, TLS, a lock."""

from datetime import timedelta

import pytest

from gorilla.cli.doctor_entrance import check_entrance
from gorilla.cli.doctor_evidence import Address, Certificate, Passed, Trips
from gorilla.cli.doctor_findings import Check, Grade
from tests.support.doctor_cases import (
    NOW,
    balancer,
    evidence,
    fields_of,
    found,
    look,
    node,
    three,
    worst,
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
    far = Address(**fields_of(far, url="http://10.0.0.7:4000"))
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
