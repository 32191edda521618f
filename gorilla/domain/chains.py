"""What keeps somebody who waits: the chain of who has what, and waits for what in turn."""

from collections.abc import Iterator
from itertools import islice, takewhile
from typing import Final

from gorilla.domain.commands import SHARED
from gorilla.domain.deadlocks import WaitGraph
from gorilla.domain.links import Link
from gorilla.domain.waiters import EXCLUSIVE, Party, Waiter, is_blocked

CHAIN_MAX: Final = 10
"""Steps of a chain that are told."""

LOOKED_AT_MAX: Final = 256
"""Waiters ahead that are looked at for one lock, and locks for one step."""

STEP_MAX: Final = 4 * LOOKED_AT_MAX
"""Waiters that are looked at for one step: the chain ends where they were not enough."""


def chain(graph: WaitGraph, party: Party) -> tuple[Link, ...]:
    """Follow the first wait of ``party`` that is kept from a lock, then who keeps it, and so on.

    A chain that comes back to itself ends with the link that closes it.
    """
    links: list[Link] = []
    seen = {party}
    while len(links) < CHAIN_MAX:
        step = _first_blocker(graph, party)
        if step is None:
            break
        party, link = step
        links.append(link)
        if party in seen:
            break
        seen.add(party)
    return tuple(links)


def in_the_way(graph: WaitGraph, waiter: Waiter, lock: str) -> Iterator[tuple[Party, bool]]:
    """Yield who keeps ``waiter`` from ``lock``, and whether it holds it; nobody when there is room.

    There is room beside sharers for a sharer, and beside fewer than a limit for one who counts: so
    not everybody who holds a lock, or came first, is in the way of all who wait.
    """
    holders, most = graph.holders(lock), graph.most(lock)
    queue = islice(graph.waiters.queue(lock).values(), LOOKED_AT_MAX)
    ahead = list(takewhile(lambda other: other.ticket != waiter.ticket, queue))
    before = len(holders) + len(ahead)
    # Who holds a lock for itself is its only holder.
    alone = bool(holders) and holders[0].slots == EXCLUSIVE
    alone = alone or any(other.slots == EXCLUSIVE for other in ahead)
    if not is_blocked(waiter.slots, before, most, before_alone=alone):
        return
    by_all = waiter.slots != SHARED or before >= most
    for lease in holders:
        if by_all or lease.slots == EXCLUSIVE:
            yield (lease.holder, lease.session), True
    for other in ahead:
        if by_all or other.slots == EXCLUSIVE:
            yield other.party, False


def _first_blocker(graph: WaitGraph, party: Party) -> tuple[Party, Link] | None:
    waits = graph.waiters.of_party(party)
    wanted = ((waiter, lock) for waiter in waits for lock in waiter.locks)
    looked_at = 0
    for waiter, lock in islice(wanted, LOOKED_AT_MAX):
        for blocker, holds in in_the_way(graph, waiter, lock):
            return blocker, Link(waiter.holder, lock, blocker[0], holds=holds)
        looked_at += min(LOOKED_AT_MAX, len(graph.waiters.queue(lock)))
        if looked_at >= STEP_MAX:
            return None
    return None
