"""How a hold begins, goes on and ends, seen from the program: one logic for both faces."""

import inspect
import logging
import os
import warnings
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from gorilla.client.asking import Asker
from gorilla.client.errands import ERRAND_S, about
from gorilla.client.errors import ForkedError, GorillaError, LockLost, LossReason, NotFound
from gorilla.client.held import HeldView
from gorilla.client.holding import Hold, Standing
from gorilla.client.keeping import Extension, Keeper
from gorilla.client.owners import Registry
from gorilla.client.taking import Wanted, let_go, take
from gorilla.wire.bodies import LockBody
from gorilla.wire.sessions import SessionStateBody

if TYPE_CHECKING:
    from gorilla.client.calls import Call

T = TypeVar("T")

log: Final = logging.getLogger("gorilla.client")

_MAY_BE_LEFT: Final = frozenset({LossReason.EXPIRED, LossReason.LIFETIME, LossReason.NOT_FOUND})
"""After these the cluster may hold something yet: one of several locks, or a moment longer."""

OnLost = Callable[[LockLost], object]
OnExtended = Callable[["HeldBase"], object]
Registered = Registry["HeldBase"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the program wants to be told of."""

    on_lost: OnLost | None = None
    on_extended: OnExtended | None = None
    cancels: bool = False
    """Whether the body is to be cancelled when the lock is lost."""

    @property
    def is_told(self) -> bool:
        """Whether somebody wants to know at once that it is lost."""
        return self.on_lost is not None or self.cancels


class WhatToHold(Protocol):
    """What was asked for."""

    @property
    def resources(self) -> tuple[str, ...]:
        """Names of what is held."""


class HeldBase(HeldView):
    """A hold with everything that is done with it; the faces say how it is run."""

    def __init__(
        self,
        extension: Extension,
        wanted: WhatToHold,
        owner: str,
        keeper: Keeper | None,
        registered: Registered,
        wishes: Wishes,
    ) -> None:
        """Take over what was granted.

        Args:
            extension: Of the hold.
            wanted: What was asked for.
            owner: For whom.
            keeper: Who looks after it; None: nobody has to.
            registered: What the client holds.
            wishes: What the program wants to be told of.

        """
        super().__init__(extension, owner)
        self._wanted = wanted
        self._keeper = keeper
        self._registered = registered
        self._wishes = wishes
        self._locks = about(wanted.resources, owner)
        self._abandoned: weakref.finalize[..., HeldBase] | None = None
        self._is_told = False
        extension.afterwards = partial(_after_extension, weakref.ref(self))
        if keeper is not None:
            keeper.keeps(weakref.ref(self))

    @property
    def name(self) -> str:
        """What people read."""
        return self._hold.resource

    async def after_extension(self) -> None:
        """Tell the program that it was extended."""
        await self._call("on_extended", self._wishes.on_extended, self)

    async def tell_lost(self, error: LockLost) -> None:
        """Tell the program that it is lost, once; called by whoever keeps it."""
        if self._is_told:
            return
        self._is_told = True
        await self.pass_on(error)
        log.warning("%s", error)
        self._forget()
        await self._call("on_lost", self._wishes.on_lost, error)

    async def pass_on(self, error: LockLost) -> None:
        """Do what else follows from its loss, before the program is told."""

    async def _call(self, name: str, wished: Callable[[T], object] | None, argument: T) -> None:
        """Call what the program gave; what fails there is told, and stops nothing here."""
        if wished is None:
            return
        try:
            told = wished(argument)
            if inspect.isawaitable(told):
                await told
        except Exception:
            log.exception("%s failed for %s", name, self.name)

    @property
    def is_kept_by_session(self) -> bool:
        """Whether nothing but its session keeps it."""
        return self._hold.session is not None and self._hold.expires_s == inf

    async def compare(self, numbers: set[int]) -> None:
        """Take what its session holds by now, by the grants' numbers: all of it must be there."""
        if self._kind.numbers <= numbers or self._hold.standing is not Standing.HELD:
            return
        lost = self._hold.lose(LossReason.NOT_FOUND)
        if lost is not None:
            await self.tell_lost(lost)

    def nudge(self) -> bool:
        """Let its keeper look at once; whether it has one."""
        if self._keeper is not None:
            self._keeper.nudge()
        return self._keeper is not None

    async def begin(self) -> None:
        """Let its keeper keep it.

        Raises:
            RuntimeError: There can't be one more thread; the hold is let go.

        """
        self._registered.fill(self._wanted.resources, self.owner, self)
        if self._keeper is None:
            return
        try:
            self._keeper.start()
        except RuntimeError:
            self._keeper = None
            await self.finish(None)
            raise
        # What the program forgot to release is not kept for ever.
        self._abandoned = weakref.finalize(self, _abandon, self._keeper, self._hold)
        self._abandoned.atexit = False

    async def lengthen(self, timeout_s: float | None) -> None:
        """Extend the hold now; ``timeout_s`` is for all later extensions too."""
        self.check()
        if self.is_kept_by_session:
            return
        async with self._asking():
            if timeout_s is not None:
                self._hold.timeout_s = timeout_s
            asked_s = self._hold.timeout_s
            await self._extension.extend(asked_s, self._asker.settings.deadline_s)
        await self._extension.tell()

    async def look_up(self) -> LockBody | SessionStateBody:
        """Ask the cluster how it stands."""
        async with self._asking():
            await self._extension.settle(self._asker.settings.deadline_s)
            call: Call[LockBody | SessionStateBody] = self._kind.status(self._hold)
            try:
                return await self._asker.value(call)
            except NotFound as error:
                self._hold.trouble = error
                raise (self._hold.lose(LossReason.NOT_FOUND) or error) from error

    async def let_go(self) -> None:
        """Release the hold.

        Raises:
            LockLost: It was lost before.
            GorillaError: Nobody knows whether it is released; it ends by itself in time.

        """
        if os.getpid() != self._pid:
            raise ForkedError
        error = self.lost
        if error is not None:
            await self._dismiss()
            raise error
        if self._hold.standing is Standing.RELEASED:
            return
        if self._keeper is not None:
            self._keeper.stop()
        try:
            async with self._alone():
                await let_go(self._asker, self._registered.errands, self._extension, self._locks)
        finally:
            self._hold.released()
            await self._dismiss()

    def drop(self) -> None:
        """Keep it no longer, and ask nobody."""
        self._hold.lose(LossReason.CLOSED)
        if self._keeper is not None:
            self._keeper.stop()

    async def finish(self, error: BaseException | None) -> None:
        """End the block that it was held for; ``error`` is what ended it, if anything did.

        Raises:
            LockLost: The lock was lost meanwhile, and ``error`` is None.

        """
        if os.getpid() != self._pid:
            # A child's copy: the hold is the parent's.
            if error is None:
                raise ForkedError
            return
        lost = self.lost
        try:
            if lost is None:
                await self.let_go()
            elif lost.reason in _MAY_BE_LEFT:
                await self._leave_nothing()
        except LockLost as found:
            lost = found
        except GorillaError as trouble:
            left_s = max(0.0, self._hold.until_s - self._asker.now_s())
            log.warning(
                "%s could not be released (%s); it ends by itself in about %.1f s",
                self.resource,
                trouble,
                left_s,
            )
        await self._dismiss()
        _raise_lost(lost, error)

    async def _leave_nothing(self) -> None:
        """After its time is over here: end what the cluster may still count as held."""
        try:
            errands = self._registered.errands
            await let_go(self._asker, errands, self._extension, self._locks, ERRAND_S)
        except GorillaError as error:
            log.debug("%s may be held for a moment longer: %s", self.resource, error)

    async def _dismiss(self) -> None:
        if self._abandoned is not None:
            self._abandoned.detach()
        if self._keeper is not None:
            self._keeper.stop()
            await self._keeper.stopped()
        self._forget()

    def _forget(self) -> None:
        self._registered.forget(self._wanted.resources, self.owner, self)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        """Ask about it, alone; when it is found to be lost the program is told at once."""
        self.check()
        try:
            async with self._alone():
                self.check()
                yield
        except LockLost:
            self._forget()
            lost = self.lost
            if lost is not None and not self.nudge():
                await self.tell_lost(lost)
            raise

    def _alone(self) -> "AbstractAsyncContextManager[None]":
        return nullcontext() if self._keeper is None else self._keeper.turn()


def _abandon(keeper: Keeper, hold: Hold) -> None:
    if hold.is_held and (hold.session is None or hold.session.is_held):
        message = f"{hold.resource!r} was not released: it is extended no more, and ends by itself"
        warnings.warn(message, ResourceWarning, stacklevel=2)
    keeper.abandon()


async def _after_extension(held: "weakref.ref[HeldBase]") -> None:
    one = held()
    if one is not None:
        await one.after_extension()


def _raise_lost(lost: LockLost | None, error: BaseException | None) -> None:
    if lost is None or lost is error:
        return
    if error is None:
        raise lost
    error.add_note(f"{lost}")


async def acquire(
    asker: Asker,
    registered: Registered,
    wanted: Wanted,
    owner: str,
) -> Extension:
    """Acquire what is wanted, once under one owner.

    Raises:
        AlreadyHeld: This client and owner have it.
        GorillaError: Why it can't be had.

    """
    await registered.errands.over(about(wanted.resources, owner))
    registered.reserve(wanted.resources, owner)
    try:
        taken = await take(asker, registered.errands, wanted, owner)
    except BaseException:
        registered.fill(wanted.resources, owner, None)
        raise
    return Extension(asker, taken.hold, taken.kind)
