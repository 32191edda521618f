"""Every setting: its name, type, bounds, default and meaning. The one place for each.

``cluster.example.toml``, ``.env.example`` and ``docs/reference/configuration.md`` are written from
these classes (``make docs``), and a test compares them. Units are part of the names.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gorilla.config.addresses import Address, parse_address
from gorilla.config.secrets import Secret

NAME_PATTERN = r"^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$"


class ClusterSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The cluster as a whole; the same on every node."""

    name: Annotated[
        str,
        Meta(
            pattern=NAME_PATTERN,
            description="Name of the cluster, shown on its page and by its API.",
        ),
    ] = "gorilla"
    secret: Annotated[
        Secret,
        Meta(
            description="What the nodes prove to each other before anything else: 16 characters or "
            "more, the same on every node. May stay empty only while every peer address is on "
            "this machine. Make one with: openssl rand -hex 32"
        ),
    ] = Secret()
    secret_file: Annotated[
        str, Meta(description="A file that holds the secret, instead of the key above.")
    ] = ""
    finalise_level: Annotated[
        int,
        Meta(
            ge=1,
            le=1_000_000,
            description="The leader raises the cluster version to this feature level once every "
            "member supports it, which can't be undone. While it is lower, an upgrade can be "
            "rolled back, and what the newer levels bring stays off.",
        ),
    ] = 1


class MemberConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One node of the cluster. List every node, in the same order in every node's file.

    The first one listed forms a new cluster together with the others, and is the one to restore
    a snapshot on.
    """

    name: Annotated[str, Meta(pattern=NAME_PATTERN, description="Its name, unique in the cluster.")]
    http: Annotated[
        str, Meta(description="host:port at which clients and the load balancer reach its API.")
    ]
    peer: Annotated[
        str, Meta(description="host:port at which the other nodes reach it. Keep it private.")
    ]
    bind_http: Annotated[
        str,
        Meta(
            description="host:port to listen on when that differs from http (NAT, containers), "
            "like 0.0.0.0:4000. Empty: the same."
        ),
    ] = ""
    bind_peer: Annotated[str, Meta(description="Likewise for peer.")] = ""

    @property
    def http_address(self) -> Address:
        """Where others reach its API."""
        return parse_address(self.http)

    @property
    def peer_address(self) -> Address:
        """Where the other nodes reach it."""
        return parse_address(self.peer)

    @property
    def http_bind(self) -> Address:
        """Where it listens for the API."""
        return parse_address(self.bind_http or self.http)

    @property
    def peer_bind(self) -> Address:
        """Where it listens for the other nodes."""
        return parse_address(self.bind_peer or self.peer)


class NodeSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What concerns one node's machine."""

    data_dir: Annotated[
        str,
        Meta(
            min_length=1,
            description="Each node keeps its journal in <data_dir>/<name of the node>; relative "
            "to where gorillad is started. Needs a local disk.",
        ),
    ] = ".gorilla"
    stop_deadline_s: Annotated[
        float,
        Meta(
            ge=0.1,
            le=600,
            description="How long a stopping node waits for the requests that it has taken.",
        ),
    ] = 10.0


class ConsensusSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Timing of the replication (Raft). The same on every node."""

    heartbeat_interval_ms: Annotated[
        int, Meta(ge=10, le=10_000, description="The leader is heard from at least this often.")
    ] = 100
    election_timeout_ms_min: Annotated[
        int,
        Meta(
            ge=50,
            le=60_000,
            description="Silence of the leader after which the first node stands for election. "
            "Must exceed 3 x heartbeat_interval_ms; 10 x the round trip and more in practice.",
        ),
    ] = 700
    election_timeout_ms_max: Annotated[
        int,
        Meta(
            ge=60,
            le=120_000,
            description="Each node draws its own silence between the two. Must exceed "
            "election_timeout_ms_min by 2 x heartbeat_interval_ms or more.",
        ),
    ] = 1_200
    leader_fallback_ms: Annotated[
        int,
        Meta(
            ge=50,
            le=120_000,
            description="A leader that has not heard from a majority for so long steps down. From "
            "election_timeout_ms_min to 2 x election_timeout_ms_max.",
        ),
    ] = 1_000


class JournalSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The log on disk."""

    segment_mib: Annotated[
        int, Meta(ge=1, le=1_024, description="Size after which the next file is begun.")
    ] = 64
    compact_entries: Annotated[
        int,
        Meta(
            ge=100,
            le=10_000_000,
            description="A local snapshot replaces the older log after so many entries.",
        ),
    ] = 50_000
    retain_entries: Annotated[
        int,
        Meta(
            ge=0,
            le=10_000_000,
            description="Entries kept all the same, so that a node that was away briefly needs "
            "no snapshot. Must be less than compact_entries.",
        ),
    ] = 10_000
    retain_mib: Annotated[
        int, Meta(ge=1, le=65_536, description="Upper bound of what is kept so.")
    ] = 64


class LocksSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Limits of what is asked."""

    max_timeout_s: Annotated[
        float,
        Meta(
            gt=0,
            le=315_360_000,
            description="Longest timeout of a lock; a longer one asked for is lowered to it.",
        ),
    ] = 86_400.0
    max_wait_s: Annotated[
        float,
        Meta(
            ge=0,
            le=86_400,
            description="Longest wait for a lock; a longer one asked for is lowered to it. Keep "
            "the balancer's timeout for such requests above it.",
        ),
    ] = 300.0
    request_deadline_s: Annotated[
        float,
        Meta(
            gt=0,
            le=300,
            description="A request that has no outcome by then is answered 504 (a read, which "
            "changes nothing, 503). Must exceed leader_grace_s, and be less than the load "
            "balancer's timeout.",
        ),
    ] = 5.0
    leader_grace_s: Annotated[
        float,
        Meta(
            ge=0,
            le=60,
            description="How long a request waits for a leader to be known before it is answered "
            "503. Longer than an election hides a failover from clients.",
        ),
    ] = 2.0
    pending_max: Annotated[
        int,
        Meta(
            ge=1,
            le=60_000,
            description="Requests of one node under way at once; one more is answered 503.",
        ),
    ] = 10_000


class HttpSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bounds of the HTTP server."""

    max_connections: Annotated[
        int,
        Meta(ge=10, le=100_000, description="Connections at once; one more is answered 503."),
    ] = 4_096
    max_watchers: Annotated[
        int,
        Meta(
            ge=0,
            le=100_000,
            description="How many of them may watch events; one more is answered 503.",
        ),
    ] = 2_000
    slow_client_s: Annotated[
        float,
        Meta(gt=0, le=300, description="A request must arrive in full within so many seconds."),
    ] = 10.0
    keepalive_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3_600,
            description="An idle connection is closed after so many seconds. Longer than the load "
            "balancer keeps it.",
        ),
    ] = 75.0


class SnapshotsSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Snapshots in PostgreSQL: a place to restore from when every node is lost."""

    interval_s: Annotated[
        float,
        Meta(ge=1, le=86_400, description="The leader stores one so often, if anything changed."),
    ] = 60.0
    keep_count: Annotated[
        int, Meta(ge=1, le=100_000, description="At most so many of a cluster are kept.")
    ] = 100
    keep_days: Annotated[
        int, Meta(ge=0, le=36_500, description="Older ones are deleted, but for the newest.")
    ] = 30


class HistorySection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who held what, when, and why it ended: kept in PostgreSQL, beside the locks."""

    enabled: Annotated[
        bool, Meta(description="Whether there is a history. Without a database there is none.")
    ] = True
    keep_days: Annotated[
        int,
        Meta(ge=1, le=36_500, description="What ended longer ago is deleted."),
    ] = 30
    keep_rows: Annotated[
        int,
        Meta(
            ge=1_000,
            le=10_000_000_000,
            description="At most so many holds and waits of a cluster are kept; a million take "
            "about 700 MiB. What is held stays in any case.",
        ),
    ] = 1_000_000


class DatabaseSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where snapshots and the history are stored. Locks never depend on it."""

    url: Annotated[
        Secret,
        Meta(
            description="Like postgresql://user:password@host:5432/gorilla. Empty: no snapshots "
            "and no history, except under `gorillad up` (make run), which then starts a "
            "PostgreSQL of its own. ?connect_timeout=10 (seconds) and the like may follow."
        ),
    ] = Secret()


class LogSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is written to standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Meta(description="Least severity to be written."),
    ] = "info"
    format: Annotated[
        Literal["text", "json"], Meta(description="text for people, json for machines.")
    ] = "text"


class ClusterConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole configuration of a node; made by :func:`gorilla.config.load_config`."""

    members: tuple[MemberConfig, ...]
    """In the order of the file; the first one forms the cluster."""
    cluster: ClusterSection = ClusterSection()
    node: NodeSection = NodeSection()
    consensus: ConsensusSection = ConsensusSection()
    journal: JournalSection = JournalSection()
    locks: LocksSection = LocksSection()
    http: HttpSection = HttpSection()
    snapshots: SnapshotsSection = SnapshotsSection()
    history: HistorySection = HistorySection()
    database: DatabaseSection = DatabaseSection()
    log: LogSection = LogSection()

    def member(self, name: str) -> MemberConfig:
        """Return the member of this name.

        Raises:
            KeyError: There is none.

        """
        for member in self.members:
            if member.name == name:
                return member
        raise KeyError(name)

    def data_dir(self, name: str) -> Path:
        """Return the directory that node ``name`` keeps its data in."""
        return Path(self.node.data_dir) / name

    @property
    def cluster_secret(self) -> Secret:
        """What nodes prove to each other (from ``secret`` or ``secret_file``); may be unset."""
        return self.cluster.secret


SECTIONS: dict[str, type[msgspec.Struct]] = {
    "cluster": ClusterSection,
    "node": NodeSection,
    "consensus": ConsensusSection,
    "journal": JournalSection,
    "locks": LocksSection,
    "http": HttpSection,
    "snapshots": SnapshotsSection,
    "history": HistorySection,
    "database": DatabaseSection,
    "log": LogSection,
}
"""The tables of the file, but for ``[[member]]``."""
