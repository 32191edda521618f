"""Waiting on the leases' clock, signals with their origin, lists of processes; also off Linux."""

import os
import signal
import subprocess
import threading
from math import inf

import pytest

from gorilla.cli import guard_family, guard_kernel
from gorilla.cli.guard_family import below, children_of, parent_of
from gorilla.cli.guard_kernel import Signals, Watch
from gorilla.client.clock import now_s
from tests.support.guarded import beating, beats, until


@pytest.fixture(params=["Linux", "any POSIX"])
def system(request, monkeypatch):
    """What the kernel offers: all of it, or only what POSIX asks for."""
    if request.param != "Linux":
        monkeypatch.setattr(guard_kernel, "_libc", None)
    return request.param


@pytest.fixture
def watch(system):
    watch = Watch()
    yield watch
    watch.close()


def test_a_watch_ends_at_its_time_and_not_before(watch):
    at_s = now_s() + 0.12

    assert watch.until(at_s) == set()

    assert at_s <= now_s() < at_s + 1.0


def test_a_time_that_has_passed_is_no_wait_and_does_not_stay(watch):
    began_s = now_s()
    assert watch.until(began_s - 5) == set()
    assert watch.until(0.0) == set()
    assert now_s() < began_s + 1.0
    assert watch.until(now_s() + 0.05) == set()
    assert now_s() >= began_s + 0.05


def test_a_file_that_is_readable_or_broken_ends_a_watch_without_an_end(watch):
    reading, writing = os.pipe()
    watch.add(reading)

    os.write(writing, b"x")
    assert watch.until(inf) == {reading}
    os.read(reading, 1)
    assert watch.until(now_s() + 0.01) == set()
    os.close(writing)
    assert watch.until(inf) == {reading}

    watch.remove(reading)
    assert watch.until(now_s() + 0.01) == set()
    os.close(reading)


def test_signals_are_data_while_they_are_taken_and_signals_again_afterwards(system):
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    handler = signal.signal(signal.SIGUSR1, lambda *_: got.append("handled"))
    got = []
    signals = Signals({signal.SIGUSR1, signal.SIGUSR2})
    try:
        send(signal.SIGUSR1)
        send(signal.SIGUSR2)
        found = signals.read()
        assert sorted(one.number for one in found) == [signal.SIGUSR1, signal.SIGUSR2]
        assert not any(one.from_terminal for one in found)
        assert signals.read() == []
        assert got == []
    finally:
        signals.close()

    send(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, handler)
    assert got == ["handled"]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def send(number):
    """Send a signal to this thread: those of whoever runs the tests take none as data."""
    signal.pthread_kill(threading.get_ident(), number)


@pytest.mark.parametrize("has_lists", [True, False])
def test_every_process_below_is_found_with_or_without_the_kernels_lists(
    has_lists, monkeypatch, tmp_path
):
    if not has_lists:
        monkeypatch.setattr(guard_family, "children_of", guard_family._search_children)
    process = subprocess.Popen(beating(tmp_path, "nest", "daemon"))
    until(lambda: len(beats(tmp_path)) == 6, "all its processes beat")

    found = list(below(process.pid))
    everybody = set(beats(tmp_path))

    # The daemon has lost its parent, and with it its place in the family.
    assert set(found) == everybody - {process.pid} - {daemon_of(everybody)}
    assert [parent_of(pid) for pid in found] == [process.pid, *found[:-1]]
    assert process.pid in children_of(os.getpid())
    assert children_of(found[-1]) == []

    for pid in everybody:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert children_of(process.pid) == []


def daemon_of(pids):
    (daemon,) = [pid for pid in pids if parent_of(pid) not in {*pids, os.getpid()}]
    return daemon
