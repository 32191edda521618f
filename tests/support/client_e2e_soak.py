"""Thousands of holds through one client of each face, and what is left of them in the process.

``python -m tests.support.client_e2e_soak --cycles 10000`` prints the figures.
"""

import argparse
import asyncio
import gc
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gorilla.client import AsyncClient, Client, WaitTimeout
from tests.support.real_cluster import running_nodes

ACTORS = 4
WARM_SHARE = 0.2
"""The share of all cycles after which the figures count: pools and caches are full by then."""

GROWN_KIB_MAX = 8 * 1024
MORE_MAX = 3
"""How many threads, tasks or descriptors there may be more at the end: connections come and go."""

LONG_S = 0.5
SHORT_LEASE_S = 1.0


@dataclass(frozen=True)
class Figures:
    """What a process has at one moment."""

    cycles: int
    took_s: float
    threads: int
    tasks: int
    descriptors: int
    sockets: int
    resident_kib: int

    @classmethod
    def now(cls, cycles: int, took_s: float, tasks: int) -> "Figures":
        gc.collect()
        links = []
        for number in Path("/proc/self/fd").iterdir():
            try:
                links.append(str(number.readlink()))
            except OSError:
                # That of the listing itself.
                continue
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return cls(
            cycles=cycles,
            took_s=took_s,
            threads=threading.active_count(),
            tasks=tasks,
            descriptors=len(links),
            sockets=sum(link.startswith("socket:") for link in links),
            resident_kib=pages * os.sysconf("SC_PAGESIZE") // 1024,
        )

    def __str__(self) -> str:
        rate = self.cycles / self.took_s if self.took_s else 0.0
        return (
            f"{self.cycles:6} cycles, {rate:5.0f}/s: {self.threads} threads, {self.tasks} tasks, "
            f"{self.descriptors} descriptors ({self.sockets} sockets), {self.resident_kib} KiB"
        )


def leaks(warm: Figures, end: Figures) -> list[str]:
    """Return what grew between two moments."""
    grown = [
        f"{name}: {getattr(warm, name)} became {getattr(end, name)}"
        for name in ("threads", "tasks", "descriptors", "sockets")
        if getattr(end, name) > getattr(warm, name) + MORE_MAX
    ]
    if end.resident_kib > warm.resident_kib + GROWN_KIB_MAX:
        grown.append(f"memory: {warm.resident_kib} KiB became {end.resident_kib} KiB")
    return grown


def cycle(client: Any, name: str, number: int) -> None:
    """Hold something once, as programs do."""
    which = number % 20
    if number % 200 == 199:
        with client.lock(name, timeout=SHORT_LEASE_S):
            time.sleep(LONG_S)
    elif which < 10:
        with client.lock(name, timeout=30) as held:
            held.check()
    elif which < 13:
        with client.lock(name, timeout=30) as held:
            held.extend()
    elif which < 16:
        with client.locks([f"{name}/a", f"{name}/b"], timeout=30) as held:
            held.check()
    elif which < 18:
        with client.session(ttl=30) as session, session.lock(name) as held:
            held.check()
    else:
        with client.lock(name, timeout=30, owner="holds"):
            try:
                client.lock(name, timeout=30, owner="waits", wait=0.01).acquire()
            except WaitTimeout:
                return


async def cycle_async(client: Any, name: str, number: int) -> None:
    """Hold something once, as programs do; some are cancelled while they wait."""
    which = number % 20
    if number % 200 == 199:
        async with client.lock(name, timeout=SHORT_LEASE_S):
            await asyncio.sleep(LONG_S)
    elif which < 10:
        async with client.lock(name, timeout=30) as held:
            held.check()
    elif which < 13:
        async with client.lock(name, timeout=30) as held:
            await held.extend()
    elif which < 16:
        async with client.locks([f"{name}/a", f"{name}/b"], timeout=30) as held:
            held.check()
    elif which < 18:
        async with client.session(ttl=30) as session, session.lock(name) as held:
            held.check()
    else:
        async with client.lock(name, timeout=30, owner="holds"):
            try:
                async with asyncio.timeout(0.01):
                    await client.lock(name, timeout=30, owner="waits", wait=5).acquire()
            except TimeoutError:
                return


def soak_blocking(urls: Sequence[str], cycles: int) -> tuple[Figures, Figures, Figures]:
    """Return the figures before the first, after the warm, and after the last cycle."""
    before = Figures.now(0, 0.0, 0)
    parts = (int(cycles * WARM_SHARE), cycles)
    figures = []
    began_s = time.monotonic()
    with Client(*urls) as client, ThreadPoolExecutor(ACTORS) as actors:

        def some(numbers: range) -> None:
            for number in numbers:
                cycle(client, f"soak/{number}", number)

        done = 0
        for until in parts:
            shares = [range(done + actor, until, ACTORS) for actor in range(ACTORS)]
            list(actors.map(some, shares))
            done = until
            figures.append(Figures.now(done, time.monotonic() - began_s, 0))
    return before, figures[0], figures[1]


def soak_async(urls: Sequence[str], cycles: int) -> tuple[Figures, Figures, Figures]:
    """As :func:`soak_blocking`."""

    async def run() -> tuple[Figures, Figures, Figures]:
        before = Figures.now(0, 0.0, len(asyncio.all_tasks()))
        figures = []
        began_s = time.monotonic()
        async with AsyncClient(*urls) as client:

            async def some(numbers: range) -> None:
                for number in numbers:
                    await cycle_async(client, f"soak/{number}", number)

            done = 0
            for until in (int(cycles * WARM_SHARE), cycles):
                async with asyncio.TaskGroup() as group:
                    for actor in range(ACTORS):
                        group.create_task(some(range(done + actor, until, ACTORS)))
                done = until
                await client._registered.errands.settle()
                tasks = len(asyncio.all_tasks())
                figures.append(Figures.now(done, time.monotonic() - began_s, tasks))
        return before, figures[0], figures[1]

    return asyncio.run(run())


FACES = {"blocking": soak_blocking, "async": soak_async}


def main() -> int:
    parser = argparse.ArgumentParser(prog="client_e2e_soak")
    parser.add_argument("--cycles", type=int, default=10_000)
    cycles = parser.parse_args().cycles
    grown = []
    with (
        tempfile.TemporaryDirectory(prefix="gorilla-soak-") as directory,
        running_nodes(Path(directory)) as nodes,
    ):
        urls = [nodes.url(name) for name in nodes.names]
        for face, soak in FACES.items():
            figures = soak(urls, cycles)
            for one in figures:
                print(f"{face:8} {one}", flush=True)
            grown += [f"{face}: {what}" for what in leaks(figures[1], figures[2])]
    for what in grown:
        print(f"LEAK {what}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
