"""Real processes at a real terminal: Ctrl-C and Ctrl-Z are as they are without a guard."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support.guarded import beating, beats, is_alive, until
from tests.support.terminals import CTRL_C, CTRL_Z, Terminal

INTERRUPTED = 130

COUNTS_INTERRUPTS = """
import pathlib, signal, sys, time
got = pathlib.Path("got").open("a")
signal.signal(signal.SIGINT, lambda *_: print("interrupted", file=got, flush=True))
print("ready", flush=True)
while not pathlib.Path("go").exists():
    time.sleep(0.02)
sys.exit(9)
"""


def guarded(**orders):
    orders = {"shares_group": True, "facts": "facts", **orders}
    return [sys.executable, "-m", "tests.support.guarded", json.dumps(orders)]


def test_ctrl_c_reaches_the_command_once_and_is_for_it_to_judge(tmp_path):
    # No shell: one that is interrupted while it forks may run its trap twice.
    terminal = Terminal(tmp_path, *guarded(), sys.executable, "-c", COUNTS_INTERRUPTS)
    terminal.wait_for(b"ready")

    terminal.type(CTRL_C)
    until(lambda: (tmp_path / "got").stat().st_size, "the command was interrupted")
    (tmp_path / "go").touch()

    assert terminal.ended() == 9
    assert (tmp_path / "got").read_text() == "interrupted\n"


def test_ctrl_c_ends_a_command_that_does_not_mind(tmp_path):
    terminal = Terminal(tmp_path, *guarded(), "sh", "-c", "echo ready; exec sleep 60")
    terminal.wait_for(b"ready")

    terminal.type(CTRL_C)

    assert terminal.ended() == INTERRUPTED


@pytest.fixture
def shell(tmp_path):
    """An interactive shell, in which a guarded program beats."""
    terminal = Terminal(tmp_path, "bash", "--norc", "--noprofile", "-i")
    terminal.wait_for(b"prompt> ")
    yield terminal
    os.kill(terminal.pid, signal.SIGKILL)
    terminal.ended()


def begin(shell, directory, **orders):
    words = [*guarded(**orders), *beating(directory)]
    shell.type(" ".join(f"'{word}'" for word in words).encode() + b"; echo code $?\n")
    until(lambda: beats(directory), "the command beats")
    return next(iter(beats(directory)))


def test_ctrl_z_stops_the_command_and_fg_lets_it_go_on(shell, tmp_path):
    pid = begin(shell, tmp_path)

    shell.type(CTRL_Z)
    shell.wait_for(b"Stopped")
    until(lambda: state_of(pid) == "T", "the command stands still")
    shell.type(b"fg\n")
    until(lambda: state_of(pid) in "SR", "the command goes on")
    shell.type(CTRL_C)
    shell.wait_for(b"prompt> ")

    until(lambda: not is_alive(pid), "the command has ended")


def test_who_stays_stopped_loses_the_lock_and_the_command_is_ended_in_time(shell, tmp_path):
    pid = begin(shell, tmp_path, timeout_s=2.0, margin_s=0.4)

    shell.type(CTRL_Z)
    shell.wait_for(b"Stopped")
    until(lambda: not is_alive(pid), "the command was ended", within_s=2.0)
    shell.type(b"fg\n")

    shell.wait_for(b"could not be extended in time")


def test_ctrl_z_is_ignored_where_no_shell_would_wake_anybody_up(tmp_path):
    script = "echo ready; while ! [ -e go ]; do sleep 0.02; done; exit 9"
    terminal = Terminal(tmp_path, *guarded(), "sh", "-c", script)
    terminal.wait_for(b"ready")

    terminal.type(CTRL_Z)
    terminal.wait_for(b"^Z")
    (tmp_path / "go").touch()

    assert terminal.ended() == 9


def state_of(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
