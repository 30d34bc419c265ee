"""The record of a call: its rows as dataclasses, and the tables that store them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypedDict

import sqlalchemy as sa

from app.wires.twilio.call import CallStatus


class CallChanges(TypedDict, total=False):
    """The columns that `Store.save_call` sets; see `CallRow`. Each value replaces the one before.
    Times are aware of their zone."""

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
"""The transfers of a call in their order, see `TransferAttempts.records`."""


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call. Times are UTC."""

    call_sid: str
    account_sid: str
    #: Twilio's Direction.
    direction: str
    #: E.164, or whatever else Twilio sent; empty: unknown.
    from_number: str
    to_number: str
    #: Empty: no agent has answered the call.
    agent_name: str
    #: Twilio's CallStatus.
    status: str
    #: Twilio's AnsweredBy; None: not detected.
    answered_by: str | None
    #: When the record was created: at the first webhook, or when the call was placed.
    created_at: datetime
    #: When the first media stream started; None: none did.
    started_at: datetime | None
    ended_at: datetime | None
    #: Seconds from `started_at` to `ended_at`; None: no stream started, or the call is live.
    duration_s: float | None
    #: Who or what ended the call, or its last leg so far: caller, agent, limit, and so on.
    ended_by: str | None
    #: Counts by name, see `Usage`.
    usage: dict[str, int]
    #: Milliseconds since the first leg was opened, by name: model_ready_ms and so on.
    timings: dict[str, float]
    #: See `TransferAttempts.records`.
    transfers: list[dict[str, Any]]
    #: See `Prices.of`; empty until the call has ended.
    cost: dict[str, Any]
    #: Path of the WAV file; None: the call was not recorded.
    recording: str | None
    #: None: no summary was written.
    summary: str | None = None


@dataclass(frozen=True, slots=True)
class TurnRow:
    """One turn of a call's conversation."""

    #: From 0.
    position: int
    role: Literal["user", "assistant", "tool"]
    #: What was heard of it.
    text: str
    #: The Realtime item; empty: none.
    item_id: str = ""
    #: When it began, in ms of the timeline.
    at_ms: float = 0.0
    #: Not all of it was heard: a barge-in or the end of the call cut it.
    cut: bool = False
    #: Where `text` is cut is an estimate.
    estimated: bool = False
    #: How much of the agent's audio was played; None: it has none.
    heard_ms: float | None = None
    #: False: the turn may still change.
    complete: bool = True
    #: Of a tool call: name, arguments, and so on.
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TimelineRow:
    """One entry of a call's timeline: an event, a command, or a run of them."""

    #: Rises with time; entries of a run are counted too, so positions have gaps.
    position: int
    #: Milliseconds since the first leg was opened.
    at_ms: float
    kind: Literal["event", "command"]
    #: The class name of the event or command.
    name: str
    #: Its fields, without audio; see `TimelineEntry.as_data`.
    data: dict[str, Any] = field(default_factory=dict)


# --- schema -----------------------------------------------------------------------------------


class _Utc(sa.TypeDecorator[datetime]):
    """A time in UTC; SQLite stores no zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return value and (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)


class _Text(sa.TypeDecorator[str]):
    """Text that every database accepts: PostgreSQL rejects NUL, UTF-8 has no lone surrogates."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return value and value.encode("utf-8", "replace").decode().replace("\0", "?")


# A new column is added to existing tables (app/records/database.py). It must be nullable or have a
# `server_default`: replicas of the version before go on inserting rows without it.
metadata = sa.MetaData()
# Queried every 30 seconds or sooner; nearly all rows have no due report.
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
    # The report to the owner that is due once the call has ended: app/records/report_queue.py.
    sa.Column("report_state", _Text),
    sa.Column("report_since", _Utc),
    sa.Column("report_due_at", _Utc),
    sa.Column("report_tries", sa.Integer),
    # Lists are ordered by creation: an unanswered call has no `started_at`.
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
# One row for each batch of entries, at the position of the first: `entries` is a JSON list of
# [position, at_ms, kind, name, data]. A row for each entry would cost more than the call itself.
TIMELINE = _part_of_call("timelines", sa.Column("entries", sa.Text, nullable=False))
