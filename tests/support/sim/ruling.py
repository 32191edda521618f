"""Operators who set policies and drop them again, while others queue for the locks they rule."""

import math
from typing import TYPE_CHECKING

from typing_extensions import override

from gorilla.domain.commands import Policy
from tests.support.sim.history import Asked, Result, Wish
from tests.support.sim.queueing import LIMIT, Call, Queuer, Told
from tests.support.sim.scheduler import NodeClock

if TYPE_CHECKING:
    from tests.support.sim.world import World

PAUSE_S = 0.35
"""Average pause between an answer and the next change."""
_RULES: dict[str, tuple[int, int]] = {
    "ttl_ms_max": (250, 1_500),
    "lifetime_ms_max": (400, 2_500),
    "wait_ms_max": (100, 3_000),
    "holders_max": (1, LIMIT + 1),
    "gap_ms": (50, 900),
}
"""Each rule that is a number, at least and at most."""


class Ruler(Queuer):
    """An operator. Rules more than one prefix at once now and then; drops all in the end."""

    def __init__(self, world: "World", name: str, clock: NodeClock) -> None:
        super().__init__(world, name, clock)
        self._ruled: list[str] = []
        """Prefixes that a policy may rule by its doing."""
        self._dropping_from = math.inf
        """From then on (true seconds) only drops are asked."""

    def rest(self) -> None:
        """Set no policies from now on, and drop what there may be."""
        self._dropping_from = self._world.scheduler.now

    def drop_all(self) -> None:
        """Drop every policy, and know it; whatever was set before this instant is decided."""
        self._dropping_from, self._ruled = self._world.scheduler.now, self._prefixes()

    @property
    def has_dropped_all(self) -> bool:
        """Whether it knows that nothing is ruled any more."""
        return not self._ruled

    def _prefixes(self) -> list[str]:
        resources = self._world.resources
        return ["", resources[0].rstrip("0123456789"), *resources]

    @override
    def _pause(self) -> None:
        self._world.scheduler.after(self._rng.expovariate(1 / PAUSE_S), self._step)

    @override
    def _choose(self) -> Wish:
        if self._world.scheduler.now >= self._dropping_from:
            return Wish(Asked.DROP, prefix=self._rng.choice(self._ruled or self._prefixes()))
        again, self._again = self._again, None
        if again is not None and self._rng.random() < 0.7:
            return again
        if self._ruled and self._rng.random() < 0.6:
            return self._keyed(Wish(Asked.DROP, prefix=self._rng.choice(self._ruled)))
        policy = self._policy(self._rng.choice(self._prefixes()))
        self._ruled = sorted({*self._ruled, policy.prefix})
        return self._keyed(Wish(Asked.RULE, prefix=policy.prefix, policy=policy))

    def _policy(self, prefix: str) -> Policy:
        rng = self._rng
        chosen = rng.sample(sorted(_RULES), rng.choice((0, 1, 1, 2, 3)))
        values = {rule: rng.randint(*_RULES[rule]) for rule in chosen}
        owners: tuple[str, ...] = ()
        if rng.random() < 0.25:
            names = [f"owner-{number}" for number in range(self._world.profile.clients)]
            owners = (*rng.sample(names, len(names) // 2), "own*" if rng.random() < 0.3 else "x*")
        return Policy(prefix, **values, owners=owners)

    @override
    def answered(self, call: Call, told: Told) -> None:
        ask = call.operation
        is_dropped = ask.kind is Asked.DROP and told.result in {Result.RULED, Result.NOT_FOUND}
        is_early = ask.invoked_at < self._dropping_from < math.inf
        if call.is_open and is_dropped and not is_early:
            self._ruled = [one for one in self._ruled if one != ask.wish.prefix]
        super().answered(call, told)
