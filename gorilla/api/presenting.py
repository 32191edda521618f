"""What services say, in the words of the contract: bodies, and problems with their status."""

import logging
import math
from typing import Final

import msgspec

from gorilla.api.answers import PROBLEM_JSON, Answer, encode_json
from gorilla.api.requests import BrokenBodyError
from gorilla.api.routing import MethodNotAllowedError
from gorilla.domain.outcomes import (
    Full,
    Held,
    Lease,
    NotFound,
    NotHolder,
    Recovering,
    TtlTooShort,
)
from gorilla.service.errors import (
    ChangeRefusedError,
    DrainingError,
    MemberNotFoundError,
    NoLeaderError,
    NotServedError,
    OutcomeUnknownError,
    OverloadedError,
    StartingError,
)
from gorilla.service.locks import LeaseView
from gorilla.service.snapshots import ArchiveError, MaybeStoredError
from gorilla.wire.bodies import HeldLockBody, HolderBody, LockBody
from gorilla.wire.problems import PROBLEMS, ProblemCode, ProblemError
from gorilla.wire.times import seconds, timestamp

log = logging.getLogger(__name__)

Refusal = Held | NotFound | NotHolder | TtlTooShort | Full | Recovering

RETRY_AFTER_S_DEFAULT: Final = 1.0

_CODES: Final[tuple[tuple[type[NotServedError], ProblemCode], ...]] = (
    (NoLeaderError, ProblemCode.NO_QUORUM),
    (StartingError, ProblemCode.STARTING),
    (DrainingError, ProblemCode.DRAINING),
    (OverloadedError, ProblemCode.OVERLOADED),
    (NotServedError, ProblemCode.OVERLOADED),
)


def lock_body(lease: Lease, remaining_ms: int, expires_wall_ms: int) -> LockBody:
    """Present a lease to its holder."""
    return LockBody(
        id=lease.fencing_token,
        owner=lease.holder,
        resource=lease.lock,
        token=lease.secret,
        timeout=seconds(max(1, remaining_ms)),
        metadata=msgspec.Raw(lease.metadata),
        created_at=timestamp(lease.created_wall_ms),
        updated_at=timestamp(lease.updated_wall_ms),
        expire_at=timestamp(expires_wall_ms),
        fencing_token=lease.fencing_token,
    )


def held_lock_body(view: LeaseView) -> HeldLockBody:
    """Present a lease to everybody: without its secret."""
    lease = view.lease
    return HeldLockBody(
        id=lease.fencing_token,
        owner=lease.holder,
        resource=lease.lock,
        timeout=seconds(max(1, view.remaining_ms)),
        metadata=msgspec.Raw(lease.metadata),
        created_at=timestamp(lease.created_wall_ms),
        updated_at=timestamp(lease.updated_wall_ms),
        expire_at=timestamp(view.expires_wall_ms),
        fencing_token=lease.fencing_token,
    )


def refusal(outcome: Refusal) -> ProblemError:
    """Turn a refusal into the problem that it is answered with."""
    match outcome:
        case Held():
            return _held(outcome)
        case NotFound():
            return ProblemError(ProblemCode.LOCK_NOT_FOUND)
        case NotHolder():
            return ProblemError(ProblemCode.NOT_OWNER)
        case TtlTooShort():
            remaining = seconds(outcome.remaining_ms)
            return ProblemError(
                ProblemCode.TIMEOUT_TOO_SHORT,
                f"The new timeout is less than the {remaining} s that the lock has left; "
                "it can only be extended.",
                extra={"remaining": remaining},
            )
        case Full():
            return ProblemError(
                ProblemCode.OVERLOADED, f"The cluster's limit {outcome.bound} is reached."
            )
        case Recovering():
            return ProblemError(ProblemCode.RECOVERING, retry_after_s=outcome.remaining_ms / 1_000)


def _held(outcome: Held) -> ProblemError:
    holder = HolderBody(
        owner=outcome.holder,
        expire_at=timestamp(outcome.expires_wall_ms),
        fencing_token=outcome.fencing_token,
    )
    return ProblemError(
        ProblemCode.LOCK_HELD,
        extra={"holder": holder, "retryAfter": seconds(outcome.remaining_ms)},
    )


def problem_of(error: Exception, request_id: str) -> ProblemError:
    """Turn whatever went wrong into the problem that it is answered with.

    What nobody foresaw is logged here with the request id, and the caller is told no more than
    that id.
    """
    match error:
        case ProblemError():
            return error
        case NotServedError():
            code = next(code for kind, code in _CODES if isinstance(error, kind))
            return ProblemError(code, str(error), retry_after_s=error.retry_after_s)
        case MemberNotFoundError() | ChangeRefusedError():
            return _change_problem(error)
        case OutcomeUnknownError():
            return ProblemError(ProblemCode.OUTCOME_UNKNOWN, str(error))
        case ArchiveError():
            return _archive_problem(error)
        case _:
            log.error("request %s failed", request_id, exc_info=error)
            return ProblemError(ProblemCode.INTERNAL)


def _change_problem(error: MemberNotFoundError | ChangeRefusedError) -> ProblemError:
    if isinstance(error, MemberNotFoundError):
        return ProblemError(ProblemCode.MEMBER_NOT_FOUND, str(error))
    return ProblemError(ProblemCode.CHANGE_REFUSED, str(error), extra={"reason": error.reason})


def _archive_problem(error: ArchiveError) -> ProblemError:
    if isinstance(error, MaybeStoredError):
        detail = f"The snapshot may or may not have been stored: {error}."
        return ProblemError(ProblemCode.OUTCOME_UNKNOWN, detail)
    return ProblemError(ProblemCode.ARCHIVE_UNAVAILABLE, f"Nothing was done: {error}.")


def problem_answer(problem: ProblemError, request_id: str) -> Answer:
    """Answer with a problem."""
    kind = PROBLEMS[problem.code]
    detail = str(problem)
    body = {
        "type": f"urn:gorilla:problem:{problem.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "code": problem.code,
        "errorMessage": detail,
        "requestId": request_id,
        **problem.extra,
    }
    answer = Answer(
        kind.status, encode_json(body), PROBLEM_JSON, close=isinstance(problem, BrokenBodyError)
    )
    if kind.status in {429, 503}:
        retry_after_s = problem.retry_after_s or RETRY_AFTER_S_DEFAULT
        answer.add_header("Retry-After", str(max(1, math.ceil(retry_after_s))))
    if isinstance(problem, MethodNotAllowedError):
        answer.add_header("Allow", problem.allow)
    return answer
