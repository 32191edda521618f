"""What is shown is what is so: who holds, who waits and in which place, why, and who was asked.

Every answer is compared with what the log says of the entry that the node had applied when it
read, event by event. A linearizable one is of no entry before the last that was applied anywhere
when it was asked for. Whoever holds a lock is asked to let go when somebody asks for that, and
sees it at its next extension, for as long as it holds.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from gorilla.domain.commands import AskRelease
from gorilla.domain.events import Acquired, ReleaseAsked
from gorilla.domain.explaining import HOLDERS_SHOWN, Explanation
from gorilla.domain.links import Link
from gorilla.domain.outcomes import Lease, ReleaseWished, Renewed, RenewedAll
from gorilla.service.locks import LeasePage, LockView
from gorilla.service.repairs import NumberCheck
from tests.support.sim.history import History, Look, Step
from tests.support.sim.lock_log import Held, Scene, State, Wait, fits, plain, scenes

Row = tuple[str, str, int, int, int]
"""Of a hold: lock, holder, session, slots, fencing token."""


@dataclass(slots=True)
class _Told:
    """What events said beside who holds and who waits."""

    largest: dict[str, int] = field(default_factory=dict)
    """By lock, the largest fencing token."""
    wishes: dict[int, tuple[str, str]] = field(default_factory=dict)
    """By fencing token, who asked for it last, and why."""


def check(history: History) -> Iterator[str]:
    """Yield every answer that does not show what is so, and every wish that got lost."""
    at, indices = [one.at for one in history.effects], [one.index for one in history.effects]
    looks: dict[int, list[Look]] = {}
    for look in history.looks:
        if look.answer is None:
            continue
        seen = bisect_right(indices, look.index)
        looks.setdefault(seen, []).append(look)
        if not look.is_stale and seen < bisect_right(at, look.invoked_at):
            yield f"is of the state at {look.index}, which was old: {look}"
    told, seen = _Told(), 0
    yield from _compared(State(), told, looks.get(0, []))
    for scene in scenes(history):
        yield from _followed(scene, told)
        if scene.step is None:
            seen += 1
            yield from _compared(scene.state, told, looks.get(seen, []))


def _followed(scene: Scene, told: _Told) -> Iterator[str]:
    """Take note of what a scene tells; object to wishes that are not left, or not seen."""
    match scene.event:
        case Acquired() as event:
            told.largest[event.lock] = event.fencing_token
        case ReleaseAsked() as event:
            told.wishes[event.fencing_token] = (event.by, event.reason)
        case None if scene.step is not None:
            yield from _done(scene, scene.step, told)


def _done(scene: Scene, step: Step, told: _Told) -> Iterator[str]:
    match step.outcome:
        case Renewed(lease=lease):
            yield from _wish_lost(scene, lease, told)
        case RenewedAll(leases=leases):
            for lease in leases:
                yield from _wish_lost(scene, lease, told)
        case ReleaseWished(holders=asked):
            assert step.command is not None
            command = plain(step.command)
            assert isinstance(command, AskRelease)
            held = scene.state.holders(command.lock)
            noted = {told.wishes.get(one.fencing) for one in held}
            owners = sorted(one.holder for one in held)
            if sorted(asked) != owners or noted - {(command.by, command.reason)}:
                yield f"at {scene.entry.index} {asked} were asked for what {held} have: {noted}"


def _wish_lost(scene: Scene, lease: Lease, told: _Told) -> Iterator[str]:
    if _wish(lease) != told.wishes.get(lease.fencing_token):
        wish = told.wishes.get(lease.fencing_token)
        yield f"at {scene.entry.index} extended, and not told of {wish}: {lease}"


def _wish(lease: Lease) -> tuple[str, str] | None:
    return None if lease.wish is None else (lease.wish.by, lease.wish.reason)


def _compared(state: State, told: _Told, looks: list[Look]) -> Iterator[str]:
    for look in looks:
        match look.answer:
            case LockView() as view:
                found = _shown(state, told, look, view)
            case LeasePage() as page:
                found = _listed(state, look, page)
            case NumberCheck() as number:
                found = _checked(state, told, look, number)
            case Explanation() as explanation:
                found = _explained(state, look, explanation)
        for text in found:
            yield f"at {look.index} {text}: {look}"


def _row(lease: Lease) -> Row:
    return (lease.lock, lease.holder, lease.session, lease.slots, lease.fencing_token)


def _rows(state: State, lock: str) -> list[Row]:
    held = sorted(state.holders(lock), key=lambda one: one.fencing)
    return [(lock, one.holder, one.session, one.slots, one.fencing) for one in held]


def _queue(state: State, lock: str) -> list[Wait]:
    return sorted(state.ahead(lock), key=lambda one: one.ticket)


def _shown(state: State, told: _Told, look: Look, view: LockView) -> Iterator[str]:
    rows, queue = _rows(state, look.lock), _queue(state, look.lock)
    if [_row(one.lease) for one in view.holders] != rows or view.held is not bool(rows):
        yield f"is held by {rows}"
    for one in view.holders:
        if _wish(one.lease) != told.wishes.get(one.lease.fencing_token):
            yield f"{one.lease.holder} was asked to let go otherwise than is shown"
    waiters = [(one.waiter.ticket, one.waiter.holder, one.position) for one in view.waiters]
    if waiters != [(one.ticket, one.holder, n) for n, one in enumerate(queue, 1)]:
        yield f"is waited for by {', '.join(map(str, queue))}"
    if view.fencing_token != told.largest.get(look.lock):
        yield f"was granted last as {told.largest.get(look.lock)}"
    everybody: list[Held | Wait] = [*state.holders(look.lock), *queue]
    if everybody and view.slots not in {one.slots for one in everybody}:
        yield "is of other slots"


def _listed(state: State, look: Look, page: LeasePage) -> Iterator[str]:
    """Compare a page: whole locks in order, at least as many as were asked for if there are."""
    locks = sorted(lock for lock in state.held if lock > look.lock)
    rows = [row for lock in locks for row in _rows(state, lock) if look.owner in {None, row[1]}]
    shown = [_row(one.lease) for one in page.leases]
    if shown != rows[: len(shown)]:
        yield f"does not begin as {rows}"
    is_short = look.owner is None and len(shown) < min(look.number, len(rows))
    if is_short or (page.cursor is None and shown != rows):
        yield f"ends too early; there are {rows}"
    if len(shown) < len(rows) and shown and rows[len(shown)][0] == shown[-1][0]:
        yield f"is cut within a lock; there are {rows}"
    for one in page.leases:
        lock = one.lease.lock
        if (one.holders, one.waiting) != (len(state.holders(lock)), len(state.ahead(lock))):
            yield f"{lock} is held and waited for by others in number"


def _checked(state: State, told: _Told, look: Look, number: NumberCheck) -> Iterator[str]:
    tokens = [one.fencing for one in state.holders(look.lock)]
    so = (look.number in tokens, bool(tokens), told.largest.get(look.lock))
    if (number.is_current, number.is_held, number.largest) != so:
        yield f"is held as {tokens}, {so}"


def _explained(state: State, look: Look, told: Explanation) -> Iterator[str]:
    queue = _queue(state, look.lock)
    place = next((n for n, one in enumerate(queue) if one.holder == look.owner), None)
    so = (None, len(queue)) if place is None else (place + 1, place)
    if (told.position, told.ahead) != so:
        yield f"stands at {place} of {len(queue)}"
    elif told.ready and (place is None or not state.is_eligible(queue[place])):
        yield "is not next"
    if told.cooling_ms > max(0, state.cooling.get(look.lock, 0) - state.now_ms):
        yield "is given again earlier"
    yield from _held_as_explained(state, look, told)
    if told.ahead:
        yield from _chained(state, queue[0].holder, queue[0].session, told.first_waits_for)


def _held_as_explained(state: State, look: Look, told: Explanation) -> Iterator[str]:
    rows = _rows(state, look.lock)
    others = [row for row in rows if row[1] != look.owner]
    shown = [(one.holder, one.slots, one.fencing_token) for one in told.holders]
    if shown != [(row[1], row[3], row[4]) for row in others[:HOLDERS_SHOWN]]:
        yield f"is held by {others}"
    if told.held is not bool(rows) or (told.own_ms is None) is (len(others) < len(rows)):
        yield f"is held by {rows}"
    if shown and not told.ready and repr(shown[0][0]) not in told.sentence:
        yield "is told in words otherwise"
    for holder, row in zip(told.holders, others, strict=False):
        yield from _chained(state, row[1], row[2], holder.waits_for)


def _chained(state: State, holder: str, session: int, links: tuple[Link, ...]) -> Iterator[str]:
    """Compare what keeps somebody: each link stands, and there is one if anything keeps it."""
    waits = [one for one in state.waits.values() if (one.holder, one.session) == (holder, session)]
    if not links and any(_is_kept(state, wait, lock) for wait in waits for lock in wait.locks):
        yield f"{holder} waits, too"
    if links and links[0].waiter != holder:
        yield f"the chain of {holder} begins elsewhere"
    yield from (f"does not stand: {link}" for link in links if not _stands(state, link))
    for link, following in pairwise(links):
        if link.holder != following.waiter:
            yield f"is broken behind {link}"


def _is_kept(state: State, wait: Wait, lock: str) -> bool:
    before = [one.slots for one in (*state.holders(lock), *state.ahead(lock, wait.ticket))]
    most = state.policy(lock).holders_max or math.inf
    return not fits(wait.slots, before) or len(before) >= most


def _stands(state: State, link: Link) -> bool:
    waits = [
        one
        for one in state.ahead(link.lock)
        if one.holder == link.waiter and _is_kept(state, one, link.lock)
    ]
    if link.holds:
        return bool(waits) and link.holder in [one.holder for one in state.holders(link.lock)]
    return any(
        other.holder == link.holder for one in waits for other in state.ahead(link.lock, one.ticket)
    )
