"""Calls that are found under ``client.sessions``, ``.policies``, ``.cluster``, ``.snapshots``."""

from typing import TypeVar

from msgspec import UNSET
from typing_extensions import Unpack

from gorilla.client.asking import Asker
from gorilla.client.blocking import run_now
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

    def _value(self, call: Call[T], endpoint: str | None = None) -> T:
        return run_now(self._asker.value(call, endpoint))


class Sessions(_Area):
    """Sessions; nothing keeps them alive by itself (``client.session`` does)."""

    def open(
        self,
        ttl: float,
        owner: str,
        *,
        metadata: object = None,
        idempotency_key: str | None = None,
    ) -> SessionBody:
        """Begin a session that lives ``ttl`` seconds after each sign of life."""
        attached = UNSET if metadata is None else metadata
        return self._value(sessions.open(owner, ttl, attached, idempotency_key))

    def keep(self, session: str, *, idempotency_key: str | None = None) -> SessionBody:
        """Give a sign of life."""
        return self._value(sessions.keep(session, idempotency_key))

    def show(self, session: str) -> SessionStateBody:
        """Return how long a session lives yet, and what lives in it."""
        return self._value(sessions.show(session))

    def end(self, session: str, *, idempotency_key: str | None = None) -> None:
        """Release everything that lives in a session."""
        self._value(sessions.end(session, idempotency_key))


class Policies(_Area):
    """Rules of the locks whose names begin alike."""

    def list(self, resource: str | None = None, *, stale: bool = False) -> PolicyListBody:
        """Return all policies, or the one that rules a lock."""
        return self._value(policies.listed(resource, stale=stale))

    def set(
        self, prefix: str, *, idempotency_key: str | None = None, **rules: Unpack[Rules]
    ) -> PolicyBody:
        """Rule the locks of a prefix from now on; what is held stays as it was granted."""
        return self._value(policies.put(prefix, rules, idempotency_key))

    def drop(self, prefix: str, *, idempotency_key: str | None = None) -> None:
        """Take back the policy of exactly this prefix."""
        self._value(policies.drop(prefix, idempotency_key))


class Cluster(_Area):
    """The cluster's members and its leader.

    Changes have no idempotency key: after :class:`OutcomeUnknown` look at :meth:`status`.
    """

    def status(self, endpoint: str | None = None) -> ClusterBody:
        """Return the cluster as a node sees it."""
        return self._value(cluster.status(), endpoint)

    def add(
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
        return self._value(cluster.add(name, peer, http, replaces, options))

    def remove(self, member: str, **options: Unpack[ChangeOptions]) -> ChangeReportBody:
        """Take a member out; ``member`` is its id or name."""
        return self._value(cluster.remove(member, options))

    def move(
        self,
        member: str,
        peer: str | None = None,
        http: str | None = None,
        **options: Unpack[ChangeOptions],
    ) -> ChangeReportBody:
        """Change a member's addresses; what is None stays."""
        return self._value(cluster.move(member, peer, http, options))

    def transfer(self, to: str | None = None, **options: Unpack[ChangeOptions]) -> ChangeReportBody:
        """Let the leader hand its office over; None: to whoever is fittest."""
        return self._value(cluster.transfer(to, options))

    def drain(self, member: str, **options: Unpack[ChangeOptions]) -> ChangeReportBody:
        """Let a member take no more requests."""
        return self._value(cluster.drain(member, options, draining=True))

    def undrain(self, member: str, **options: Unpack[ChangeOptions]) -> ChangeReportBody:
        """Let a member take requests again."""
        return self._value(cluster.drain(member, options, draining=False))


class Snapshots(_Area):
    """Snapshots in the database."""

    def list(self, limit: int | None = None) -> SnapshotListBody:
        """Return snapshots, the last one first; 100 unless ``limit`` says otherwise."""
        return self._value(cluster.snapshots(limit))

    def take(self, endpoint: str | None = None) -> SnapshotBody:
        """Store a node's state now."""
        return self._value(cluster.take_snapshot(), endpoint)
