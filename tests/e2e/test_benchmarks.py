"""``python -m benchmarks`` measures and prints; how much it measures says nothing here."""

import re
import signal
import subprocess
import sys

import pytest

from tests.support.local_cluster import ROOT

pytestmark = pytest.mark.e2e

COMMAND = [sys.executable, "-m", "benchmarks", "--connections", "2", "--seconds", "0.5"]
RUN_S_MAX = 120


def leftovers():
    return list((ROOT / ".gorilla").glob("bench-*"))


def test_a_short_run_prints_a_row_for_each_kind_of_load_and_leaves_nothing():
    before = leftovers()

    ran = subprocess.run(
        COMMAND, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S_MAX, check=True
    )

    machine, blank, headings, *rows = ran.stdout.splitlines()
    assert "fdatasync" in machine
    assert blank == ""
    assert headings.split()[:5] == ["connections", "/s", "p50", "p99", "max"]
    cells = [row.split() for row in rows]
    assert [(cell[0], cell[1], cell[6]) for cell in cells] == [
        ("acquire", "2", "0"),
        ("pair", "2", "0"),
    ]
    assert all(float(cell[2].replace(",", "")) > 0 for cell in cells)
    assert sum(value.endswith("*") for value in cells[0]) == 1
    assert leftovers() == before


@pytest.mark.parametrize("fault", ["kill", "pause"])
def test_the_gap_after_a_failure_of_the_leader_is_measured_and_short(fault):
    before = leftovers()

    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.failover", "--rounds", "1", "--fault", fault],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_S_MAX,
        check=True,
    )

    told = ran.stdout.splitlines()[-1]
    found = re.fullmatch(
        rf"{fault} of the leader, 1 rounds: gap p50 (\S+) s  p99 (\S+) s  max (\S+) s", told
    )
    assert found, ran.stdout
    assert 0 < float(found[3]) < 3.0
    assert leftovers() == before


def test_it_ends_at_ctrl_c_without_a_trace():
    before = leftovers()
    running = subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stderr is not None
    with running:
        for line in running.stderr:
            if line.startswith("three nodes: acquire"):
                break
        running.send_signal(signal.SIGINT)
        rest = running.stderr.read()
        code = running.wait(RUN_S_MAX)

    assert code == 130, rest
    assert "Traceback" not in rest
    assert rest.splitlines()[-1] == "interrupted"
    assert leftovers() == before
