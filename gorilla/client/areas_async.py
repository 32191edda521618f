"""What is found under ``sessions``, ``policies``, ``cluster`` and ``snapshots``, for asyncio."""

from typing import TypeVar

from msgspec import UNSET
from typing_extensions import Unpack

from gorilla.client.asking import Asker
from gorilla.client.calls import Call, cluster, policies, sessions
from gorilla.client.calls.cluster import ChangeOptions
from gorilla.client.calls.policies import Rules
from gorilla.wire.bodies import ClusterBody, SnapshotBody, SnapshotListBody
from gorilla.wire.membership import ChangeReportBody
from gorilla.wire.policies import PolicyBody, PolicyListBody
from gorilla.wire.sessions import SessionBody, SessionStateBody

T = TypeVar("T")


class _Area:
    """Some calls of one kind."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    async def _value(self, call: Call[T], endpoint: str | None = None) -> T:
        return await self._asker.value(call, endpoint)


class AsyncSessions(_Area):
    """Sessions; nothing keeps them alive by itself (``client.session`` does)."""

    async def open(
        self,
        ttl: float,
        owner: str,
        *,
        metadata: object = None,
        idempotency_key: str | None = None,
    ) -> SessionBody:
        """Begin a session that lives ``ttl`` seconds after each sign of life."""
        attached = UNSET if metadata is None else metadata
        return await self._value(sessions.open(owner, ttl, attached, idempotency_key))

    async def keep(self, session: str, *, idempotency_key: str | None = None) -> SessionBody:
        """Give a sign of life."""
        return await self._value(sessions.keep(session, idempotency_key))

    async def show(self, session: str) -> SessionStateBody:
        """Return how long a session lives yet, and what lives in it."""
        return await self._value(sessions.show(session))

    async def end(self, session: str, *, idempotency_key: str | None = None) -> None:
        """Release everything that lives in a session."""
        await self._value(sessions.end(session, idempotency_key))


class AsyncPolicies(_Area):
    """Rules of the locks whose names begin alike."""

    async def list(self, resource: str | None = None, *, stale: bool = False) -> PolicyListBody:
        """Return all policies, or the one that rules a lock."""
        return await self._value(policies.listed(resource, stale=stale))

    async def set(
        self, prefix: str, *, idempotency_key: str | None = None, **rules: Unpack[Rules]
    ) -> PolicyBody:
        """Rule the locks of a prefix from now on; what is held stays as it was granted."""
        return await self._value(policies.put(prefix, rules, idempotency_key))

    async def drop(self, prefix: str, *, idempotency_key: str | None = None) -> None:
        """Take back the policy of exactly this prefix."""
        await self._value(policies.drop(prefix, idempotency_key))


class AsyncCluster(_Area):
    """The cluster's members and its leader.

    Changes have no idempotency key: after :class:`OutcomeUnknown` look at :meth:`status`.
    """

    async def status(self, endpoint: str | None = None) -> ClusterBody:
        """Return the cluster as a node sees it."""
        return await self._value(cluster.status(), endpoint)

    async def add(
        self,
        name: str,
        peer: str,
        http: str,
        replaces: str | None = None,
        **options: Unpack[ChangeOptions],
    ) -> ChangeReportBody:
        """Take in a node that is started and waits for it.

        Args:
            name: Of the new member.
            peer: Its address for the other members, ``host:port``.
            http: Its address for clients, ``host:port``.
            replaces: Id or name of the member that leaves for it.
            options: See :class:`ChangeOptions`.

        """
        return await self._value(cluster.add(name, peer, http, replaces, options))

    async def remove(self, member: str, **options: Unpack[ChangeOptions]) -> ChangeReportBody:
        """Take a member out; ``member`` is its id or name."""
        return await self._value(cluster.remove(member, options))

    async def move(
        self,
        member: str,
        peer: str | None = None,
        http: str | None = None,
        **options: Unpack[ChangeOptions],
    ) -> ChangeReportBody:
        """Change a member's addresses; what is None stays."""
        return await self._value(cluster.move(member, peer, http, options))

    async def transfer(
        self, to: str | None = None, **options: Unpack[ChangeOptions]
    ) -> ChangeReportBody:
        """Let the leader hand its office over; None: to whoever is fittest."""
        return await self._value(cluster.transfer(to, options))

    async def drain(self, member: str, **options: Unpack[ChangeOptions]) -> ChangeReportBody:
        """Let a member take no more requests."""
        return await self._value(cluster.drain(member, options, draining=True))

    async def undrain(self, member: str, **options: Unpack[ChangeOptions]) -> ChangeReportBody:
        """Let a member take requests again."""
        return await self._value(cluster.drain(member, options, draining=False))


class AsyncSnapshots(_Area):
    """Snapshots in the database."""

    async def list(self, limit: int | None = None) -> SnapshotListBody:
        """Return snapshots, the last one first; 100 unless ``limit`` says otherwise."""
        return await self._value(cluster.snapshots(limit))

    async def take(self, endpoint: str | None = None) -> SnapshotBody:
        """Store a node's state now."""
        return await self._value(cluster.take_snapshot(), endpoint)
