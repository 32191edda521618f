"""How a hold begins and ends: asks for a lock, waits for it, and lets it go."""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from math import inf, isfinite
from typing import Any, Final

from msgspec import UNSET

from gorilla.client.asking import LAST_S, Answered, Asker
from gorilla.client.calls import Call, groups, locks
from gorilla.client.errands import ERRAND_S, About, Errands, about, is_interruption, undo
from gorilla.client.errors import (
    GorillaError,
    InvalidRequest,
    LockLost,
    LossReason,
    ModeConflict,
    NotFound,
    OutcomeUnknown,
    RequestRefused,
    SessionNotFound,
    Unavailable,
    WaitReplaced,
    WaitTimeout,
)
from gorilla.client.holding import Hold
from gorilla.client.keeping import Extension
from gorilla.client.kinds import Group, Kind, OneLock
from gorilla.client.patience import Patience
from gorilla.client.slices import AT_ONCE, Slice, ask as ask_slice
from gorilla.wire.asking import (
    EXCLUSIVE,
    RESOURCES_MAX,
    SHARED,
    AcquireAllBody,
    AcquireBody,
    GroupBody,
)
from gorilla.wire.bodies import LockBody

WAITED_SHARE: Final = 0.1
"""An answer that took longer than this share of the lease is followed by a question for its end."""

RELEASE_S: Final = 5.0
"""Longest time that the end of a block waits for its release (seconds)."""

HEARD_S: Final = 1.0
"""After so long a request that got no answer waits in the queue: it was heard (seconds)."""

LOOK_AGAIN_S: Final = 0.5
"""How long a request that was interrupted early may be on its way to be done (seconds)."""

UNDONE_S: Final = 5.0
"""How long at most what is given to somebody who was interrupted may outlive it (seconds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be held, and how.

    Attributes:
        resources: Names of locks.
        is_group: Whether they are held as several at once, even when it is one.
        timeout_s: Of the lease (seconds); None with a session: as long as that lives.
        wait_s: How long to queue (seconds); None: as long as it takes.
        extends: Whether to extend it in the background.
        max_lifetime_s: How long it is extended at most (seconds).

    """

    resources: tuple[str, ...]
    is_group: bool = False
    timeout_s: float | None
    wait_s: float | None = 0.0
    mode: str = EXCLUSIVE
    limit: int | None = None
    owner: str | None = None
    metadata: Any = None
    reason: str | None = None
    session: Hold | None = None
    extends: bool = True
    max_lifetime_s: float | None = None

    def __post_init__(self) -> None:
        """Check what can be checked here.

        Raises:
            ValueError: A value can't be; the message names it and says what it may be.

        """
        if not 1 <= len(self.resources) <= RESOURCES_MAX:
            raise ValueError(f"resources: name 1 to {RESOURCES_MAX} locks")
        if self.timeout_s is None and self.session is None:
            raise ValueError("timeout: say for how many seconds a lock outlives its last extension")
        _positive("timeout", self.timeout_s)
        _positive("max_lifetime", self.max_lifetime_s)
        if self.wait_s is not None and not (isfinite(self.wait_s) and self.wait_s >= 0):
            raise ValueError("wait: must be seconds, 0 or more; None waits as long as it takes")
        if self.mode not in {EXCLUSIVE, SHARED}:
            raise ValueError(f"mode: must be {EXCLUSIVE!r} or {SHARED!r}")

    @property
    def name(self) -> str:
        """What people read."""
        return ", ".join(self.resources)

    def call(self, owner: str, one: Slice = AT_ONCE, at_most_s: float = inf) -> Call[Any]:
        """Return the call that asks for it, for no longer than ``at_most_s``."""
        fields = self._fields(owner, one)
        if self.timeout_s is not None:
            fields["timeout"] = min(self.timeout_s, at_most_s)
        if self.is_group:
            return groups.acquire(AcquireAllBody(resources=self.resources, **fields))
        return locks.acquire(self.resources[0], AcquireBody(**fields))

    def kind_of(self, body: GroupBody | LockBody) -> "OneLock | Group":
        """Return what was given."""
        return Group(body) if isinstance(body, GroupBody) else OneLock(body)

    def release_of(self, body: GroupBody | LockBody) -> Call[None]:
        """Return the call that lets go of what was given."""
        if isinstance(body, GroupBody):
            return groups.release(body.group)
        return locks.release(body.resource, body.token)

    def _fields(self, owner: str, one: Slice) -> dict[str, Any]:
        """Return the fields of the request."""
        session = UNSET if self.session is None else self.session.secret
        return {
            "owner": owner,
            "timeout": _or_unset(self.timeout_s),
            "metadata": _or_unset(self.metadata),
            "wait": one.wait_s or UNSET,
            "keep_place": one.keep_s or UNSET,
            "mode": UNSET if self.mode == EXCLUSIVE else self.mode,
            "limit": _or_unset(self.limit),
            "session": session,
            "reason": _or_unset(self.reason),
        }


def _or_unset(value: object) -> object:
    return UNSET if value is None else value


def _positive(name: str, value: float | None) -> None:
    if value is not None and not (isfinite(value) and value > 0):
        raise ValueError(f"{name}: must be seconds, more than 0")


@dataclass(frozen=True, slots=True)
class Taken:
    """A hold that has begun."""

    hold: Hold
    kind: Kind[Any]


async def take(asker: Asker, errands: Errands, wanted: Wanted, owner: str) -> Taken:
    """Acquire what is wanted for ``owner``, and wait for it as long as that says.

    Whoever is interrupted leaves nothing behind: see :mod:`gorilla.client.errands`.

    Raises:
        GorillaError: Why not. After :class:`OutcomeUnknown` it may be held until its timeout; the
            same owner asking again gets the same lock.

    """
    patience = Patience(asker, wanted)
    while True:
        try:
            answered = await _ask(asker, errands, wanted, owner, patience.slice())
            if await _is_new(asker, errands, wanted, owner, answered.value):
                return await _begun(asker, errands, wanted, owner, answered)
        except ModeConflict as error:
            if not patience.is_own(error):
                raise
            await _clear(asker, errands, wanted, owner, error)
        except (WaitTimeout, WaitReplaced, InvalidRequest, Unavailable, OutcomeUnknown) as error:
            if not patience.is_left(error):
                raise
            if isinstance(error, Unavailable | OutcomeUnknown):
                await asker.pause(patience.pause_s())


async def _ask(
    asker: Asker, errands: Errands, wanted: Wanted, owner: str, one: Slice
) -> Answered[GroupBody | LockBody]:
    """Ask once; whoever is interrupted lets go of what was given, or leaves the queue."""
    call = wanted.call(owner, one)
    asked_s = asker.now_s()
    try:
        return await ask_slice(asker, one, call)
    except SessionNotFound as error:
        lost = None if wanted.session is None else wanted.session.lose(LossReason.NOT_FOUND)
        if lost is None:
            raise
        raise lost from error
    except BaseException as error:
        if is_interruption(error):
            give_back = partial(_give_back, asker, errands, wanted)
            looks, pause_s = _looks(wanted, owner, call, asker.now_s() - asked_s)
            errand = undo(asker, looks, give_back, pause_s)
            errands.begin(errand, about(wanted.resources, owner))
        raise


def _looks(
    wanted: Wanted, owner: str, call: Call[Any], after_s: float
) -> tuple[list[Call[Any]], float]:
    """Return how to find out what an interrupted ``call`` was given, and the pause in between."""
    # Without a wait the same owner is given what it was given before, or what is free just now: it
    # does not stand in the queue once more, where it would be in the way of others.
    look = wanted.call(owner, AT_ONCE, UNDONE_S)
    if not call.wait_s:
        return [call, look], 0.0
    if after_s >= HEARD_S:
        return [look], 0.0
    return [look, wanted.call(owner, AT_ONCE, UNDONE_S)], LOOK_AGAIN_S


async def _give_back(
    asker: Asker, errands: Errands, wanted: Wanted, body: GroupBody | LockBody
) -> None:
    """Release what was given to somebody who does not want it any more."""
    with errands.doubts.unless_definite(lambda: wanted.kind_of(body).secrets):
        release = wanted.release_of(body)
        await asker.ask(release, deadline_s=ERRAND_S, attempt_s=ERRAND_S / 2)


async def _clear(
    asker: Asker, errands: Errands, wanted: Wanted, owner: str, error: ModeConflict
) -> None:
    """Release what is left over of ``owner``: whoever asks for it as it is held is given it."""
    conflict = error.conflict
    assert conflict is not None
    limit = None if conflict.limit is UNSET else conflict.limit
    left = replace(
        wanted, resources=(conflict.resource,), is_group=False, mode=conflict.mode, limit=limit
    )
    look = left.call(owner, AT_ONCE, UNDONE_S)
    with suppress(RequestRefused):
        await undo(asker, [look], partial(_give_back, asker, errands, left))


async def _is_new(
    asker: Asker, errands: Errands, wanted: Wanted, owner: str, body: GroupBody | LockBody
) -> bool:
    """Return whether it was given anew; else end what is left over of an earlier hold."""
    kind: OneLock | Group = wanted.kind_of(body)
    given = kind.locks
    is_old = any(errands.numbers.is_old(lock.resource, owner, lock.fencing_token) for lock in given)
    if is_old or any(secret in errands.doubts for secret in kind.secrets):
        with suppress(NotFound):
            await asker.ask(wanted.release_of(body), deadline_s=RELEASE_S)
        errands.doubts.settle(kind.secrets)
        return False
    for lock in given:
        errands.numbers.note(lock.resource, owner, lock.fencing_token)
    return True


async def _begun(
    asker: Asker,
    errands: Errands,
    wanted: Wanted,
    owner: str,
    answered: Answered[Any],
) -> Taken:
    """Settle how long what was given surely lasts."""
    kind: OneLock | Group = wanted.kind_of(answered.value)
    kept = kind.read(answered.value)
    hold = Hold(
        resource=wanted.name,
        secret=kept.secret,
        fencing_token=kind.fencing_token,
        timeout_s=inf if wanted.timeout_s is None else wanted.timeout_s,
        sent_s=answered.sent_s,
        expires_s=inf if wanted.timeout_s is None else answered.sent_s + kept.left_s,
        session=wanted.session,
    )
    extension = Extension(asker, hold, kind)
    locks = about(wanted.resources, owner)
    if wanted.timeout_s is not None:
        try:
            await _count_from_now(asker, hold, kind, kept.left_s)
        except BaseException as error:
            if is_interruption(error):
                errands.begin(let_go(asker, errands, extension, locks, ERRAND_S), locks)
            raise
    if wanted.max_lifetime_s is not None:
        hold.ends_s = asker.now_s() + wanted.max_lifetime_s
    if hold.look(asker.now_s()) is not None:
        # It was granted, and was over before we could know.
        await let_go(asker, errands, extension, locks)
    hold.check(asker.now_s())
    return Taken(hold, kind)


async def _count_from_now(asker: Asker, hold: Hold, kind: Kind[Any], left_s: float) -> None:
    """After a wait: ask how long the lease lasts, since the request was sent long before its grant.

    Without an answer the count from the first request holds: it is short, and never too long.
    """
    took_s = asker.now_s() - hold.sent_s
    if took_s <= WAITED_SHARE * left_s:
        return
    deadline_s = max(0.1, left_s / 3)
    try:
        looked = await asker.ask(kind.status(hold), deadline_s=deadline_s)
    except NotFound:
        hold.lose(LossReason.NOT_FOUND)
    except GorillaError as error:
        hold.trouble = error
    else:
        hold.confirmed(hold.secret, looked.value.timeout, looked.sent_s)


async def let_go(
    asker: Asker,
    errands: Errands,
    extension: Extension,
    locks: About,
    deadline_s: float = RELEASE_S,
) -> None:
    """Release a hold of ``locks``, whatever is left of it; afterwards it counts as released.

    When it is interrupted it is done all the same, as an errand.

    Raises:
        LockLost: It was not held any more: somebody ended it.
        GorillaError: It could not be released, or nobody knows; it ends by itself in time.

    """
    hold = extension.hold
    hold.released()
    until_s = asker.now_s() + deadline_s
    try:
        with errands.doubts.unless_definite(lambda: extension.kind.secrets):
            await extension.settle(deadline_s)
            left_s = max(LAST_S, until_s - asker.now_s())
            await asker.ask(extension.kind.release(hold), deadline_s=left_s)
    except NotFound as error:
        lost = LockLost(hold.resource, hold.fencing_token, LossReason.NOT_FOUND)
        raise (hold.error or lost) from error
    except BaseException as error:
        if not isinstance(error, GorillaError) and deadline_s > ERRAND_S:
            errands.begin(let_go(asker, errands, extension, locks, ERRAND_S), locks)
        raise
