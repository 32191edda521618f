"""Every problem code, its status and its words, in the one table that answers are made from.

A problem is an RFC 9457 document. Codes are stable: clients switch on them, so one is never
renamed and never changes its status.
"""

from enum import StrEnum
from typing import Final

import msgspec


class ProblemCode(StrEnum):
    """What went wrong, for machines."""

    INVALID_REQUEST = "invalid_request"
    INVALID_JSON = "invalid_json"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    LOCK_NOT_FOUND = "lock_not_found"
    SESSION_NOT_FOUND = "session_not_found"
    MEMBER_NOT_FOUND = "member_not_found"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    LOCK_HELD = "lock_held"
    NOT_OWNER = "not_owner"
    TIMEOUT_TOO_SHORT = "timeout_too_short"
    WAIT_TIMEOUT = "wait_timeout"
    DEADLOCK = "deadlock"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    MODE_CONFLICT = "mode_conflict"
    WAIT_REPLACED = "wait_replaced"
    COOLING_DOWN = "cooling_down"
    POLICY_REFUSED = "policy_refused"
    CHANGE_REFUSED = "change_refused"
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    RATE_LIMITED = "rate_limited"
    QUOTA_EXCEEDED = "quota_exceeded"
    INTERNAL = "internal"
    NO_QUORUM = "no_quorum"
    STARTING = "starting"
    DRAINING = "draining"
    OVERLOADED = "overloaded"
    RECOVERING = "recovering"
    NOT_LEADER = "not_leader"
    ARCHIVE_UNAVAILABLE = "archive_unavailable"
    OUTCOME_UNKNOWN = "outcome_unknown"


class ProblemKind(msgspec.Struct, frozen=True):
    """One row of the table."""

    status: int
    title: str
    detail: str
    """What the answer says when the place that found the problem has nothing more exact."""


PROBLEMS: Final[dict[ProblemCode, ProblemKind]] = {
    ProblemCode.INVALID_REQUEST: ProblemKind(
        400, "Invalid request", "The request has missing or invalid parts."
    ),
    ProblemCode.INVALID_JSON: ProblemKind(
        400, "Invalid JSON", "The body is not a JSON object in UTF-8."
    ),
    ProblemCode.UNAUTHENTICATED: ProblemKind(
        401, "Unauthenticated", "The request does not say who sends it."
    ),
    ProblemCode.FORBIDDEN: ProblemKind(403, "Forbidden", "The caller may not do this."),
    ProblemCode.LOCK_NOT_FOUND: ProblemKind(
        404, "Lock not found", "The token belongs to no lock of that resource."
    ),
    ProblemCode.SESSION_NOT_FOUND: ProblemKind(
        404,
        "Session not found",
        "There is no live session of that id: it was ended, it ran out, or it never was. "
        "Everything that lived in it is released; begin a new one.",
    ),
    ProblemCode.MEMBER_NOT_FOUND: ProblemKind(
        404, "Member not found", "The cluster has no member of that id or name."
    ),
    ProblemCode.NOT_FOUND: ProblemKind(404, "Not found", "There is nothing at this path."),
    ProblemCode.METHOD_NOT_ALLOWED: ProblemKind(
        405, "Method not allowed", "This path does not serve that method; see the Allow header."
    ),
    ProblemCode.LOCK_HELD: ProblemKind(409, "Lock held", "Another owner holds the lock."),
    ProblemCode.NOT_OWNER: ProblemKind(
        409, "Not the owner", "The lock is held, but not by the owner that the request names."
    ),
    ProblemCode.TIMEOUT_TOO_SHORT: ProblemKind(
        409,
        "Timeout too short",
        "The new timeout is less than the time that the lock has left; it can only be extended.",
    ),
    ProblemCode.WAIT_TIMEOUT: ProblemKind(
        409, "Waited in vain", "The lock did not become free while the request waited for it."
    ),
    ProblemCode.DEADLOCK: ProblemKind(
        409, "Deadlock", "Waiting would close a circle of owners that wait for each other."
    ),
    ProblemCode.IDEMPOTENCY_CONFLICT: ProblemKind(
        409, "Idempotency conflict", "The Idempotency-Key was used with another request."
    ),
    ProblemCode.MODE_CONFLICT: ProblemKind(
        409,
        "Mode conflict",
        "The lock is held, or queued for, in a way that does not go with what was asked for.",
    ),
    ProblemCode.WAIT_REPLACED: ProblemKind(
        409, "Wait replaced", "The same owner asked again, and waits with its newer request."
    ),
    ProblemCode.COOLING_DOWN: ProblemKind(
        409, "Cooling down", "The lock is free, and by its policy too early for its next grant."
    ),
    ProblemCode.POLICY_REFUSED: ProblemKind(
        409, "Policy refused", "The policy of the lock does not allow what was asked for."
    ),
    ProblemCode.CHANGE_REFUSED: ProblemKind(
        409,
        "Change refused",
        "The cluster would not be safe or usable after the change; nothing was changed.",
    ),
    ProblemCode.BODY_TOO_LARGE: ProblemKind(
        413, "Body too large", "The body is larger than 65536 bytes."
    ),
    ProblemCode.UNSUPPORTED_MEDIA_TYPE: ProblemKind(
        415, "Unsupported media type", "The body must be application/json in UTF-8, uncompressed."
    ),
    ProblemCode.RATE_LIMITED: ProblemKind(
        429, "Rate limited", "Too many requests; the Retry-After header says when to go on."
    ),
    ProblemCode.QUOTA_EXCEEDED: ProblemKind(
        429, "Quota exceeded", "There are too many of that kind already; nothing was done."
    ),
    ProblemCode.INTERNAL: ProblemKind(
        500, "Internal error", "Something failed that should not; the node's log has the requestId."
    ),
    ProblemCode.NO_QUORUM: ProblemKind(
        503, "No quorum", "No leader with a majority is known; nothing was done."
    ),
    ProblemCode.STARTING: ProblemKind(
        503, "Not ready", "The node is not ready for this yet; nothing was done."
    ),
    ProblemCode.DRAINING: ProblemKind(
        503, "Draining", "The node is stopping; nothing was done. Ask another node."
    ),
    ProblemCode.OVERLOADED: ProblemKind(
        503, "Overloaded", "A limit of the node or the cluster is reached; nothing was done."
    ),
    ProblemCode.NOT_LEADER: ProblemKind(
        503, "Not the leader", "The node is ready and does not lead; nothing was done."
    ),
    ProblemCode.ARCHIVE_UNAVAILABLE: ProblemKind(
        503,
        "Database unavailable",
        "The database of snapshots and history can't be used; nothing was done, and locks go on.",
    ),
    ProblemCode.RECOVERING: ProblemKind(
        503,
        "Recovering",
        "After a restore no lock is granted until every lost one must have ended; "
        "nothing was done.",
    ),
    ProblemCode.OUTCOME_UNKNOWN: ProblemKind(
        504,
        "Outcome unknown",
        "The command may or may not take effect; asking again is safe.",
    ),
}


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field of a request: of its body, path or query."""

    field: str
    message: str


class ProblemError(Exception):
    """A request that is answered with a problem.

    Raised while a request is read; refusals and failures of the service become one in
    ``gorilla.api.presenting``.
    """

    def __init__(
        self,
        code: ProblemCode,
        detail: str | None = None,
        *,
        extra: dict[str, object] | None = None,
        retry_after_s: float | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Name the problem.

        Args:
            code: Its row in the table.
            detail: Replaces the table's words when something more exact can be said.
            extra: Further members of the answer, by their JSON names.
            retry_after_s: Seconds after which asking again makes sense.
            headers: More headers of the answer.

        """
        super().__init__(detail or PROBLEMS[code].detail)
        self.code = code
        self.extra = extra or {}
        self.retry_after_s = retry_after_s
        self.headers = headers


class InvalidFieldsError(ProblemError):
    """The request names values that can't be; every one of them is in ``errors``."""

    def __init__(self, errors: list[FieldError]) -> None:
        """Say what is wrong with each field; ``errors`` must not be empty."""
        detail = "; ".join(f"{error.field}: {error.message}" for error in errors)
        super().__init__(ProblemCode.INVALID_REQUEST, detail, extra={"errors": errors})
        self.errors = errors
