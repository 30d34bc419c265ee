"""Ended calls have digests, which lists, searches and statistics read.

They are not written here: the service writes those that are missing, while it runs.
"""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_MARKS = [f"marks_{number:02}" for number in range(28)]


def _key() -> sa.Column[str]:
    call = sa.ForeignKey("calls.call_sid", ondelete="CASCADE")
    return sa.Column("call_sid", sa.Text, call, primary_key=True)


def upgrade(op: Operations) -> None:
    """Add the tables and their indexes."""
    op.create_table(
        "digests",
        _key(),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("responses_ms", sa.JSON, nullable=False),
        sa.Column("interruptions", sa.Integer, nullable=False),
        sa.Column("false_interruptions", sa.Integer, nullable=False),
        sa.Column("transfers", sa.JSON, nullable=False),
        sa.Column("cost_usd", sa.Float, nullable=False),
        *(sa.Column(name, sa.BigInteger) for name in _MARKS),
        if_not_exists=True,
    )
    op.create_table(
        "digest_words",
        _key(),
        sa.Column("words", sa.Text, nullable=False),
        if_not_exists=True,
    )
    columns = ["created_at", "call_sid"]
    op.create_index("ix_digests_created_at", "digests", columns, if_not_exists=True)
    op.create_index("ix_digests_marks", "digests", [*columns, *_MARKS], if_not_exists=True)
