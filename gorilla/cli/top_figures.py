"""What ``gorilla lock top`` knows: how things stand, and how long was held and waited of late."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from gorilla.cli.lock_views import given, held_s
from gorilla.cli.times import read_stamp
from gorilla.wire.bodies import ClusterBody, HeldLockBody, LockStateBody, WireBody
from gorilla.wire.events import (
    AcquiredEventBody,
    ExpiredEventBody,
    ForcedEventBody,
    ReleasedEventBody,
    StreamBody,
)
from gorilla.wire.history import HoldEntryBody, WaitEntryBody

SAMPLES_MAX: Final = 4_096
"""Holds, and waits, of which the lengths are remembered; the oldest are forgotten first."""


class Contended(WireBody, frozen=True, kw_only=True):
    """A lock that is waited for."""

    resource: str
    holder: str | None
    holders: int
    waiting: int
    longest_wait: float
    held: float
    left: float


class Waiting(WireBody, frozen=True, kw_only=True):
    """Somebody who waits."""

    resource: str
    owner: str
    position: int
    waited: float
    reason: str | None


class Held(WireBody, frozen=True, kw_only=True):
    """Somebody who holds a lock."""

    resource: str
    owner: str
    held: float
    left: float
    reason: str | None


class Lengths(WireBody, frozen=True, kw_only=True):
    """How long a lock was held, and waited for, of late (seconds)."""

    resource: str
    holds: int
    hold_median: float | None
    hold_longest: float | None
    waits: int
    wait_median: float | None
    wait_longest: float | None


class Standing(WireBody, frozen=True, kw_only=True):
    """All that a page shows, the most telling first."""

    cluster: ClusterBody
    contended: tuple[Contended, ...]
    waits: tuple[Waiting, ...]
    holds: tuple[Held, ...]
    lengths: tuple[Lengths, ...]


class Samples:
    """Lengths of holds and waits, one for each grant, however often it is told."""

    def __init__(self) -> None:
        """Begin with none."""
        self._holds: dict[int, tuple[str, float]] = {}
        self._waits: dict[int, tuple[str, float]] = {}

    def note_event(self, event: StreamBody) -> None:
        """Learn from what happened just now."""
        match event:
            case ReleasedEventBody() | ExpiredEventBody() | ForcedEventBody():
                _keep(self._holds, event.fencing_token, event.resource, event.held)
            case AcquiredEventBody() if event.waited:
                _keep(self._waits, event.fencing_token, event.resource, event.waited)
            case _:
                return

    def note_entry(self, entry: HoldEntryBody | WaitEntryBody) -> None:
        """Learn from what the history says."""
        if isinstance(entry, WaitEntryBody):
            return
        held, waited = given(entry.held), given(entry.waited)
        if held is not None:
            _keep(self._holds, entry.fencing_token, entry.resource, held)
        if waited is not None:
            _keep(self._waits, entry.fencing_token, entry.resource, waited)

    def lengths(self) -> tuple[Lengths, ...]:
        """Return what is known of each lock; those first that were waited for longest in all."""
        holds, waits = _by_lock(self._holds), _by_lock(self._waits)
        told = [
            Lengths(
                resource=resource,
                holds=len(holds.get(resource, ())),
                hold_median=_median(holds.get(resource, ())),
                hold_longest=max(holds.get(resource, ()), default=None),
                waits=len(waits.get(resource, ())),
                wait_median=_median(waits.get(resource, ())),
                wait_longest=max(waits.get(resource, ()), default=None),
            )
            for resource in sorted(holds.keys() | waits.keys())
        ]
        order = {one.resource: sum(waits.get(one.resource, ())) for one in told}
        return tuple(sorted(told, key=lambda one: (-order[one.resource], -one.holds)))


def _keep(samples: dict[int, tuple[str, float]], key: int, resource: str, seconds: float) -> None:
    samples.setdefault(key, (resource, seconds))
    while len(samples) > SAMPLES_MAX:
        del samples[next(iter(samples))]


def _by_lock(samples: dict[int, tuple[str, float]]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for resource, seconds in samples.values():
        found.setdefault(resource, []).append(seconds)
    return found


def _median(values: Sequence[float]) -> float | None:
    return sorted(values)[len(values) // 2] if values else None


def most_contended(locks: Iterable[HeldLockBody], count: int) -> list[str]:
    """Return the names of the locks that most wait for."""
    waiting = {one.resource: given(one.waiting) or 0 for one in locks}
    names = sorted(
        (name for name in waiting if waiting[name]), key=lambda one: (-waiting[one], one)
    )
    return names[:count]


def standing(
    cluster: ClusterBody,
    locks: Sequence[HeldLockBody],
    states: Sequence[LockStateBody],
    samples: Samples,
    now: datetime,
) -> Standing:
    """Put together what a page shows.

    Args:
        cluster: As a node sees it.
        locks: All that are held, as far as they were listed.
        states: Those that are waited for most.
        samples: What is known of the past.
        now: For waits of locks that nobody holds just then; else the cluster tells.

    """
    waits = [one for state in states for one in _waits_of(state, now)]
    return Standing(
        cluster=cluster,
        contended=tuple(_contended(state, now) for state in states if state.waiters),
        waits=tuple(sorted(waits, key=lambda one: (-one.waited, one.resource, one.position))),
        holds=tuple(
            sorted(map(_held, locks), key=lambda one: (-one.held, one.resource, one.owner))
        ),
        lengths=samples.lengths(),
    )


def _held(lock: HeldLockBody) -> Held:
    return Held(
        resource=lock.resource,
        owner=lock.owner,
        held=round(held_s(lock), 3),
        left=lock.timeout,
        reason=given(lock.reason),
    )


def _contended(state: LockStateBody, now: datetime) -> Contended:
    ends_first = min(state.holders, key=lambda one: one.timeout, default=None)
    return Contended(
        resource=state.resource,
        holder=None if ends_first is None else ends_first.owner,
        holders=len(state.holders),
        waiting=len(state.waiters) + (given(state.more_waiters) or 0),
        longest_wait=max((one.waited for one in _waits_of(state, now)), default=0.0),
        held=0.0 if ends_first is None else round(held_s(ends_first), 3),
        left=0.0 if ends_first is None else ends_first.timeout,
    )


def _waits_of(state: LockStateBody, now: datetime) -> list[Waiting]:
    moment = _moment(state, now)
    return [
        Waiting(
            resource=state.resource,
            owner=one.owner,
            position=one.position,
            waited=max(round((moment - read_stamp(one.since)).total_seconds(), 3), 0.0),
            reason=one.reason,
        )
        for one in state.waiters
    ]


def _moment(state: LockStateBody, now: datetime) -> datetime:
    """Return what time it is for the cluster, from what a hold has left."""
    for holder in state.holders:
        if holder.timeout:
            return datetime.fromtimestamp(
                read_stamp(holder.expire_at).timestamp() - holder.timeout, tz=now.tzinfo
            )
    return now


def plain(standing_: Standing, rows: int) -> Standing:
    """Return as many rows of each part as a program is told of."""
    return msgspec.structs.replace(
        standing_,
        contended=standing_.contended[:rows],
        waits=standing_.waits[:rows],
        holds=standing_.holds[:rows],
        lengths=standing_.lengths[:rows],
    )
