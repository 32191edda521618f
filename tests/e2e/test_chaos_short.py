"""A minute of faults on real processes behind HAProxy, as ``make test-chaos`` has them for longer.

No answer may contradict another one, none may come from a node without a majority, and gaps in
service are bounded, unless the machine was busy with other things. A fault that could not prove
that it acted is told, and fails nothing.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.local_cluster import ROOT
from tests.support.real_cluster import until

pytestmark = pytest.mark.e2e

BUG = "early-expiry"
NEMESES = ["kill leader", "isolate leader", "mute leader", "wall clock jumps"]
SHORTEST = "pause all"
MINUTES = 0.5
RUN_S_MAX = 240


def chaos(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a run in a session of its own; everything of it is below ``directory``."""
    command = [sys.executable, "-m", "tests.support.chaos", "--report", str(directory / "report")]
    return subprocess.Popen(
        [*command, *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(directory)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def processes_of(session: int) -> list[str]:
    """Return the command lines of a session's processes, but for ended ones nobody waited for."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, _, number = (path / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(number) == session and state != "Z":
                found.append((path / "cmdline").read_text().replace("\0", " "))
    return found


def test_faults_that_prove_they_acted_break_no_promise(tmp_path):
    run = chaos(tmp_path, "--minutes", str(MINUTES), "--nemeses", ",".join(NEMESES))
    told, _ = run.communicate(timeout=RUN_S_MAX)
    print(told)

    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert [one["violations"] for one in report["rounds"] if one["violations"]] == []
    assert run.returncode == 0, told
    assert {one["nemesis"] for one in report["rounds"]} <= set(NEMESES)
    assert sum(one["operations"] for one in report["rounds"]) > 100


def test_a_bug_in_the_nodes_is_found(tmp_path):
    run = chaos(tmp_path, "--minutes", "0.1", "--nemeses", "rolling restart", "--plant", BUG)
    told, _ = run.communicate(timeout=RUN_S_MAX)

    assert run.returncode == 1, told
    assert "VIOLATION overlap: two certain holders" in told
    assert (tmp_path / "report" / "round-1" / "n1.log").exists()
    assert (tmp_path / "report" / "data" / "n1").is_dir()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_run_that_was_interrupted(number, tmp_path):
    run = chaos(tmp_path, "--minutes", "5", "--nemeses", SHORTEST)
    assert run.stdout is not None
    first = run.stdout.readline()
    assert SHORTEST in first, first
    assert len(processes_of(run.pid)) > 5

    if number is signal.SIGINT:
        os.killpg(run.pid, number)  # as a terminal does
    else:
        run.kill()
    run.communicate(timeout=60)
    until(lambda: not processes_of(run.pid), "every process has ended")

    if number is signal.SIGINT:
        assert list(tmp_path.glob("gorilla-chaos-*")) == []
