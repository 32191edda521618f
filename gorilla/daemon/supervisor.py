"""``gorillad up``: a whole cluster on this machine, under one process.

In order: the ports are free, the database answers, its tables are up to date, the nodes run. The
way down is the reverse. A node that ends by itself is told of and not started again: in
production that is the work of the machine's service manager.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TextIO

from gorilla.config import ClusterConfig
from gorilla.daemon.addresses import check_addresses_free
from gorilla.daemon.children import Child, describe_end
from gorilla.daemon.database import database_url, embedded_note
from gorilla.daemon.failures import Exit
from gorilla.daemon.watching import watch_cluster

NAME: Final = "gorilla"
STOP_MARGIN_S: Final = 5.0
"""What a node has on top of its own ``node.stop_deadline_s`` before it is killed."""

Migrate = Callable[[str], None]
NodeCommand = Callable[[str], Sequence[str]]


class Supervisor:
    """Runs the members of a configuration as child processes until it is told to stop."""

    def __init__(
        self,
        config: ClusterConfig,
        environment: Mapping[str, str],
        node_command: NodeCommand,
        migrate: Migrate,
        out: TextIO = sys.stdout,
    ) -> None:
        """Prepare.

        Args:
            config: Which nodes, and the database.
            environment: Passed on to the nodes.
            node_command: Gives the command line that runs the member of a name.
            migrate: Brings the tables of the database with this URL up to date; blocking.
            out: Gets the lines of everyone.

        """
        self._config = config
        self._environment = dict(environment)
        self._node_command = node_command
        self._migrate = migrate
        self._out = out
        self._width = max(len(NAME), *(len(member.name) for member in config.members))
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._children: dict[asyncio.Task[int], Child] = {}
        self._failed = False

    async def run(self) -> Exit:
        """Run everything until SIGINT or SIGTERM, or until no node is left.

        Raises:
            CommandError: A port is taken, or there is no database.
            GorillaError: The database refuses.

        """
        check_addresses_free(list(self._config.members))
        with self._signals():
            async with contextlib.AsyncExitStack() as stack:
                url = await self._open_database(stack)
                if not self._stop.is_set():
                    await self._run_nodes(url)
        self._say("stopped")
        return Exit.FAILED if self._failed else Exit.DONE

    async def _open_database(self, stack: contextlib.AsyncExitStack) -> str:
        if not self._config.database.url:
            self._say("starting a PostgreSQL of our own for the snapshots")
        database = database_url(self._config, make=True)
        url = await asyncio.to_thread(database.__enter__)

        async def close(*_: object) -> None:
            await asyncio.to_thread(database.__exit__, None, None, None)

        stack.push_async_exit(close)
        if note := embedded_note(self._config):
            self._say(note)
        await asyncio.to_thread(self._migrate, url)
        return url

    async def _run_nodes(self, url: str) -> None:
        environment = {**self._environment, "GORILLA_DATABASE_URL": url, "PYTHONUNBUFFERED": "1"}
        watching = asyncio.create_task(watch_cluster(self._config.members, self._say, self._stop))
        try:
            for member in self._config.members:
                command = self._node_command(member.name)
                child = await Child.start(member.name, command, environment, self._tell)
                self._children[asyncio.create_task(child.wait())] = child
            await self._until_stop()
        finally:
            self._stop.set()
            await self._stop_nodes()
            await watching

    async def _until_stop(self) -> None:
        """Return when a signal came, or the last node has ended."""
        stop = asyncio.create_task(self._stop.wait())
        try:
            while self._children and not self._stop.is_set():
                await asyncio.wait({stop, *self._children}, return_when=asyncio.FIRST_COMPLETED)
                for task, child in self._ended():
                    self._say(
                        f"{child.name} {describe_end(task.result())}; its lines above say why. The "
                        f"others go on. To start it again: stop all, and make run"
                    )
                    self._failed = True
        finally:
            stop.cancel()
        if not self._children:
            self._say("no node is left")

    async def _stop_nodes(self) -> None:
        """Ask every node to stop; kill what has not within the deadline, or at a second signal."""
        if self._children:
            self._say("stopping the nodes (a second Ctrl-C kills them)")
        for child in self._children.values():
            child.terminate()
        hurry = asyncio.create_task(self._hurry.wait())
        deadline_s = self._config.node.stop_deadline_s + STOP_MARGIN_S
        deadline_at_s = asyncio.get_running_loop().time() + deadline_s
        while self._children and not self._hurry.is_set():
            left_s = deadline_at_s - asyncio.get_running_loop().time()
            if left_s <= 0:
                break
            await asyncio.wait(
                {hurry, *self._children}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED
            )
            self._note_ends()
        hurry.cancel()
        await self._kill_nodes()

    def _note_ends(self) -> None:
        for task, child in self._ended():
            # The signal itself ends a node that is still loading: it had begun nothing.
            if task.result() not in {Exit.DONE, -signal.SIGTERM}:
                self._say(f"{child.name} {describe_end(task.result())}")
                self._failed = True

    async def _kill_nodes(self) -> None:
        for child in self._children.values():
            self._say(f"{child.name} has not stopped in time: killed")
            self._failed = True
            child.kill()
        if self._children:
            await asyncio.wait(self._children)
            self._children.clear()

    def _ended(self) -> Iterator[tuple[asyncio.Task[int], Child]]:
        for task in [task for task in self._children if task.done()]:
            yield task, self._children.pop(task)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self._on_signal)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    def _say(self, line: str) -> None:
        self._tell(NAME, line)

    def _tell(self, name: str, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # whoever read it has gone; the nodes go on
            self._out.write(f"{name:<{self._width}} | {line}\n")
            self._out.flush()
