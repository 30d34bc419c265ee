"""Calls name the process that wrote them last, and the number of that write: what waited in the
spool of a process is older than what the same process wrote later, and newer than the rest."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade(op: Operations) -> None:
    """Add the columns."""
    known = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("calls")}
    if "written_by" not in known:
        op.add_column("calls", sa.Column("written_by", sa.Text))
    if "write_number" not in known:
        op.add_column("calls", sa.Column("write_number", sa.Integer))
