"""Members that come and go while clients ask, and an office that is handed around."""

import asyncio
from collections.abc import Callable
from typing import Any

from typing_extensions import override

from tests.support.chaos.environment import HTTP, PEER
from tests.support.chaos.nemesis import FOLLOWER_GAP_S_MAX, LEADER_S_MAX, Nemesis, until
from tests.support.real_cluster import Reply, call

MEMBERS = "/api/v1/cluster/members"
LEADER = "/api/v1/cluster/leader"
WAIT = "?timeout=15"
REMOVED_CODE = 71
ENDED_S_MAX = 10.0
ASKS_MAX = 40
AGAIN_S = 0.25


class Change(Nemesis):
    """Asks for changes of the cluster, at a node that is a member all the time."""

    gap_s_max = LEADER_S_MAX
    hold_s = 0.5
    at = ""

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        is_done: Callable[[dict[str, str]], bool] = lambda _: False,
    ) -> dict[str, Any]:
        """Ask until it is done: a node that is starting, or behind, is not to be had yet.

        Where an answer was lost, the members tell whether it was done.
        """
        told = "nothing"
        for _ in range(ASKS_MAX):
            reply = await asyncio.to_thread(self._reply, method, f"{path}{WAIT}", body)
            if reply is not None and reply.status == 200:
                return reply.body
            if is_done(await self._roster_or_none()):
                return {"steps": ["done, the answer was lost"]}
            told = "no answer" if reply is None else f"{reply.status} {reply.body.get('detail')}"
            await asyncio.sleep(AGAIN_S)
        raise AssertionError(f"{method} {path} at {self.at} was never done: {told}")

    def _reply(self, method: str, path: str, body: object) -> Reply | None:
        try:
            return call(self.nodes.url(self.at), method, path, body)
        except OSError:
            return None

    async def _roster_or_none(self) -> dict[str, str]:
        view = await asyncio.to_thread(self.nodes.ask, self.at, "/api/v1/cluster")
        return {} if view is None else {one["name"]: one["id"] for one in view["members"]}

    async def roster(self) -> dict[str, str]:
        """Names and ids of the members."""
        view = await self.ask("GET", "/api/v1/cluster")
        return {member["name"]: member["id"] for member in view["members"]}

    async def add(self, name: str, *, replaces: str | None = None) -> None:
        address = self.network.address(name)
        body = {"name": name, "peer": f"{address}:{PEER}", "http": f"{address}:{HTTP}"}
        body |= {"replaces": replaces} if replaces else {}
        told = await self.ask(
            "POST", MEMBERS, body, is_done=lambda now: now.get(name, replaces) != replaces
        )
        self.steps += told["steps"]

    async def remove(self, name: str) -> None:
        """Remove a member, see its node end, and empty its disk."""
        path = f"{MEMBERS}/{name}"
        told = await self.ask("DELETE", path, is_done=lambda now: bool(now) and name not in now)
        self.steps += told["steps"]
        process = self.nodes.processes[name]
        await until(lambda: process.poll() is not None, ENDED_S_MAX)
        self.codes.append(process.poll())
        if self.nodes.is_running(name):
            raise AssertionError(f"{name} was removed and runs on")
        self.nodes.empty(name)

    @override
    async def start(self) -> None:
        leader = await self.environment.leader()
        self.victim = await self.choose(leader)
        self.at = self.rng.choice(self.nodes.others(leader, self.victim))
        self.codes: list[int | None] = []
        self.steps: list[str] = []
        self.before = await self.roster()
        self.acts()
        await self.change()
        self.after = await self.roster()

    async def choose(self, leader: str) -> str:
        """Return who is to have another id."""
        return leader

    async def change(self) -> None:
        raise AssertionError("changes nothing")

    @override
    async def proof(self) -> str | None:
        """The victim has another id, all others have theirs, and who was removed said so."""
        kept = [name for name, id_ in self.before.items() if self.after.get(name) == id_]
        acted = set(self.after) == set(self.before) and kept == self.nodes.others(self.victim)
        if not acted or set(self.codes) - {REMOVED_CODE}:
            return None
        before, after = self.before[self.victim][:8], self.after[self.victim][:8]
        told = f"{self.victim} was {before} and is {after}, {len(self.steps)} steps"
        return f"{told}, exit codes {self.codes}" if self.codes else told

    @override
    async def heal(self) -> None:
        """Nothing is broken that has to be mended."""


class Churn(Change):
    """A node comes, the leader goes for good and comes back as a new member, the first one goes."""

    name = "membership churn"
    faults = 4

    @override
    async def change(self) -> None:
        self.nodes.start(self.nodes.spare)
        await self.add(self.nodes.spare)
        await self.remove(self.victim)
        self.nodes.start(self.victim)
        await self.add(self.victim)
        await self.remove(self.nodes.spare)


class Replacement(Change):
    """A follower dies with its disk; an empty node takes its place."""

    name = "dead member replaced"
    gap_s_max = FOLLOWER_GAP_S_MAX
    faults = 2

    @override
    async def choose(self, leader: str) -> str:
        return self.rng.choice(self.nodes.others(leader))

    @override
    async def change(self) -> None:
        await asyncio.to_thread(self.nodes.kill, self.victim)
        self.nodes.empty(self.victim)
        self.nodes.start(self.victim)
        await self.add(self.victim, replaces=self.before[self.victim])


class HandOver(Change):
    """The leader is told to hand over, again and again."""

    name = "leadership handed over"
    times = 8
    hold_s = 0.5

    @override
    async def start(self) -> None:
        self.leaders = [await self.environment.leader()]
        self.acts()
        for _ in range(self.times):
            to = self.rng.choice(self.nodes.others(self.leaders[-1]))
            self.at = self.rng.choice(self.nodes.names)
            await self.ask("POST", LEADER, {"to": to})
            self.leaders.append(await self.environment.leader())
        self.faults = self.times

    @override
    async def proof(self) -> str | None:
        changes = sum(a != b for a, b in zip(self.leaders, self.leaders[1:], strict=False))
        return f"led by {' '.join(self.leaders)}" if changes >= self.times // 2 else None


ALL: tuple[type[Nemesis], ...] = (Churn, Replacement, HandOver)
