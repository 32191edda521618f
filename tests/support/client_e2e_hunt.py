"""A hunt for double holds: programs of both faces contend for locks while everything fails.

``python -m tests.support.client_e2e_hunt --seconds 60 --seed 7`` runs one by itself.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gorilla.client import FencingGuard, StaleFencingToken
from tests.support.client_e2e import Place, running_place
from tests.support.client_e2e_hunter import LEASE_S, LIMIT, LOCKS, SLOTS
from tests.support.client_e2e_lines import Lines, State
from tests.support.local_cluster import ROOT

PROGRAMS = ("blocking", "async", "blocking", "async")
END_S_MAX = 45.0
"""How long after its time a program may go on: its last calls have deadlines."""


@dataclass(frozen=True)
class Certain:
    """When somebody was certain of a lock."""

    actor: str
    number: int
    from_s: float
    to_s: float


@dataclass
class Found:
    """What a hunt saw.

    Attributes:
        spans: Of each lock.
        ends: How often what happened to the programs.
        faults: What was done to them and the nodes.
        admitted: Numbers that the guarded resource admitted, in order, by lock.
        refused: How many old numbers it refused.
        wrong: Promises that were broken.

    """

    spans: dict[str, list[Certain]] = field(default_factory=lambda: defaultdict(list))
    ends: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    admitted: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    refused: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def holds(self) -> int:
        return sum(map(len, self.spans.values()))

    def judge(self) -> list[str]:
        """Return what broke a promise."""
        for lock, spans in self.spans.items():
            self.wrong += overlaps(lock, spans, LIMIT if lock == SLOTS else 1)
            if lock != SLOTS:
                self.wrong += falling(lock, spans)
        for lock, numbers in self.admitted.items():
            if numbers != sorted(numbers):
                self.wrong.append(f"{lock}: an old number was admitted after a new one")
        return self.wrong


def overlaps(lock: str, spans: Sequence[Certain], limit: int) -> Iterator[str]:
    """Yield where more than ``limit`` grants were certain at one moment."""
    now: list[Certain] = []
    for span in sorted(spans, key=lambda one: one.from_s):
        now = [one for one in now if one.to_s >= span.from_s] + [span]
        if len({one.number for one in now}) > limit or (limit == 1 and len(now) > 1):
            yield f"{lock}: held at one time by {now}"


def falling(lock: str, spans: Iterable[Certain]) -> Iterator[str]:
    """Yield where a later hold has a smaller number."""
    ordered = sorted(spans, key=lambda one: one.from_s)
    for one, two in itertools.pairwise(ordered):
        if two.number <= one.number:
            yield f"{lock}: {two} came after {one}"


class Resource:
    """What the locks protect: it admits no older number than it has seen."""

    def __init__(self, found: Found) -> None:
        self._found = found
        self._guard = FencingGuard()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            text = await reader.readline()
            for lock, number in json.loads(text or b"{}").items():
                try:
                    self._guard.admit(lock, number)
                except StaleFencingToken:
                    self._found.refused += 1
                else:
                    self._found.admitted[lock].append(number)
            writer.write(b".")
            await writer.drain()
        writer.close()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


class Programs:
    """The programs, each with lines of its own to the nodes."""

    def __init__(self, directory: Path, place: Place, port: int, seconds: float, seed: int) -> None:
        self.lines = [Lines(place.nodes.http) for _ in PROGRAMS]
        self.outs = [directory / f"program-{n}.jsonl" for n in range(len(PROGRAMS))]
        self.processes = []
        for number, (face, lines) in enumerate(zip(PROGRAMS, self.lines, strict=True)):
            urls = [lines[name].url for name in place.names]
            what = [face, f"{seed}-{number}", str(seconds), str(self.outs[number]), str(port)]
            command = [sys.executable, "-m", "tests.support.client_e2e_hunter", *what, *urls]
            self.processes.append(
                subprocess.Popen(
                    command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
            )

    def end(self, found: Found) -> None:
        """Wait for all of them, and take what they saw."""
        for number, process in enumerate(self.processes):
            try:
                told, errors = process.communicate(timeout=END_S_MAX)
            except subprocess.TimeoutExpired:
                found.wrong.append(f"program {number} did not end")
                continue
            if process.returncode:
                found.wrong.append(f"program {number} failed: {errors[-2000:]}")
                continue
            found.ends.update(json.loads(told))
        for path in self.outs:
            for line in path.read_text().splitlines() if path.exists() else ():
                row = json.loads(line)
                for lock, fencing in row["numbers"].items():
                    span = Certain(row["actor"], fencing, row["from"], row["to"])
                    found.spans[lock].append(span)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        for lines in self.lines:
            lines.close()


class Nemesis:
    """One fault after the other, each with its end, of nodes, lines and programs."""

    def __init__(self, place: Place, programs: Programs, rng: random.Random, found: Found) -> None:
        self._place = place
        self._programs = programs
        self._rng = rng
        self._found = found

    async def run(self, until_s: float) -> None:
        """Let nodes fail one after the other, and beside that programs and their lines."""
        of_nodes = (
            self.kill_a_node,
            self.kill_the_leader,
            self.stop_a_node,
            self.stop_the_leader,
            self.stop_most_nodes,
            self.kill_all_nodes,
        )
        of_programs = (self.cut_a_line, self.cut_a_program_off, self.stop_a_program)
        await asyncio.gather(self._each(of_nodes, until_s), self._each(of_programs, until_s))

    async def _each(self, faults: Sequence[Callable[[], Awaitable[None]]], until_s: float) -> None:
        while time.monotonic() < until_s:
            fault = self._rng.choice(faults)
            self._found.faults[fault.__name__] += 1
            await fault()
            await asyncio.sleep(self._rng.uniform(0.2, 1.0))

    async def kill_a_node(self, name: str | None = None) -> None:
        name = name or self._rng.choice(self._place.names)
        await self._place.kill(name)
        await asyncio.sleep(self._rng.uniform(0.2, 1.5))
        self._place.nodes.start(name)
        await self._place.nodes.until_ready()

    async def kill_the_leader(self) -> None:
        await self.kill_a_node(await self._place.leader())

    async def stop_a_node(self, name: str | None = None) -> None:
        self._place.pause(name or self._rng.choice(self._place.names))
        await asyncio.sleep(self._rng.uniform(0.3, 3.0))
        self._place.resume()

    async def stop_the_leader(self) -> None:
        await self.stop_a_node(await self._place.leader())

    async def stop_most_nodes(self) -> None:
        self._place.pause(*self._rng.sample(self._place.names, 2))
        await asyncio.sleep(self._rng.uniform(0.3, 3.0))
        self._place.resume()

    async def kill_all_nodes(self) -> None:
        await self._place.kill(*self._place.names)
        self._place.nodes.start()
        await self._place.nodes.until_ready()

    async def cut_a_line(self) -> None:
        lines = self._rng.choice(self._programs.lines)
        state = self._rng.choice([State.SILENT, State.DEAD, State.MUTE])
        await self._for_a_while(lines, state, self._rng.choice(self._place.names))

    async def cut_a_program_off(self) -> None:
        lines = self._rng.choice(self._programs.lines)
        await self._for_a_while(lines, self._rng.choice([State.SILENT, State.MUTE]))

    async def _for_a_while(self, lines: Lines, state: State, *names: str) -> None:
        await asyncio.to_thread(lines.set, state, *names)
        await asyncio.sleep(self._rng.uniform(0.3, 3 * LEASE_S))
        await asyncio.to_thread(lines.set, State.OPEN)

    async def stop_a_program(self) -> None:
        process = self._rng.choice(self._programs.processes)
        if process.poll() is None:
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(self._rng.uniform(0.3, 3 * LEASE_S))
            process.send_signal(signal.SIGCONT)


async def hunt(place: Place, directory: Path, seconds: float, seed: int) -> Found:
    """Run one hunt on a cluster, and judge it."""
    found = Found()
    resource = Resource(found)
    await resource.start()
    programs = Programs(directory, place, resource.port, seconds, seed)
    try:
        nemesis = Nemesis(place, programs, random.Random(seed), found)
        await nemesis.run(time.monotonic() + seconds)
        await place.heal()
        await asyncio.to_thread(programs.end, found)
        for lock in (*LOCKS, SLOTS):
            await place.until_free(lock.replace("/", "%2F"), 2 * LEASE_S + 5.0)
    finally:
        programs.close()
        resource.close()
    found.judge()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="client_e2e_hunt")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gorilla-hunt-") as name:
        directory = Path(name)
        with running_place(directory) as place:
            found = asyncio.run(hunt(place, directory, chosen.seconds, chosen.seed))
    print(f"seed {chosen.seed}: {found.holds} holds; ends {dict(found.ends)}")
    print(f"faults {dict(found.faults)}; {found.refused} old numbers were refused")
    for line in found.wrong:
        print(f"VIOLATION {line}")
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
