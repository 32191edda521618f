"""What went wrong, in the words of the contract: problems with their status."""

import logging
import math
from typing import Final

from gorilla.api.answers import PROBLEM_JSON, Answer, encode_json
from gorilla.api.requests import BrokenBodyError
from gorilla.api.routing import MethodNotAllowedError
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
from gorilla.service.snapshots import ArchiveError, MaybeStoredError
from gorilla.wire.problems import PROBLEMS, ProblemCode, ProblemError

log = logging.getLogger(__name__)

RETRY_AFTER_S_DEFAULT: Final = 1.0

_CODES: Final[tuple[tuple[type[NotServedError], ProblemCode], ...]] = (
    (NoLeaderError, ProblemCode.NO_QUORUM),
    (StartingError, ProblemCode.STARTING),
    (DrainingError, ProblemCode.DRAINING),
    (OverloadedError, ProblemCode.OVERLOADED),
    (NotServedError, ProblemCode.OVERLOADED),
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
    for name, value in problem.headers:
        answer.add_header(name, value)
    if isinstance(problem, MethodNotAllowedError):
        answer.add_header("Allow", problem.allow)
    return answer
