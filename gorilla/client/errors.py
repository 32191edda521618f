"""Everything that the client raises, told apart by what became of the request.

- :class:`RequestRefused`: a definite answer, and it was no. Nothing was done.
- :class:`Unavailable`: no node could do it. Nothing was done.
- :class:`OutcomeUnknown`: nobody knows whether it was done. Asking again is safe.
- :class:`LockLost`: what was held is held no more.

Every error can be pickled, so it may come out of a pool of processes.
"""

from enum import StrEnum
from typing import TypeVar

import msgspec
from typing_extensions import override

from gorilla.wire.bodies import CheckBody, HolderBody
from gorilla.wire.looking import ExplanationBody, LinkBody
from gorilla.wire.problem_body import BrokenRuleBody, ConflictBody, PlaceBody, ProblemBody
from gorilla.wire.problems import FieldError

T = TypeVar("T")


class GorillaError(Exception):
    """Base of all errors of the client."""

    @override
    def __repr__(self) -> str:
        """Show what people read."""
        return f"{type(self).__name__}({str(self)!r})"


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer that was no success said."""

    code: str
    """A ``ProblemCode``; another string when the cluster is newer than this client."""
    status: int
    detail: str
    request_id: str = ""
    retry_after_s: float | None = None
    problem: ProblemBody | None = None
    """The whole answer; None when it was none of Gorilla's, or of a newer one."""
    lost: int = 0
    """How many attempts before got no answer."""


class RequestRefused(GorillaError):
    """The cluster refused; nothing was done. ``code`` says why, ``detail`` in words."""

    def __init__(self, refusal: Refusal) -> None:
        """Take what the answer said."""
        super().__init__(refusal)
        self.refusal = refusal

    @override
    def __str__(self) -> str:
        return self.refusal.detail

    @property
    def code(self) -> str:
        """Why, for machines: a ``ProblemCode``, or what a newer cluster calls it."""
        return self.refusal.code

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.refusal.status

    @property
    def detail(self) -> str:
        """Why, in words."""
        return self.refusal.detail

    @property
    def request_id(self) -> str:
        """What finds the request in the node's log."""
        return self.refusal.request_id

    @property
    def retry_after_s(self) -> float | None:
        """When asking again makes sense (seconds), if that is known."""
        return self.refusal.retry_after_s

    @property
    def problem(self) -> ProblemBody | None:
        """The whole answer, where this client can read it."""
        return self.refusal.problem


class InvalidRequest(RequestRefused):
    """The request has missing or invalid parts; mend it."""

    @property
    def errors(self) -> tuple[FieldError, ...]:
        """Every field that is wrong, with what it must be."""
        return _told(None if self.problem is None else self.problem.errors) or ()


class Unauthenticated(RequestRefused):
    """The request does not say who sends it."""


class Forbidden(RequestRefused):
    """The caller may not do this."""

    @property
    def policy(self) -> BrokenRuleBody | None:
        """Which rule of which policy refused, if one did."""
        return _told(None if self.problem is None else self.problem.policy)


class NotFound(RequestRefused):
    """There is no such thing."""


class LockNotFound(NotFound):
    """The token belongs to no lock of that resource: released, expired, forced, or extended."""


class SessionNotFound(NotFound):
    """There is no live session of that id; everything that lived in it is released."""


class MemberNotFound(NotFound):
    """The cluster has no member of that id or name."""


class Conflict(RequestRefused):
    """What was asked for does not go with how things stand."""

    @property
    def resource(self) -> str | None:
        """Which one of several locks it is about, if it says so."""
        return _told(None if self.problem is None else self.problem.resource)


class _InTheWay(Conflict):
    """Somebody is in the way."""

    @property
    def holder(self) -> HolderBody | None:
        """Who holds it."""
        return _told(None if self.problem is None else self.problem.holder)

    @property
    def explain(self) -> ExplanationBody | None:
        """All that is known of why."""
        return _told(None if self.problem is None else self.problem.explain)


class LockHeld(_InTheWay):
    """Another owner holds the lock, or queued for it before."""

    @property
    def reserved_for(self) -> str | None:
        """Who comes first in its queue, when that is what is in the way."""
        return _told(None if self.problem is None else self.problem.reserved_for)


class WaitTimeout(_InTheWay):
    """The lock did not become free while the request waited for it."""

    @property
    def waited_s(self) -> float | None:
        """How long it waited (seconds)."""
        return _told(None if self.problem is None else self.problem.waited)

    @property
    def place(self) -> PlaceBody | None:
        """Where in the queue it ended, if that is known."""
        return _told(None if self.problem is None else self.problem.place)


class Deadlock(Conflict):
    """Waiting would close a circle of owners that wait for each other."""

    @property
    def cycle(self) -> tuple[LinkBody, ...]:
        """Who waits for whom, round to the caller."""
        return _told(None if self.problem is None else self.problem.cycle) or ()


class NotOwner(Conflict):
    """The lock, or the session, is another owner's."""


class TimeoutTooShort(Conflict):
    """The lock has more time left than was asked for; it can only be extended."""

    @property
    def remaining_s(self) -> float | None:
        """How much it has left (seconds)."""
        return _told(None if self.problem is None else self.problem.remaining)


class IdempotencyConflict(Conflict):
    """The idempotency key was used with another request."""


class ModeConflict(Conflict):
    """The lock is held, or queued for, in another mode or with another limit."""

    @property
    def conflict(self) -> ConflictBody | None:
        """How they differ."""
        return _told(None if self.problem is None else self.problem.conflict)


class WaitReplaced(Conflict):
    """The same owner asked again, and waits with its newer request."""


class CoolingDown(Conflict):
    """The lock is free, and by its policy too early for its next grant."""


class PolicyRefused(Conflict):
    """The policy of the lock does not allow what was asked for."""

    @property
    def policy(self) -> BrokenRuleBody | None:
        """Which rule of which policy refused."""
        return _told(None if self.problem is None else self.problem.policy)


class ChangeRefused(Conflict):
    """The cluster would not be safe or usable after the change; nothing was changed."""

    @property
    def reason(self) -> str | None:
        """Why, for machines."""
        return _told(None if self.problem is None else self.problem.reason)

    @property
    def checks(self) -> tuple[CheckBody, ...]:
        """What was looked at."""
        return _told(None if self.problem is None else self.problem.checks) or ()


class QuotaExceeded(RequestRefused):
    """There are too many of that kind already."""

    @property
    def bound(self) -> str | None:
        """The name of the limit."""
        return _told(None if self.problem is None else self.problem.bound)


class RateLimited(RequestRefused):
    """Too many requests; ``retry_after_s`` says when to go on."""


class ServerError(RequestRefused):
    """Something failed in the node that should not; its log has the ``request_id``.

    Raised for reads only: after a write it is an :class:`OutcomeUnknown`.
    """


class UnexpectedAnswer(RequestRefused):
    """The answer is none of Gorilla's: there is something else at that address, or in the way."""


class _NoAnswer(GorillaError):
    """No definite answer came in time.

    Attributes:
        detail: What happened, in words.
        refusal: What the last node said; None when no answer came from it.
        attempts: How often it was tried.

    """

    def __init__(self, detail: str, refusal: Refusal | None = None, attempts: int = 0) -> None:
        """Say what happened."""
        super().__init__(detail, refusal, attempts)
        self.detail = detail
        self.refusal = refusal
        self.attempts = attempts

    @override
    def __str__(self) -> str:
        return self.detail

    @property
    def code(self) -> str | None:
        """What the last node said, for machines; None when no answer came from it."""
        return None if self.refusal is None else self.refusal.code

    @property
    def problem(self) -> ProblemBody | None:
        """All that the last node said."""
        return None if self.refusal is None else self.refusal.problem


class Unavailable(_NoAnswer):
    """No node could do it before the deadline; nothing was done, and nothing will be."""


class OutcomeUnknown(_NoAnswer):
    """The request may have been done, or may be yet; no definite answer came in time.

    Asking again is safe: under the same idempotency key the first answer comes again, and the same
    owner gets the same lock. What was granted unseen ends by itself after its timeout.
    """


class LossReason(StrEnum):
    """Why something is held no more."""

    EXPIRED = "expired"
    """Its time is over on the client's own clock: it could not be extended."""
    NOT_FOUND = "not_found"
    """The cluster does not know it any more: it ran out there, or somebody forced it away."""
    SESSION = "session"
    """The session that it lived in is over."""
    LIFETIME = "lifetime"
    """It was held for the longest time that was asked for."""
    RELEASED = "released"
    """It was released before: nothing is wrong, but it is not held."""
    CLOSED = "closed"
    """The client was closed."""


_WHY: dict[LossReason, str] = {
    LossReason.EXPIRED: "its time is over, and it could not be extended",
    LossReason.NOT_FOUND: "the cluster does not know it any more: it ran out, or was forced away",
    LossReason.SESSION: "its session is over",
    LossReason.LIFETIME: "it was held for as long as max_lifetime allows",
    LossReason.RELEASED: "it was released",
    LossReason.CLOSED: "the client was closed",
}


class LockLost(GorillaError):
    """A lock that was held is held no more: whatever it protects must stop."""

    def __init__(self, resource: str, fencing_token: int, reason: LossReason) -> None:
        """Say which, with its number, and why."""
        super().__init__(resource, fencing_token, reason)
        self.resource = resource
        self.fencing_token = fencing_token
        self.reason = reason

    @override
    def __str__(self) -> str:
        number = f" (fencing token {self.fencing_token})" if self.fencing_token else ""
        return f"{self.resource!r}{number} is not held any more: {_WHY[self.reason]}"


class SessionLost(LockLost):
    """A session is over, and everything that was held in it."""


class AlreadyHeld(GorillaError):
    """This client holds it already, under the same owner.

    The cluster would take the request for a retry and give the same lock again.
    """

    def __init__(self, resource: str, owner: str) -> None:
        """Say which, and under which owner."""
        super().__init__(resource, owner)
        self.resource = resource
        self.owner = owner

    @override
    def __str__(self) -> str:
        return (
            f"{self.owner!r} holds {self.resource!r} already, or asks for it just now: use what it "
            "holds, or name another owner"
        )


class ForkedError(GorillaError):
    """What was made before a fork was used in the child."""

    @override
    def __str__(self) -> str:
        return (
            "this was made in another process, before a fork: make a client in this one (locks "
            "stay with the process that acquired them)"
        )


class ClosedError(GorillaError):
    """The client was closed."""

    @override
    def __str__(self) -> str:
        return "the client is closed: make a new one"


def _told(value: msgspec.UnsetType | T | None) -> T | None:
    return None if isinstance(value, msgspec.UnsetType) else value
