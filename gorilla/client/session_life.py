"""The life of a session, and what is held in it: one logic for both faces."""

import threading
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from msgspec import UNSET
from typing_extensions import override

from gorilla.client.asking import Asker
from gorilla.client.calls import sessions
from gorilla.client.ending import HeldBase, Registered, Wishes, log
from gorilla.client.errands import ERRAND_S, Errands, is_interruption, undo
from gorilla.client.errors import GorillaError, LockLost
from gorilla.client.holding import Hold
from gorilla.client.keeping import ATTEMPTS, Extension, Keeper
from gorilla.client.kinds import Life

if TYPE_CHECKING:
    from gorilla.wire.sessions import SessionBody

_PREFIX: Final = "session "


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedSession:
    """How a session is to live.

    Attributes:
        ttl_s: How long it outlives its last sign of life (seconds).
        owner: Whose it is; None: the program's.
        metadata: What others may read of it.

    """

    ttl_s: float
    owner: str | None = None
    metadata: object = None

    @property
    def resources(self) -> tuple[str, ...]:
        """A session is no lock."""
        return ()

    def __post_init__(self) -> None:
        """Check what can be checked here.

        Raises:
            ValueError: A value can't be.

        """
        if not (isfinite(self.ttl_s) and self.ttl_s > 0):
            raise ValueError("ttl: must be seconds, more than 0")


async def open_session(
    asker: Asker, errands: Errands, wanted: WantedSession, owner: str
) -> Extension:
    """Open a session.

    Whoever is interrupted leaves none behind: see :mod:`gorilla.client.errands`.

    Raises:
        GorillaError: Why not. After :class:`OutcomeUnknown` one may live until its ttl is over.

    """
    metadata = UNSET if wanted.metadata is None else wanted.metadata
    call = sessions.open(owner, wanted.ttl_s, metadata)
    try:
        answered = await asker.ask(call)
    except BaseException as error:
        if is_interruption(error):

            async def end(opened: "SessionBody") -> None:
                ending = sessions.end(opened.id)
                await asker.ask(ending, deadline_s=ERRAND_S, attempt_s=ERRAND_S / 2)

            errands.begin(undo(asker, [call], end), frozenset())
        raise
    given: SessionBody = answered.value
    hold = Hold(
        resource=f"{_PREFIX}{given.number}",
        secret=given.id,
        fencing_token=0,
        timeout_s=wanted.ttl_s,
        sent_s=answered.sent_s,
        expires_s=answered.sent_s + given.remaining,
        is_session=True,
    )
    return Extension(asker, hold, Life(given))


class SessionBase(HeldBase):
    """A session that lives, and knows what is held in it."""

    def __init__(
        self,
        extension: Extension,
        wanted: WantedSession,
        owner: str,
        keeper: Keeper,
        registered: Registered,
        wishes: Wishes,
    ) -> None:
        """Take over what was opened; nothing is held in it yet."""
        super().__init__(extension, wanted, owner, keeper, registered, wishes)
        self._guard = threading.Lock()
        self._within: WeakSet[HeldBase] = WeakSet()

    @property
    def id(self) -> str:
        """The secret that proves the session.

        Raises:
            SessionLost: It is over.

        """
        self.check()
        return self._hold.secret

    @property
    def number(self) -> int:
        """What others know it by."""
        assert isinstance(self._kind, Life)
        return self._kind.body.number

    @property
    def hold(self) -> Hold:
        """What is known of its life."""
        return self._hold

    def adopt(self, held: HeldBase) -> None:
        """Look after what is held in it."""
        with self._guard:
            self._within.add(held)

    def _children(self) -> list[HeldBase]:
        # Other threads acquire more of them meanwhile.
        with self._guard:
            return list(self._within)

    @override
    async def after_extension(self) -> None:
        """See whether all that is held in it still is: nothing else would tell of a forced lock."""
        children = [one for one in self._children() if one.is_kept_by_session]
        if children:
            # Its next sign of life must not wait for this.
            left_s = max(0.05, self._hold.next_extension_s() - self._asker.now_s())
            show = sessions.show(self._hold.secret)
            try:
                asked = await self._asker.ask(show, deadline_s=left_s, attempt_s=left_s / ATTEMPTS)
            except GorillaError as error:
                log.debug("%s could not be looked at: %s", self._hold.resource, error)
            else:
                numbers = {lock.fencing_token for lock in asked.value.locks}
                for one in children:
                    await one.compare(numbers)
        await super().after_extension()

    @override
    async def pass_on(self, error: LockLost) -> None:
        for one in self._children():
            lost = one.lost
            if lost is not None and not one.nudge():
                await one.tell_lost(lost)
