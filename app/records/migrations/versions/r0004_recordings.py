"""Calls hold all files of their recordings: one for each process that had the call."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    """Add the column."""
    known = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("calls")}
    if "recordings" not in known:
        column = sa.Column("recordings", sa.JSON, nullable=False, server_default="[]")
        op.add_column("calls", column)
