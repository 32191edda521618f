"""Real processes: nothing that hangs keeps a guard or a wrapper from ending the command in time.

What they have to say is read by nobody, or the command hangs before it is even there.
"""

import os
import signal

import pytest

from gorilla.client.clock import now_s
from tests.support.guarded import LOST, beating, beats, is_alive, running, until

LEASE = {"timeout_s": 2.0, "kill_after_s": 0.4, "margin_s": 0.4}


@pytest.fixture
def full_pipe():
    """A pipe that nobody reads, with no room for another byte."""
    unread, full = os.pipe()
    os.set_blocking(full, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(full, b" " * 1024)
    os.set_blocking(full, True)
    yield full
    os.close(full)
    os.close(unread)


@pytest.mark.parametrize("kind", [(), ("stubborn", "daemon", "nest")])
def test_a_guard_that_is_alone_and_not_listened_to_ends_the_command_in_time(
    kind, full_pipe, tmp_path
):
    with running(tmp_path, *beating(tmp_path, *kind), stderr_to=full_pipe, **LEASE) as run:
        facts = run.facts()
        until(lambda: len(beats(tmp_path)) == (6 if kind else 1), "all processes beat")
        pids = list(beats(tmp_path))
        os.kill(facts["wrapper"], signal.SIGKILL)
        struck_s = now_s()
        until(lambda: not any(map(is_alive, pids)), "every process has ended", 10)
        until(lambda: not is_alive(facts["guard"]), "the guard has ended")

    assert max(beats(tmp_path).values()) < struck_s + 2.0


def test_a_wrapper_that_is_not_listened_to_ends_what_a_killed_guard_leaves(full_pipe, tmp_path):
    command = beating(tmp_path, "stubborn", "daemon", "nest")
    with running(tmp_path, *command, stderr_to=full_pipe, **LEASE) as run:
        facts = run.facts()
        until(lambda: len(beats(tmp_path)) == 6, "all processes beat")
        pids = list(beats(tmp_path))
        os.kill(facts["guard"], signal.SIGKILL)
        struck_s = now_s()
        until(lambda: not any(map(is_alive, pids)), "every process has ended", 10)

    assert max(beats(tmp_path).values()) < struck_s + 1.0


def test_a_command_that_takes_too_long_to_begin_never_begins(tmp_path):
    orders = {"extended_for_s": 0.0, "starts_slowly": True, **LEASE}
    with running(tmp_path, "touch", str(tmp_path / "ran"), **orders) as run:
        code = run.wait()
        ended_s = now_s()
        facts = run.facts()

    assert code == LOST
    assert ended_s < facts["deadline_s"]
    assert "could not be extended in time; its command is told to end" in run.told()
    assert not (tmp_path / "ran").exists()
