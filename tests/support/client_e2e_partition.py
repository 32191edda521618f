"""Clients of both faces behind a network that drops packets: no reset, no refusal, only silence.

``python -m tests.support.client_e2e_partition`` starts itself again in namespaces of its own, so
nothing is left of it whatever ends it, and prints what it saw as JSON, an object for each face.
"""

import asyncio
import itertools
import json
import os
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from typing_extensions import override

from gorilla.client import AsyncClient, Client, LockLost
from gorilla.client.clock import now_s
from tests.support.chaos.network import CLIENTS, Network
from tests.support.client_e2e import FACES, eventually, extended
from tests.support.local_cluster import ROOT
from tests.support.nodes import Nodes

INSIDE = "GORILLA_PARTITION_INSIDE"
HTTP, PEER = 4000, 4100
LEASE_S = 3.0
ANSWER_S_MAX = 40.0
RIVAL = """
import sys
from gorilla.client import Client
from gorilla.client.clock import now_s
with Client(sys.argv[1]) as client:
    print("asks", flush=True)
    held = client.lock(sys.argv[2], timeout=5, wait=30).acquire()
    print(now_s(), held.fencing_token, flush=True)
    held.release()
"""


class SpacedNodes(Nodes):
    """Nodes of which each has a network namespace of its own."""

    def __init__(self, directory: Path, network: Network) -> None:
        names = [name for name in network.places if name != CLIENTS]
        super().__init__(directory, len(names))
        self.network = network
        places = {name: network.address(name) for name in names}
        self.environment |= {
            "GORILLA_MEMBERS": ",".join(
                f"{name}={at}:{HTTP}/{at}:{PEER}" for name, at in places.items()
            ),
            "GORILLA_CLUSTER_SECRET": secrets.token_hex(16),
        }

    @override
    def start(self, *names: str) -> None:
        for name in names or self.names:
            with (self.directory / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [*self.within(name), "-m", "gorilla.daemon", "run", "--node", name],
                    cwd=ROOT,
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                )

    def within(self, name: str) -> list[str]:
        """Return how Python is started where a node is."""
        return ["nsenter", f"--net={self.network.spaces[name]}", "--", sys.executable]

    @override
    def url(self, name: str) -> str:
        return f"http://{self.network.address(name)}:{HTTP}"

    def cut(self, *names: str) -> None:
        """Drop all packets between the clients and these nodes."""
        both = (pair for name in names for pair in itertools.permutations((CLIENTS, name), 2))
        self.network.set(both, drop=1.0)


class Trial:
    """One face of the client, tried."""

    def __init__(self, face: str, nodes: SpacedNodes) -> None:
        self.face = face
        self._nodes = nodes
        kind: Any = Client if face == "blocking" else AsyncClient
        self._client: Any = kind(*map(nodes.url, nodes.names), attempt_s=2.0, deadline_s=8.0)
        self.seen: dict[str, Any] = {}

    async def do(self, function: Any, *arguments: Any) -> Any:
        if self.face == "blocking":
            return await asyncio.to_thread(function, *arguments)
        return await function(*arguments)

    async def hold(self) -> None:
        lock = self._client.lock(f"{self.face}/one", timeout=LEASE_S)
        self.held = await self.do(lock.acquire)
        self.node = self._client._asker.endpoints.order()[0]

    async def through_one_partition(self) -> None:
        """The node that the client talks to is cut off: the lock goes on, and others are had."""
        number, began_s = self.held.fencing_token, now_s()
        await extended(self.held, 2)
        another = await self.do(self._client.lock(f"{self.face}/two", timeout=LEASE_S).acquire)
        self.seen["went on"] = self.held.fencing_token == number
        self.seen["took_s"] = now_s() - began_s
        await self.do(another.release)
        await self.do(self.held.release)

    async def lost_in_silence(self, is_cut: asyncio.Event, is_healed: asyncio.Event) -> None:
        """All nodes are cut off: the lock is lost before the rival, who waits elsewhere, has it."""
        told: list[float] = []
        lock = f"{self.face}/three"
        wanted = self._client.lock(lock, timeout=2, on_lost=lambda _error: told.append(now_s()))
        held = await self.do(wanted.acquire)
        number = held.fencing_token
        rival = await asyncio.create_subprocess_exec(
            *self._nodes.within("n1"), "-c", RIVAL, self._nodes.url("n1"), lock,
            cwd=ROOT, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert rival.stdout is not None
        await rival.stdout.readline()
        await asyncio.sleep(0.5)
        self.seen["ready"] = held.lost is None
        await is_cut.wait()
        async with asyncio.timeout(ANSWER_S_MAX):
            at_s, other = (await rival.stdout.readline()).split()
            await rival.wait()
        self.seen["lost before"] = bool(told) and told[0] < float(at_s)
        self.seen["gap_s"] = float(at_s) - told[0] if told else None
        self.seen["told"] = len(told)
        self.seen["numbers rise"] = int(other) > number
        await is_healed.wait()
        try:
            await self.do(held.release)
        except LockLost as error:
            self.seen["end"] = str(error.reason)

    async def close(self) -> None:
        again = await self.do(self._client.lock(f"{self.face}/four", timeout=LEASE_S).acquire)
        self.seen["works again"] = again.lost is None
        await self.do(again.release)
        await self.do(self._client.close)


async def run(directory: Path) -> dict[str, Any]:
    network = Network(directory, ["n1", "n2", "n3"])
    nodes = SpacedNodes(directory, network)
    network.enter_clients()
    try:
        nodes.start()
        await nodes.until_ready()
        trials = [Trial(face, nodes) for face in FACES]
        for trial in trials:
            await trial.hold()
            name = next(one for one in nodes.names if nodes.url(one) == trial.node)
            nodes.cut(name)
            await trial.through_one_partition()
            network.heal()
        is_cut, is_healed = asyncio.Event(), asyncio.Event()
        losing = [
            asyncio.ensure_future(trial.lost_in_silence(is_cut, is_healed)) for trial in trials
        ]
        await eventually(lambda: all("ready" in trial.seen for trial in trials), "all hold")
        nodes.cut(*nodes.names)
        is_cut.set()
        await eventually(lambda: all("told" in trial.seen for trial in trials), "all are told", 30)
        network.heal()
        is_healed.set()
        await asyncio.gather(*losing)
        for trial in trials:
            await trial.close()
        return {trial.face: trial.seen for trial in trials}
    finally:
        nodes.close()
        network.close()


def main() -> None:
    if INSIDE not in os.environ:
        command = ["unshare", "--mount", "--propagation", "private", "--pid", "--fork"]
        command += ["--kill-child", "--mount-proc"]
        command += ["--user", "--map-root-user"] if os.getuid() else []
        command += ["--", sys.executable, "-m", "tests.support.client_e2e_partition"]
        os.execvpe(command[0], command, {**os.environ, INSIDE: "1"})
    with tempfile.TemporaryDirectory(prefix="gorilla-partition-") as directory:
        print(json.dumps(asyncio.run(run(Path(directory)))))


if __name__ == "__main__":
    main()
