"""Calls hold what another process needs to go on with them: what an outbound call is for, and what
the last leg leaves to the next one."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    """Add both columns."""
    known = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("calls")}
    for name in ("placed", "carried"):
        if name not in known:
            op.add_column("calls", sa.Column(name, sa.JSON, nullable=False, server_default="{}"))
