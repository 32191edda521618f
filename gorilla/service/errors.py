"""Failures of the service. Refusals are values (``domain.outcomes``); these are the rest.

*Definite* failures promise that nothing was done and never will be; the one *indefinite* failure
is :class:`OutcomeUnknownError` (the distinction is Maelstrom's).
"""

from enum import StrEnum


class GorillaError(Exception):
    """Base of all errors that a caller may be told about."""


class NotServedError(GorillaError):
    """Definite: nothing was done. ``retry_after_s`` says when asking again makes sense."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        """Say why, and when to ask again (seconds)."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NoLeaderError(NotServedError):
    """No leader with a majority is known to this node, or it can't be reached."""


class StartingError(NotServedError):
    """The node has not caught up with the cluster yet."""


class DrainingError(NotServedError):
    """The node is stopping and takes no new requests."""


class OverloadedError(NotServedError):
    """A queue is at its bound."""


class ChangeRefusal(StrEnum):
    """Why a change of the cluster is refused; what operators read of them is in the docs."""

    UNDER_WAY = "under_way"
    NOT_NOW = "not_now"
    EXISTS = "exists"
    REMOVED = "removed"
    NEWCOMER_NOT_UP = "newcomer_not_up"
    NEWCOMER_DECLINED = "newcomer_declined"
    NOT_CAUGHT_UP = "not_caught_up"
    NO_QUORUM = "no_quorum"
    UNREACHABLE = "unreachable"
    NOT_TAKEN_OVER = "not_taken_over"
    LAST_MEMBER = "last_member"
    LAST_SERVING = "last_serving"
    UNSUPPORTED = "unsupported"


class ChangeRefusedError(GorillaError):
    """Definite: a change of the cluster must not be made; the message says what of it was done."""

    def __init__(self, reason: str, message: str) -> None:
        """Say why, in a word for programs and in a sentence with the remedy for people."""
        super().__init__(message)
        self.reason = reason


class MemberNotFoundError(GorillaError):
    """Definite: the roster has no member of this id or name."""


class OutcomeUnknownError(GorillaError):
    """Indefinite: the command was handed to consensus and no answer came before the deadline.

    It may still take effect. Asking again is safe: for acquire with the same owner, for release
    and extend because the token tells.
    """

    def __init__(self, waited_s: float) -> None:
        """Record how long was waited (seconds)."""
        super().__init__(
            f"no outcome after {waited_s:.1f} s: the command may or may not take effect"
        )
        self.waited_s = waited_s
