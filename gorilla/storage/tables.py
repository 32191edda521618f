"""The tables of snapshots and history. Migrations make them; a test compares the two."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
)

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    }
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("cluster_id", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("taken_at", DateTime(timezone=True), nullable=False),
    Column("stored_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("term", BigInteger, nullable=False),
    Column("applied_index", BigInteger, nullable=False),
    Column("cluster_now_ms", BigInteger, nullable=False),
    Column("lock_count", BigInteger, nullable=False),
    Column("fencing_counter", BigInteger, nullable=False),
    Column("chain", Text, nullable=False),
    Column("format_version", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # Within a cluster the log index orders the states; ids only say when they were stored.
    Index(None, "cluster_id", "applied_index", "id"),
)
"""One row a snapshot. ``stored_at`` is the database's clock; retention by age uses it."""

snapshot_pieces = Table(
    "snapshot_pieces",
    metadata,
    Column(
        "snapshot_id",
        BigInteger,
        ForeignKey("snapshots.id", ondelete="CASCADE"),
        primary_key=True,
        autoincrement=False,
    ),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)
"""Its bytes, in rows of at most 8 MiB: a value of gigabytes is beyond what PostgreSQL takes."""

restores = Table(
    "restores",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    # No foreign key: retention may delete the snapshot, the floor must stay known.
    Column("snapshot_id", BigInteger, nullable=False),
    Column("cluster_id", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("restored_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("hold_ms", BigInteger, nullable=False),
    Column("fencing_floor", BigInteger, nullable=False),
    UniqueConstraint("fencing_floor"),
)
"""Every restore and the fencing counter it started from; never deleted."""

history_cursors = Table(
    "history_cursors",
    metadata,
    Column("cluster_id", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("term", BigInteger, nullable=False),
    Column("began_number", BigInteger, nullable=False),
    Column("began_at", DateTime(timezone=True)),
    Column("predecessor", Text),
    Column("unsettled_since", DateTime(timezone=True)),
    Column("hold_count", BigInteger, nullable=False, server_default="0"),
    Column("wait_count", BigInteger, nullable=False, server_default="0"),
    Column("written_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
"""How far the history of each cluster is. Every change of its rows changes this row as well, in
the same transaction: whoever has it locked writes alone, and knows what was written."""

history_gaps = Table(
    "history_gaps",
    metadata,
    Column("cluster_id", Text, primary_key=True),
    Column("first_number", BigInteger, primary_key=True, autoincrement=False),
    Column("last_number", BigInteger, nullable=False),
    Column("from_at", DateTime(timezone=True), nullable=False),
    Column("to_at", DateTime(timezone=True), nullable=False),
)
"""Events that no history has."""

history_holds = Table(
    "history_holds",
    metadata,
    Column("cluster_id", Text, primary_key=True),
    Column("fencing_token", BigInteger, primary_key=True, autoincrement=False),
    Column("resource", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("granted_at", DateTime(timezone=True), nullable=False),
    Column("is_grant_known", Boolean, nullable=False),
    Column("slots", Integer),
    Column("session", BigInteger),
    Column("waited_ms", BigInteger),
    Column("reason", Text),
    Column("until_at", DateTime(timezone=True)),
    Column("extensions", Integer),
    Column("ended_at", DateTime(timezone=True)),
    Column("ended_by", Text),
    Column("end_reason", Text),
    Column("forced_by", Text),
    Column("held_ms", BigInteger),
    Column("last_seen_at", DateTime(timezone=True)),
    CheckConstraint("(ended_at IS NULL) = (ended_by IS NULL)", name="ended"),
    # No index has the end of a hold in it, so writing it moves nothing but the row itself.
    Index(None, "cluster_id", "resource", "granted_at", "fencing_token"),
    Index(None, "cluster_id", "owner", "granted_at", "fencing_token"),
    Index(None, "cluster_id", "granted_at", "fencing_token"),
)
"""One row a hold; ``service.history_records`` says what the columns mean."""

history_waits = Table(
    "history_waits",
    metadata,
    Column("cluster_id", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("resource", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("ticket", BigInteger, nullable=False),
    Column("began_at", DateTime(timezone=True), nullable=False),
    Column("ended_at", DateTime(timezone=True), nullable=False),
    Column("waited_ms", BigInteger, nullable=False),
    Column("why", Text, nullable=False),
    Index(None, "cluster_id", "resource", "began_at", "number"),
    Index(None, "cluster_id", "owner", "began_at", "number"),
    Index(None, "cluster_id", "began_at", "number"),
)
"""One row a wait that ended without a grant; ``number`` is that of the event."""
