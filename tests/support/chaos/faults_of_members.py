"""Members that come and go while clients ask, and an office that is handed around."""

import asyncio
import shutil
from typing import Any

from typing_extensions import override

from tests.support.chaos.environment import HTTP, PEER
from tests.support.chaos.nemesis import LEADER_S_MAX, Nemesis, until
from tests.support.real_cluster import Reply, call

MEMBERS = "/api/v1/cluster/members"
LEADER = "/api/v1/cluster/leader"
CHANGE_S_MAX = 15
REMOVED_CODE = 71
ENDED_S_MAX = 10.0
ASKS_MAX = 40
AGAIN_S = 0.25


class Change(Nemesis):
    """Asks for changes of the cluster, at any of the nodes that are members all the time."""

    gap_s_max = LEADER_S_MAX

    async def ask(self, at: str, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Ask until it is done: a node that is just starting, or behind, is not to be had yet."""
        path += f"?timeout={CHANGE_S_MAX}"
        told = "nothing"
        for _ in range(ASKS_MAX):
            reply = await asyncio.to_thread(self._reply, at, method, path, body)
            if reply is not None and reply.status == 200:
                return reply.body
            told = "no answer" if reply is None else f"{reply.status} {reply.body.get('detail')}"
            await asyncio.sleep(AGAIN_S)
        raise AssertionError(f"{method} {path} at {at} was never done: {told}")

    def _reply(self, at: str, method: str, path: str, body: object) -> Reply | None:
        try:
            return call(self.nodes.url(at), method, path, body)
        except OSError:
            return None

    @override
    async def heal(self) -> None:
        """Nothing is broken that has to be mended."""


class Churn(Change):
    """A node comes, the leader goes for good and comes back as a new member, the first one goes.

    Proof: two ids more were members than before, and both nodes that were removed said so.
    """

    name = "membership churn"
    hold_s = 0.5

    @override
    async def start(self) -> None:
        spare, leader = self.nodes.spare, await self.environment.leader()
        (self.at, *_) = self.rng.sample(self.nodes.others(leader), 1)
        self.codes: list[int | None] = []
        self.steps: list[str] = []
        self.acts()
        self.before = await self._roster()
        self.nodes.start(spare)
        await self._add(spare)
        await self._remove(leader)
        self.nodes.start(leader)
        await self._add(leader)
        await self._remove(spare)
        self.leader, self.after = leader, await self._roster()
        self.faults = 4

    async def _roster(self) -> dict[str, str]:
        view = await self.ask(self.at, "GET", "/api/v1/cluster")
        return {member["name"]: member["id"] for member in view["members"]}

    async def _add(self, name: str) -> None:
        address = self.network.address(name)
        body = {"name": name, "peer": f"{address}:{PEER}", "http": f"{address}:{HTTP}"}
        self.steps += (await self.ask(self.at, "POST", MEMBERS, body))["steps"]

    async def _remove(self, name: str) -> None:
        """Remove a member, see its node end, and empty its disk."""
        self.steps += (await self.ask(self.at, "DELETE", f"{MEMBERS}/{name}"))["steps"]
        process = self.nodes.processes[name]
        await until(lambda: process.poll() is not None, ENDED_S_MAX)
        self.codes.append(process.poll())
        if self.nodes.is_running(name):
            raise AssertionError(f"{name} was removed and runs on")
        for path in self.nodes.data(name).iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    @override
    async def proof(self) -> str | None:
        kept = [name for name, id_ in self.before.items() if self.after.get(name) == id_]
        acted = (
            set(self.after) == set(self.before)
            and kept == self.nodes.others(self.leader)
            and self.codes == [REMOVED_CODE] * 2
        )
        told = f"{self.leader} was {self.before[self.leader]}, is {self.after[self.leader]}"
        return f"{told}; exit codes {self.codes}; {len(self.steps)} steps" if acted else None


class HandOver(Change):
    """The leader is told to hand over, again and again."""

    name = "leadership handed over"
    times = 8

    @override
    async def start(self) -> None:
        self.leaders = [await self.environment.leader()]
        self.acts()
        for _ in range(self.times):
            to = self.rng.choice(self.nodes.others(self.leaders[-1]))
            await self.ask(self.rng.choice(self.nodes.names), "POST", LEADER, {"to": to})
            self.leaders.append(await self.environment.leader())
        self.faults = self.times

    @override
    async def proof(self) -> str | None:
        changes = sum(a != b for a, b in zip(self.leaders, self.leaders[1:], strict=False))
        return f"led by {' '.join(self.leaders)}" if changes >= self.times // 2 else None


ALL: tuple[type[Nemesis], ...] = (Churn, HandOver)
