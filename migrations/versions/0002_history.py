"""Who held what, when, and why it ended: the history of each cluster.

Revision: 0002, after 0001. Only adds tables, so the previous release runs on it as before.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "history_cursors",
        sa.Column("cluster_id", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        moment("at", nullable=False),
        sa.Column("term", sa.BigInteger, nullable=False),
        sa.Column("began_number", sa.BigInteger, nullable=False),
        moment("began_at"),
        sa.Column("predecessor", sa.Text),
        moment("unsettled_since"),
        sa.Column("hold_count", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("wait_count", sa.BigInteger, nullable=False, server_default="0"),
        moment("written_at", nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("cluster_id", name="history_cursors_pkey"),
    )
    op.create_table(
        "history_gaps",
        sa.Column("cluster_id", sa.Text, nullable=False),
        sa.Column("first_number", sa.BigInteger, nullable=False),
        sa.Column("last_number", sa.BigInteger, nullable=False),
        moment("from_at", nullable=False),
        moment("to_at", nullable=False),
        sa.PrimaryKeyConstraint("cluster_id", "first_number", name="history_gaps_pkey"),
    )
    create_holds()
    create_waits()


def create_holds() -> None:
    op.create_table(
        "history_holds",
        sa.Column("cluster_id", sa.Text, nullable=False),
        sa.Column("fencing_token", sa.BigInteger, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        moment("granted_at", nullable=False),
        sa.Column("is_grant_known", sa.Boolean, nullable=False),
        sa.Column("slots", sa.Integer),
        sa.Column("session", sa.BigInteger),
        sa.Column("waited_ms", sa.BigInteger),
        sa.Column("reason", sa.Text),
        moment("until_at"),
        sa.Column("extensions", sa.Integer),
        moment("ended_at"),
        sa.Column("ended_by", sa.Text),
        sa.Column("end_reason", sa.Text),
        sa.Column("forced_by", sa.Text),
        sa.Column("held_ms", sa.BigInteger),
        moment("last_seen_at"),
        sa.PrimaryKeyConstraint("cluster_id", "fencing_token", name="history_holds_pkey"),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (ended_by IS NULL)", name=op.f("history_holds_ended_check")
        ),
    )
    for column in (["resource"], ["owner"], []):
        columns = ["cluster_id", *column, "granted_at", "fencing_token"]
        op.create_index(f"history_holds_{'_'.join(columns)}_idx", "history_holds", columns)


def create_waits() -> None:
    op.create_table(
        "history_waits",
        sa.Column("cluster_id", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("ticket", sa.BigInteger, nullable=False),
        moment("began_at", nullable=False),
        moment("ended_at", nullable=False),
        sa.Column("waited_ms", sa.BigInteger, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("cluster_id", "number", name="history_waits_pkey"),
    )
    for column in (["resource"], ["owner"], []):
        columns = ["cluster_id", *column, "began_at", "number"]
        op.create_index(f"history_waits_{'_'.join(columns)}_idx", "history_waits", columns)


def moment(name, **options) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), **options)


def downgrade() -> None:
    op.drop_table("history_waits")
    op.drop_table("history_holds")
    op.drop_table("history_gaps")
    op.drop_table("history_cursors")
