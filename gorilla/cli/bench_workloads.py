"""What the clients of a load do, over and over; each operation is timed by whoever runs it.

The requests have no idempotency keys: a cluster keeps them for eleven minutes, and those of a load
would leave no room for other clients'.
"""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from typing_extensions import override

from gorilla.client.calls import locks, sessions
from gorilla.client.errors import GorillaError
from gorilla.wire.asking import AcquireBody

if TYPE_CHECKING:
    from gorilla.client.asking import Asker
    from gorilla.client.calls import Call
    from gorilla.wire.bodies import LockBody

PREFIX: Final = "bench/"
TIMEOUT_S: Final = 10
"""What a load leaves behind when it is killed ends after so long."""

WAIT_S: Final = 5

T = TypeVar("T")


class Workload(ABC):
    """One client's part of a load."""

    def __init__(self, run: str, number: int) -> None:
        """Be one of the clients of a run.

        Args:
            run: A name that no other run has.
            number: Which client.

        """
        self.resource = f"{PREFIX}{run}/{number}"
        self.owner = f"bench-{run}-{number}"
        self._token = ""

    @abstractmethod
    async def once(self, asker: "Asker") -> None:
        """Do one operation."""

    async def finish(self, asker: "Asker") -> None:
        """Let go of what is held."""
        token, self._token = self._token, ""
        if token:
            await _value(asker, locks.release(self.resource, token))

    async def _acquire(self, asker: "Asker", body: AcquireBody) -> "LockBody":
        lock = await _value(asker, locks.acquire(self.resource, body))
        self._token = lock.token
        return lock


class AcquireRelease(Workload):
    """A lock that nobody else wants is acquired and released."""

    @override
    async def once(self, asker: "Asker") -> None:
        await self._acquire(asker, AcquireBody(owner=self.owner, timeout=TIMEOUT_S))
        await self.finish(asker)


class Contended(Workload):
    """One lock that every client wants is waited for, acquired and released."""

    def __init__(self, run: str, number: int) -> None:
        """Be one of the clients; all of them want the same."""
        super().__init__(run, number)
        self.resource = f"{PREFIX}{run}/wanted"

    @override
    async def once(self, asker: "Asker") -> None:
        body = AcquireBody(owner=self.owner, timeout=TIMEOUT_S, wait=WAIT_S)
        await self._acquire(asker, body)
        await self.finish(asker)


class Extend(Workload):
    """A lock is held and extended."""

    @override
    async def once(self, asker: "Asker") -> None:
        if not self._token:
            await self._acquire(asker, AcquireBody(owner=self.owner, timeout=TIMEOUT_S))
        try:
            lock = await _value(asker, locks.extend(self.resource, self._token, TIMEOUT_S))
        except GorillaError:
            self._token = ""  # it may have been extended: its token is not known any more
            raise
        self._token = lock.token


class Sessions(Workload):
    """A session is opened, a lock acquired in it, and the session ended."""

    def __init__(self, run: str, number: int) -> None:
        """Be one of the clients."""
        super().__init__(run, number)
        self._session = ""

    @override
    async def once(self, asker: "Asker") -> None:
        session = await _value(asker, sessions.open(self.owner, TIMEOUT_S))
        self._session = session.id
        body = AcquireBody(owner=self.owner, session=session.id)
        await _value(asker, locks.acquire(self.resource, body))
        await self.finish(asker)

    @override
    async def finish(self, asker: "Asker") -> None:
        session, self._session = self._session, ""
        if session:
            await _value(asker, sessions.end(session))


WORKLOADS: Final[dict[str, type[Workload]]] = {
    "acquire-release": AcquireRelease,
    "contended": Contended,
    "extend": Extend,
    "sessions": Sessions,
}


async def _value(asker: "Asker", call: "Call[T]") -> T:
    return await asker.value(replace(call, key=None))
