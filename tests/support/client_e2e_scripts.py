"""Small programs of their own process that use the client, for what only processes can show."""

import os
import selectors
import signal
import subprocess
import sys
import textwrap
import time

from tests.support.local_cluster import ROOT

LINE_S_MAX = 20.0
END_S_MAX = 20.0

_BLOCKING = """
import os, signal, sys, time
from gorilla.client import *
urls = sys.argv[2:]
name = sys.argv[1]
def tell(*what):
    print(*what, flush=True)
"""
_ASYNC = _BLOCKING + "import asyncio\n"


class Script:
    """A running script; it is told a lock's name, and endpoints, and tells lines."""

    def __init__(self, source: str, name: str, *urls: str, python: str = sys.executable) -> None:
        text = _ASYNC + textwrap.dedent(source)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GORILLA_")}
        self._process = subprocess.Popen(
            [python, "-c", text, name, *urls],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._stdout = self._process.stdout
        self._rest = b""

    def line(self, within_s: float = LINE_S_MAX) -> str:
        """Return the next line that it tells."""
        deadline_s = time.monotonic() + within_s
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or not selector.select(left_s):
                    raise AssertionError(f"it told nothing in {within_s} s")
                piece = os.read(self._stdout.fileno(), 4096)
                assert piece, f"it ended: {self._told_on_stderr()}"
                self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, within_s: float = END_S_MAX) -> int:
        """Wait for its end; return its exit code."""
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise AssertionError(f"it did not end in {within_s} s") from None

    def errors(self) -> str:
        """What it said on its standard error, once it has ended."""
        return self._told_on_stderr()

    def close(self) -> None:
        """End it, if it runs still."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._stdout.close()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _told_on_stderr(self) -> str:
        assert self._process.stderr is not None
        return self._process.stderr.read().decode()
