"""A whole cluster under ``gorillad up``, as ``make run`` starts it, on free ports."""

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = ("n1", "n2", "n3")
START_S_MAX = 90
STOP_S_MAX = 60


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, and that the kernel gives to no outgoing connection."""
    found: list[int] = []
    while len(found) < count:
        port = 15_000 + secrets.randbelow(15_000)
        if port in found:
            continue
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    return found


class LocalCluster:
    """One supervisor process; ``stop`` and ``start`` it as often as needed."""

    def __init__(self, directory: Path) -> None:
        """Keep the data in ``directory``; the server account of PostgreSQL must reach it."""
        ports = free_ports(2 * len(NAMES))
        self.directory = directory
        self.http = [f"127.0.0.1:{port}" for port in ports[: len(NAMES)]]
        peers = [f"127.0.0.1:{port}" for port in ports[len(NAMES) :]]
        members = zip(NAMES, self.http, peers, strict=True)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("GORILLA_")},
            "GORILLA_MEMBERS": ",".join(f"{n}={http}/{peer}" for n, http, peer in members),
            "GORILLA_NODE_DATA_DIR": str(directory / "data"),
        }
        self.lines: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader = threading.Thread()

    @property
    def is_running(self) -> bool:
        """Whether the supervisor lives."""
        return self._process is not None and self._process.poll() is None

    def gorillad(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command with the same configuration."""
        return subprocess.run(
            [sys.executable, "-m", "gorilla.daemon", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=START_S_MAX,
            check=False,
        )

    def start(self) -> None:
        """Start, and wait until a leader is told of."""
        self.lines = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gorilla.daemon", "up"],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait_for(r"\| ready: n\d leads 3 nodes")

    def wait_for(self, pattern: str, within_s: float = START_S_MAX) -> str:
        """Wait for a line; fails with everything that was said when it doesn't come."""
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            for line in list(self.lines):
                if re.search(pattern, line):
                    return line
            assert self._process is not None
            assert self._process.poll() is None, self.told()
            time.sleep(0.02)
        raise AssertionError(f"no line like {pattern!r} in {within_s} s:\n{self.told()}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop in order; return the exit code."""
        assert self._process is not None
        self._process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for the end of the supervisor; return the exit code."""
        assert self._process is not None
        try:
            code = self._process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"not stopped in {STOP_S_MAX} s:\n{self.told()}") from None
        self._reader.join()
        return code

    def kill(self) -> None:
        """End the supervisor at once, as the kernel may; its nodes must follow by themselves."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._reader.join()

    def told(self) -> str:
        """Everything that was said since the start."""
        return "\n".join(self.lines)

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip("\n"))


@contextlib.contextmanager
def running_cluster(directory: Path) -> Iterator[LocalCluster]:
    """Start a cluster; stop it at the end, whatever happened."""
    cluster = LocalCluster(directory)
    cluster.start()
    try:
        yield cluster
    finally:
        if cluster.is_running:
            cluster.stop()
