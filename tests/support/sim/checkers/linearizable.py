"""Answers about one resource are those of one lock, asked by everybody one after the other.

Each operation takes effect at one instant between its request and its answer (Wing and Gong's
search, with the memory of Lowe's). The lock of the model may expire by itself at any instant from
request time + timeout of its holder's clock on, and never before. An unknown outcome may have
happened at any time since its request, or never; it did not happen after the last entry with its
command was applied (without that the search would have too many cases).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tests.support.sim.history import History, Kind, Operation, Result

STEPS_MAX = 200_000
"""Search steps for one resource; a history that takes more is reported, never passed over."""


@dataclass(slots=True, frozen=True)
class Lock:
    """The model: one lock. None stands for "not known yet" where a lost answer told it."""

    holder: str | None = None
    fencing: int | None = None
    token: str | None = None
    live_until: float = -math.inf
    largest: int = 0
    """The largest number known to be granted before the present one, or as it."""


def check(history: History) -> Iterator[str]:
    """Yield every resource whose answers have no such order."""
    end_unanswered(history)
    by_resource: dict[str, list[Operation]] = {}
    for operation in history.operations:
        if operation.result not in {Result.DEFINITE, Result.NOT_NOW}:
            by_resource.setdefault(operation.resource, []).append(operation)
    for resource, operations in sorted(by_resource.items()):
        yield from _check_resource(resource, operations)


def end_unanswered(history: History) -> None:
    """Set until when each operation without an answer may have taken effect."""
    first_applied: dict[int, tuple[float, bytes]] = {}
    for applied in sorted(history.applied, key=lambda one: one.at):
        first_applied.setdefault(applied.index, (applied.at, applied.payload))
    entries = sorted(first_applied.values(), reverse=True)
    for operation in history.operations:
        mark = operation.mark
        if operation.result is Result.UNKNOWN and mark is not None:
            times = (at for at, payload in entries if mark in payload)
            operation.effect_by = next(times, -math.inf)


def _check_resource(resource: str, operations: list[Operation]) -> Iterator[str]:
    search = _Search(operations)
    if search.steps > STEPS_MAX:
        yield f"{resource}: undecided after {STEPS_MAX} steps of search"
    elif not search.found:
        stuck = "; ".join(str(one) for one in search.stuck)
        yield f"{resource}: no order explains the answers; stuck at {search.state} before {stuck}"


class _Search:
    """Depth first over (operations done, state of the lock)."""

    def __init__(self, operations: list[Operation]) -> None:
        self.operations = sorted(
            (one for one in operations if _matters(one)), key=lambda one: one.invoked_at
        )
        self.steps = 0
        self.found = False
        self.stuck: list[Operation] = []
        self.state = Lock()
        self._best = -1
        self._run()

    def _run(self) -> None:
        must = sum(1 << at for at, one in enumerate(self.operations) if one.returned_at < math.inf)
        seen: set[tuple[int, Lock]] = set()
        stack = [(0, -math.inf, Lock())]
        while stack and self.steps <= STEPS_MAX:
            done, now, lock = stack.pop()
            if done & must == must:
                self.found = True
                return
            if (done, lock) in seen:
                continue
            seen.add((done, lock))
            self.steps += 1
            candidates, frontier = self._candidates(done, now)
            self._remember(done & must, lock, candidates)
            for at in reversed(candidates):
                one = self.operations[at]
                then = max(now, one.invoked_at)
                states = _take(one, lock, frontier)
                stack.extend((done | 1 << at, then, after) for after in states)

    def _candidates(self, done: int, now: float) -> tuple[list[int], float]:
        """Return who may be next, and the instant by which the next one has happened.

        Args:
            done: Which operations have happened, as bits.
            now: The latest request among them: it is at least that late.

        """
        frontier = math.inf
        candidates: list[int] = []
        for at, one in enumerate(self.operations):
            if done >> at & 1 or one.effect_by < now:
                continue
            if one.invoked_at > frontier:
                break
            candidates.append(at)
            frontier = min(frontier, one.returned_at)
        return [at for at in candidates if self.operations[at].invoked_at <= frontier], frontier

    def _remember(self, done: int, lock: Lock, candidates: list[int]) -> None:
        """Keep how far the search got, to say where it was stuck."""
        if done.bit_count() > self._best:
            self._best = done.bit_count()
            self.state = lock
            self.stuck = [self.operations[at] for at in candidates]


def _matters(operation: Operation) -> bool:
    """An unanswered question has no effect; an unanswered command may."""
    is_command = operation.kind in {Kind.ACQUIRE, Kind.RELEASE, Kind.RENEW}
    return is_command or operation.result is not Result.UNKNOWN


def _take(operation: Operation, lock: Lock, frontier: float) -> Iterator[Lock]:
    """Yield what the lock may be after ``operation``, given that it answered as it did."""
    states = [lock]
    if lock.holder is not None and lock.live_until <= frontier:
        states.append(Lock(largest=lock.largest))
    for state in states:
        if operation.result is Result.UNKNOWN:
            after = _unanswered(operation, state)
        else:
            after = _ANSWERED[operation.kind](operation, state)
        if after is not None:
            yield after


def _unanswered(operation: Operation, lock: Lock) -> Lock | None:
    """Return the effect of a command without an answer; None when there is none to tell."""
    until = max(lock.live_until, operation.certain_until)
    if operation.kind is Kind.ACQUIRE:
        if lock.holder is None:
            return Lock(operation.client, None, None, operation.certain_until, lock.largest)
        after = replace(lock, live_until=until) if lock.holder == operation.client else lock
    elif lock.holder != operation.client or lock.token not in {None, operation.token}:
        return None
    elif operation.kind is Kind.RELEASE:
        return Lock(largest=lock.largest)
    else:
        after = replace(lock, token=None, live_until=until)
    return after if after != lock else None


def _acquire(operation: Operation, lock: Lock) -> Lock | None:
    if operation.result is Result.HELD:
        return _named(operation, lock) if lock.holder != operation.client else None
    if operation.result is not Result.GRANTED or operation.fencing is None:
        return None
    if lock.holder is None:
        if operation.fencing <= lock.largest:
            return None
        return Lock(
            operation.client,
            operation.fencing,
            operation.given_token,
            operation.certain_until,
            operation.fencing,
        )
    known = _named(operation, lock, operation.client)
    if known is None or known.token not in {None, operation.given_token}:
        return None
    until = max(lock.live_until, operation.certain_until)
    return replace(known, token=operation.given_token, live_until=until)


def _named(operation: Operation, lock: Lock, holder: str | None = None) -> Lock | None:
    """Return the lock with the number that the answer tells, None when it is another's."""
    if lock.holder is None or lock.holder != (holder or operation.holder):
        return None
    if lock.fencing is None:
        if operation.fencing is None or operation.fencing <= lock.largest:
            return None
        return replace(lock, fencing=operation.fencing, largest=operation.fencing)
    return lock if lock.fencing == operation.fencing else None


def _proves(operation: Operation, lock: Lock) -> Lock | None:
    """Return the lock when the token shown is, or may be, its own."""
    if lock.holder != operation.client or lock.token not in {None, operation.token}:
        return None
    return replace(lock, token=operation.token)


def _same_number(operation: Operation, lock: Lock) -> Lock | None:
    """Return the lock when its number is the one that the answer tells."""
    return lock if operation.fencing is None else _named(operation, lock, operation.client)


def _shown(operation: Operation, lock: Lock) -> Lock | None:
    """Return the lock after a release, renewal or status was answered."""
    if operation.result is Result.NOT_FOUND:
        return None if lock.holder is not None and lock.token == operation.token else lock
    known = _proves(operation, lock)
    if known is None:
        return None
    if operation.result is Result.RELEASED:
        return Lock(largest=known.largest)
    known = _same_number(operation, known)
    if known is None:
        return None
    if operation.result is Result.RENEWED:
        until = max(known.live_until, operation.certain_until)
        return replace(known, token=operation.given_token, live_until=until)
    return known if operation.result in {Result.VALID, Result.TOO_SHORT} else None


def _look(operation: Operation, lock: Lock) -> Lock | None:
    if operation.result is Result.FREE:
        return lock if lock.holder is None else None
    return _named(operation, lock)


_ANSWERED = {
    Kind.ACQUIRE: _acquire,
    Kind.RELEASE: _shown,
    Kind.RENEW: _shown,
    Kind.STATUS: _shown,
    Kind.LOOK: _look,
}
