"""Takes the lock of ``gorilla run``, alone or in a session of its own, and lets it go."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gorilla.cli.failures import CommandError, Exit, explained
from gorilla.cli.guard_timing import timing_of
from gorilla.cli.run_task import Lease
from gorilla.client.errors import (
    CoolingDown,
    GorillaError,
    LockHeld,
    LockLost,
    OutcomeUnknown,
    RequestRefused,
    Unavailable,
)
from gorilla.client.options import LockOptions

if TYPE_CHECKING:
    from gorilla.client import Client
    from gorilla.client.locks_blocking import HeldLock
    from gorilla.client.making_blocking import HeldSession

FRESH_SHARE: Final = 0.9
"""A lease that has less than this left is extended before its command is started."""

AGAIN_S: Final = 1.0
"""Pause before a session is asked for again."""

LONG_S: Final = 10 * 365 * 24 * 3_600.0
"""As long as it takes, but for a cluster that can't be reached: that ends it."""

OnLost = Callable[[LockLost], object]
Remark = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which lock, and how.

    Attributes:
        resource: Its name.
        timeout_s: Length of its lease.
        wait_s: How long to queue for it; None: as long as it takes.
        outlives_outages: Whether to go on asking when no node can be reached.
        owner: Under whom.
        in_session: Whether it lives in a session of its own.
        kill_after_s: What the command has between SIGTERM and SIGKILL; None: what fits.

    """

    resource: str
    timeout_s: float
    wait_s: float | None
    outlives_outages: bool = False
    owner: str
    in_session: bool = False
    mode: str
    limit: int | None = None
    reason: str | None = None
    kill_after_s: float | None = None

    def lease(self) -> Lease:
        """Return how its lease is counted.

        Raises:
            CommandError: It is too short.

        """
        try:
            return Lease(self.timeout_s, timing_of(self.timeout_s, self.kill_after_s))
        except ValueError as error:
            raise CommandError(f"--timeout: {error}.") from error

    def options(self, wait_s: float | None, on_lost: OnLost) -> LockOptions:
        """Return what the client is asked for."""
        return LockOptions(
            timeout=None if self.in_session else self.timeout_s,
            wait=wait_s,
            mode=self.mode,
            limit=self.limit,
            owner=self.owner,
            reason=self.reason,
            on_lost=on_lost,
        )


class TakenGrip:
    """The lock that is held, with the session that it lives in, if it has one."""

    def __init__(
        self, held: "HeldLock", session: "HeldSession | None", wish: Wish, session_s: float
    ) -> None:
        """Hold it; :meth:`freshen` sees how it is counted.

        Args:
            held: The lock.
            session: What it lives in, if it does.
            wish: What was asked for.
            session_s: How long the session outlives each sign of life.

        """
        self._held = held
        self._session = session
        self._session_s = session_s
        self._fencing_token = held.fencing_token
        self.lease = wish.lease()
        self._wish = wish

    @property
    def lost(self) -> LockLost | None:
        """Why it is lost, if it is."""
        return self._held.lost

    @property
    def fencing_token(self) -> int:
        """The grant's number."""
        return self._fencing_token

    def remaining(self) -> float:
        """Return for how many more seconds it is surely held; raises LockLost."""
        return self._held.remaining()

    def freshen(self) -> None:
        """Extend it if it was waited for, and see how long the cluster lets it be.

        Raises:
            GorillaError: It could not be extended, or is lost.
            CommandError: The cluster allows shorter leases only, too short for what was asked.

        """
        if self._session is None and self._is_short(self.remaining()):
            self._held.extend()
        # A session is kept alive while its lock is waited for: what it began with is its length.
        granted_s = self.remaining() if self._session is None else self._session_s
        if self._is_short(granted_s):
            try:
                self.lease = replace(self._wish, timeout_s=granted_s).lease()
            except CommandError as error:
                message = (
                    f"The cluster lets this lock be held for {granted_s:.0f} s only: too short a "
                    "time to end a command in."
                )
                raise CommandError(message, Exit.REFUSED) from error

    def _is_short(self, seconds: float) -> bool:
        return seconds < FRESH_SHARE * self._wish.timeout_s

    def release(self) -> None:
        """Let it go, and end its session.

        Raises:
            LockLost: It was lost before.
            GorillaError: It could not be released, or nobody knows.

        """
        try:
            self._held.release()
        except GorillaError:
            with contextlib.suppress(GorillaError):  # the first trouble is what is told
                self._end_session()
            raise
        self._end_session()

    def _end_session(self) -> None:
        if self._session is not None:
            self._session.end()

    def facts(self, *, with_token: bool) -> dict[str, str]:
        """Return what the command is told in its environment; raises LockLost."""
        facts = {
            "GORILLA_LOCK_RESOURCE": self._held.resource,
            "GORILLA_LOCK_OWNER": self._held.owner,
            "GORILLA_FENCING_TOKEN": str(self.fencing_token),
        }
        if self._session is not None:
            facts["GORILLA_SESSION"] = self._session.id
        if with_token:
            facts["GORILLA_LOCK_TOKEN"] = self._held.token
        return facts


class Taker:
    """Takes the lock in a thread of its own; another thread may give up."""

    def __init__(self, client: "Client", wish: Wish, on_lost: OnLost, remark: Remark) -> None:
        """Take nothing yet.

        Args:
            client: Whom to ask with.
            wish: What.
            on_lost: Told when it is lost.
            remark: Told who is in the way.

        """
        self._client = client
        self._wish = wish
        self._on_lost = on_lost
        self._remark = remark
        self._session: HeldSession | None = None
        self._session_s = 0.0
        self._over = threading.Event()

    def take(self) -> TakenGrip:
        """Take the lock, waiting for it as long as the wish says.

        Raises:
            GorillaError: Why it can't be had.
            CommandError: The cluster allows only leases that are too short.

        """
        wish = self._wish
        if wish.in_session:
            self._session = self._opened()
            self._session_s = self._session.remaining()
        try:
            return self._fresh(self._waited())
        except BaseException as error:
            self._end_session()
            if isinstance(error, OutcomeUnknown) and not wish.in_session:
                self._remark(
                    f"If {wish.resource!r} was given to this run all the same, nobody else gets it"
                    f" for up to {wish.timeout_s:g} s."
                )
            raise

    def give_up(self, anew: "Callable[[], Client]") -> bool:
        """End a wait, and let go what may have been granted meanwhile.

        Args:
            anew: Makes another client: the one that waits hangs up.

        Returns:
            Whether nothing is held, for certain.

        """
        self._over.set()
        if self._wish.in_session:
            return self._end_session()
        self._client.hang_up()
        wish = self._wish
        try:
            client = anew()
            lock = client.acquire(
                wish.resource,
                owner=wish.owner,
                timeout=wish.timeout_s,
                mode=wish.mode,
                limit=wish.limit,
            )
            client.release(wish.resource, lock.token)
        except RequestRefused:
            return True
        except GorillaError:
            return False
        return True

    def _fresh(self, held: "HeldLock") -> TakenGrip:
        grip = TakenGrip(held, self._session, self._wish, self._session_s)
        try:
            grip.freshen()
        except BaseException:
            with contextlib.suppress(GorillaError):  # what went wrong before is what is told
                held.release()
            raise
        return grip

    def _opened(self) -> "HeldSession":
        wish = self._wish
        wanted = self._client.session(wish.timeout_s, owner=wish.owner, on_lost=self._on_lost)
        while True:
            try:
                return wanted.open()
            except (Unavailable, OutcomeUnknown):
                if not wish.outlives_outages:
                    raise
                self._over.wait(AGAIN_S)

    def _waited(self) -> "HeldLock":
        wish = self._wish
        if wish.wait_s == 0 or wish.outlives_outages:
            return self._asked(wish.wait_s)
        # Without a wait first: that there is no cluster, or who is in the way, is told soon.
        try:
            return self._asked(0)
        except (LockHeld, CoolingDown) as error:
            until = "" if wish.wait_s is None else f" up to {wish.wait_s:g} s"
            self._remark(f"Waiting{until}. {explained(error).sentence}")
        return self._asked(LONG_S if wish.wait_s is None else wish.wait_s)

    def _asked(self, wait_s: float | None) -> "HeldLock":
        maker = self._client if self._session is None else self._session
        return maker.lock(
            self._wish.resource, **self._wish.options(wait_s, self._on_lost)
        ).acquire()

    def _end_session(self) -> bool:
        if self._session is not None:
            try:
                self._session.end()
            except LockLost:
                return True
            except GorillaError:
                return False
        return True
