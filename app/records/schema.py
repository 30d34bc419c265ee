"""The tables that store records: their columns follow from the fields of `record`."""

from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import sqlalchemy as sa

from app.records.record import CallRow, Column, TurnRow


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


_TYPES: dict[type, Any] = {
    str: _Text,
    datetime: _Utc,
    float: sa.Float,
    bool: sa.Boolean,
    int: sa.Integer,
    dict: sa.JSON,
    list: sa.JSON,
}


def _columns(record: type) -> Iterator[sa.Column[Any]]:
    """The columns of a dataclass of `record` whose fields are all `Annotated`, in their order."""
    hints = get_type_hints(record, include_extras=True)
    for each in fields(record):
        hint, *extras = get_args(hints[each.name])
        kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        stored = next((extra for extra in extras if isinstance(extra, Column)), Column())
        yield sa.Column(
            each.name,
            _TYPES[_class(kinds[0])],
            primary_key=stored.primary_key,
            autoincrement=False,
            nullable=type(None) in kinds,
            default=stored.default,
            server_default=stored.server_default,
        )


def _class(kind: Any) -> type:
    """The class of a field's values, such as dict of `dict[str, int]`."""
    if get_origin(kind) is Literal:
        return type(get_args(kind)[0])
    found: type = get_origin(kind) or kind
    return found


# A change needs a revision in app/records/migrations/.
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
    *_columns(CallRow),
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

#: The columns of a call that are times, and those that are texts.
TIMES = frozenset(each.name for each in CALLS.columns if isinstance(each.type, _Utc))
TEXTS = frozenset(each.name for each in CALLS.columns if isinstance(each.type, _Text))


def _part_of_call(name: str, *columns: sa.Column[Any]) -> sa.Table:
    call = sa.ForeignKey(CALLS.c.call_sid, ondelete="CASCADE")
    key = sa.Column("call_sid", _Text, call, primary_key=True)
    return sa.Table(name, metadata, key, *columns)


TURNS = _part_of_call("turns", *_columns(TurnRow))
# One row for each batch of entries, at the position of the first: `entries` is a JSON list of
# [position, at_ms, kind, name, data]. A row for each entry would cost more than the call itself.
TIMELINE = _part_of_call(
    "timelines",
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("entries", sa.Text, nullable=False),
)
#: Of a digest's words, see `app/records/digests/marks.py`. PostgreSQL takes 32 columns in an index.
MARKS = tuple(sa.Column(f"marks_{number:02}", sa.BigInteger) for number in range(28))
# What lists, searches and statistics need of an ended call: app/records/digests/. It can be made
# anew from the record.
DIGESTS = sa.Table(
    "digests",
    metadata,
    sa.Column(
        "call_sid", _Text, sa.ForeignKey(CALLS.c.call_sid, ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("created_at", _Utc, nullable=False),
    sa.Column("responses_ms", sa.JSON, nullable=False),
    sa.Column("interruptions", sa.Integer, nullable=False),
    sa.Column("false_interruptions", sa.Integer, nullable=False),
    sa.Column("transfers", sa.JSON, nullable=False),
    sa.Column("cost_usd", sa.Float, nullable=False),
    *MARKS,
    sa.Index("ix_digests_created_at", "created_at", "call_sid"),
    sa.Index("ix_digests_marks", "created_at", "call_sid", *MARKS),
)
# Apart from it, because they are long: a search reads the marks of all calls, and the words of few.
DIGEST_WORDS = _part_of_call("digest_words", sa.Column("words", _Text, nullable=False))
