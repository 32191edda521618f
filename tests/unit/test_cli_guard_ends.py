"""Real processes: a command is over before its lease is, whoever is killed or stands still.

Its wrapper has a lease that nobody extends after a while, instead of a cluster's.
"""

import os
import signal

import pytest

from gorilla.client.clock import now_s
from tests.support.guarded import LOST, beating, beats, is_alive, running, until

LEASE = {"timeout_s": 2.0, "kill_after_s": 0.4, "margin_s": 0.4}
KINDS = [(), ("stubborn", "daemon", "nest")]
PROCESSES = {(): 1, ("stubborn", "daemon", "nest"): 6}


def begun(run, count):
    """Wait until a beating command has all its processes; return them and the facts."""
    facts = run.facts()
    until(lambda: len(beats(run.directory)) == count, f"{count} processes beat")
    return facts, list(beats(run.directory))


def assert_over_before(run, pids, deadline_s):
    until(lambda: not any(map(is_alive, pids)), "every process has ended")
    assert max(beats(run.directory).values()) < deadline_s


@pytest.mark.parametrize("kind", KINDS)
def test_a_lease_that_is_not_extended_any_more_ends_the_command_and_all_that_it_started(
    kind, tmp_path
):
    with running(tmp_path, *beating(tmp_path, *kind), extended_for_s=1.0, **LEASE) as run:
        facts, pids = begun(run, PROCESSES[kind])
        code = run.wait()
        assert not any(map(is_alive, pids))

    assert code == LOST
    deadline_s = facts["deadline_s"] + 2 / 3  # it was extended once
    assert deadline_s - 1.0 < max(beats(tmp_path).values()) < deadline_s
    assert "could not be extended in time; its command is told to end" in run.told()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_wrapper_that_is_killed_or_stands_still_takes_the_command_with_it(number, kind, tmp_path):
    with running(tmp_path, *beating(tmp_path, *kind), **LEASE) as run:
        facts, pids = begun(run, PROCESSES[kind])
        os.kill(facts["wrapper"], number)
        struck_s = now_s()
        assert_over_before(run, pids, struck_s + 2.0)  # no later answer can have extended it
        if number == signal.SIGSTOP:
            run.process.send_signal(signal.SIGCONT)
            assert run.wait() == LOST
            assert "could not be extended in time" in run.told()
        until(lambda: not is_alive(facts["guard"]), "the guard has ended")


@pytest.mark.parametrize("kind", KINDS)
def test_a_guard_that_is_killed_takes_the_command_with_it_at_once(kind, tmp_path):
    with running(tmp_path, *beating(tmp_path, *kind), **LEASE) as run:
        facts, pids = begun(run, PROCESSES[kind])
        os.kill(facts["guard"], signal.SIGKILL)
        struck_s = now_s()
        code = run.wait()
        assert not any(map(is_alive, pids))

    assert code == LOST
    assert max(beats(tmp_path).values()) < struck_s + 1.0
    assert "the guard of the command was killed, so the command was killed too" in run.told()


def test_a_guard_that_stands_still_when_it_should_act_is_killed_with_the_command(tmp_path):
    command = beating(tmp_path, "stubborn", "daemon", "nest")
    with running(tmp_path, *command, extended_for_s=1.0, **LEASE) as run:
        facts, pids = begun(run, 6)
        os.kill(facts["guard"], signal.SIGSTOP)
        code = run.wait()
        assert not any(map(is_alive, pids))
        assert not is_alive(facts["guard"])

    assert code == LOST
    assert max(beats(tmp_path).values()) < facts["deadline_s"] + 2 / 3
    assert "did not act in time, so both were killed" in run.told()


def test_who_kills_wrapper_and_guard_at_once_kills_the_command(tmp_path):
    with running(tmp_path, *beating(tmp_path, "stubborn"), **LEASE) as run:
        facts, (pid,) = begun(run, 1)
        os.kill(facts["wrapper"], signal.SIGSTOP)  # so that it can't be faster than we are
        os.kill(facts["guard"], signal.SIGKILL)
        os.kill(facts["wrapper"], signal.SIGKILL)
        struck_s = now_s()
        until(lambda: not is_alive(pid), "the command has ended")

    assert max(beats(tmp_path).values()) < struck_s + 1.0


def test_a_lock_that_is_lost_before_its_time_ends_the_command_with_the_grace_asked_for(tmp_path):
    lease = {"timeout_s": 60.0, "kill_after_s": 0.5, "margin_s": 1.0}
    command = beating(tmp_path, "stubborn", "daemon")
    with running(tmp_path, *command, lost_after_s=1.0, **lease) as run:
        facts, pids = begun(run, 2)
        code = run.wait()
        assert not any(map(is_alive, pids))

    assert code == LOST
    lost_s = facts["deadline_s"] - 60 + 1
    assert lost_s + 0.4 < max(beats(tmp_path).values()) < lost_s + 2.5
    assert "the lock is lost; its command is told to end" in run.told()


def test_a_storm_of_short_lived_processes_in_their_own_sessions_is_ended_too(tmp_path):
    with running(tmp_path, *beating(tmp_path, "stubborn", "storm"), **LEASE) as run:
        facts = run.facts()
        place = tmp_path / "beats"
        until(lambda: len(list(place.iterdir())) >= 100, "a hundred processes")
        os.kill(facts["wrapper"], signal.SIGKILL)
        until(lambda: not is_alive(facts["guard"]), "the guard has ended")
        pids = [int(path.name[6:]) for path in place.iterdir()]

        assert [pid for pid in pids if is_alive(pid)] == []


def test_a_command_that_is_stopped_is_ended_too(tmp_path):
    with running(tmp_path, *beating(tmp_path, "stubborn"), extended_for_s=0.7, **LEASE) as run:
        _, (pid,) = begun(run, 1)
        os.kill(pid, signal.SIGSTOP)

        assert run.wait() == LOST
        assert not is_alive(pid)


def test_a_command_that_ends_when_it_is_told_to_is_not_killed(tmp_path):
    script = f"trap 'echo bye > {tmp_path}/bye; exit 0' TERM; while :; do sleep 0.05; done"
    with running(tmp_path, "sh", "-c", script, extended_for_s=0.7, **LEASE) as run:
        assert run.wait() == LOST

    assert (tmp_path / "bye").read_text() == "bye\n"
    assert "Ended(code=0, why=<Why.DEADLINE" in run.told()


def test_a_lease_that_is_nearly_over_starts_nothing(tmp_path):
    lease = {"timeout_s": 1.0, "kill_after_s": 0.6, "margin_s": 0.5}
    with running(tmp_path, "touch", str(tmp_path / "ran"), **lease) as run:
        assert run.wait() == LOST

    assert not (tmp_path / "ran").exists()
