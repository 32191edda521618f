"""What the API is built from."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
from prometheus_client import CollectorRegistry

from gorilla.api.feeding import EventFeed
from gorilla.api.limits import HttpLimits
from gorilla.service.cluster import ClusterService
from gorilla.service.history_reading import HistoryService
from gorilla.service.locks import LockService
from gorilla.service.membership import MembershipService
from gorilla.service.policies import PolicyService
from gorilla.service.repairs import RepairService
from gorilla.service.sessions import SessionService
from gorilla.service.snapshots import StoredSnapshot


class SnapshotOperations(Protocol):
    """Snapshots as the API offers them; every failure is a ``GorillaError``."""

    async def list(self, limit: int) -> Sequence[StoredSnapshot]:
        """Return at most ``limit`` snapshots, the last stored first."""
        ...

    async def take(self) -> StoredSnapshot:
        """Store the present state and return what was stored."""
        ...


class Page(Protocol):
    """An HTML page with everything in it."""

    @property
    def html(self) -> bytes:
        """The page, UTF-8."""
        ...

    @property
    def security_policy(self) -> str:
        """Value of its Content-Security-Policy header."""
        ...


class ApiDependencies(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that handlers call. The composition root fills it in."""

    node: str
    """This node's name, for the ``X-Gorilla-Node`` header."""
    version: str
    """Release of this node, as the API document and the cluster view show it."""
    locks: LockService
    repairs: RepairService
    sessions: SessionService
    policies: PolicyService
    cluster: ClusterService
    registry: CollectorRegistry
    dashboard: Page
    snapshots: SnapshotOperations | None = None
    """None when no database is configured."""
    history: HistoryService | None = None
    """None when no database is configured."""
    membership: MembershipService | None = None
    """None where the cluster can't be changed: then there are no routes for it."""
    feed: EventFeed | None = None
    """None where nobody can watch events: then there is no route for it."""
    limits: HttpLimits = HttpLimits()
