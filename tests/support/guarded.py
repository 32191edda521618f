"""A wrapper of ``gorilla run`` without a cluster: its lease is extended, or not, as it is told.

``python -m tests.support.guarded '{"timeout_s": 3, …}' program arguments …`` ends with the code of
the command, or 79. :func:`running` starts it for a test.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typing_extensions import override

from gorilla.cli.child import Command, Inherited
from gorilla.cli.guard import start_guard
from gorilla.cli.guard_link import Ended, NotStarted
from gorilla.cli.guard_timing import Timing
from gorilla.cli.run_task import Lease, Task
from gorilla.cli.run_wrapper import Wrapper
from gorilla.client.clock import now_s
from gorilla.client.errors import LockLost, LossReason
from tests.support.local_cluster import ROOT

BEATING = Path(__file__).with_name("beating.py")
LOST, NOT_STARTED = 79, 126
SLOW_S = 4.0


class FakeGrip:
    """A lock that is extended for a while only."""

    def __init__(self, timeout_s: float, extended_for_s: float, lost_after_s: float) -> None:
        self._timeout_s = timeout_s
        self._began_s = now_s()
        self._extended_until_s = self._began_s + extended_for_s
        self._lost_s = self._began_s + lost_after_s
        self.released = False

    @property
    def lost(self) -> LockLost | None:
        late = now_s() >= min(self.deadline_s, self._lost_s)
        return LockLost("fake", 1, LossReason.NOT_FOUND) if late else None

    @property
    def deadline_s(self) -> float:
        """As if it were extended every third of its time."""
        step_s = self._timeout_s / 3
        steps = int((min(now_s(), self._extended_until_s) - self._began_s) / step_s)
        return self._began_s + steps * step_s + self._timeout_s

    def remaining(self) -> float:
        if self.lost is not None:
            raise self.lost
        return self.deadline_s - now_s()

    def release(self) -> None:
        self.released = True


class SlowStart(Inherited):
    """Between fork and exec time passes, as when the program lies on a file server that is away."""

    @override
    def restore(self) -> None:
        super().restore()
        time.sleep(SLOW_S)


def main(orders: dict[str, Any], words: list[str]) -> int:
    say = threading.Lock()

    def told(sentence: str) -> None:
        with say:
            print(f"told: {sentence}", file=sys.stderr, flush=True)

    timeout_s = orders.get("timeout_s", 60.0)
    timing = Timing(orders.get("kill_after_s", 0.3), orders.get("margin_s", 0.3))
    shares = orders.get("shares_group", False)
    group = os.getpgrp() if shares else 0
    inherited = (SlowStart if orders.get("starts_slowly") else Inherited).now()
    guard = start_guard(Command(tuple(words), group, inherited))
    wrapper = Wrapper(guard, has_terminal=shares, say=told)
    extended_s = orders.get("extended_for_s", 1e9)
    grip = wrapper.take(lambda: FakeGrip(timeout_s, extended_s, orders.get("lost_after_s", 1e9)))
    assert isinstance(grip, FakeGrip)
    facts = {"wrapper": os.getpid(), "guard": guard.pid, "deadline_s": grip.deadline_s}
    if "facts" in orders:
        written = Path(orders["facts"] + ".new")
        written.write_text(json.dumps(facts))
        written.rename(orders["facts"])
    waits_for_all = orders.get("waits_for_all", False)
    task = Task(Lease(timeout_s, timing), {"ADDED": "yes"}, waits_for_all=waits_for_all)
    ended = wrapper.run(grip, task)
    told(f"{ended} at {now_s()} before {grip.deadline_s}")
    wrapper.close()
    if isinstance(ended, NotStarted):
        return NOT_STARTED
    assert isinstance(ended, Ended)
    return LOST if ended.why is not None or ended.code is None else ended.code


class Running:
    """A wrapper that runs, with its guard; ``directory`` has what its command writes."""

    def __init__(self, process: subprocess.Popen[str], directory: Path) -> None:
        self.process = process
        self.directory = directory

    def facts(self) -> dict[str, Any]:
        path = self.directory / "facts"
        until(path.exists, "the wrapper has its lock")
        return json.loads(path.read_text())

    def wait(self, within_s: float = 30.0) -> int:
        return self.process.wait(within_s)

    def told(self) -> str:
        return (self.directory / "stderr").read_text()


@contextlib.contextmanager
def running(
    directory: Path, *words: str, stderr_to: int | None = None, **orders: Any
) -> Iterator[Running]:
    """Run ``words`` in ``directory`` under a guard; at the end nothing of it may be left."""
    orders["facts"] = str(directory / "facts")
    command = [sys.executable, "-m", "tests.support.guarded", json.dumps(orders), *words]
    with (directory / "stderr").open("w") as stderr, (directory / "stdout").open("w") as stdout:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr if stderr_to is None else stderr_to,
            text=True,
            start_new_session=True,
        )
    try:
        yield Running(process, directory)
    finally:
        process.kill()
        process.wait()


def beating(directory: Path, *words: str) -> list[str]:
    """Return the command line of a program that shows that it lives (``tests.support.beating``)."""
    place = directory / "beats"
    place.mkdir(exist_ok=True)
    return [sys.executable, "-S", str(BEATING), str(place), *words]


def beats(directory: Path) -> dict[int, float]:
    """When each process of a beating program last showed that it lived."""
    texts = {path: path.read_text() for path in (directory / "beats").glob("beats-*")}
    return {int(path.name[6:]): float(text) for path, text in texts.items() if text}


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended, and was not waited for, does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def until(condition: Any, what: str, within_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {within_s} s: {what}"
        time.sleep(0.005)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1]), sys.argv[2:]))
