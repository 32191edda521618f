"""Nodes in their namespaces with small disks and movable clocks; HAProxy and clients in another."""

import asyncio
import re
import secrets
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

from typing_extensions import override

from gorilla.storage import migrating
from gorilla.storage.embedded import EmbeddedPostgres
from gorilla.storage.server_account import EmbeddedPostgresError
from tests.support.chaos.machine import Machine
from tests.support.chaos.native import Shim, compiled
from tests.support.chaos.network import CLIENTS, Network
from tests.support.local_cluster import ROOT
from tests.support.nodes import Balancer, Nodes
from tests.support.postgres import FAST

HTTP, PEER, BALANCER = 4000, 4100, 4080
DISK = "64m"
SNAPSHOT_S = "3"

# Small, so that faults also meet rotation, compaction and followers that need a snapshot.
SETTINGS = {
    "GORILLA_JOURNAL_COMPACT_ENTRIES": "2000",
    "GORILLA_JOURNAL_RETAIN_ENTRIES": "500",
    "GORILLA_JOURNAL_SEGMENT_MIB": "1",
    "GORILLA_JOURNAL_RETAIN_MIB": "4",
}


class NoLeaderError(AssertionError):
    """A fault could not begin: nobody leads."""


class ChaosNodes(Nodes):
    """Nodes of which each has its own network namespace, disk and wall clock; and a spare one."""

    def __init__(self, directory: Path, network: Network) -> None:
        """Prepare them; the disks are mounted here, the caller has a mount namespace of its own."""
        *names, self.spare = [name for name in network.places if name != CLIENTS]
        super().__init__(directory, len(names), **SETTINGS)
        self.network = network
        self.program = ["gorilla.daemon"]
        places = {
            name: f"{name}={network.address(name)}:{HTTP}/{network.address(name)}:{PEER}"
            for name in network.places
        }
        members = ",".join(places[name] for name in names)
        self.spare_members = f"{members},{places[self.spare]}"
        """What the node that comes and goes is configured with; the others do not know of it."""
        self.environment |= {
            "GORILLA_MEMBERS": members,
            "GORILLA_CLUSTER_SECRET": secrets.token_hex(16),
            "LD_PRELOAD": str(compiled("shim", directory)),
        }
        self.shims = {n: Shim(directory / f"{n}.shim") for n in [*names, self.spare]}
        for name in self.shims:
            self.data(name).mkdir(parents=True)
            disk = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(self.data(name))]
            subprocess.run(disk, check=True)

    @override
    def start(self, *names: str) -> None:
        for name in names or self.names:
            if self.is_running(name):
                continue
            space = f"--net={self.network.spaces[name]}"
            node = [sys.executable, "-m", *self.program, "run", "--node", name]
            environment = {**self.environment, "CHAOS_SHIM": str(self.shims[name].path)}
            if name == self.spare:
                environment["GORILLA_MEMBERS"] = self.spare_members
            with (self.directory / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    ["nsenter", space, "--", *node],
                    cwd=ROOT,
                    env=environment,
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                )

    @override
    def close(self) -> None:
        super().close()
        if self.is_running(self.spare):
            self.kill(self.spare)

    @override
    def url(self, name: str) -> str:
        return f"http://{self.network.address(name)}:{HTTP}"

    def empty(self, name: str) -> None:
        """Delete everything on the disk of a node that is down."""
        for path in self.data(name).iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def metrics(self, name: str) -> str:
        with urllib.request.urlopen(f"{self.url(name)}/metrics", timeout=2.0) as answer:
            return answer.read().decode()

    def others(self, *names: str) -> list[str]:
        return [name for name in self.names if name not in names]


class ChaosBalancer(Balancer):
    """HAProxy with ``deploy/haproxy.cfg``, as many servers as there are nodes."""

    def __init__(self, nodes: ChaosNodes) -> None:
        """Write the configuration."""
        text = (ROOT / "deploy" / "haproxy.cfg").read_text()
        servers = "\n".join(
            f"    server {name} {nodes.network.address(name)}:{HTTP}" for name in nodes.names
        )
        text, runs = re.subn(r"(?m)(^    server n\d \S+\n)+", servers + "\n", text)
        assert runs == 1
        self.url = f"http://127.0.0.1:{BALANCER}"
        self.path = nodes.directory / "haproxy.cfg"
        self.path.write_text(text)
        self.process = None


class Environment:
    """Everything that one run needs; ``close`` ends what it started."""

    def __init__(self, directory: Path, count: int, *, with_database: bool) -> None:
        """Build it in ``directory``; from here on this process is where the clients are."""
        self.directory = directory
        self.network = Network(directory, [f"n{number + 1}" for number in range(count + 1)])
        self.network.enter_clients()
        self.machine = Machine(directory)
        self.nodes = ChaosNodes(directory, self.network)
        self.balancer = ChaosBalancer(self.nodes)
        # Its server is reached by a socket file, which no network namespace hides.
        self.database = EmbeddedPostgres(directory / "postgres", settings=FAST)
        self.has_database = with_database and self._start_database()

    def _start_database(self) -> bool:
        """Start it, and tell the nodes; False where this machine or its user can't have one."""
        self.directory.chmod(0o755)  # its account must get there
        try:
            migrating.upgrade(self.database.start())
        except EmbeddedPostgresError as error:
            print(f"chaos: no PostgreSQL: {error}", file=sys.stderr)
            return False
        self.nodes.environment |= {
            "GORILLA_DATABASE_URL": self.database.url(),
            "GORILLA_SNAPSHOTS_INTERVAL_S": SNAPSHOT_S,
        }
        return True

    async def start(self) -> None:
        self.nodes.start()
        self.balancer.start()
        await self.nodes.until_ready()
        await self.balancer.until_ready()

    async def leader(self) -> str:
        """Name of the leader; waits for one."""
        for _ in range(200):
            leader = await asyncio.to_thread(self.nodes.leader)
            if leader is not None:
                return leader
            await asyncio.sleep(0.05)
        raise NoLeaderError("no leader in ten seconds")

    def close(self) -> None:
        self.balancer.close()
        self.nodes.close()
        self.database.stop()
        self.machine.close()
        self.network.close()
