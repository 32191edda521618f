"""Snapshots, their bytes, and the restores made from them.

Revision: 0001, the first.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "snapshots",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("cluster_id", sa.Text, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "stored_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        sa.Column("term", sa.BigInteger, nullable=False),
        sa.Column("applied_index", sa.BigInteger, nullable=False),
        sa.Column("cluster_now_ms", sa.BigInteger, nullable=False),
        sa.Column("lock_count", sa.BigInteger, nullable=False),
        sa.Column("fencing_counter", sa.BigInteger, nullable=False),
        sa.Column("chain", sa.Text, nullable=False),
        sa.Column("format_version", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="snapshots_pkey"),
    )
    op.create_index(
        "snapshots_cluster_id_applied_index_id_idx",
        "snapshots",
        ["cluster_id", "applied_index", "id"],
    )
    op.create_table(
        "snapshot_pieces",
        sa.Column("snapshot_id", sa.BigInteger, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("snapshot_id", "number", name="snapshot_pieces_pkey"),
        sa.ForeignKeyConstraint(
            ["snapshot_id"],
            ["snapshots.id"],
            name="snapshot_pieces_snapshot_id_fkey",
            ondelete="CASCADE",
        ),
    )
    # The bytes are compressed already: trying again costs time and gains nothing.
    op.execute("ALTER TABLE snapshot_pieces ALTER COLUMN data SET STORAGE EXTERNAL")
    op.create_table(
        "restores",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("snapshot_id", sa.BigInteger, nullable=False),
        sa.Column("cluster_id", sa.Text, nullable=False),
        sa.Column("node", sa.Text, nullable=False),
        sa.Column(
            "restored_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        sa.Column("hold_ms", sa.BigInteger, nullable=False),
        sa.Column("fencing_floor", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="restores_pkey"),
        sa.UniqueConstraint("fencing_floor", name="restores_fencing_floor_key"),
    )


def downgrade() -> None:
    op.drop_table("restores")
    op.drop_table("snapshot_pieces")
    op.drop_table("snapshots")
