"""What the doctor saw, for its checks to judge: facts without opinions."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from gorilla.cli.cluster_outlook import knowledge
from gorilla.wire.bodies import ClusterBody, MemberBody


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """One answer to ``GET /api/v1/cluster``."""

    asked_s: float
    """When it was asked for, by this machine's own monotonic clock."""
    answered_s: float
    asked_at_s: float
    """The same moments by this machine's wall clock (seconds since 1970)."""
    answered_at_s: float
    date_s: float | None
    """The answer's ``Date`` (seconds since 1970, whole); None when it has none."""
    view: ClusterBody


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate, of a server or a client."""

    ends: datetime | None
    """Until when it is valid; None when it can't be read."""
    failure: str = ""
    """Why this client would not accept it; empty when it does."""


class Passed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a wait that was sent through an endpoint."""

    asked_s: float
    """How long was to be waited (seconds)."""
    took_s: float
    code: str
    """The problem code of the answer, or what happened instead."""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """An address that was asked: an endpoint of the settings, a member's, or both."""

    url: str
    given: bool
    """Whether the settings name it."""
    member: str | None
    """Name of the member whose address it is; None when it is nobody's."""
    looks: tuple[Look, ...] = ()
    failure: str = ""
    """Why there is no look."""
    ready: bool | None = None
    unready: str = ""
    """What it says when it is not ready."""
    metrics: Mapping[str, float] | None = None
    """Figures without labels; None where they are not served."""
    nodes: tuple[str, ...] = ()
    """Which nodes answered, in a row of requests on connections of their own."""
    certificate: Certificate | None = None
    passed: Passed | None = None

    @property
    def last(self) -> Look | None:
        """Return the newest look."""
        return self.looks[-1] if self.looks else None

    @property
    def answering(self) -> str | None:
        """Return the one node that answers there, whatever the address is; None: several do."""
        return self.member or (self.nodes[0] if len(set(self.nodes)) == 1 else None)

    @property
    def is_balancer(self) -> bool:
        """Return whether it is nobody's address, or several nodes answer there."""
        return bool(self.looks) and (self.member is None or len(set(self.nodes)) > 1)

    @property
    def label(self) -> str:
        """Return how findings name it: by the node, or by the host where several answer."""
        return self.answering or self.host

    @property
    def host(self) -> str:
        """Return the address itself."""
        return self.url.partition("://")[2]


class Trips(msgspec.Struct, frozen=True, kw_only=True):
    """What became of acquiring and releasing a lock, several times in a row."""

    seconds: tuple[float, ...] = ()
    code: str = ""
    """The problem code, or the kind of failure, that ended it; empty: none did."""
    detail: str = ""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What this client was told, as far as the doctor has an opinion on it."""

    source: str
    """Where the endpoints come from, in words."""
    endpoints: tuple[str, ...]
    has_token: bool = False
    open_files: tuple[str, ...] = ()
    """Files with secrets that others on this machine may read."""
    client_certificate: Certificate | None = None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    settings: Settings
    addresses: tuple[Address, ...]
    trips: Trips | None
    now: datetime
    """By this machine's wall clock."""

    @property
    def reached(self) -> tuple[Address, ...]:
        """Return the addresses that answered."""
        return tuple(one for one in self.addresses if one.looks)

    @property
    def nodes(self) -> tuple[Address, ...]:
        """Return one address for each node that was reached, best the one that the cluster has."""
        found: dict[str, Address] = {}
        for one in sorted(self.reached, key=lambda one: one.member is None):
            if one.answering is not None:
                found.setdefault(one.answering, one)
        return tuple(found.values())

    @property
    def best(self) -> ClusterBody | None:
        """Return the view that knows most: the leader's of the latest term, else any latest."""
        views = [one.last.view for one in self.reached if one.last is not None]
        return max(views, key=knowledge, default=None)

    @property
    def members(self) -> tuple[MemberBody, ...]:
        """Return the members of the cluster; none when nothing answered."""
        return () if self.best is None else self.best.members
