"""Packets between nodes that are dropped, delayed and reordered. Clients reach every node."""

import asyncio
import contextlib
import itertools

from typing_extensions import override

from tests.support.chaos.nemesis import FOLLOWER_GAP_S_MAX, LEADER_S_MAX, Nemesis

Pairs = list[tuple[str, str]]

CARRIED_S = 0.05
"""Packets that the switch was just carrying when a rule changed have arrived by then."""


def between(ones: list[str], twos: list[str]) -> Pairs:
    """Both directions between two sides."""
    return [*itertools.product(ones, twos), *itertools.product(twos, ones)]


class Cut(Nemesis):
    """Nothing passes between some ordered pairs of nodes."""

    hold_s = 7.0
    pairs: Pairs

    async def choose(self) -> Pairs:
        raise AssertionError("nothing to cut")

    @override
    async def start(self) -> None:
        self.pairs = await self.choose()
        self.acts()
        self.network.set(self.pairs, drop=1.0)
        await asyncio.sleep(CARRIED_S)
        self.before = self.network.counters(self.pairs)

    @override
    async def proof(self) -> str | None:
        after = self.network.counters(self.pairs)
        dropped = after["dropped"] - self.before["dropped"]
        passed = after["passed"] - self.before["passed"]
        told = ", ".join(f"{one}->{two}" for one, two in self.pairs)
        return f"{told}: {dropped} packets dropped" if dropped and not passed else None

    @override
    async def heal(self) -> None:
        self.network.heal()


class CutOffLeader(Cut):
    """Nothing from it, nothing to it, or neither: another one leads soon."""

    gap_s_max = LEADER_S_MAX
    first_s_max = LEADER_S_MAX
    to_it, from_it = True, True

    @override
    async def choose(self) -> Pairs:
        leader = await self.environment.leader()
        self.without_majority = [leader]
        self.is_cut_off = self.to_it and self.from_it
        others = self.nodes.others(leader)
        to_it = list(itertools.product(others, [leader])) if self.to_it else []
        return to_it + (list(itertools.product([leader], others)) if self.from_it else [])


class IsolatedLeader(CutOffLeader):
    name = "isolate leader"


class DeafLeader(CutOffLeader):
    name = "deaf leader"
    from_it = False


class MuteLeader(CutOffLeader):
    name = "mute leader"
    to_it = False


class CutOffFollower(Cut):
    """Likewise; the leader stays, and stays when the follower comes back."""

    gap_s_max = FOLLOWER_GAP_S_MAX
    to_it, from_it = True, True

    @override
    async def choose(self) -> Pairs:
        follower = await self.follower()
        self.is_cut_off = self.to_it and self.from_it
        self.without_majority = [follower] if self.is_cut_off else []
        others = self.nodes.others(follower)
        to_it = list(itertools.product(others, [follower])) if self.to_it else []
        return to_it + (list(itertools.product([follower], others)) if self.from_it else [])


class IsolatedFollower(CutOffFollower):
    name = "isolate follower"


class DeafFollower(CutOffFollower):
    name = "deaf follower"
    from_it = False


class MuteFollower(CutOffFollower):
    name = "mute follower"
    to_it = False


class OneWay(Cut):
    """The leader's packets to one follower are lost; everything else arrives."""

    name = "one way"
    gap_s_max = FOLLOWER_GAP_S_MAX

    @override
    async def choose(self) -> Pairs:
        leader = await self.environment.leader()
        return [(leader, self.rng.choice(self.nodes.others(leader)))]


class Minority(Cut):
    """The leader and as many as do not make a majority, against the rest."""

    name = "leader in minority"
    nodes_min = 5
    gap_s_max = LEADER_S_MAX
    first_s_max = LEADER_S_MAX
    has_leader = True

    @override
    async def choose(self) -> Pairs:
        leader = await self.environment.leader()
        others = self.nodes.others(leader)
        few = len(others) // 2
        few_others = self.rng.sample(others, few - self.has_leader)
        self.without_majority = [leader, *few_others] if self.has_leader else few_others
        self.is_cut_off = True
        return between(self.without_majority, self.nodes.others(*self.without_majority))


class MinorityOfFollowers(Minority):
    name = "leader in majority"
    gap_s_max = FOLLOWER_GAP_S_MAX
    first_s_max = None
    has_leader = False


class Bridge(Cut):
    """Two sides hear each other no more; one node in the middle hears all. The leader can stay."""

    name = "bridge"
    gap_s_max = LEADER_S_MAX

    @override
    async def choose(self) -> Pairs:
        leader = await self.environment.leader()
        others = self.nodes.others(leader)
        self.rng.shuffle(others)
        side = len(self.nodes.names) // 2
        return between([leader, *others[: side - 1]], others[side:])


class Star(Cut):
    """Only one node, not the leader, hears all; the others hear it alone."""

    name = "star"
    nodes_min = 5
    gap_s_max = 8.0
    """As a rule it leads within 3 s; its log must not be behind, which may take a try more."""
    hold_s = 10.0

    @override
    async def choose(self) -> Pairs:
        middle = await self.follower()
        return list(itertools.permutations(self.nodes.others(middle), 2))


class Ring(Cut):
    """Each node hears two neighbours only: that is a majority."""

    name = "ring"
    nodes_min = 5
    gap_s_max = LEADER_S_MAX

    @override
    async def choose(self) -> Pairs:
        names = self.rng.sample(self.nodes.names, len(self.nodes.names))
        places = {name: at for at, name in enumerate(names)}
        apart = range(2, len(names) - 1)
        pairs = itertools.permutations(names, 2)
        return [(a, b) for a, b in pairs if (places[a] - places[b]) % len(names) in apart]


class Flapping(Cut):
    """The links of one node come and go faster than, and about as fast as, elections."""

    hold_s = 8.0

    @override
    async def start(self) -> None:
        self.pairs = await self.choose()
        self.before = self.network.counters(self.pairs)
        self.faults = 0
        self.acts()
        self._flapping = asyncio.create_task(self._flap())

    async def _flap(self) -> None:
        while True:
            self.faults += 1
            self.network.set(self.pairs, drop=float(self.faults % 2))
            await asyncio.sleep(self.rng.uniform(0.1, 1.5))

    @override
    async def proof(self) -> str | None:
        after = self.network.counters(self.pairs)
        more = {what: after[what] - self.before[what] for what in ("passed", "dropped")}
        has_acted = self.faults > 3 and all(more.values())
        node = self.pairs[0][0]
        return f"{self.faults} flips of {node}, packets: {more}" if has_acted else None

    @override
    async def heal(self) -> None:
        self._flapping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._flapping
        await super().heal()


class FlappingLeader(Flapping):
    name = "flapping leader"

    @override
    async def choose(self) -> Pairs:
        leader = await self.environment.leader()
        return between([leader], self.nodes.others(leader))


class FlappingFollower(Flapping):
    name = "flapping follower"
    gap_s_max = FOLLOWER_GAP_S_MAX

    @override
    async def choose(self) -> Pairs:
        follower = await self.follower()
        return between([follower], self.nodes.others(follower))


class Weather(Cut):
    """Delay with so much jitter that packets overtake each other, and loss."""

    name = "delay and loss"

    @override
    async def start(self) -> None:
        self.pairs = list(itertools.permutations(self.nodes.names, 2))
        self.before = self.network.counters(self.pairs)
        self.acts()
        self.network.set(self.pairs, drop=0.03, delay_s=0.005, jitter_s=0.03)

    @override
    async def proof(self) -> str | None:
        after = self.network.counters(self.pairs)
        more = {what: after[what] - self.before[what] for what in after}
        told = ", ".join(f"{count} {what}" for what, count in more.items())
        return f"packets: {told}" if more["dropped"] and more["overtaken"] else None


ALL: tuple[type[Nemesis], ...] = (
    IsolatedLeader,
    DeafLeader,
    MuteLeader,
    IsolatedFollower,
    DeafFollower,
    MuteFollower,
    OneWay,
    Minority,
    MinorityOfFollowers,
    Bridge,
    Star,
    Ring,
    FlappingLeader,
    FlappingFollower,
    Weather,
)
