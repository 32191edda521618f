"""A minute of faults on real processes behind HAProxy, as ``make test-chaos`` has them for longer.

Each fault must prove that it acted; no answer may contradict another one, and none comes from a
node without a majority. Gaps in service are in the report (here machines are shared and slow, so
they are bounded by ``make test-chaos`` alone).
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

NEMESES = ["kill leader", "isolate leader", "mute leader", "wall clock jumps"]
MINUTES = 0.7
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

    assert run.returncode == 0, told
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    acted = [one for one in report["rounds"] if one["acted"]]
    assert len(acted) >= 2, told
    assert [one["violations"] for one in report["rounds"] if one["violations"]] == []
    assert all(one["operations"] > 100 for one in acted), told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_run_that_was_interrupted(number, tmp_path):
    run = chaos(tmp_path, "--minutes", "5", "--nemeses", "pause follower")
    assert run.stdout is not None
    first = run.stdout.readline()
    assert "pause follower" in first, first
    assert len(processes_of(run.pid)) > 5

    if number is signal.SIGINT:
        os.killpg(run.pid, number)  # as a terminal does
    else:
        run.kill()
    run.communicate(timeout=60)
    until(lambda: not processes_of(run.pid), "every process has ended")

    if number is signal.SIGINT:
        assert list(tmp_path.glob("gorilla-chaos-*")) == []
