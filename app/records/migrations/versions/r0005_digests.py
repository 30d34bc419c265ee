"""Ended calls have digests, which lists, searches and statistics read.

They are not written here: the service writes those that are missing, while it runs.
"""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    """Add the table and its index."""
    op.create_table(
        "digests",
        sa.Column(
            "call_sid",
            sa.Text,
            sa.ForeignKey("calls.call_sid", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("responses_ms", sa.JSON, nullable=False),
        sa.Column("interruptions", sa.Integer, nullable=False),
        sa.Column("false_interruptions", sa.Integer, nullable=False),
        sa.Column("transfers", sa.JSON, nullable=False),
        sa.Column("cost_usd", sa.Float, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        if_not_exists=True,
    )
    columns = ["created_at", "call_sid"]
    op.create_index("ix_digests_created_at", "digests", columns, if_not_exists=True)
