"""What keeps somebody who waits: the chain of who has what, and waits for what in turn."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from gorilla.domain.commands import SHARED
from gorilla.domain.links import Link
from gorilla.domain.outcomes import Lease
from gorilla.domain.waiters import EXCLUSIVE, Party, Waiters

CHAIN_MAX: Final = 10
"""Steps of a chain that are told."""

LOOKED_AT_MAX: Final = 256
"""Holders, and waiters ahead, that are looked at for a step."""

Holders = Callable[[str], Sequence[Lease]]
"""Gives the leases of a lock."""


def chain(holders: Holders, waiters: Waiters, party: Party) -> tuple[Link, ...]:
    """Follow the first wait of ``party``, then that of whoever is in its way, and so on.

    A chain that comes back to itself ends with the link that closes it.
    """
    links: list[Link] = []
    seen = {party}
    while len(links) < CHAIN_MAX:
        step = _first_blocker(holders, waiters, party)
        if step is None:
            break
        party, link = step
        links.append(link)
        if party in seen:
            break
        seen.add(party)
    return tuple(links)


def _first_blocker(holders: Holders, waiters: Waiters, party: Party) -> tuple[Party, Link] | None:
    for waiter in waiters.of_party(party):
        for lock in waiter.locks:
            for lease in islice(holders(lock), LOOKED_AT_MAX):
                if waiter.slots != SHARED or lease.slots == EXCLUSIVE:
                    link = Link(waiter.holder, lock, lease.holder, holds=True)
                    return (lease.holder, lease.session), link
            for ahead in islice(waiters.queue(lock).values(), LOOKED_AT_MAX):
                if ahead.ticket == waiter.ticket:
                    break
                if waiter.slots != SHARED or ahead.slots != SHARED:
                    return ahead.party, Link(waiter.holder, lock, ahead.holder, holds=False)
    return None
