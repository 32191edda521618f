"""The tables of the snapshot archive. Migrations make them; a test compares the two."""

from sqlalchemy import (
    BigInteger,
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
