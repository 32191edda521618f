"""Bugs to plant in what is shown: holders, queues, explanations, and what holders are asked."""

from contextlib import AbstractContextManager
from typing import Any

from msgspec.structs import replace

from gorilla.domain import chains, explaining, holding
from gorilla.service.reading import LockReader, LockView
from tests.support.sim.patching import replaced


def shown_without_the_last_waiter() -> AbstractContextManager[None]:
    """Leave whoever came last out of what is shown of a lock."""

    async def show(self: Any, lock: str, *, stale: bool = False) -> LockView:
        view = await original(self, lock, stale=stale)
        return replace(view, waiters=view.waiters[:-1])

    original = LockReader.show
    return replaced(LockReader, show=show)


def wish_lost_at_extension() -> AbstractContextManager[None]:
    """Forget at an extension that the holder was asked to let go."""

    def extended(*args: Any, **more: Any) -> Any:
        return replace(original(*args, **more), wish=None)

    original = holding.extended
    return replaced(holding, extended=extended)


def everybody_before_is_in_the_way() -> AbstractContextManager[None]:
    """Take whoever holds a lock for what keeps a waiter, also where there is room beside it."""

    def in_the_way(graph: Any, waiter: Any, lock: str) -> Any:
        for lease in graph.holders(lock):
            yield (lease.holder, lease.session), True
        yield from original(graph, waiter, lock)

    original = chains.in_the_way
    return replaced(chains, in_the_way=in_the_way)


def chain_not_followed() -> AbstractContextManager[None]:
    """Say of no holder that it waits itself."""
    return replaced(explaining, chain=lambda _graph, _party: ())


def stale_told_as_latest() -> AbstractContextManager[None]:
    """Answer every question from what the node has."""

    async def show(self: Any, lock: str, *, stale: bool = False) -> LockView:
        view = await original(self, lock, stale=True)
        return view if stale else replace(view, age_ms=None)

    original = LockReader.show
    return replaced(LockReader, show=show)
