"""Runs a load: many clients at once, by asyncio where aiohttp is installed, else by threads.

Both drive the same coroutines (see ``gorilla.client.blocking``).
"""

import asyncio
import os
import random
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import Final

import msgspec

from gorilla.cli.bench_figures import Figures, Tally
from gorilla.cli.bench_workloads import WORKLOADS, Workload
from gorilla.cli.doctor_trips import code_of
from gorilla.client.asking import Asker
from gorilla.client.blocking import run_now
from gorilla.client.endpoints import Endpoints
from gorilla.client.errors import GorillaError
from gorilla.client.http_urllib3 import BlockingIo
from gorilla.client.ports import Io
from gorilla.client.settings import ClientSettings

WARM_UP_S: Final = 0.5
PROGRESS_S: Final = 0.5
DEADLINE_S_MAX: Final = 5.0
"""How long an operation may be tried: what takes longer is a failure."""

LATE_S_MAX: Final = 7.0
"""How long after the end operations that are under way may take."""

AFTER_FAILURE_S: Final = 0.05
"""How long a client pauses after a failure, so that a dead cluster is not asked in a frenzy."""

_ENDING: Final = (signal.SIGINT, signal.SIGTERM)


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    workload: str
    connections: int
    seconds: float


Progress = Callable[[Load, Figures], None]
"""Is told now and then how a run goes."""


class Ended(Exception):  # noqa: N818 - nobody did anything wrong
    """Somebody ended the load; ``number`` is the signal."""

    def __init__(self, number: int, figures: Figures) -> None:
        """Take what was counted until then."""
        super().__init__(number, figures)
        self.number = number
        self.figures = figures


class _Run:
    """Clients of one run, and what they did."""

    def __init__(self, settings: ClientSettings, load: Load, progress: Progress) -> None:
        self._settings = settings
        self._load = load
        self._progress = progress
        self._tally = Tally()
        self._begins_s = self._ends_s = 0.0
        self._guard = threading.Lock()
        self.ended_by = 0
        self.is_over = False
        name = secrets.token_hex(4)
        kind = WORKLOADS[load.workload]
        self.clients = [kind(name, number) for number in range(load.connections)]

    def asker(self, io: Io) -> Asker:
        """Return how one client asks: each begins at a random endpoint, so all have some."""
        rng = random.Random(os.urandom(16))  # noqa: S311 - no secret
        return Asker(io, Endpoints(self._settings.endpoints, rng), self._settings)

    async def client(self, client: Workload, io: Io) -> None:
        """Do operations until it is over, then let go of everything."""
        asker = self.asker(io)
        try:
            while not self.is_over:
                started_s = time.perf_counter()
                try:
                    await client.once(asker)
                except GorillaError as error:
                    self._failed(code_of(error))
                    await asker.pause(AFTER_FAILURE_S)
                else:
                    self._succeeded(time.perf_counter() - started_s)
        finally:
            await self._finish(client, asker)

    async def _finish(self, client: Workload, asker: Asker) -> None:
        try:
            await client.finish(asker)
        except GorillaError as error:
            self._failed(code_of(error))

    def _succeeded(self, seconds: float) -> None:
        with self._guard:
            if not self.is_over:
                self._tally.succeeded(seconds)

    def _failed(self, kind: str) -> None:
        # Also what was under way at the end: failures are never to be overlooked.
        with self._guard:
            self._tally.failed(kind)

    def steps(self) -> Iterator[float]:
        """Yield how long to wait until the next thing is to be done, from warm-up to end."""
        yield WARM_UP_S
        self._begins_s = time.perf_counter()
        self._tally.counting = True
        while (left_s := self._begins_s + self._load.seconds - time.perf_counter()) > 0:
            if self.ended_by:
                break
            yield min(PROGRESS_S, left_s)
            with self._guard:
                figures = self.figures()
            self._progress(self._load, figures)

    def end(self) -> None:
        """Begin no more operations, and count none that ends from now on."""
        with self._guard:
            self._ends_s = time.perf_counter()
            self.is_over = True

    def unanswered(self, count: int) -> None:
        """Note how many operations were given up after the end."""
        for _ in range(count):
            self._failed("unanswered")

    def figures(self) -> Figures:
        """Return what was counted so far."""
        until_s = self._ends_s or time.perf_counter()
        seconds = until_s - self._begins_s if self._begins_s else 0.0
        complete = seconds >= self._load.seconds
        return self._tally.figures(
            self._load.workload, self._load.connections, seconds, complete=complete
        )


def run(settings: ClientSettings, load: Load, progress: Progress) -> Figures:
    """Run a load to its end.

    Raises:
        Ended: Ctrl-C, or SIGTERM.

    """
    settings = replace(settings, deadline_s=min(settings.deadline_s, DEADLINE_S_MAX))
    running = _Run(settings, load, progress)
    if is_asynchronous():
        asyncio.run(_by_tasks(running, settings))
    else:
        _by_threads(running, settings)
    if running.ended_by:
        raise Ended(running.ended_by, running.figures())
    return running.figures()


def is_asynchronous() -> bool:
    """Return whether the load is made by asyncio; else by threads, which make less of it."""
    return find_spec("aiohttp") is not None


async def _by_tasks(running: _Run, settings: ClientSettings) -> None:
    from gorilla.client.http_aiohttp import AsyncIo  # noqa: PLC0415 - may not be installed

    io = AsyncIo(settings)
    wakeup = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end(number: int) -> None:
        running.ended_by = number
        wakeup.set()

    for number in _ENDING:
        loop.add_signal_handler(number, end, number)
    tasks = [asyncio.create_task(running.client(client, io)) for client in running.clients]
    try:
        for pause_s in running.steps():
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await wakeup.wait()
        running.end()
        _, late = await asyncio.wait(tasks, timeout=LATE_S_MAX)
        running.unanswered(len(late))
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in set(tasks) - late:
            task.result()
    finally:
        for number in _ENDING:
            loop.remove_signal_handler(number)
        await io.close()


def _by_threads(running: _Run, settings: ClientSettings) -> None:
    io = BlockingIo(settings)
    threads = [
        threading.Thread(
            target=lambda client=client: run_now(running.client(client, io)), daemon=True
        )
        for client in running.clients
    ]
    wakeup = threading.Event()
    with _signals(running, wakeup):
        for thread in threads:
            thread.start()
        for pause_s in running.steps():
            wakeup.wait(pause_s)
        running.end()
        until_s = time.monotonic() + LATE_S_MAX
        for thread in threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        running.unanswered(sum(thread.is_alive() for thread in threads))
    io.close()


@contextmanager
def _signals(running: _Run, wakeup: threading.Event) -> Iterator[None]:
    def end(number: int, _frame: object) -> None:
        running.ended_by = number
        wakeup.set()

    before = {number: signal.signal(number, end) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
