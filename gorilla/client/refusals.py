"""What an answer that is no success says, and which error it is raised as."""

from typing import Final

import msgspec

from gorilla.client import errors
from gorilla.client.errors import (
    GorillaError,
    OutcomeUnknown,
    Refusal,
    RequestRefused,
    Unavailable,
)
from gorilla.client.ports import HttpAnswer
from gorilla.wire.problem_body import ProblemBody
from gorilla.wire.problems import ProblemCode

PROBLEM_JSON: Final = "application/problem+json"

UNEXPECTED: Final = "unexpected_answer"
"""The code of a refusal that is none of Gorilla's."""

RETRY_AFTER_S_MAX: Final = 3_600.0

_SHOWN_CHARS: Final = 120

KINDS: Final[dict[ProblemCode, type[GorillaError]]] = {
    ProblemCode.INVALID_REQUEST: errors.InvalidRequest,
    ProblemCode.INVALID_JSON: errors.InvalidRequest,
    ProblemCode.UNAUTHENTICATED: errors.Unauthenticated,
    ProblemCode.FORBIDDEN: errors.Forbidden,
    ProblemCode.LOCK_NOT_FOUND: errors.LockNotFound,
    ProblemCode.SESSION_NOT_FOUND: errors.SessionNotFound,
    ProblemCode.MEMBER_NOT_FOUND: errors.MemberNotFound,
    ProblemCode.NOT_FOUND: errors.NotFound,
    ProblemCode.METHOD_NOT_ALLOWED: errors.InvalidRequest,
    ProblemCode.LOCK_HELD: errors.LockHeld,
    ProblemCode.NOT_OWNER: errors.NotOwner,
    ProblemCode.TIMEOUT_TOO_SHORT: errors.TimeoutTooShort,
    ProblemCode.WAIT_TIMEOUT: errors.WaitTimeout,
    ProblemCode.DEADLOCK: errors.Deadlock,
    ProblemCode.IDEMPOTENCY_CONFLICT: errors.IdempotencyConflict,
    ProblemCode.MODE_CONFLICT: errors.ModeConflict,
    ProblemCode.WAIT_REPLACED: errors.WaitReplaced,
    ProblemCode.COOLING_DOWN: errors.CoolingDown,
    ProblemCode.POLICY_REFUSED: errors.PolicyRefused,
    ProblemCode.CHANGE_REFUSED: errors.ChangeRefused,
    ProblemCode.BODY_TOO_LARGE: errors.InvalidRequest,
    ProblemCode.UNSUPPORTED_MEDIA_TYPE: errors.InvalidRequest,
    ProblemCode.RATE_LIMITED: errors.RateLimited,
    ProblemCode.QUOTA_EXCEEDED: errors.QuotaExceeded,
    ProblemCode.INTERNAL: errors.ServerError,
    ProblemCode.NO_QUORUM: Unavailable,
    ProblemCode.STARTING: Unavailable,
    ProblemCode.DRAINING: Unavailable,
    ProblemCode.OVERLOADED: Unavailable,
    ProblemCode.RECOVERING: Unavailable,
    ProblemCode.NOT_LEADER: Unavailable,
    ProblemCode.ARCHIVE_UNAVAILABLE: Unavailable,
    ProblemCode.OUTCOME_UNKNOWN: OutcomeUnknown,
}
"""What every code is raised as."""

_OF_STATUS: Final[dict[int, type[RequestRefused]]] = {
    400: errors.InvalidRequest,
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    429: errors.RateLimited,
}
"""What a code that this client does not know is raised as."""


def refusal_of(answer: HttpAnswer) -> Refusal | None:
    """Read a problem; None when the answer is none of Gorilla's.

    A problem of a newer cluster keeps its code as a string, and has no ``problem`` body.
    """
    if not answer.headers.get("content-type", "").startswith(PROBLEM_JSON):
        return None
    try:
        said = msgspec.json.decode(answer.body, type=_Said)
    except msgspec.MsgspecError:
        return None
    if said.status != answer.status or not said.code:
        return None
    try:
        problem = msgspec.json.decode(answer.body, type=ProblemBody)
    except msgspec.MsgspecError:
        problem = None
    return Refusal(
        code=said.code if problem is None else problem.code,
        status=said.status,
        detail=said.detail or said.title or said.code,
        request_id=said.request_id,
        retry_after_s=_retry_after_s(answer, problem),
        problem=problem,
    )


def stranger(answer: HttpAnswer) -> Refusal:
    """Tell of an answer that is none of Gorilla's."""
    beginning = answer.body[:_SHOWN_CHARS].decode(errors="replace")
    shown = "".join(char if char.isprintable() else " " for char in beginning).strip()
    return Refusal(
        code=UNEXPECTED,
        status=answer.status,
        detail=f"the answer is none of Gorilla's: status {answer.status}, {shown!r}",
        request_id=answer.headers.get("x-request-id", ""),
        retry_after_s=_retry_after_s(answer, None),
    )


def raised(refusal: Refusal) -> RequestRefused:
    """Return the error that a definite refusal is raised as."""
    if refusal.code == UNEXPECTED:
        return errors.UnexpectedAnswer(refusal)
    if refusal.code in KINDS:
        kind = KINDS[ProblemCode(refusal.code)]
        if issubclass(kind, RequestRefused):
            return kind(refusal)
    return _OF_STATUS.get(refusal.status, RequestRefused)(refusal)


class _Said(msgspec.Struct, rename="camel"):
    """What any problem says, of whatever release."""

    code: str
    status: int
    detail: str = ""
    title: str = ""
    request_id: str = ""


def _retry_after_s(answer: HttpAnswer, problem: ProblemBody | None) -> float | None:
    told = None if problem is None else problem.retry_after
    if isinstance(told, int | float):
        return float(told)
    text = answer.headers.get("retry-after", "")
    # A date, which proxies may send, is of a clock that isn't ours.
    is_number = text.isascii() and text.isdigit()
    return min(float(text[:9]), RETRY_AFTER_S_MAX) if is_number else None
