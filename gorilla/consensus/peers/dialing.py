"""Reaching one other member, again and again, as long as there is no link to it.

The member with the greater name dials the lesser one. The lesser only *probes*: it opens a
connection and drops it, to learn whether anybody listens there. A refused connection means that
the process is dead, which is known at once, long before silence would tell. When that brings about
no link for a while (the greater may not know of the lesser, or not where it is), the lesser dials
as well.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from gorilla.config.addresses import Address
from gorilla.consensus.peers.link import Link


class DialerOwner(Protocol):
    """What a dialer needs to know and to tell. All calls come from the event loop."""

    def address_of(self, name: str) -> Address | None:
        """Return where the member is to be found today; None when it is no member any more."""
        ...

    def is_linked(self, name: str) -> bool:
        """Return whether there is a link to it, by whoever dialled."""
        ...

    def unreachable(self, name: str) -> None:
        """Nobody listens at its address."""
        ...

    def troubled(self, name: str, reason: str) -> None:
        """It was not reached, for this reason."""
        ...


@dataclass(frozen=True)
class Pace:
    """How often to try (all in seconds)."""

    attempt_s: float = 2.0
    """For name resolution and connecting, together."""
    pause_s_min: float = 0.05
    pause_s_max: float = 1.0
    probing_s: float = 2.0
    """How long the lesser member only probes while there is no link."""


Connect = Callable[[str, int], Awaitable[Link | None]]
"""Connects to an IP address and port; a link whose handshake has begun, or None for a probe."""


class Dialer:
    """Keeps one member linked, or keeps an eye on it."""

    def __init__(
        self,
        name: str,
        owner: DialerOwner,
        connect: Connect,
        pace: Pace,
        jitter: Callable[[], float],
        probe: Connect | None = None,
    ) -> None:
        """Begin; :meth:`run` does it.

        Args:
            name: Of the member.
            owner: Asked and told.
            connect: Dials.
            pace: How often.
            jitter: Gives numbers from 0 to 1.
            probe: Given where the other side is the one to dial: done first, for a while.

        """
        self._name = name
        self._probe = probe
        self._unlinked_at = asyncio.get_running_loop().time()
        self._owner = owner
        self._connect = connect
        self._pace = pace
        self._jitter = jitter
        self._changed = asyncio.Event()
        self._pause_s = pace.pause_s_min
        self._lookup: asyncio.Task[list[tuple[str, int]]] | None = None
        self._looked_up: Address | None = None

    def wake(self) -> None:
        """Look again at once: a link came or went, or the roster changed."""
        self._changed.set()

    async def run(self) -> None:
        """Try until cancelled."""
        try:
            while True:
                await self._until_unlinked()
                self._changed.clear()
                await self._attempt()
                if not self._owner.is_linked(self._name):
                    await self._pause()
        finally:
            if self._lookup is not None:
                self._lookup.cancel()

    async def _until_unlinked(self) -> None:
        """Wait while there is a link; one that lasted starts the pace anew."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        if not self._owner.is_linked(self._name):
            return
        while self._owner.is_linked(self._name):
            self._changed.clear()
            await self._changed.wait()
        self._unlinked_at = loop.time()
        if self._unlinked_at - began >= self._pace.pause_s_max:
            self._pause_s = self._pace.pause_s_min
        else:
            await self._pause()

    async def _pause(self) -> None:
        """Wait for the next attempt, or until there is news."""
        pause_s = self._pause_s * (0.5 + self._jitter() / 2)
        self._pause_s = min(self._pause_s * 2, self._pace.pause_s_max)
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._changed.wait()

    async def _attempt(self) -> None:
        try:
            address = self._owner.address_of(self._name)
            if address is None:
                return
            async with asyncio.timeout(self._pace.attempt_s):
                link = await self._reach(address)
        except (OSError, ValueError) as error:  # timeouts and name resolution included
            self._owner.troubled(self._name, _sentence(error))
            if isinstance(error, ConnectionRefusedError):
                self._owner.unreachable(self._name)
        else:
            if link is not None:
                await link.settled  # bounded by the link's own deadline

    async def _reach(self, address: Address) -> Link | None:
        failures: list[OSError] = []
        connect = self._how()
        for host, port in await self._resolve(address):
            try:
                return await connect(host, port)
            except OSError as error:
                failures.append(error)
        # "Refused" is a strong word: it is the answer only if every address gave it.
        failures.sort(key=lambda error: isinstance(error, ConnectionRefusedError))
        raise failures[0]

    def _how(self) -> Connect:
        """Return what to do now: dial, or only probe while the other side may be about to."""
        passed_s = asyncio.get_running_loop().time() - self._unlinked_at
        if self._probe is None or passed_s >= self._pace.probing_s:
            return self._connect
        return self._probe

    async def _resolve(self, address: Address) -> list[tuple[str, int]]:
        """Resolve anew for each attempt, but never twice at once: a dead DNS piles up nothing."""
        if self._lookup is None or self._lookup.done() or self._looked_up != address:
            if self._lookup is not None:
                self._lookup.cancel()
            self._looked_up = address
            self._lookup = asyncio.create_task(_look_up(address))
        return await asyncio.shield(self._lookup)


def _sentence(error: OSError | ValueError) -> str:
    match error:
        case ConnectionRefusedError():
            return "connection refused"
        case TimeoutError():
            return "no answer"
        case socket.gaierror():
            return f"its name can't be resolved: {error.strerror}"
        case OSError():
            return error.strerror or str(error)
        case _:
            return f"its address is malformed: {error}"


async def _look_up(address: Address) -> list[tuple[str, int]]:
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    found = [(str(info[4][0]), int(info[4][1])) for info in infos]
    return list(dict.fromkeys(found))
