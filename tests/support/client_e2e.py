"""A real cluster that clients of both faces are tried on, and the faces as a test uses them."""

import asyncio
import contextlib
import functools
import secrets
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from gorilla.client import AsyncClient, Client
from tests.support.client_e2e_lines import Lines, State
from tests.support.nodes import Nodes
from tests.support.real_cluster import call, running_nodes

FACES = ("blocking", "async")
WITHIN_S = 20.0
POLL_S = 0.02


class Place:
    """Three nodes, and a line to each that clients go through."""

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        self.lines = Lines(nodes.http)
        self._paused: set[str] = set()

    @property
    def names(self) -> list[str]:
        return self.nodes.names

    @property
    def urls(self) -> list[str]:
        return [self.lines[name].url for name in self.names]

    def name_of(self, url: str) -> str:
        return next(name for name in self.names if self.lines[name].url == url)

    def others(self, *names: str) -> list[str]:
        return [name for name in self.names if name not in names]

    async def leader(self) -> str:
        deadline_s = time.monotonic() + WITHIN_S
        while (leader := await asyncio.to_thread(self.nodes.leader)) is None:
            assert time.monotonic() < deadline_s, "nobody leads"
            await asyncio.sleep(POLL_S)
        return leader

    # -- faults

    async def kill(self, *names: str) -> None:
        await asyncio.to_thread(self.nodes.kill, *names)

    def pause(self, *names: str) -> None:
        for name in names:
            self.nodes.signal(name, signal.SIGSTOP)
            self._paused.add(name)

    def resume(self) -> None:
        for name in self._paused:
            self.nodes.signal(name, signal.SIGCONT)
        self._paused.clear()

    async def heal(self) -> None:
        """End all faults, and wait until all nodes are ready."""
        self.lines.set(State.OPEN)
        self.resume()
        self.nodes.start()
        await self.nodes.until_ready()

    # -- looking, beside the lines

    async def look(self, resource: str, name: str | None = None) -> dict[str, Any]:
        """Ask about a lock: of the node of that name, or of whichever answers."""
        for one in [name] if name else self.names:
            if one in self._paused or not self.nodes.is_running(one):
                continue
            path = f"/api/v1/locks/{resource}"
            with contextlib.suppress(OSError):
                reply = await asyncio.to_thread(call, self.nodes.url(one), "GET", path)
                if reply.status == 200:
                    return reply.body
        raise AssertionError(f"no node tells of {resource}")

    async def owners(self, resource: str) -> list[str]:
        return [one["owner"] for one in (await self.look(resource))["holders"]]

    async def waiters(self, resource: str) -> list[str]:
        return [one["owner"] for one in (await self.look(resource))["waiters"]]

    async def until_waiting(self, resource: str, count: int = 1) -> None:
        async def waits() -> bool:
            return len(await self.waiters(resource)) == count

        await eventually(waits, f"{count} wait for {resource}")

    async def until_held(self, resource: str) -> None:
        async def held() -> bool:
            return bool(await self.owners(resource))

        await eventually(held, f"{resource} is held")

    async def until_free(self, resource: str, within_s: float = WITHIN_S) -> None:
        async def free() -> bool:
            seen = await self.look(resource)
            return not seen["holders"] and not seen["waiters"]

        await eventually(free, f"{resource} is free", within_s)

    def close(self) -> None:
        self.resume()
        self.lines.close()


async def eventually(
    condition: Callable[[], Awaitable[object]] | Callable[[], object],
    what: str,
    within_s: float = WITHIN_S,
) -> None:
    """Wait for what no event tells of."""
    deadline_s = time.monotonic() + within_s
    while True:
        met = condition()
        if isinstance(met, Awaitable):
            met = await met
        if met:
            return
        assert time.monotonic() < deadline_s, f"not within {within_s} s: {what}"
        await asyncio.sleep(POLL_S)


async def extended(held: Any, times: int = 1, within_s: float = 10.0) -> None:
    """Wait until it was extended in the background."""
    for _ in range(times):
        sent_s = held._hold.sent_s
        await eventually(lambda: held._hold.sent_s > sent_s, "an extension", within_s)  # noqa: B023
        held.check()


class Program:
    """A program with a client of its own, of either face, that a test drives from its loop.

    What is started (:meth:`start`) is a thread, or a task, of its own, and so an owner of its own.
    """

    def __init__(self, face: str, place: Place, **settings: Any) -> None:
        self.is_blocking = face == "blocking"
        self._place = place
        settings = {"attempt_s": 2.0, "deadline_s": 8.0, "name": "test", **settings}
        kind: Any = Client if self.is_blocking else AsyncClient
        self.client: Any = kind(*settings.pop("endpoints", place.urls), **settings)
        self._own = ThreadPoolExecutor(1, "program")

    @property
    def node(self) -> str:
        """Name of the node that is asked next."""
        return self._place.name_of(self.client._asker.endpoints.order()[0])

    async def talks_to(self, name: str) -> None:
        """Let the client ask this node from now on."""
        self.client._asker.endpoints.good(self._place.lines[name].url)

    async def do(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call what blocks, in the program's thread, or await it."""
        if self.is_blocking:
            call = functools.partial(function, *args, **options)
            return await asyncio.get_running_loop().run_in_executor(self._own, call)
        return await function(*args, **options)

    def start(
        self, function: Callable[..., Any], *args: Any, **options: Any
    ) -> "asyncio.Task[Any]":
        """Do it beside everything else, as an actor of its own."""
        call = functools.partial(function, *args, **options)

        async def doing() -> Any:
            if not self.is_blocking:
                return await call()
            thread = ThreadPoolExecutor(1, "started")
            try:
                return await asyncio.get_running_loop().run_in_executor(thread, call)
            finally:
                thread.shutdown(wait=False)

        return asyncio.create_task(doing())

    @contextlib.asynccontextmanager
    async def block(self, lock: Any) -> AsyncIterator[Any]:
        """Run a block under a lock, or a session."""
        if not self.is_blocking:
            async with lock as held:
                yield held
            return
        held = await self.do(lock.__enter__)
        try:
            yield held
        except BaseException as error:
            await self.do(lock.__exit__, type(error), error, error.__traceback__)
            raise
        await self.do(lock.__exit__, None, None, None)

    async def close(self) -> None:
        await self.do(self.client.close)
        self._own.shutdown()


@contextlib.contextmanager
def running_place(directory: Path, **settings: str) -> Iterator[Place]:
    """Start three nodes with lines to them; end everything whatever happened."""
    with running_nodes(directory, **settings) as nodes:
        place = Place(nodes)
        try:
            yield place
        finally:
            place.close()


def new_name(what: str = "lock") -> str:
    return f"{what}-{secrets.token_hex(4)}"


# -- fixtures; a test module takes all of them with ``from … import cluster, face, …``


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with running_place(tmp_path_factory.mktemp("cluster")) as place:
        yield place


@pytest.fixture
async def place(cluster: Place) -> AsyncIterator[Place]:
    """The module's cluster, as whole after the test as before it."""
    yield cluster
    await cluster.heal()


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def program(face: str, place: Place) -> AsyncIterator[Program]:
    async with running_program(face, place) as one:
        yield one


@contextlib.asynccontextmanager
async def running_program(face: str, place: Place, **settings: Any) -> AsyncIterator[Program]:
    one = Program(face, place, **settings)
    try:
        yield one
    finally:
        await one.close()


def behaviours(module: ModuleType) -> list[str]:
    """Names of the tests in a module, as the table of behaviours has them."""
    return [name for name in vars(module) if name.startswith("test_")]
