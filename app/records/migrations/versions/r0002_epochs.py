"""Calls have an epoch, raised when another process takes one over, and a revision, raised by each
write."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    """Add both columns."""
    known = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("calls")}
    for name in ("epoch", "revision"):
        if name not in known:
            op.add_column("calls", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
