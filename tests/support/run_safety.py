"""Is a command over before somebody else has its lock? Rounds of faults on ``gorilla run``.

Three real nodes, or fewer while a fault lasts. In each round three commands run under locks of
their own: one that ends at SIGTERM, one that ignores it, and a tree of processes that ignore it,
some in sessions of their own. They write the time, again and again. For each lock a rival waits at
the nodes themselves. Then something fails. The rival's grant must come after the last sign of life
of every process, and after the end of each of them as the kernel tells it.
"""

import contextlib
import os
import random
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gorilla.cli.guard_family import children_of
from gorilla.client import Client, ClosedError, Unavailable
from gorilla.client.clock import now_s
from gorilla.wire.events import ExpiredEventBody, ReleasedEventBody
from tests.support.guarded import beating, beats, is_alive, until
from tests.support.local_cluster import ROOT
from tests.support.nodes import Nodes
from tests.support.real_cluster import call
from tests.support.tunnel import State, Tunnels

KINDS = {"plain": (), "stubborn": ("stubborn",), "tree": ("stubborn", "daemon", "nest")}
PROCESSES = {"plain": 1, "stubborn": 1, "tree": 6}
RIVAL_S = 600
WAIT_S = 60
PREFIX = "safety-"


class Victim:
    """One ``gorilla run`` with its command."""

    def __init__(
        self,
        directory: Path,
        urls: list[str],
        resource: str,
        kind: str,
        *,
        lease_s: float,
        program: str,
    ) -> None:
        directory.mkdir(parents=True)
        self.directory, self.resource, self.kind = directory, resource, kind
        self.died_s: dict[int, float] = {}
        self.log = directory / "stderr"
        words = ["run", resource, "--timeout", str(lease_s), "--no-wait", "--"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", program, *words, *beating(directory, *KINDS[kind])],
                cwd=directory,
                env={
                    **{k: v for k, v in os.environ.items() if not k.startswith("GORILLA_")},
                    "GORILLA_ENDPOINTS": ",".join(urls),
                    "PYTHONPATH": str(ROOT),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def begun(self) -> None:
        """Wait until all its processes beat; from then on their ends are noted."""
        count = PROCESSES[self.kind]
        until(
            lambda: len(beats(self.directory)) == count or self.process.poll() is not None, "beats"
        )
        assert self.process.poll() is None, self.log.read_text()
        (self.guard,) = children_of(self.process.pid)
        self.pids = list(beats(self.directory))
        self._files = {os.pidfd_open(pid): pid for pid in self.pids}
        self._watching = threading.Thread(target=self._watch, daemon=True)
        self._watching.start()

    def _watch(self) -> None:
        poll = select.poll()
        for file in self._files:
            poll.register(file, select.POLLIN)
        while self._files:
            for file, _ in poll.poll():
                self.died_s[self._files.pop(file)] = now_s()
                poll.unregister(file)
                os.close(file)

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    def over(self) -> None:
        """Wait until every process has ended, the wrapper and its guard too."""
        self.send(signal.SIGCONT)
        self._watching.join(WAIT_S)
        assert not self._files, f"{self.kind}: still there: {list(self._files.values())}"
        self.process.wait(WAIT_S)
        until(lambda: not is_alive(self.guard), "the guard has ended")


class Rival(threading.Thread):
    """Waits for a lock until it is granted, whatever fails meanwhile."""

    def __init__(self, urls: list[str], resource: str) -> None:
        super().__init__(daemon=True)
        self._urls, self._path = urls, f"/api/v1/locks/{resource}"
        self.granted_s: float | None = None
        self._not_before_s = 0.0
        self.start()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        """Note until when it surely was not granted.

        The timeout in an answer is counted from when its request was asked, which may be long
        before the grant when it met a time without a leader.
        """
        number = 0
        while self.granted_s is None:
            number += 1
            asked_s = now_s()
            with contextlib.suppress(OSError, ValueError, KeyError):
                reply = call(self._urls[number % len(self._urls)], "GET", self._path)
                if reply.status == 200 and all(
                    holder["owner"] != "rival" for holder in reply.body["holders"]
                ):
                    self._not_before_s = asked_s
            time.sleep(0.02)

    def run(self) -> None:
        body = {"owner": "rival", "timeout": RIVAL_S, "wait": 30}
        number = 0
        while self.granted_s is None:
            number += 1
            url = self._urls[number % len(self._urls)]
            with contextlib.suppress(OSError, ValueError):
                reply = call(url, "POST", self._path, body)
                answered_s = now_s()
                if reply.status == 200:
                    # Given again after a broken connection, it was granted before.
                    counted_s = answered_s - max(0.0, RIVAL_S - reply.body["timeout"])
                    self.granted_s = max(counted_s, self._not_before_s)
                    return
            time.sleep(0.02)


class Ends(threading.Thread):
    """How holds ended: released, or expired; the first hold of each lock is the command's."""

    def __init__(self, urls: list[str]) -> None:
        super().__init__(daemon=True)
        self._client = Client(*urls)
        self._first: dict[str, str] = {}
        self._events = self._client.events(prefix=PREFIX)
        self.start()

    def run(self) -> None:
        while True:
            try:
                event = next(self._events)
            except Unavailable:
                continue
            except (StopIteration, ClosedError):
                return
            if isinstance(event, ReleasedEventBody | ExpiredEventBody):
                how = "released" if isinstance(event, ReleasedEventBody) else "expired"
                self._first.setdefault(event.resource, how)

    def of(self, resource: str) -> str:
        until(lambda: resource in self._first, f"the end of {resource} is told")
        return self._first[resource]

    def close(self) -> None:
        self._events.close()
        self._client.close()
        self.join(WAIT_S)


@dataclass
class Stage:
    """Everything that a fault may strike."""

    nodes: Nodes
    tunnels: Tunnels
    rng: random.Random
    lease_s: float
    victims: list[Victim] = field(default_factory=list)

    def send(self, number: signal.Signals) -> None:
        for victim in self.victims:
            victim.send(number)


def stop_wrapper(stage: Stage) -> None:
    stage.send(signal.SIGSTOP)


def kill_wrapper(stage: Stage) -> None:
    stage.send(signal.SIGKILL)


def kill_guard(stage: Stage) -> None:
    for victim in stage.victims:
        os.kill(victim.guard, signal.SIGKILL)


def cut_off(stage: Stage) -> None:
    stage.tunnels.set(State.SILENT)


def refuse(stage: Stage) -> None:
    stage.tunnels.set(State.SHUT)


def cut_off_with_stopped_guard(stage: Stage) -> None:
    for victim in stage.victims:
        os.kill(victim.guard, signal.SIGSTOP)
    stage.tunnels.set(State.SILENT)


def stop_and_go(stage: Stage) -> None:
    """Pauses of the wrapper that it may survive, and then one that it may not."""
    for _ in range(3):
        stage.send(signal.SIGSTOP)
        time.sleep(stage.rng.uniform(0.1, stage.lease_s / 2))
        stage.send(signal.SIGCONT)
        time.sleep(stage.rng.uniform(0, 0.3))
    stage.send(signal.SIGSTOP)


def kill_nodes(stage: Stage) -> None:
    """All at once; they come back when the lease may be over, or not yet."""
    stage.nodes.kill(*stage.nodes.names)
    time.sleep(stage.rng.uniform(0.0, 1.5 * stage.lease_s))
    stage.nodes.start()


def kill_majority(stage: Stage) -> None:
    names = stage.rng.sample(stage.nodes.names, 2)
    stage.nodes.kill(*names)
    time.sleep(stage.rng.uniform(0.0, 1.5 * stage.lease_s))
    stage.nodes.start()


def stop_majority(stage: Stage) -> None:
    names = stage.rng.sample(stage.nodes.names, 2)
    for name in names:
        stage.nodes.signal(name, signal.SIGSTOP)
    time.sleep(stage.rng.uniform(stage.lease_s, 1.5 * stage.lease_s))
    for name in names:
        stage.nodes.signal(name, signal.SIGCONT)


FAULTS: dict[str, Callable[[Stage], None]] = {
    "wrapper stopped": stop_wrapper,
    "wrapper killed": kill_wrapper,
    "wrapper cut off": cut_off,
    "guard killed": kill_guard,
    "wrapper refused": refuse,
    "wrapper paused": stop_and_go,
    "guard stopped, wrapper cut off": cut_off_with_stopped_guard,
    "nodes killed": kill_nodes,
    "majority killed": kill_majority,
    "majority stopped": stop_majority,
}
SURVIVABLE = {"nodes killed", "majority killed", "majority stopped"}
"""After these the lock may be kept; then the command is ended in order."""


@dataclass(frozen=True)
class Measured:
    """What came of one command in one round."""

    fault: str
    kind: str
    after_beat_s: float
    """From the last sign of life of any of its processes to the rival's grant."""
    after_end_s: float
    """From the end of the last of its processes, as the kernel told it, to the rival's grant."""
    end: str
    """How the cluster ended its hold: expired, or released, by a wrapper that lived."""


class Safety:
    """Rounds on one cluster."""

    def __init__(
        self,
        directory: Path,
        nodes: Nodes,
        rng: random.Random,
        lease_s: float,
        program: str = "gorilla.cli",
    ) -> None:
        self.directory = directory
        self.program = program
        self.tunnels = Tunnels(list(nodes.http.values()))
        self.stage = Stage(nodes, self.tunnels, rng, lease_s)
        self.urls = [nodes.url(name) for name in nodes.names]
        self._ends = Ends(self.urls)
        self._number = 0

    def close(self) -> None:
        self.stage.send(signal.SIGKILL)
        self._ends.close()
        self.tunnels.close()

    def round(self, fault: str) -> list[Measured]:
        """Run one round; whatever was broken is whole again after it."""
        self._number += 1
        stage, place = self.stage, self.directory / f"round-{self._number}"
        stage.victims = [
            Victim(
                place / kind,
                self.tunnels.urls,
                f"{PREFIX}{self._number}-{kind}",
                kind,
                lease_s=stage.lease_s,
                program=self.program,
            )
            for kind in KINDS
        ]
        for victim in stage.victims:
            victim.begun()
        rivals = [Rival(self.urls, victim.resource) for victim in stage.victims]
        time.sleep(stage.rng.uniform(0, stage.lease_s))
        FAULTS[fault](stage)
        if fault in SURVIVABLE:
            self._end_survivors(rivals)
        try:
            for rival in rivals:
                rival.join(WAIT_S)
        finally:
            self.tunnels.set(State.OPEN)
        for victim in stage.victims:
            victim.over()
        return [
            self._measured(fault, victim, rival)
            for victim, rival in zip(stage.victims, rivals, strict=True)
        ]

    def _end_survivors(self, rivals: list[Rival]) -> None:
        """Let those whose lock outlived the fault run for a while, then end them."""
        until_s = now_s() + 2 * self.stage.lease_s
        for rival in rivals:
            rival.join(max(0.0, until_s - now_s()))
        for victim in self.stage.victims:
            if victim.process.poll() is None and len(victim.died_s) < len(victim.pids):
                if victim.kind == "plain":
                    victim.send(signal.SIGTERM)
                else:
                    victim.send(signal.SIGKILL)

    def _measured(self, fault: str, victim: Victim, rival: Rival) -> Measured:
        assert rival.granted_s is not None, f"{fault}: the rival never got {victim.resource}"
        return Measured(
            fault=fault,
            kind=victim.kind,
            after_beat_s=rival.granted_s - max(beats(victim.directory).values()),
            after_end_s=rival.granted_s - max(victim.died_s.values()),
            end=self._ends.of(victim.resource),
        )


def table(measured: list[Measured]) -> str:
    """Return the smallest margins of each fault, by how the holds ended."""
    lines = [
        "| fault | hold | commands | last beat to grant | end to grant |",
        "| - | - | - | - | - |",
    ]
    for fault, end in sorted({(one.fault, one.end) for one in measured}):
        those = [one for one in measured if (one.fault, one.end) == (fault, end)]
        lines.append(
            f"| {fault} | {end} | {len(those)} | {min(one.after_beat_s for one in those):.3f} s "
            f"| {min(one.after_end_s for one in those):.3f} s |"
        )
    return "\n".join(lines)
