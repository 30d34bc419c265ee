"""What a call leaves behind: the records, and the tables that keep them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypedDict

import sqlalchemy as sa

from app.wires.twilio.call import CallStatus


class CallChanges(TypedDict, total=False):
    """What `save_call` may set; see `CallRow`. `usage`, `cost`, `timings` and `transfers` replace
    what was there. Times are aware of their zone."""

    account_sid: str
    direction: str
    from_number: str
    to_number: str
    agent_name: str
    status: CallStatus
    answered_by: str | None
    started_at: datetime | None
    ended_at: datetime | None
    duration_s: float | None
    ended_by: str | None
    usage: dict[str, int]
    timings: dict[str, float]
    transfers: list[dict[str, Any]]
    cost: dict[str, Any]
    recording: str | None
    summary: str | None


Transfers = Sequence[Mapping[str, Any]]
"""The transfers in a call's record, in their order: see `TransferAttempts.records`."""


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call. `status`, `direction` and `answered_by` are Twilio's words; `ended_by` is ours
    (caller, agent, limit, ...). `usage`: token counts. `timings`: milliseconds. `cost`: in money,
    as `Prices.of` gives it, empty until the call is over. `recording`: the path of the call's WAV,
    None when it was not recorded. `summary`: what the call came to, None when none was made. Times
    are UTC."""

    call_sid: str
    account_sid: str
    direction: str
    from_number: str
    to_number: str
    agent_name: str
    status: str
    answered_by: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    duration_s: float | None
    ended_by: str | None
    usage: dict[str, int]
    timings: dict[str, float]
    transfers: list[dict[str, Any]]
    cost: dict[str, Any]
    recording: str | None
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class TurnRow:
    """One turn of a call's conversation, numbered by `position` from 0.

    `text`: what was heard. `cut`: barge-in ended it. `estimated`: `text` was cut by proportion.
    `heard_ms`: how much of the agent's audio was played, None where there is none. `complete`:
    nothing more will come. `extra`: a tool's name and arguments, and the like.
    """

    position: int
    role: Literal["user", "assistant", "tool"]
    text: str
    item_id: str = ""
    at_ms: float = 0.0
    cut: bool = False
    estimated: bool = False
    heard_ms: float | None = None
    complete: bool = True
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One event or command of a call's timeline, numbered by `position` from 0."""

    position: int
    at_ms: float
    kind: Literal["event", "command"]
    name: str
    data: dict[str, Any] = field(default_factory=dict)


# --- schema -----------------------------------------------------------------------------------


class _Utc(sa.TypeDecorator[datetime]):
    """A moment in UTC; SQLite forgets the zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value and (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)


class _Text(sa.TypeDecorator[str]):
    """Text that every database takes: PostgreSQL knows no NUL, UTF-8 no lone surrogates."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return value and value.encode("utf-8", "replace").decode().replace("\0", "?")


# A column that joins a table later is added to the tables there are (app/records/database.py). So
# it may be null or has a `server_default`: replicas that do not know it yet go on inserting rows.
metadata = sa.MetaData()
# Looked at all day long, and nearly always empty.
_due_reports = sa.Index(
    "ix_calls_report_due_at",
    "report_due_at",
    sqlite_where=sa.text("report_due_at IS NOT NULL"),
    postgresql_where=sa.text("report_due_at IS NOT NULL"),
)
CALLS = sa.Table(
    "calls",
    metadata,
    sa.Column("call_sid", _Text, primary_key=True),
    sa.Column("account_sid", _Text, nullable=False, default=""),
    sa.Column("direction", _Text, nullable=False, default="inbound"),
    sa.Column("from_number", _Text, nullable=False, default=""),
    sa.Column("to_number", _Text, nullable=False, default=""),
    sa.Column("agent_name", _Text, nullable=False, default=""),
    sa.Column("status", _Text, nullable=False, default="ringing"),
    sa.Column("answered_by", _Text),
    sa.Column("created_at", _Utc, nullable=False),
    sa.Column("started_at", _Utc),
    sa.Column("ended_at", _Utc),
    sa.Column("duration_s", sa.Float),
    sa.Column("ended_by", _Text),
    sa.Column("usage", sa.JSON, nullable=False, default=dict),
    sa.Column("timings", sa.JSON, nullable=False, default=dict),
    sa.Column("transfers", sa.JSON, nullable=False, default=list),
    sa.Column("cost", sa.JSON, nullable=False, default=dict, server_default="{}"),
    sa.Column("recording", _Text),
    sa.Column("summary", _Text),
    # What is owed once the call is over, see app/records/report_queue.py.
    sa.Column("report_state", _Text),
    sa.Column("report_since", _Utc),
    sa.Column("report_due_at", _Utc),
    sa.Column("report_tries", sa.Integer),
    # Lists go by creation: a call that nobody answered never started.
    sa.Index("ix_calls_created_at", "created_at", "call_sid"),
    sa.Index("ix_calls_status_created_at", "status", "created_at", "call_sid"),
    _due_reports,
)


def _part_of_call(name: str, *columns: sa.Column[Any]) -> sa.Table:
    call = sa.ForeignKey(CALLS.c.call_sid, ondelete="CASCADE")
    keys = (
        sa.Column("call_sid", _Text, call, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    )
    return sa.Table(name, metadata, *keys, *columns)


TURNS = _part_of_call(
    "turns",
    sa.Column("role", _Text, nullable=False),
    sa.Column("text", _Text, nullable=False),
    sa.Column("item_id", _Text, nullable=False),
    sa.Column("at_ms", sa.Float, nullable=False),
    sa.Column("cut", sa.Boolean, nullable=False),
    sa.Column("estimated", sa.Boolean, nullable=False),
    sa.Column("heard_ms", sa.Float),
    sa.Column("complete", sa.Boolean, nullable=False),
    sa.Column("extra", sa.JSON, nullable=False),
)
# A row for each piece of a timeline, from the position of its first entry on: `entries` is a JSON
# list of [position, at_ms, kind, name, data]. A row an entry would cost more than the call itself.
TIMELINE = _part_of_call("timelines", sa.Column("entries", sa.Text, nullable=False))
