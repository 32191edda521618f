"""A node as a child process of the supervisor: its output under its name, and its end."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

LINE_BYTES_MAX: Final = 64 * 1024
DRAIN_S: Final = 2.0
"""How long to read on after the process has ended; another may hold its pipe open."""

Tell = Callable[[str, str], None]
"""Takes who says it, and one line."""


class Child:
    """One running process. Its input is a pipe that ends with us, and so does it.

    Attributes:
        name: Stands before each of its lines.

    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, tell: Tell) -> None:
        """Follow ``process``, made by :meth:`start`."""
        self.name = name
        self._process = process
        self._tell = tell
        assert process.stdout is not None
        self._copying = asyncio.create_task(self._copy(process.stdout))

    @classmethod
    async def start(
        cls, name: str, command: Sequence[str], environment: Mapping[str, str], tell: Tell
    ) -> "Child":
        """Start ``command``, in a session of its own: Ctrl-C reaches the supervisor only."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=LINE_BYTES_MAX,
            env=dict(environment),
            start_new_session=True,
        )
        return cls(name, process, tell)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """Wait for its end and the last of its output; return its exit code."""
        code = await self._process.wait()
        await asyncio.wait({self._copying}, timeout=DRAIN_S)
        self._copying.cancel()
        return code

    def terminate(self) -> None:
        """Ask it to stop."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _copy(self, output: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await output.readuntil(b"\n")
            except asyncio.IncompleteReadError as end:
                if end.partial:
                    self._tell(self.name, _text(end.partial))
                return
            except asyncio.LimitOverrunError:
                line = await output.read(LINE_BYTES_MAX)
            self._tell(self.name, _text(line))


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r\n")


def describe_end(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def gorillad(*arguments: str) -> list[str]:
    """Return the command line of another ``gorillad`` of this very installation."""
    return [sys.executable, "-m", "gorilla.daemon", *arguments]
