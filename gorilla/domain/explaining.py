"""Why a lock can't be had just now: who has it, what keeps them, who comes first."""

from typing import Final

import msgspec

from gorilla.domain.chains import chain
from gorilla.domain.lease_clock import remaining_ms
from gorilla.domain.links import Link
from gorilla.domain.looking import Looking
from gorilla.domain.outcomes import Lease
from gorilla.domain.waiters import Waiter

HOLDERS_SHOWN: Final = 10


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
    """Whoever else holds it, also the owner itself in another session."""
    own_ms: int | None = None
    """How long the owner's own hold lasts at most; None: it has none."""
    first_waits_for: tuple[Link, ...] = ()
    """What keeps the first of the queue, which may wait for more than this lock."""
    cooling_ms: int = 0
    estimate_ms: int | None = None
    """About how long it takes yet; None: not enough is known."""
    sentence: str = ""
    """All of it in words."""


def explain(
    table: Looking, lock: str, owner: str | None, now_ms: int, *, session: int | None = None
) -> Explanation:
    """Return what the state says, as of cluster time ``now_ms``; without an estimate.

    What ``owner`` holds in its ``session`` (0: in none; None: in any) is not in its own way.
    """
    queue = list(table.waiters.queue(lock).values())
    place = next((n for n, waiter in enumerate(queue) if waiter.holder == owner), None)
    ahead = len(queue) if place is None else place
    own: list[Lease] = []
    others: list[Lease] = []
    for lease in table.holders(lock):
        is_own = lease.holder == owner and session in (None, lease.session)
        (own if is_own else others).append(lease)
    first = queue[0] if ahead else None
    holders = tuple(_holder(table, lease, now_ms) for lease in others[:HOLDERS_SHOWN])
    found = Explanation(
        lock=lock,
        owner=owner,
        held=bool(table.holders(lock)),
        position=None if place is None else place + 1,
        ready=place is not None and table.has_turn(queue[place]),
        ahead=ahead,
        holders=holders,
        own_ms=max((remaining_ms(now_ms, table.ends_ms(lease)) for lease in own), default=None),
        first_waits_for=() if first is None else chain(table.graph, first.party),
        cooling_ms=max(0, table.cooling_until_ms(lock) - now_ms),
    )
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
        waits_for=chain(table.graph, (lease.holder, lease.session)),
    )


def _sentence(found: Explanation, holders: int, first: Waiter | None) -> str:
    who = "A newcomer" if found.owner is None else repr(found.owner)
    if found.ready:
        return f"It is the turn of {who}: {found.lock!r} is kept for it until it is taken."
    words = []
    if found.own_ms is not None:
        words.append(f"{who} has {found.lock!r} already, for {found.own_ms / 1_000:g} s more.")
    if found.holders or found.own_ms is None:
        words.append(_held_in_words(found, holders))
    if first is not None:
        come = "comes" if found.ahead == 1 else "come"
        words.append(f"{found.ahead} {come} first in the queue, {first.holder!r} before all.")
    if found.cooling_ms:
        words.append(f"Its policy allows the next grant in {found.cooling_ms / 1_000:g} s.")
    chains = [holder.waits_for for holder in found.holders]
    # Of the first in the queue only what this lock itself does not explain.
    chains += [found.first_waits_for] if not found.holders else []
    words += [_link_in_words(chain[0]) for chain in chains if chain]
    return " ".join(words)


def _link_in_words(link: Link) -> str:
    how = "has" if link.holds else "comes first for"
    return f"{link.waiter!r} itself waits for {link.lock!r}, which {link.holder!r} {how}."


def _held_in_words(found: Explanation, holders: int) -> str:
    if not found.holders:
        return f"Nobody else holds {found.lock!r}."
    first = found.holders[0]
    why = f" ({first.reason})" if first.reason else ""
    hold = f" and {holders - 1} more hold" if holders > 1 else " holds"
    left_s = first.remaining_ms / 1_000
    where = ", in another session or in none" if first.holder == found.owner else ""
    return (
        f"{first.holder!r}{why}{hold} {found.lock!r}{where}, for {left_s:g} s more at most, "
        "unless it is extended."
    )
