"""Failures of the service. Refusals are values (``domain.outcomes``); these are the rest.

*Definite* failures promise that nothing was done and never will be; the one *indefinite* failure
is :class:`OutcomeUnknownError` (the distinction is Maelstrom's).
"""


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


class ChangeRefusedError(GorillaError):
    """Definite: this change of the cluster must not be made; nothing of it was done."""

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
