"""What services refuse, as problems of the contract."""

from functools import singledispatch
from typing import Final

from gorilla.api.showing import link_body
from gorilla.domain.commands import SHARED
from gorilla.domain.events import Left
from gorilla.domain.links import Link
from gorilla.domain.outcomes import (
    Clash,
    Cooling,
    Deadlock,
    Full,
    Held,
    KeyConflict,
    Mismatch,
    NotFound,
    NotHolder,
    PolicyRefused,
    Recovering,
    Reserved,
    Rule,
    SessionNotFound,
    TimedOut,
    TtlTooShort,
)
from gorilla.domain.waiters import EXCLUSIVE
from gorilla.service.waits import WaitEnded
from gorilla.wire.bodies import HolderBody
from gorilla.wire.idempotency import REPLAYED_HEADER
from gorilla.wire.problem_body import BrokenRuleBody, ConflictBody, PlaceBody
from gorilla.wire.problems import ProblemCode, ProblemError
from gorilla.wire.times import seconds, timestamp

REPLAYED: Final = ((REPLAYED_HEADER, "true"),)
"""Headers of an answer that is given again."""

FULL_RETRY_AFTER_S: Final = 5.0
"""When asking again makes sense where something must end first."""

_OVERLOADED: Final = {"locks_max", "fencing_token_max"}
"""Bounds of what is held at all, the published answer to which is 503."""

_CLASHES: Final = {
    Clash.UPGRADE: "The owner shares {lock} and wants it alone: release it first, then acquire it.",
    Clash.DOWNGRADE: "The owner has {lock} alone and wants to share it: release it first, then "
    "acquire it.",
    Clash.PARTLY_HELD: "The owner holds some of the locks, like {lock}, and not all of them: "
    "release what it holds first, or ask for the others alone.",
    Clash.HELD_APART: "The owner holds all of the locks, like {lock}, but was not given just these "
    "at once: extend and release them by their tokens, or release them first, then ask again.",
}


_LOST: Final = {
    Left.NODE_LOST: "This node lost touch with the cluster while the request waited, and with it "
    "its place in the queue; nothing was done: ask again.",
    Left.UNCLAIMED: "The turn came while this node was out of touch with the cluster, and passed; "
    "nothing was done: ask again.",
    Left.HUNG_UP: "The caller has gone; nothing was done.",
    Left.REFUSED: "When the turn came the cluster could not grant it; nothing was done: ask again.",
}


@singledispatch
def refusal(outcome: object) -> ProblemError:
    """Turn a refusal into the problem that it is answered with."""
    raise AssertionError(f"{type(outcome).__name__} is no refusal")


def refused(outcome: object, *, replayed: bool) -> ProblemError:
    """Do as :func:`refusal`, and say whether the answer is given again."""
    problem = refusal(outcome)
    if replayed:
        problem.headers += REPLAYED
    return problem


@refusal.register
def _held(outcome: Held) -> ProblemError:
    extra: dict[str, object] = {
        "holder": HolderBody(
            owner=outcome.holder,
            expire_at=timestamp(outcome.expires_wall_ms),
            fencing_token=outcome.fencing_token,
        ),
        "retryAfter": seconds(outcome.remaining_ms),
    }
    if not outcome.lock:
        return ProblemError(ProblemCode.LOCK_HELD, extra=extra)
    extra["resource"] = outcome.lock
    return ProblemError(
        ProblemCode.LOCK_HELD, f"Another owner holds {outcome.lock!r}.", extra=extra
    )


@refusal.register
def _reserved(outcome: Reserved) -> ProblemError:
    return ProblemError(
        ProblemCode.LOCK_HELD,
        f"{outcome.holder!r} queued for {outcome.lock!r} before and comes first; queue as well "
        "(wait), or ask again later.",
        extra={"resource": outcome.lock, "reservedFor": outcome.holder, "retryAfter": 1},
    )


@refusal.register
def _not_found(_outcome: NotFound) -> ProblemError:
    return ProblemError(ProblemCode.LOCK_NOT_FOUND)


@refusal.register
def _not_holder(_outcome: NotHolder) -> ProblemError:
    return ProblemError(ProblemCode.NOT_OWNER)


@refusal.register
def _too_short(outcome: TtlTooShort) -> ProblemError:
    remaining = seconds(outcome.remaining_ms)
    return ProblemError(
        ProblemCode.TIMEOUT_TOO_SHORT,
        f"The new timeout is less than the {remaining} s that the lock has left; "
        "it can only be extended.",
        extra={"remaining": remaining},
    )


@refusal.register
def _full(outcome: Full) -> ProblemError:
    detail = f"The cluster's limit {outcome.bound} is reached."
    if outcome.bound in _OVERLOADED:
        return ProblemError(ProblemCode.OVERLOADED, detail)
    return ProblemError(
        ProblemCode.QUOTA_EXCEEDED,
        f"{detail} Nothing was done.",
        extra={"bound": outcome.bound},
        retry_after_s=FULL_RETRY_AFTER_S,
    )


@refusal.register
def _recovering(outcome: Recovering) -> ProblemError:
    return ProblemError(ProblemCode.RECOVERING, retry_after_s=outcome.remaining_ms / 1_000)


@refusal.register
def _deadlock(outcome: Deadlock) -> ProblemError:
    words = "; ".join(map(_link_in_words, outcome.cycle))
    return ProblemError(
        ProblemCode.DEADLOCK,
        f"Waiting would close a circle: {words}. Release what you hold, then start over.",
        extra={"cycle": list(map(link_body, outcome.cycle))},
    )


def _link_in_words(link: Link) -> str:
    how = "holds" if link.holds else "queued for before"
    return f"{link.waiter!r} waits for {link.lock!r}, which {link.holder!r} {how}"


@refusal.register
def _mismatch(outcome: Mismatch) -> ProblemError:
    is_shared = outcome.slots == SHARED
    conflict = ConflictBody(
        resource=outcome.lock,
        why=outcome.why.value,
        mode="shared" if is_shared else "exclusive",
        **({} if is_shared else {"limit": outcome.slots}),
    )
    words = _CLASHES.get(outcome.why)
    detail = _other_slots(outcome) if words is None else words.format(lock=repr(outcome.lock))
    return ProblemError(ProblemCode.MODE_CONFLICT, detail, extra={"conflict": conflict})


def _other_slots(outcome: Mismatch) -> str:
    if outcome.slots == EXCLUSIVE:
        how = "mode exclusive, for one alone"
    else:
        how = "mode shared" if outcome.slots == SHARED else f"a limit of {outcome.slots}"
    return (
        f"{outcome.lock!r} is held, or queued for, with {how}: ask with the same until it is free."
    )


@refusal.register
def _policy_refused(outcome: PolicyRefused) -> ProblemError:
    which = f"The policy of the prefix {outcome.prefix!r}"
    if outcome.rule is Rule.OWNERS:
        rule = BrokenRuleBody(prefix=outcome.prefix, rule="owners")
        detail = f"{which} does not list this owner."
        return ProblemError(ProblemCode.FORBIDDEN, detail, extra={"policy": rule})
    rule = BrokenRuleBody(prefix=outcome.prefix, rule="maxHolders", allowed=outcome.allowed)
    return ProblemError(
        ProblemCode.POLICY_REFUSED,
        f"{which} allows {outcome.allowed} holders at once: ask for a lower limit.",
        extra={"policy": rule},
    )


@refusal.register
def _cooling(outcome: Cooling) -> ProblemError:
    left = seconds(outcome.remaining_ms)
    return ProblemError(
        ProblemCode.COOLING_DOWN,
        f"{outcome.lock!r} is free, and by its policy it is not granted again for {left} s; ask "
        "again then, or wait for it.",
        extra={"resource": outcome.lock, "retryAfter": left},
    )


@refusal.register
def _session_not_found(_outcome: SessionNotFound) -> ProblemError:
    return ProblemError(ProblemCode.SESSION_NOT_FOUND)


@refusal.register
def _key_conflict(_outcome: KeyConflict) -> ProblemError:
    return ProblemError(ProblemCode.IDEMPOTENCY_CONFLICT)


@refusal.register
def _timed_out(outcome: TimedOut) -> ProblemError:
    waited = seconds(outcome.waited_ms)
    return ProblemError(
        ProblemCode.WAIT_TIMEOUT,
        f"The turn had not come after {waited} s, and the place is given up: ask again, with a "
        "longer wait.",
        extra={"waited": waited},
    )


def _time_over(outcome: WaitEnded) -> ProblemError:
    problem, place = _timed_out(TimedOut(outcome.waited_ms)), outcome.place
    if place is None:
        return problem
    problem.extra["place"] = PlaceBody(position=place.position)
    if not place.kept_ms:
        return problem
    kept = seconds(place.kept_ms)
    body = PlaceBody(
        position=place.position, kept_for=kept, kept_until=timestamp(place.kept_until_wall_ms)
    )
    detail = (
        f"The turn had not come after {problem.extra['waited']} s. Place {place.position} in the "
        f"queue is kept for {kept} s: ask again as the same owner, and go on from there."
    )
    return ProblemError(problem.code, detail, extra={**problem.extra, "place": body})


@refusal.register
def _wait_ended(outcome: WaitEnded) -> ProblemError:
    if outcome.why is Left.TIMEOUT:
        return _time_over(outcome)
    if outcome.why is Left.REPLACED:
        return ProblemError(ProblemCode.WAIT_REPLACED)
    if outcome.why is Left.SESSION_ENDED:
        return ProblemError(ProblemCode.SESSION_NOT_FOUND)
    return ProblemError(ProblemCode.NO_QUORUM, _LOST[outcome.why], retry_after_s=1.0)
