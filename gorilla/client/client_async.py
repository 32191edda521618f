"""The client for asyncio: one object for each event loop."""

from types import TracebackType
from typing import Self

from gorilla.client.areas_async import (
    AsyncCluster,
    AsyncPolicies,
    AsyncSessions,
    AsyncSnapshots,
)
from gorilla.client.errands import ErrandsLater
from gorilla.client.http_aiohttp import AsyncIo
from gorilla.client.making import ClientBase
from gorilla.client.making_async import AsyncHolds
from gorilla.client.plain_async import AsyncPlainCalls
from gorilla.client.settings import ClientSettings, settings_of


class AsyncClient(AsyncHolds, AsyncPlainCalls, ClientBase):
    """A client of a cluster, for one event loop: the one in which it is used first.

    Attributes:
        sessions: Calls on sessions.
        policies: Calls on policies.
        cluster: Calls on the cluster's members.
        snapshots: Calls on snapshots.

    """

    def __init__(  # noqa: PLR0913  all by their names
        self,
        *endpoints: str,
        token: str | None = None,
        ca_file: str | None = None,
        cert_file: str | None = None,
        key_file: str | None = None,
        name: str | None = None,
        deadline_s: float | None = None,
        attempt_s: float | None = None,
        wait_slice_s: float | None = None,
        settings: ClientSettings | None = None,
    ) -> None:
        """Say where the cluster is; nothing is connected to yet.

        What is not given comes from the environment: see
        :meth:`~gorilla.client.settings.ClientSettings.from_environment`.

        Args:
            endpoints: URLs of nodes, or of what stands before them.
            token: Who asks, where that is wanted.
            ca_file: Certificates that sign the nodes' (PEM); without it those of the system.
            cert_file: The client's own certificate (PEM).
            key_file: Its private key (PEM), when ``cert_file`` does not hold it.
            name: Who asks, for people; by default ``host:pid``.
            deadline_s: Longest time of a call, with all its attempts; a wait comes on top.
            attempt_s: Longest time of one attempt; likewise.
            wait_slice_s: Longest wait of one request; a longer one is made of several, each of
                which keeps its place in the queue for the next.
            settings: All of it at once, as another client had it; nothing else counts then.

        Raises:
            ValueError: A value can't be; the message begins with its name.

        """
        settings = settings or settings_of(
            endpoints,
            token=token,
            ca_file=ca_file,
            cert_file=cert_file,
            key_file=key_file,
            name=name,
            deadline_s=deadline_s,
            attempt_s=attempt_s,
            wait_slice_s=wait_slice_s,
        )
        self._io = AsyncIo(settings)
        super().__init__(settings, self._io, ErrandsLater())
        self.sessions = AsyncSessions(self._asker)
        self.policies = AsyncPolicies(self._asker)
        self.cluster = AsyncCluster(self._asker)
        self.snapshots = AsyncSnapshots(self._asker)

    async def close(self) -> None:
        """Release what is still held, and close all connections.

        Calls that are under way raise :class:`ClosedError`. May be called again.
        """
        self._io.end_waits()
        await self._let_all_go()
        await self._io.close()

    async def hang_up(self) -> None:
        """End what other tasks ask for just now, and close all connections; release nothing.

        What is held stays held until its timeout, and what was being granted may be.
        """
        await self._io.close()

    async def __aenter__(self) -> Self:
        """Return the client itself; it is closed at the end of the block."""
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()
