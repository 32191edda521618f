"""What can be held, and which calls of the API hold it: a lock, several at once, a session."""

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from msgspec import UNSET
from typing_extensions import override

from gorilla.client.calls import Call, groups, locks, sessions
from gorilla.client.holding import Hold
from gorilla.wire.asking import GroupBody
from gorilla.wire.bodies import LockBody, ReleaseRequestBody
from gorilla.wire.sessions import SessionBody, SessionStateBody

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kept:
    """What an answer says of a hold: the secret that proves it, and how long it lasts yet."""

    secret: str
    left_s: float


class Kind(Protocol[T]):
    """One kind of hold; ``T`` is the body that its answers have."""

    def extension(self, hold: Hold, timeout_s: float) -> Call[T]:
        """Return the call that lets it last ``timeout_s`` from now on."""

    def release(self, hold: Hold) -> Call[None]:
        """Return the call that lets it go."""

    def status(self, hold: Hold) -> "Call[Any]":
        """Return a read whose answer says how long it lasts."""

    def read(self, body: T) -> Kept:
        """Return what an answer says of it."""

    def note(self, body: T) -> bool:
        """Keep what else an extension's answer tells; whether all that was given is in it."""

    @property
    def numbers(self) -> set[int]:
        """The grants' numbers."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every secret by which some of it can be ended."""


class OneLock(Kind[LockBody]):
    """A lock."""

    def __init__(self, body: LockBody) -> None:
        """Begin with the answer that granted it."""
        self.body = body

    @override
    def extension(self, hold: Hold, timeout_s: float) -> Call[LockBody]:
        return locks.extend(self.body.resource, hold.secret, timeout_s)

    @override
    def release(self, hold: Hold) -> Call[None]:
        return locks.release(self.body.resource, hold.secret)

    @override
    def status(self, hold: Hold) -> Call[LockBody]:
        return locks.status(self.body.resource, hold.secret)

    @override
    def read(self, body: LockBody) -> Kept:
        return Kept(body.token, body.timeout)

    @override
    def note(self, body: LockBody) -> bool:
        self.body = body
        return True

    @property
    def locks(self) -> tuple[LockBody, ...]:
        """What was given."""
        return (self.body,)

    @property
    def fencing_token(self) -> int:
        """The grant's number."""
        return self.body.fencing_token

    @property
    @override
    def numbers(self) -> set[int]:
        return {self.body.fencing_token}

    @property
    @override
    def secrets(self) -> tuple[str, ...]:
        return (self.body.token,)

    @property
    def release_requested(self) -> ReleaseRequestBody | None:
        """Who asked the holder to let go, as the last answer said."""
        wish = self.body.release_requested
        return None if wish is UNSET else wish


class Group(Kind[GroupBody]):
    """Several locks that were given at once."""

    def __init__(self, body: GroupBody) -> None:
        """Begin with the answer that granted them."""
        self.body = body

    @override
    def extension(self, hold: Hold, timeout_s: float) -> Call[GroupBody]:
        return groups.extend(hold.secret, timeout_s)

    @override
    def release(self, hold: Hold) -> Call[None]:
        return groups.release(hold.secret)

    @override
    def status(self, hold: Hold) -> Call[LockBody]:
        first = min(self.body.locks, key=lambda lock: lock.timeout)
        return locks.status(first.resource, first.token)

    @override
    def read(self, body: GroupBody) -> Kept:
        return Kept(body.group, min(lock.timeout for lock in body.locks))

    @override
    def note(self, body: GroupBody) -> bool:
        is_whole = len(body.locks) == len(self.body.locks)
        self.body = body
        return is_whole

    @property
    def locks(self) -> tuple[LockBody, ...]:
        """What was given."""
        return self.body.locks

    @property
    def fencing_token(self) -> int:
        """The largest of the grants' numbers."""
        return max(self.numbers)

    @property
    @override
    def numbers(self) -> set[int]:
        return {lock.fencing_token for lock in self.body.locks}

    @property
    @override
    def secrets(self) -> tuple[str, ...]:
        return (self.body.group, *(lock.token for lock in self.body.locks))

    @property
    def release_requested(self) -> ReleaseRequestBody | None:
        """Who asked the holder to let go of one of them, as the last answer said."""
        wishes = (lock.release_requested for lock in self.body.locks)
        return next((wish for wish in wishes if wish is not UNSET), None)


class Life(Kind[SessionBody]):
    """The life of a session: what is held in it has no time of its own."""

    def __init__(self, body: SessionBody) -> None:
        """Begin with the answer that opened it."""
        self.body = body

    @override
    def extension(self, hold: Hold, timeout_s: float) -> Call[SessionBody]:
        return sessions.keep(hold.secret)

    @override
    def release(self, hold: Hold) -> Call[None]:
        return sessions.end(hold.secret)

    @override
    def status(self, hold: Hold) -> Call[SessionStateBody]:
        return sessions.show(hold.secret)

    @override
    def read(self, body: SessionBody) -> Kept:
        return Kept(body.id, body.remaining)

    @override
    def note(self, body: SessionBody) -> bool:
        self.body = body
        return True

    @property
    @override
    def numbers(self) -> set[int]:
        return set()

    @property
    @override
    def secrets(self) -> tuple[str, ...]:
        return (self.body.id,)
