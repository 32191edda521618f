"""Locks, sessions and elections of the client for asyncio: how they are made."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import NoReturn

from typing_extensions import Unpack, override

from gorilla.client.asking import Asker
from gorilla.client.calls import locks
from gorilla.client.closing import let_all_go
from gorilla.client.ending import OnLost, Registered, Wishes
from gorilla.client.entered import Entered
from gorilla.client.keeping_async import KeepingTask
from gorilla.client.locks_async import AsyncHeldGroup, AsyncHeldLock, AsyncLock
from gorilla.client.options import ELECTION_S, ELECTIONS, AsyncLockOptions, described
from gorilla.client.owners import Owners
from gorilla.client.session_life import SessionBase, WantedSession, open_session
from gorilla.wire.bodies import HeldLockBody


class MakesAsyncLocks:
    """Makes locks; nothing is asked for before they are acquired."""

    _asker: Asker
    _owners: Owners
    _registered: Registered

    def lock(self, resource: str, **options: Unpack[AsyncLockOptions]) -> AsyncLock[AsyncHeldLock]:
        """Return a lock to be had.

        Args:
            resource: Its name.
            options: See :class:`AsyncLockOptions`.

        Raises:
            ValueError: A value can't be; the message names it.

        """
        return AsyncLock(
            self._asker,
            self._owners,
            self._registered,
            *described((resource,), options, self._session()),
        )

    def semaphore(
        self, resource: str, **options: Unpack[AsyncLockOptions]
    ) -> AsyncLock[AsyncHeldLock]:
        """Return a lock that ``limit`` may hold at once; as :meth:`lock` otherwise.

        Raises:
            ValueError: There is no ``limit``, or a value can't be.

        """
        if options.get("limit") is None:
            raise ValueError("limit: say how many may hold it at once")
        return self.lock(resource, **options)

    def locks(
        self, resources: Sequence[str], **options: Unpack[AsyncLockOptions]
    ) -> AsyncLock[AsyncHeldGroup]:
        """Return several locks to be had in one step, all or none; as :meth:`lock` otherwise."""
        if isinstance(resources, str):
            raise TypeError("resources: a list of names, not one name")
        return AsyncLock(
            self._asker,
            self._owners,
            self._registered,
            *described(tuple(resources), options, self._session(), is_group=True),
        )

    def _session(self) -> SessionBase | None:
        return None


class AsyncHeldSession(MakesAsyncLocks, SessionBase):
    """A session that lives until the end of its block, or :meth:`end`; locks are made with it."""

    async def end(self) -> None:
        """End it: everything that is held in it is released.

        Raises:
            SessionLost: It was lost before.
            GorillaError: It could not be ended, or nobody knows; it ends by itself in time.

        """
        await self.let_go()

    @override
    def _session(self) -> SessionBase:
        return self


class AsyncSession:
    """A session to be had: a block (``async with``), or :meth:`open`."""

    def __init__(
        self,
        asker: Asker,
        owners: Owners,
        registered: Registered,
        wanted: WantedSession,
        on_lost: OnLost | None,
    ) -> None:
        """Describe it; nothing is asked for yet."""
        self._asker = asker
        self._owners = owners
        self._registered = registered
        self._wanted = wanted
        self._on_lost = on_lost
        self._entered: Entered[AsyncHeldSession] = Entered()

    async def open(self) -> AsyncHeldSession:
        """Open it, and keep it alive in the background.

        Raises:
            Unavailable: No node could do it; nothing was done.
            OutcomeUnknown: Nobody knows; what was opened unseen ends after its ttl.

        """
        owner = self._wanted.owner or self._owners.of_task()
        extension = await open_session(self._asker, self._registered.errands, self._wanted, owner)
        keeper = KeepingTask(extension, extends=True)
        wishes = Wishes(self._on_lost)
        held = AsyncHeldSession(extension, self._wanted, owner, keeper, self._registered, wishes)
        held._owners = self._owners  # noqa: SLF001 - its own kind
        await held.begin()
        return held

    async def __aenter__(self) -> AsyncHeldSession:
        """Open it for a block."""
        held = await self.open()
        self._entered.push(asyncio.current_task(), held)
        return held

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """End it.

        Raises:
            SessionLost: It was lost while the block ran.

        """
        await self._entered.pop(asyncio.current_task()).finish(error)

    @override
    def __reduce__(self) -> NoReturn:
        """Refuse to be copied."""
        raise TypeError("a session can't be pickled or copied: open one where it is used")


class AsyncHolds(MakesAsyncLocks):
    """What a client holds, beside the plain calls of the API."""

    def session(
        self,
        ttl: float,
        *,
        owner: str | None = None,
        metadata: object = None,
        on_lost: OnLost | None = None,
    ) -> AsyncSession:
        """Return a session to be had: one sign of life for any number of locks.

        Args:
            ttl: How long it outlives its last sign of life (seconds).
            owner: Whose it is; None: this task's.
            metadata: What others may read of it: any JSON value.
            on_lost: Called once, by the task that keeps it alive, when it is lost.

        Raises:
            ValueError: A value can't be; the message names it.

        """
        wanted = WantedSession(ttl_s=ttl, owner=owner, metadata=metadata)
        return AsyncSession(self._asker, self._owners, self._registered, wanted, on_lost)

    def election(self, name: str, **options: Unpack[AsyncLockOptions]) -> AsyncLock[AsyncHeldLock]:
        """Return an office that one at a time holds: a term is a lock with an end that is told.

        It waits for its turn as long as it takes, unless ``wait`` says otherwise, and outlives its
        last extension by 10 seconds, unless ``timeout`` does.

        Args:
            name: Of the election.
            options: As for :meth:`lock`; ``on_lost`` is called when leadership is lost.

        """
        given = AsyncLockOptions(timeout=ELECTION_S, wait=None)
        given.update(options)
        return self.lock(ELECTIONS + name, **given)

    async def leader(self, name: str) -> HeldLockBody | None:
        """Return who leads, or None."""
        state = (await self._asker.ask(locks.show(ELECTIONS + name))).value
        return state.holders[0] if state.holders else None

    async def _let_all_go(self) -> None:
        """Release what is held still, before the client is closed, within a bound."""
        await let_all_go(self._asker, self._registered)
