"""A real terminal, and somebody who types."""

import contextlib
import os
import select
import subprocess
import time
from pathlib import Path

from tests.support.local_cluster import ROOT

CTRL_C, CTRL_Z = b"\x03", b"\x1a"


class Terminal:
    """A terminal with a program in it, as its session's leader."""

    def __init__(self, directory: Path, *words: str, **more: str) -> None:
        self.output = b""
        self._keys, screen = os.openpty()
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *words],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PS1": "prompt> ", **more},
            stdin=screen,
            stdout=screen,
            stderr=screen,
        )
        os.close(screen)
        self.pid = self._process.pid

    def type(self, keys: bytes) -> None:
        os.write(self._keys, keys)

    def wait_for(self, text: bytes, within_s: float = 20.0) -> None:
        """Read until ``text`` was shown."""
        deadline_s = time.monotonic() + within_s
        while text not in self.output:
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, f"{text!r} is not in {self.output!r}"
            if select.select([self._keys], [], [], left_s)[0]:
                try:
                    self.output += os.read(self._keys, 65536)
                except OSError:  # the program has ended
                    break
        before, found, self.output = self.output.partition(text)
        assert found, f"{text!r} is not in {before!r}"

    def ended(self) -> int:
        """Wait for the end of the program; return its exit code, or -N when signal N ended it."""
        code = self._process.wait()
        with contextlib.suppress(OSError):  # that nothing more can come
            while select.select([self._keys], [], [], 0)[0]:
                self.output += os.read(self._keys, 65536)
        os.close(self._keys)
        return code
