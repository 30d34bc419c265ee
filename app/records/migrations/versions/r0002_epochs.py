"""Calls have an epoch, raised when a process takes one over, the id of that process, and a
revision, raised by each write."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    """Add the columns."""
    known = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("calls")}
    for name in {"epoch", "revision"} - known:
        op.add_column("calls", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
    if "adopted_by" not in known:
        op.add_column("calls", sa.Column("adopted_by", sa.Text))
