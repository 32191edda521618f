"""What the doctor makes of the machines of nodes: clocks, disks, what they are short of."""

import pytest

from gorilla.cli import doctor_machines
from gorilla.cli.doctor_evidence import Address
from gorilla.cli.doctor_findings import Check, Grade
from gorilla.cli.doctor_machines import check_machines, rate_of, wall_offset_of
from gorilla.daemon import doctor as examining
from gorilla.domain import limits
from tests.support.doctor_cases import (
    WALL_S,
    every,
    evidence,
    fields_of,
    found,
    look,
    node,
    silent,
    worst,
)


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
        Address(
            **fields_of(node(name), url=f"http://127.0.0.1:{port}", member=None, metrics=figures)
        )
        for port, name in ((5001, "n1"), (5002, "n2"), (5003, "n3"))
    ]
    hidden = [silent(name, given=False, failure="no way") for name in ("n1", "n2", "n3")]

    findings = every(evidence(*mapped, *hidden))

    assert worst(findings) is Grade.OK
    assert [about for _, about, _ in found(findings, Check.DISK)] == ["n1", "n2", "n3"]
    assert found(findings, Check.BALANCER)[0][2] == "Another address of n1."


def test_free_space_that_is_not_known_is_not_told():
    seen = Address(**fields_of(node("n1"), metrics={"gorilla_data_free_bytes": float("nan")}))

    assert found(check_machines(evidence(seen)), Check.DISK) == []


@pytest.mark.parametrize(
    ("free_mib", "grade"), [(100, "bad"), (255, "bad"), (256, "warning"), (1024, "ok")]
)
def test_free_space_is_judged_as_on_the_machine_itself(free_mib, grade):
    figures = {"gorilla_data_free_bytes": free_mib * 1024 * 1024}
    seen = Address(**fields_of(node("n1"), metrics=figures))

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
    seen = evidence(Address(**fields_of(node("n1"), metrics=figures)))

    assert "60 ms on average" in found(check_machines(seen), Check.DISK)[0][2]
    assert "900 of 1024" in found(check_machines(seen), Check.RESOURCES)[0][2]
