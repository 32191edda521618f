"""Real nodes of which some form the cluster, and others are added to it later."""

import asyncio
import shutil
import time
from pathlib import Path

from tests.support.local_cluster import free_ports
from tests.support.nodes import Nodes
from tests.support.real_cluster import POLL_S, Reply, call

EXIT_REMOVED = 71
MEMBERS = "/api/v1/cluster/members"


class GrowingNodes(Nodes):
    """The first ``forming`` nodes know only each other; the rest know all there will ever be."""

    def __init__(self, directory: Path, count: int, *, forming: int, **settings: str) -> None:
        """Prepare; nothing is started."""
        super().__init__(directory, count, **settings)
        everybody = self.environment["GORILLA_MEMBERS"].split(",")
        first = ",".join(everybody[:forming])
        self.own = {name: {"GORILLA_MEMBERS": first} for name in self.names[:forming]}
        self.forming = self.names[:forming]

    def body(self, name: str, **more: str) -> dict[str, str]:
        """What is said of a node to have it added."""
        peer, http = (f"127.0.0.1:{ports[name]}" for ports in (self.peer, self.http))
        return {"name": name, "peer": peer, "http": http, **more}

    async def change(
        self, at: str, method: str, path: str, body: object = None, *, wanted: int = 200
    ) -> Reply:
        """Ask a node for a change of the cluster; another status than wanted fails the test."""
        reply = await asyncio.to_thread(call, self.url(at), method, path, body)
        assert reply.status == wanted, f"{method} {path} at {at}: {reply.status} {reply.body}"
        return reply

    async def add(self, name: str, at: str, **more: str) -> Reply:
        """Start a node with an empty directory and add it."""
        self.start(name)
        reply = await self.change(at, "POST", MEMBERS, self.body(name, **more))
        await self.until_ready(name)
        return reply

    async def remove(self, name: str, at: str) -> Reply:
        """Remove a member; its process ends and says so. Its directory is emptied."""
        reply = await self.change(at, "DELETE", f"{MEMBERS}/{name}")
        code = await asyncio.to_thread(self.processes[name].wait, 15)
        assert code == EXIT_REMOVED, self.log(name)[-1000:]
        assert "was removed from the cluster" in self.log(name)
        shutil.rmtree(self.data(name))
        return reply

    def members_at(self, name: str) -> list[str]:
        """Names of the members as a node sees them."""
        view = self.ask(name, "/api/v1/cluster")
        return [] if view is None else [member["name"] for member in view["members"]]

    async def until_members(self, *names: str, within_s: float = 10.0) -> None:
        """Wait until each of these sees exactly these."""
        deadline = time.monotonic() + within_s
        while any(self.members_at(name) != sorted(names) for name in names):
            seen = {name: self.members_at(name) for name in names}
            assert time.monotonic() < deadline, seen
            await asyncio.sleep(POLL_S)

    def move(self, name: str) -> dict[str, str]:
        """Give a node that is down another peer port; returns what the cluster must be told."""
        old = self.peer[name]
        (self.peer[name],) = free_ports(1)
        known = self.own.get(name, {}).get("GORILLA_MEMBERS") or self.environment["GORILLA_MEMBERS"]
        moved = known.replace(f"127.0.0.1:{old}", f"127.0.0.1:{self.peer[name]}")
        self.own[name] = self.own.get(name, {}) | {"GORILLA_MEMBERS": moved}
        return {"peer": f"127.0.0.1:{self.peer[name]}"}
