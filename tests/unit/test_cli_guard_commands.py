"""Real processes: a command under a guard finds what it would find without one, and is told apart.

Exit codes, signals, files, environment; what it leaves behind.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gorilla.cli.guard_family import children_of
from tests.support.guarded import NOT_STARTED, beating, beats, is_alive, running, until

SIGNALS = [
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP,
]  # fmt: skip
COUNTS = """
import os, signal, sys, time
got = open(sys.argv[1], "w", buffering=1)
for number in map(int, sys.argv[2:]):
    signal.signal(number, lambda number, _: print(number, file=got))
print("ready", file=got)
time.sleep(20)
"""


@pytest.mark.parametrize(
    ("script", "code"),
    [("true", 0), ("exit 7", 7), ("kill -KILL $$", 137), ("kill -TERM $$", 143), ("exit 255", 255)],
)
def test_the_exit_code_is_the_commands(script, code, tmp_path):
    with running(tmp_path, "sh", "-c", script) as run:
        assert run.wait() == code


@pytest.mark.parametrize(("program", "number"), [("./not-there", 2), ("./not-executable", 13)])
def test_a_command_that_can_not_be_executed_is_told_with_the_systems_reason(
    program, number, tmp_path
):
    (tmp_path / "not-executable").write_text("#!/bin/sh\n")
    with running(tmp_path, program) as run:
        assert run.wait() == NOT_STARTED
        assert f"NotStarted(number={number})" in run.told()


@pytest.mark.parametrize("shares_group", [False, True])
def test_each_signal_reaches_the_command_once(shares_group, tmp_path):
    path = tmp_path / "got"
    # Where the group is a terminal's, a wrapper that gets SIGTSTP stands still for its shell.
    numbers = [n for n in SIGNALS if not (shares_group and n == signal.SIGTSTP)]
    program = [sys.executable, "-S", "-c", COUNTS, str(path), *map(str, map(int, numbers))]
    with running(tmp_path, *program, shares_group=shares_group) as run:
        expected = ["ready"]
        until(lambda: path.exists() and lines(path) == expected, "the command takes signals")
        for number in numbers:
            run.process.send_signal(number)
            expected.append(str(int(number)))
            until(lambda: len(lines(path)) >= len(expected), f"{number!r} has come")
            assert lines(path) == expected
        command = children_of(run.facts()["guard"])
        os.kill(command[0], signal.SIGKILL)
        assert run.wait() == 137
    assert lines(path) == expected


def lines(path):
    return path.read_text().splitlines()


@pytest.mark.parametrize("shares_group", [False, True])
def test_what_ends_a_group_reaches_what_the_command_started_and_usr1_does_not(
    shares_group, tmp_path
):
    script = "trap 'kill -KILL $$' USR1; sleep 60 & echo $! > inner; wait"
    with running(tmp_path, "sh", "-c", script, shares_group=shares_group) as run:
        until(lambda: (tmp_path / "inner").exists() and (tmp_path / "inner").read_text(), "it runs")
        inner = int((tmp_path / "inner").read_text())
        run.process.send_signal(signal.SIGUSR1)
        assert run.wait() == 137
        assert is_alive(inner)
        assert f"rest=(Relative(pid={inner}, " in run.told()
        os.kill(inner, signal.SIGKILL)
        (tmp_path / "inner").unlink()

    (tmp_path / "facts").unlink()
    with running(tmp_path, "sh", "-c", script, shares_group=shares_group) as run:
        until(lambda: (tmp_path / "inner").exists() and (tmp_path / "inner").read_text(), "it runs")
        inner = int((tmp_path / "inner").read_text())
        run.process.send_signal(signal.SIGTERM)
        assert run.wait() == 143
        until(lambda: not is_alive(inner), "what it started has ended too")


def test_a_signal_that_the_caller_ignores_stays_ignored(tmp_path):
    shown = "grep SigIgn /proc/self/status"
    script = f"kill -HUP $PPID; kill -HUP $$; {shown}"
    with running(tmp_path, "nohup", "sh", "-c", script) as run:
        assert run.wait() == 0

    # What started the tests may ignore others still, among them ones that Python can't name (32).
    alone = subprocess.run(["nohup", "sh", "-c", shown], stdout=subprocess.PIPE, check=True)
    ignored = int((tmp_path / "stdout").read_text().split()[1], 16)
    assert ignored == int(alone.stdout.split()[1], 16)
    assert ignored & 1 << (signal.SIGHUP - 1)


def test_the_command_has_the_files_signals_and_priority_of_its_caller_and_nothing_else(tmp_path):
    program = """
import json, os, resource, signal, sys
print(json.dumps({
    "files": sorted(map(int, os.listdir("/proc/self/fd")))[:-1],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "niceness": os.getpriority(os.PRIO_PROCESS, 0),
    "group": os.getpgrp() == os.getpid(),
    "added": os.environ.get("ADDED"),
    "wrapper": os.environ["PYTHONPATH"],
    "ignored": [n for n in signal.valid_signals() if signal.getsignal(n) == signal.SIG_IGN],
}))
"""
    with running(tmp_path, sys.executable, "-S", "-c", program) as run:
        assert run.wait() == 0

    found = json.loads((tmp_path / "stdout").read_text())
    del found["wrapper"]
    assert found == {
        "files": [0, 1, 2],
        "blocked": [],
        "niceness": os.getpriority(os.PRIO_PROCESS, 0),
        "group": True,
        "added": "yes",
        "ignored": [signal.SIGPIPE, signal.SIGXFSZ],  # of the Python that asks
    }


def test_what_a_command_leaves_running_is_left_alone_and_told(tmp_path):
    with running(tmp_path, *beating(tmp_path, "daemon", "for=0.2")) as run:
        assert run.wait() == 0
        (left,) = [pid for pid in beats(tmp_path) if is_alive(pid)]
        assert f"rest=(Relative(pid={left}, " in run.told()
        os.kill(left, signal.SIGKILL)


def test_a_run_that_waits_for_all_is_over_with_the_last_process(tmp_path):
    script = "(setsid sh -c 'sleep 0.7; touch late') & exit 5"
    with running(tmp_path, "sh", "-c", script, waits_for_all=True) as run:
        assert run.wait() == 5

    assert (tmp_path / "late").exists()
    assert "rest=()" in run.told()


def test_no_ended_process_stays_behind_while_the_command_runs(tmp_path):
    # Each leaves an orphan, which the guard adopts.
    script = "for i in 1 2 3 4 5 6 7 8; do (setsid sleep 0.01 & echo $! >> orphans) ; done"
    with running(tmp_path, "sh", "-c", f"{script}; touch looked; exec sleep 60") as run:
        guard = run.facts()["guard"]
        until((tmp_path / "looked").exists, "there are orphans")
        until(lambda: len(children_of(guard)) == 1, "only the command is left")
        orphans = [int(pid) for pid in lines(tmp_path / "orphans")]
        assert len(orphans) == 8
        assert not any(Path(f"/proc/{pid}").exists() for pid in orphans)
        run.process.send_signal(signal.SIGTERM)
        assert run.wait() == 143
        assert not Path(f"/proc/{guard}").exists()
