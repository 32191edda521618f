"""What a client knows of a hold: until when it is surely its own, and when to extend it.

Pure: it is told the time, and does nothing by itself. Every point of time (``…_s``) is on the
client's own clock (``gorilla.client.clock``). Nobody else gets a lock before ``until_s``: each
answer is counted from the moment at which its request was sent, so the cluster's own count ends
later.
"""

import enum
from dataclasses import dataclass
from math import inf
from typing import Final

from gorilla.client.errors import LockLost, LossReason, SessionLost

EXTEND_AFTER: Final = 1 / 3
"""The share of its time after which a hold is extended: two more chances remain."""


class Standing(enum.Enum):
    """How a hold stands."""

    HELD = "held"
    LOST = "lost"
    RELEASED = "released"


@dataclass(slots=True)
class Hold:
    """One hold: of a lock, of several that were given at once, or the life of a session.

    Attributes:
        resource: Its name, for people and errors.
        secret: What proves it; an extension may replace it.
        fencing_token: The grant's number (of several the largest); 0 for a session.
        timeout_s: What the next extension asks for.
        sent_s: When the request was sent that ``expires_s`` is counted from.
        expires_s: Until when it is surely held; ``inf`` when that is for its session to say.
        ends_s: When it is no longer extended, because of its maximum lifetime.
        session: The life of the session that it lives in.

    """

    resource: str
    secret: str
    fencing_token: int
    timeout_s: float
    sent_s: float
    expires_s: float
    ends_s: float = inf
    session: "Hold | None" = None
    is_session: bool = False
    standing: Standing = Standing.HELD
    error: LockLost | None = None
    trouble: Exception | None = None
    """Why the last extension failed, for the error that says that it ran out."""

    @property
    def until_s(self) -> float:
        """Until when it is surely held."""
        return self.expires_s if self.session is None else min(self.expires_s, self.session.until_s)

    @property
    def is_held(self) -> bool:
        """Whether it is neither known to be lost nor released."""
        return self.standing is Standing.HELD

    def confirmed(self, secret: str, left_s: float, sent_s: float) -> None:
        """Take an answer that says how long it lasts, to a request sent at ``sent_s``.

        What was known before stays true: a lease is never cut short.
        """
        self.secret = secret
        self.trouble = None
        self.expires_s = max(self.expires_s, sent_s + left_s)
        self.sent_s = max(self.sent_s, sent_s)

    def remaining_s(self, now_s: float) -> float:
        """Return for how many more seconds it is surely held; 0 when it is over."""
        return max(0.0, self.until_s - now_s) if self.standing is Standing.HELD else 0.0

    def next_extension_s(self) -> float:
        """Return when to extend it; ``inf`` when there is nothing to gain."""
        if self.expires_s >= self.ends_s:
            return inf
        return self.sent_s + (self.expires_s - self.sent_s) * EXTEND_AFTER

    def extension_timeout_s(self, now_s: float) -> float:
        """Return the timeout to ask for now (seconds): not beyond the maximum lifetime."""
        return min(self.timeout_s, self.ends_s - now_s)

    def lose(self, reason: LossReason) -> LockLost | None:
        """Note that it is lost, and return why; None after its release, which is no loss."""
        if self.standing is Standing.HELD:
            self.standing = Standing.LOST
            kind = SessionLost if self.is_session else LockLost
            self.error = kind(self.resource, self.fencing_token, reason)
            self.error.__cause__ = self.trouble
        return self.error

    def look(self, now_s: float) -> LockLost | None:
        """Return why it is lost, if it is by now; None while it is held, or after its release."""
        if self.standing is not Standing.HELD:
            return self.error
        if self.session is not None and self.session.look(now_s) is not None:
            return self.lose(LossReason.SESSION)
        if self.session is not None and self.session.standing is Standing.RELEASED:
            return self.lose(LossReason.SESSION)
        if now_s >= self.expires_s:
            had_its_time = self.expires_s >= self.ends_s
            return self.lose(LossReason.LIFETIME if had_its_time else LossReason.EXPIRED)
        return None

    def released(self) -> None:
        """Note that it was let go on purpose."""
        if self.standing is Standing.HELD:
            self.standing = Standing.RELEASED

    def check(self, now_s: float) -> None:
        """Raise when it is not held.

        Raises:
            LockLost: It is lost, or was released.

        """
        error = self.look(now_s)
        if error is None and self.standing is Standing.RELEASED:
            kind = SessionLost if self.is_session else LockLost
            error = kind(self.resource, self.fencing_token, LossReason.RELEASED)
        if error is not None:
            raise error
