"""Ctrl-C reaches a command wherever it is, and nothing that hangs afterwards keeps it."""

import signal
import subprocess
import sys

import pytest

from tests.support.local_cluster import ROOT

BEGIN = """
import gc, os, signal, sys, threading, time
from gorilla.cli import interrupting
from gorilla.cli.interrupting import INTERRUPTS
interrupting.GOOD_ORDER_S_MAX = 0.3
def press(): os.kill(os.getpid(), signal.SIGINT)
INTERRUPTS.hear()
"""


def ran(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BEGIN + script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_ctrl_c_is_raised_where_the_command_is_and_flushed_is_what_was_written():
    done = ran(
        """
try:
    sys.stdout.write("half a line")
    press()
except KeyboardInterrupt:
    INTERRUPTS.leave(130)
"""
    )

    assert (done.returncode, done.stdout, done.stderr) == (130, "half a line", "")


def test_ctrl_c_that_is_swallowed_is_raised_again_and_not_told():
    done = ran(
        """
class Swallows:
    def __del__(self):
        press()
Swallows()
try:
    threading.Event().wait(20)
except KeyboardInterrupt:
    print("raised again")
    INTERRUPTS.leave(130)
"""
    )

    assert (done.returncode, done.stdout, done.stderr) == (130, "raised again\n", "")


def test_what_else_nobody_can_be_told_of_is_printed_as_ever():
    done = ran(
        """
class Fails:
    def __del__(self):
        raise ValueError("as ever")
Fails()
INTERRUPTS.leave(0)
"""
    )

    assert done.returncode == 0
    assert "as ever" in done.stderr


@pytest.mark.parametrize(
    "hang",
    [
        pytest.param("lock = threading.Lock(); lock.acquire(); lock.acquire()", id="by itself"),
        pytest.param("press(); threading.Event().wait(20)", id="by a second press"),
    ],
)
def test_who_hangs_after_ctrl_c_is_ended_by_it_all_the_same(hang):
    done = ran(
        f"""
try:
    press()
except KeyboardInterrupt:
    {hang}
"""
    )

    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_once_a_command_is_over_a_signal_ends_the_process_without_a_word(number):
    done = ran(
        f"""
INTERRUPTS.is_over = True
try:
    os.kill(os.getpid(), {int(number)})
finally:
    print("not here")
"""
    )

    assert (done.returncode, done.stdout, done.stderr) == (-number, "", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_is_started_with_a_signal_ignored_goes_on_ignoring_it(number):
    done = ran(
        f"""
signal.signal({int(number)}, signal.SIG_IGN)
INTERRUPTS.hear()
os.kill(os.getpid(), {int(number)})
print("goes on")
"""
    )

    assert (done.returncode, done.stdout) == (0, "goes on\n")
