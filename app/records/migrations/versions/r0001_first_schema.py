"""The schema as it was before it had revisions.

Databases of any earlier version are taken over: what they lack is added.
"""

import sqlalchemy as sa
from alembic.operations import Operations

from app.records.migrations.completing import complete_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_metadata = sa.MetaData()
_time = sa.DateTime(timezone=True)

sa.Table(
    "calls",
    _metadata,
    sa.Column("call_sid", sa.Text, primary_key=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("direction", sa.Text, nullable=False),
    sa.Column("from_number", sa.Text, nullable=False),
    sa.Column("to_number", sa.Text, nullable=False),
    sa.Column("created_at", _time, nullable=False),
    sa.Column("started_at", _time),
    sa.Column("ended_at", _time),
    sa.Column("duration_s", sa.Float),
    sa.Column("answered_by", sa.Text),
    sa.Column("agent_name", sa.Text, nullable=False),
    sa.Column("ended_by", sa.Text),
    sa.Column("usage", sa.JSON, nullable=False),
    sa.Column("timings", sa.JSON, nullable=False),
    sa.Column("summary", sa.Text),
    sa.Column("cost", sa.JSON, nullable=False, server_default="{}"),
    sa.Column("recording", sa.Text),
    sa.Column("account_sid", sa.Text, nullable=False),
    sa.Column("transfers", sa.JSON, nullable=False),
    sa.Column("report_state", sa.Text),
    sa.Column("report_since", _time),
    sa.Column("report_due_at", _time),
    sa.Column("report_tries", sa.Integer),
    sa.Index("ix_calls_created_at", "created_at", "call_sid"),
    sa.Index("ix_calls_status_created_at", "status", "created_at", "call_sid"),
    sa.Index(
        "ix_calls_report_due_at",
        "report_due_at",
        sqlite_where=sa.text("report_due_at IS NOT NULL"),
        postgresql_where=sa.text("report_due_at IS NOT NULL"),
    ),
)


def _key() -> list[sa.Column[object]]:
    call = sa.ForeignKey("calls.call_sid", ondelete="CASCADE")
    return [
        sa.Column("call_sid", sa.Text, call, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    ]


sa.Table(
    "turns",
    _metadata,
    *_key(),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("item_id", sa.Text, nullable=False),
    sa.Column("at_ms", sa.Float, nullable=False),
    sa.Column("cut", sa.Boolean, nullable=False),
    sa.Column("estimated", sa.Boolean, nullable=False),
    sa.Column("heard_ms", sa.Float),
    sa.Column("complete", sa.Boolean, nullable=False),
    sa.Column("extra", sa.JSON, nullable=False),
)
sa.Table("timelines", _metadata, *_key(), sa.Column("entries", sa.Text, nullable=False))


def upgrade(op: Operations) -> None:
    """Create the schema, or what of it is missing."""
    complete_tables(op.get_bind(), _metadata)
