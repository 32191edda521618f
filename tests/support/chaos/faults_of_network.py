"""Packets between nodes that are dropped, delayed and reordered. Clients reach every node."""

import asyncio
import contextlib
import itertools

from typing_extensions import override

from tests.support.chaos.nemesis import FOLLOWER_GAP_S_MAX, LEADER_GAP_S_MAX, Nemesis

Pairs = list[tuple[str, str]]


def between(ones: list[str], twos: list[str]) -> Pairs:
    """Both directions between two sides."""
    return [*itertools.product(ones, twos), *itertools.product(twos, ones)]


class Cut(Nemesis):
    """Nothing passes between some ordered pairs of nodes."""

    gap_s_max: float | None = LEADER_GAP_S_MAX
    pairs: Pairs

    async def choose(self) -> Pairs:
        raise AssertionError("nothing to cut")

    @override
    async def start(self) -> None:
        self.pairs = await self.choose()
        self.before = self.network.counters(self.pairs)
        self.network.set(self.pairs, drop=1.0)

    @override
    async def proof(self) -> str | None:
        after = self.network.counters(self.pairs)
        dropped = after["dropped"] - self.before["dropped"]
        return f"{dropped} packets dropped" if dropped else None

    @override
    async def heal(self) -> None:
        self.network.heal()


class IsolatedLeader(Cut):
    name = "isolate leader"

    @override
    async def choose(self) -> Pairs:
        leader = await self.environment.leader()
        self.without_majority = [leader]
        return between([leader], self.nodes.others(leader))


class IsolatedFollower(Cut):
    name = "isolate follower"
    gap_s_max = FOLLOWER_GAP_S_MAX

    @override
    async def choose(self) -> Pairs:
        follower = await self.follower()
        self.without_majority = [follower]
        return between([follower], self.nodes.others(follower))


class Minority(Cut):
    """The leader and as many as do not make a majority, against the rest."""

    name = "majority/minority"
    nodes_min = 5

    @override
    async def choose(self) -> Pairs:
        leader = await self.environment.leader()
        others = self.nodes.others(leader)
        self.without_majority = [leader, *self.rng.sample(others, len(others) // 2 - 1)]
        return between(self.without_majority, self.nodes.others(*self.without_majority))


class DeafLeader(Cut):
    name = "deaf leader"

    @override
    async def choose(self) -> Pairs:
        leader = await self.environment.leader()
        self.without_majority = [leader]
        return list(itertools.product(self.nodes.others(leader), [leader]))


class MuteLeader(Cut):
    name = "mute leader"

    @override
    async def choose(self) -> Pairs:
        leader = await self.environment.leader()
        self.without_majority = [leader]
        return list(itertools.product([leader], self.nodes.others(leader)))


class Bridge(Cut):
    """Two sides hear each other no more; one node in the middle hears all."""

    name = "bridge"

    @override
    async def choose(self) -> Pairs:
        leader = await self.environment.leader()
        others = self.nodes.others(leader)
        self.rng.shuffle(others)
        side = len(self.nodes.names) // 2
        return between([leader, *others[: side - 1]], others[side:])


class Ring(Cut):
    """Each node hears two neighbours only."""

    name = "ring"
    nodes_min = 5

    @override
    async def choose(self) -> Pairs:
        names = self.rng.sample(self.nodes.names, len(self.nodes.names))
        places = {name: at for at, name in enumerate(names)}
        apart = range(2, len(names) - 1)
        pairs = itertools.permutations(names, 2)
        return [(a, b) for a, b in pairs if (places[a] - places[b]) % len(names) in apart]


class Flapping(Cut):
    """The links of one node come and go faster than, and about as fast as, elections."""

    name = "flapping links"
    hold_s = 8.0
    gap_s_max = None

    @override
    async def choose(self) -> Pairs:
        node = self.rng.choice(self.nodes.names)
        return between([node], self.nodes.others(node))

    @override
    async def start(self) -> None:
        self.pairs = await self.choose()
        self.before = self.network.counters(self.pairs)
        self.flips = 0
        self._flapping = asyncio.create_task(self._flap())

    async def _flap(self) -> None:
        while True:
            self.flips += 1
            self.network.set(self.pairs, drop=float(self.flips % 2))
            await asyncio.sleep(self.rng.uniform(0.1, 1.5))

    @override
    async def proof(self) -> str | None:
        dropped = await super().proof()
        return f"{self.flips} flips, {dropped}" if dropped and self.flips > 2 else None

    @override
    async def heal(self) -> None:
        self._flapping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._flapping
        await super().heal()


class Weather(Cut):
    """Delay with so much jitter that packets overtake each other, and loss."""

    name = "delay, loss, reordering"
    gap_s_max = None
    hold_s = 6.0

    @override
    async def start(self) -> None:
        self.pairs = list(itertools.permutations(self.nodes.names, 2))
        self.before = self.network.counters(self.pairs)
        self.network.set(self.pairs, drop=0.03, delay_s=0.005, jitter_s=0.03)

    @override
    async def proof(self) -> str | None:
        after = self.network.counters(self.pairs)
        more = {what: after[what] - self.before[what] for what in after}
        return f"{more}" if more["dropped"] and more["overtaken"] else None
