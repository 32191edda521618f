"""Why a lock can't be had just now: who has it, what keeps them, who comes first."""

from typing import Final

import msgspec

from gorilla.domain.commands import SHARED
from gorilla.domain.lease_clock import remaining_ms
from gorilla.domain.looking import Looking
from gorilla.domain.outcomes import Lease, Link
from gorilla.domain.waiters import EXCLUSIVE, Party, Waiter

HOLDERS_SHOWN: Final = 10
CHAIN_MAX: Final = 10
"""Steps of a chain behind a holder that are told."""


class ExplainedHolder(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who holds the lock, and what keeps it from letting go."""

    holder: str
    since_wall_ms: int
    until_wall_ms: int
    """When its hold ends at the latest, unless it is extended."""
    remaining_ms: int
    held_ms: int
    reason: str
    fencing_token: int
    slots: int
    waits_for: tuple[Link, ...]
    """What it waits for itself, whoever has that waits for in turn, and so on."""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why an owner, or a newcomer, can't have a lock just now."""

    lock: str
    owner: str | None
    """From whose side; None: of a newcomer."""
    held: bool
    position: int | None = None
    """The owner's place in the queue, from 1; None: it does not queue."""
    ready: bool = False
    """Whether its turn has come."""
    ahead: int = 0
    """How many come before it in the queue."""
    holders: tuple[ExplainedHolder, ...] = ()
    cooling_ms: int = 0
    estimate_ms: int | None = None
    """About how long it takes yet; None: not enough is known."""
    sentence: str = ""
    """All of it in words."""


def explain(table: Looking, lock: str, owner: str | None, now_ms: int) -> Explanation:
    """Return what the state says, as of cluster time ``now_ms``; without an estimate."""
    queue = list(table.waiters.queue(lock).values())
    place = next((n for n, waiter in enumerate(queue) if waiter.holder == owner), None)
    ahead = len(queue) if place is None else place
    # An owner is not in its own way.
    others = [lease for lease in table.holders(lock) if lease.holder != owner]
    holders = tuple(_holder(table, lease, now_ms) for lease in others[:HOLDERS_SHOWN])
    found = Explanation(
        lock=lock,
        owner=owner,
        held=bool(table.holders(lock)),
        position=None if place is None else place + 1,
        ready=place is not None and bool(queue[place].claim_by_ms),
        ahead=ahead,
        holders=holders,
        cooling_ms=max(0, table.cooling_until_ms(lock) - now_ms),
    )
    first = queue[0] if ahead else None
    return msgspec.structs.replace(found, sentence=_sentence(found, len(others), first))


def _holder(table: Looking, lease: Lease, now_ms: int) -> ExplainedHolder:
    left_ms = remaining_ms(now_ms, table.ends_ms(lease))
    return ExplainedHolder(
        holder=lease.holder,
        since_wall_ms=lease.created_wall_ms,
        until_wall_ms=now_ms + table.wall_offset_ms + left_ms,
        remaining_ms=left_ms,
        held_ms=max(0, now_ms - lease.granted_ms),
        reason=lease.reason,
        fencing_token=lease.fencing_token,
        slots=lease.slots,
        waits_for=_chain(table, (lease.holder, lease.session)),
    )


def _chain(table: Looking, party: Party) -> tuple[Link, ...]:
    """Follow the first wait of ``party``, then that of whoever is in its way, and so on."""
    links: list[Link] = []
    seen = {party}
    while len(links) < CHAIN_MAX:
        step = _first_blocker(table, party)
        if step is None:
            break
        party, link = step
        links.append(link)
        if party in seen:
            break
        seen.add(party)
    return tuple(links)


def _first_blocker(table: Looking, party: Party) -> tuple[Party, Link] | None:
    for waiter in table.waiters.of_party(party):
        for lock in waiter.locks:
            for lease in table.holders(lock):
                if waiter.slots != SHARED or lease.slots == EXCLUSIVE:
                    link = Link(waiter.holder, lock, lease.holder, holds=True)
                    return (lease.holder, lease.session), link
            for ahead in table.waiters.queue(lock).values():
                if ahead.ticket == waiter.ticket:
                    break
                if waiter.slots != SHARED or ahead.slots != SHARED:
                    return ahead.party, Link(waiter.holder, lock, ahead.holder, holds=False)
    return None


def _sentence(found: Explanation, holders: int, first: Waiter | None) -> str:
    who = "A newcomer" if found.owner is None else repr(found.owner)
    if found.ready:
        return f"It is the turn of {who}: {found.lock!r} is kept for it until it is taken."
    words = [_held_in_words(found, holders)]
    if first is not None:
        words.append(f"{found.ahead} come first in the queue, {first.holder!r} before all.")
    if found.cooling_ms:
        words.append(f"Its policy allows the next grant in {found.cooling_ms / 1_000:g} s.")
    for holder in found.holders:
        if holder.waits_for:
            link = holder.waits_for[0]
            how = "has" if link.holds else "comes first for"
            words.append(
                f"{holder.holder!r} itself waits for {link.lock!r}, which {link.holder!r} {how}."
            )
    return " ".join(words)


def _held_in_words(found: Explanation, holders: int) -> str:
    if not found.holders:
        return f"Nobody else holds {found.lock!r}."
    first = found.holders[0]
    why = f" ({first.reason})" if first.reason else ""
    more = f" and {holders - 1} more" if holders > 1 else ""
    left_s = first.remaining_ms / 1_000
    return f"{first.holder!r}{why}{more} hold {found.lock!r}, for {left_s:g} s more at most."
