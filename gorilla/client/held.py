"""What both faces show of a hold, without asking anybody."""

import os
from typing import Any, NoReturn

from typing_extensions import override

from gorilla.client.errors import ForkedError, LockLost
from gorilla.client.holding import Hold, Standing
from gorilla.client.keeping import Extension
from gorilla.client.kinds import Group, Kind, OneLock
from gorilla.wire.bodies import LockBody, ReleaseRequestBody


class HeldView:
    """A hold, as its holder sees it.

    Every look at it but ``lost``, ``resource`` and ``owner`` raises :class:`LockLost` once it is
    lost, and :class:`ForkedError` in another process than the one that acquired it.
    """

    def __init__(self, extension: Extension, owner: str) -> None:
        """Show what ``extension`` extends."""
        self._extension = extension
        self._kind: Kind[Any] = extension.kind
        self._hold: Hold = extension.hold
        self._asker = extension.asker
        self._pid = os.getpid()
        self.owner = owner
        """Under which owner it is held."""

    @property
    def resource(self) -> str:
        """The lock's name; of several all names."""
        return self._hold.resource

    @property
    def lost(self) -> LockLost | None:
        """Why it is lost, or None; never raises."""
        return self._hold.look(self._asker.now_s())

    def check(self) -> None:
        """Return when the lock is surely held at this moment.

        Raises:
            LockLost: It is not: it is lost, or was released.

        """
        if os.getpid() != self._pid:
            raise ForkedError
        self._hold.check(self._asker.now_s())

    def remaining(self) -> float:
        """Return for how many more seconds the lock is surely held, on the own clock.

        It is counted from when the request was sent that the cluster last answered.

        Raises:
            LockLost: The lock is lost.

        """
        self.check()
        return self._hold.remaining_s(self._asker.now_s())

    @override
    def __repr__(self) -> str:
        """Show what it is, without its secret."""
        standing = self._hold.standing
        left = f", {self._hold.remaining_s(self._asker.now_s()):.3g} s left"
        end = left if standing is Standing.HELD and self.lost is None else ""
        return f"<{type(self).__name__} {self.resource!r} of {self.owner!r}: {standing.value}{end}>"

    @override
    def __reduce__(self) -> NoReturn:
        """Refuse to be copied: a copy would not be told when the lock is lost."""
        raise TypeError(
            f"a {type(self).__name__} can't be pickled or copied; pass on its resource and "
            "fencing_token, and let one process hold the lock"
        )


class LockView(HeldView):
    """A lock, as its holder sees it."""

    @property
    def fencing_token(self) -> int:
        """The grant's number; protected systems refuse smaller ones than they have seen.

        Raises:
            LockLost: The lock is lost.

        """
        self.check()
        return self._hold.fencing_token

    @property
    def token(self) -> str:
        """The secret that proves the hold; every extension replaces it.

        Raises:
            LockLost: The lock is lost.

        """
        self.check()
        return self._hold.secret

    @property
    def release_requested(self) -> ReleaseRequestBody | None:
        """Who asked for the lock, as of the last extension; None: nobody."""
        assert isinstance(self._kind, OneLock | Group)
        return self._kind.release_requested


class GroupView(LockView):
    """Several locks that were given at once, as their holder sees them."""

    @property
    def locks(self) -> tuple[LockBody, ...]:
        """What the last answer said of each.

        Raises:
            LockLost: They are lost.

        """
        self.check()
        assert isinstance(self._kind, Group)
        return self._kind.body.locks

    @property
    def fencing_tokens(self) -> dict[str, int]:
        """The grant's number of each lock, by its name.

        Raises:
            LockLost: They are lost.

        """
        return {lock.resource: lock.fencing_token for lock in self.locks}
