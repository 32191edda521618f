"""The command line, run as people run it: in this process, as a process, at a terminal."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner

from gorilla.cli.app import root
from tests.support.local_cluster import ROOT

PROGRAM = (sys.executable, "-m", "gorilla.cli")
RUN_S_MAX = 60.0

DEAD = "http://127.0.0.1:1"
"""Nobody listens at this port: it is never given to anybody who does not ask for it."""

_COLORS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Ran:
    """What a command came to."""

    code: int
    out: str
    err: str
    took_s: float = 0.0

    @property
    def sentence(self) -> str:
        """What was said on stderr, without the program's name."""
        return self.err.strip().removeprefix("gorilla: ")


def clean(environment: Mapping[str, str], home: Path | None = None) -> dict[str, str]:
    """Return this environment without settings of somebody's, and with those that are given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GORILLA_")}
    for name in ("NO_COLOR", "COLUMNS", "XDG_CONFIG_HOME"):
        kept.pop(name, None)
    # Nobody has a config file there.
    config = str(home or "/nonexistent")
    return {**kept, "XDG_CONFIG_HOME": config, "PYTHONPATH": str(ROOT), **environment}


def gorilla(*arguments: str, text: str = "", home: Path | None = None, **environment: str) -> Ran:
    """Run a command in this process."""
    wanted = clean(environment, home)
    absent: dict[str, str | None] = {name: None for name in os.environ if name not in wanted}
    began_s = time.monotonic()
    result = CliRunner().invoke(root, list(arguments), input=text, env={**absent, **wanted})
    return Ran(result.exit_code, result.stdout, result.stderr, time.monotonic() - began_s)


def process(
    *arguments: str,
    text: str | None = None,
    home: Path | None = None,
    python: Sequence[str] = PROGRAM[1:],
    **environment: str,
) -> Ran:
    """Run a command as a process of its own; ``python`` may start it in another way."""
    began_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, *python, *arguments],
        input=text,
        stdin=subprocess.DEVNULL if text is None else None,
        capture_output=True,
        text=True,
        env=clean(environment, home),
        timeout=RUN_S_MAX,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr, time.monotonic() - began_s)


def started(*arguments: str, home: Path | None = None, **environment: str) -> subprocess.Popen[str]:
    """Start a command as a process of its own."""
    return subprocess.Popen(
        [*PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean(environment, home),
    )


class Terminal:
    """A command at a terminal of some size; what it writes is kept as it comes."""

    def __init__(
        self, *arguments: str, columns: int = 80, rows: int = 24, **environment: str
    ) -> None:
        command = arguments if "/" in arguments[0] else (*PROGRAM, *arguments)
        self.columns = columns
        self._data = bytearray()
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            _become(command, columns, rows, environment)
        self._code: int | None = None

    @property
    def text(self) -> str:
        """All that was written so far, without colours."""
        return _COLORS.sub("", self._data.decode(errors="replace")).replace("\r\n", "\n")

    @property
    def raw(self) -> str:
        """All that was written so far."""
        return self._data.decode(errors="replace")

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._fd, keys.encode())

    def wait_for(self, pattern: str, within_s: float = 20.0) -> None:
        """Wait until something is written."""
        deadline_s = time.monotonic() + within_s
        while not re.search(pattern, self.text):
            assert self._read(deadline_s), f"no {pattern!r} in:\n{self.text}"

    def end(self, within_s: float = 20.0) -> int:
        """Wait for the end of the command; return its exit code."""
        if self._code is None:
            deadline_s = time.monotonic() + within_s
            while self._read(deadline_s):
                continue
            _, status = os.waitpid(self._pid, 0)
            os.close(self._fd)
            self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def _read(self, deadline_s: float) -> bool:
        """Read what comes next; return whether more may come."""
        left_s = deadline_s - time.monotonic()
        ready, _, _ = select.select([self._fd], [], [], max(left_s, 0.0))
        if not ready:
            os.kill(self._pid, 9)
            os.waitpid(self._pid, 0)
            raise AssertionError(f"it goes on, and wrote:\n{self.text}")
        try:
            data = os.read(self._fd, 65_536)
        except OSError:  # EIO: the other end is closed
            return False
        self._data += data
        return bool(data)


def _become(
    command: Sequence[str], columns: int, rows: int, environment: Mapping[str, str]
) -> None:
    try:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.execvpe(command[0], command, clean({"TERM": "xterm-256color", **environment}))
    finally:
        os._exit(127)


def at_terminal(*arguments: str, columns: int = 80, rows: int = 24, **environment: str) -> str:
    """Run a command at a terminal, and return all that it wrote, without colours."""
    terminal = Terminal(*arguments, columns=columns, rows=rows, **environment)
    terminal.end(RUN_S_MAX)
    return terminal.text
