"""Waiting on the leases' clock, signals with their origin, lists of processes; also off Linux."""

import os
import signal
from math import inf

import pytest

from gorilla.cli import guard_family, guard_kernel
from gorilla.cli.guard_family import below, children_of, parent_of
from gorilla.cli.guard_kernel import Signals, Watch
from gorilla.client.clock import now_s
from tests.support.beating import child


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
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR2)
        found = signals.read()
        assert sorted(one.number for one in found) == [signal.SIGUSR1, signal.SIGUSR2]
        assert not any(one.from_terminal for one in found)
        assert signals.read() == []
        assert got == []
    finally:
        signals.close()

    os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, handler)
    assert got == ["handled"]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


@pytest.mark.parametrize("has_lists", [True, False])
def test_every_process_below_is_found_with_or_without_the_kernels_lists(has_lists, monkeypatch):
    if not has_lists:
        monkeypatch.setattr(guard_family, "children_of", guard_family._search_children)
    reading, writing = os.pipe()

    def grow(depth):
        if depth:
            child(lambda: grow(depth - 1), session=True)
        os.write(writing, b"x")
        signal.pause()

    top = child(lambda: grow(3))
    for _ in range(4):
        os.read(reading, 1)

    found = list(below(os.getpid()))
    kin = [pid for pid in found if pid == top or parent_of(pid) in found]
    assert len(kin) == 4
    assert kin.index(top) == 0
    assert [parent_of(pid) for pid in kin] == [os.getpid(), *kin[:-1]]
    assert children_of(kin[-1]) == []

    for pid in reversed(kin):
        os.kill(pid, signal.SIGKILL)
    os.waitpid(top, 0)
    assert children_of(top) == []
    os.close(reading)
    os.close(writing)
