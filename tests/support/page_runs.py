"""Pages of ``docs`` as a reader follows them: shell and Python, one block after the other.

All ``sh`` blocks of a page go to one shell, all ``python`` blocks to one interpreter, which keeps
its names from block to block; both work in one directory, and write to a terminal. A ``python``
block that begins with ``# name.py`` is a file: it is written there, for a later block to run. What
a block writes, to stdout or stderr, must be the ``text`` block below it: lengths of spaces do not
count, and ``…`` stands for anything.
"""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.pages import Block, blocks_of

DEADLINE_S = 60.0
COLUMNS = 400
"""So wide that no line is folded, wherever a page folds it."""
PROGRAMS = Path(sys.executable).parent

_MARK = "=== end of a block ==="
_END = f"\r\n{_MARK}\r\n".encode()
_SHELL = f"""
while read -r block <&3; do . "$block"; echo; echo '{_MARK}'; done 3<&0 </dev/null
"""
_PYTHON = f"""
import sys
names = {{"__name__": "__main__"}}
for path in map(str.strip, sys.stdin):
    with open(path, encoding="utf-8") as file:
        exec(compile(file.read(), path, "exec"), names)
    print("\\n{_MARK}", flush=True)
"""
_FILE = re.compile(r"# ([\w-]+\.py)\n")


class _Interpreter:
    """A process that runs one block after the other, at a terminal."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], directory: Path
    ) -> None:
        self._terminal, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=theirs,
            stderr=theirs,
            env=environment,
            cwd=directory,
            start_new_session=True,
        )
        os.close(theirs)

    def run(self, path: Path) -> str:
        """Run a file, and return what was written until its end."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{path}\n".encode())
        self._process.stdin.flush()
        output, deadline_s = b"", time.monotonic() + DEADLINE_S
        while not output.endswith(_END):
            data = self._read(deadline_s)
            assert data, f"{path.name} did not come to its end, and wrote:\n{output.decode()}"
            output += data
        return output.removesuffix(_END).decode().replace("\r\n", "\n")

    def _read(self, deadline_s: float) -> bytes:
        left_s = max(0.0, deadline_s - time.monotonic())
        ready, _, _ = select.select([self._terminal], [], [], left_s)
        try:
            return os.read(self._terminal, 65_536) if ready else b""
        except OSError:  # EIO: nobody is at the other end any more
            return b""

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(ProcessLookupError):
            # What a page that failed left at work in the background.
            os.killpg(self._process.pid, signal.SIGTERM)
        os.close(self._terminal)


def run_page(page: str, settings: Mapping[str, str], directory: Path) -> list[Block]:
    """Run every ``sh`` and ``python`` block of a page; each must write what stands below it.

    Args:
        page: Its name below ``docs``, without the suffix.
        settings: Further variables of the environment.
        directory: Where its commands work.

    Returns:
        The blocks that were run.

    """
    environment = {
        "PATH": f"{PROGRAMS}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(directory),
        "USER": "anna",
        "LOGNAME": "anna",
        "TERM": "xterm",
        "NO_COLOR": "1",
        **settings,
    }
    blocks = blocks_of(page, "sh", "python")
    interpreters: dict[str, _Interpreter] = {}
    commands = {"sh": ["/bin/sh", "-eu", "-c", _SHELL], "python": [sys.executable, "-c", _PYTHON]}
    try:
        for number, block in enumerate(blocks):
            if name := _FILE.match(block.code):
                (directory / name[1]).write_text(block.code, encoding="utf-8")
                continue
            if block.language not in interpreters:
                interpreters[block.language] = _Interpreter(
                    commands[block.language], environment, directory
                )
            path = directory / f".block-{number}"
            path.write_text(block.code, encoding="utf-8")
            check(block, interpreters[block.language].run(path))
    finally:
        for interpreter in interpreters.values():
            interpreter.close()
    return blocks


def check(block: Block, written: str) -> None:
    """Compare what a block wrote with what stands below it."""
    assert is_as_told(block.output, written), (
        f"under {block.heading!r}:\n{block.code}\nwrote:\n{written}\ninstead of:\n{block.output}"
    )


def is_as_told(told: str, written: str) -> bool:
    """Whether a block wrote what its page tells."""
    pattern = r"\n".join(
        ".*".join(re.escape(part) for part in line.split("…")) for line in _lines(told)
    )
    return re.fullmatch(pattern, "\n".join(_lines(written))) is not None


def _lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.strip().splitlines()]
