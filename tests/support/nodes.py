"""Real node processes, one by one, and the real HAProxy in front of them."""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.support.local_cluster import ROOT, free_ports

START_S_MAX = 60.0
STOP_S_MAX = 30.0


class Nodes:
    """Nodes ``n1`` … as ``gorillad run`` starts them; each is ended by its process id only."""

    def __init__(self, directory: Path, count: int = 3, **settings: str) -> None:
        """Keep data and logs in ``directory``; ``settings`` are further GORILLA_… variables."""
        self.directory = directory
        self.names = [f"n{i + 1}" for i in range(count)]
        ports = free_ports(2 * count)
        self.http = dict(zip(self.names, ports[:count], strict=True))
        self.peer = dict(zip(self.names, ports[count:], strict=True))
        self.builds: dict[str, Path] = {}
        """Where a node's ``gorilla`` is, when it isn't this one."""
        self.own: dict[str, dict[str, str]] = {}
        """Settings of one node that the others don't have."""
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        members = ",".join(
            f"{n}=127.0.0.1:{self.http[n]}/127.0.0.1:{self.peer[n]}" for n in self.names
        )
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("GORILLA_")},
            "GORILLA_MEMBERS": members,
            "GORILLA_NODE_DATA_DIR": str(directory / "data"),
            **settings,
        }

    # -- processes

    def start(self, *names: str) -> None:
        """Start nodes (all that are not running, when none is named)."""
        for name in names or self.names:
            if self.is_running(name):
                continue
            with (self.directory / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "gorilla.daemon", "run", "--node", name],
                    cwd=self.builds.get(name, ROOT),
                    env=self.environment | self.own.get(name, {}),
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                )

    def is_running(self, name: str) -> bool:
        return name in self.processes and self.processes[name].poll() is None

    def signal(self, name: str, number: signal.Signals) -> None:
        self.processes[name].send_signal(number)

    def kill(self, *names: str) -> None:
        """kill -9 them at once, then wait until they are gone."""
        for name in names:
            self.processes[name].kill()
        for name in names:
            self.processes[name].wait()

    def stop(self, *names: str) -> list[int]:
        """SIGTERM them; returns their exit codes."""
        chosen = [name for name in names or self.names if self.is_running(name)]
        for name in chosen:
            self.signal(name, signal.SIGCONT)
            self.signal(name, signal.SIGTERM)
        return [self.processes[name].wait(STOP_S_MAX) for name in chosen]

    def close(self) -> None:
        """End what is left."""
        for name in self.names:
            if self.is_running(name):
                self.signal(name, signal.SIGCONT)
                self.kill(name)

    def data(self, name: str) -> Path:
        return self.directory / "data" / name

    def forget(self) -> None:
        """Delete every data directory: total loss."""
        shutil.rmtree(self.directory / "data")

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text()

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

    # -- looking

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.http[name]}"

    def ask(self, name: str, path: str, timeout_s: float = 2.0) -> dict | None:
        """GET a JSON document; None when there is no good answer."""
        try:
            with urllib.request.urlopen(self.url(name) + path, timeout=timeout_s) as answer:
                return json.load(answer)
        except (OSError, urllib.error.HTTPError, ValueError):
            return None

    def leader(self) -> str | None:
        """Name of the node that says it leads, by the latest term."""
        views = [view for name in self.names if (view := self.ask(name, "/api/v1/cluster"))]
        leaders = [view for view in views if view["role"] == "leader"]
        return max(leaders, key=lambda view: view["term"])["node"] if leaders else None

    def is_ready(self, name: str) -> bool:
        return self.ask(name, "/_ready") is not None

    async def until_ready(self, *names: str, within_s: float = START_S_MAX) -> None:
        """Wait until these nodes (all, when none is named) are ready and a leader is known."""
        deadline = time.monotonic() + within_s
        waiting = list(names or self.names)
        while time.monotonic() < deadline:
            ready = await asyncio.gather(*(asyncio.to_thread(self.is_ready, n) for n in waiting))
            if all(ready):
                return
            dead = [n for n in waiting if not self.is_running(n)]
            assert not dead, f"{dead[0]} ended:\n{self.log(dead[0])[-3000:]}"
            await asyncio.sleep(0.05)
        logs = "\n".join(f"--- {n}\n{self.log(n)[-1500:]}" for n in waiting)
        raise AssertionError(f"{waiting} not ready in {within_s} s\n{logs}")


class Balancer:
    """The real HAProxy with ``deploy/haproxy.cfg``, its ports replaced by those of a test."""

    def __init__(self, nodes: Nodes) -> None:
        """Prepare the configuration; nothing runs before :meth:`start`."""
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        text = (ROOT / "deploy" / "haproxy.cfg").read_text()
        text, binds = re.subn(r"bind 127\.0\.0\.1:4080", f"bind 127.0.0.1:{port}", text)
        assert binds == 1
        for number, name in enumerate(nodes.names):
            old, new = f"127.0.0.1:{4000 + number}", f"127.0.0.1:{nodes.http[name]}"
            text, servers = re.subn(rf"(server {name}) {re.escape(old)}", rf"\1 {new}", text)
            assert servers == 1
        self.path = nodes.directory / "haproxy.cfg"
        self.path.write_text(text)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("haproxy") or "/usr/sbin/haproxy"
        self.process = subprocess.Popen(
            [program, "-q", "-db", "-f", str(self.path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    async def until_ready(self, within_s: float = 20.0) -> None:
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if await asyncio.to_thread(self._answers):
                return
            await asyncio.sleep(0.05)
        raise AssertionError("the balancer has no ready node")

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url + "/_ready", timeout=2):
                return True
        except OSError:
            return False

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
