"""The statements that write records. Each is built once, for all rows of a transaction.

To build one for each call would cost more than the database takes to carry it out.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.records.database import Database
from app.records.schema import CALLS, TEXTS, TIMELINE, TURNS

#: A process that stops in a transaction holds its locks no longer.
END_IDLE = sa.text("SET LOCAL idle_in_transaction_session_timeout = 3000")

#: The columns by which a change of a call is judged.
JUDGED = (
    CALLS.c.call_sid, CALLS.c.epoch, CALLS.c.adopted_by, CALLS.c.revision, CALLS.c.written_by,
    CALLS.c.write_number, CALLS.c.status,
)  # fmt: skip

DELETE_TURN = sa.delete(TURNS).where(
    *(column == sa.bindparam(column.name) for column in TURNS.primary_key)
)
_MOST = 200  # sets of columns; there are a few dozen
_SIDS = "call_sids"
_THIS = CALLS.c.call_sid == sa.bindparam("this")
_T = TypeVar("_T")
_Insert = sqlite.Insert | postgresql.Insert


class Statements:
    """The statements for one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_postgres = database.dialect == "postgresql"
        self._insert: Callable[[sa.Table], _Insert] = (
            postgresql.insert if self._is_postgres else sqlite.insert
        )
        self._made: dict[object, Any] = {}
        self._made_for = database.writable

    def calls(self) -> sa.Select[Any]:
        """Locks the rows of the calls in `call_sids` until the transaction ends, in the order of
        their SIDs, so that two processes never wait for each other."""

        def make() -> sa.Select[Any]:
            query = sa.select(*JUDGED).where(self._named()).order_by(CALLS.c.call_sid)
            return query.with_for_update(key_share=True)

        return self._once("calls", make)

    def empty_columns(self) -> sa.Select[Any]:
        """For each column of the call `this` whether nothing is stored in it."""

        def make() -> sa.Select[Any]:
            empty: list[Any] = [_is_empty(each).label(each.name) for each in CALLS.columns]
            return sa.select(*empty).where(_THIS)

        return self._once("empty", make)

    def call_sids(self, call_sids: list[str]) -> dict[str, Any]:
        """The parameter of `calls` and `touch_calls`."""
        return {_SIDS: call_sids}

    def insert_call(self) -> sa.Executable:
        """Creates a call, and returns its SID; nothing if there is one."""

        def make() -> sa.Executable:
            insert = self._insert(self._database.writable[CALLS.name])
            unless_known = insert.on_conflict_do_nothing(index_elements=["call_sid"])
            return unless_known.returning(CALLS.c.call_sid)

        return self._once("insert", make)

    def update_call(self, columns: Iterable[str]) -> sa.Update:
        """Sets columns of a call, whose SID is the parameter `this`, and raises its revision."""
        return self._once(("update", *columns), lambda: _update_call(columns))

    def touch_calls(self, writer: str) -> sa.Update:
        """Raises the revision of the calls in `call_sids`, whose other rows `writer` writes, with
        this `write_number`."""

        def make() -> sa.Update:
            number = sa.bindparam("number", type_=sa.Integer)
            changes = {"written_by": writer, "write_number": number}
            return _raised(sa.update(CALLS).where(self._named()), changes)

        return self._once(("touch", writer), make)

    def upsert_turn(self, *, replaces: bool) -> _Insert:
        """`replaces`: a turn of the same position. False: only one that it completes."""
        return self._once(("turn", replaces), lambda: self._upsert_turn(replaces))

    def _upsert_turn(self, replaces: bool) -> _Insert:
        insert = self._insert(self._database.writable[TURNS.name])
        new = {c.name: insert.excluded[c.name] for c in TURNS.columns if not c.primary_key}
        completes = sa.and_(TURNS.c.item_id == insert.excluded["item_id"], ~TURNS.c.complete)
        return insert.on_conflict_do_update(
            index_elements=["call_sid", "position"],
            set_=new,
            where=None if replaces else completes,
        )

    def insert_timeline(self) -> _Insert:
        """Adds a batch of entries, unless there is one of the same position."""

        def make() -> _Insert:
            insert = self._insert(self._database.writable[TIMELINE.name])
            return insert.on_conflict_do_nothing(index_elements=["call_sid", "position"])

        return self._once("timeline", make)

    def _named(self) -> sa.ColumnElement[bool]:
        """One parameter for any number of SIDs, so that the statement stays the same."""
        if self._is_postgres:
            sids = sa.bindparam(_SIDS, type_=postgresql.ARRAY(sa.Text))
            return CALLS.c.call_sid == sa.any_(sids)
        listed = sa.func.json_each(sa.bindparam(_SIDS, type_=sa.JSON)).table_valued("value")
        return CALLS.c.call_sid.in_(sa.select(listed.c.value))

    def _once(self, key: object, make: Callable[[], _T]) -> _T:
        if self._made_for is not self._database.writable or len(self._made) >= _MOST:
            self._made.clear()
            self._made_for = self._database.writable
        if key not in self._made:
            self._made[key] = make()
        made: _T = self._made[key]
        return made


def _update_call(columns: Iterable[str]) -> sa.Update:
    changes = {name: sa.bindparam(f"new_{name}", type_=CALLS.c[name].type) for name in columns}
    return _raised(sa.update(CALLS).where(_THIS), changes)


def _is_empty(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
    if isinstance(column.type, sa.JSON):  # as text: it may be none
        text = sa.cast(column, sa.Text)
        return sa.or_(column.is_(None), text.in_(("{}", "[]", "null", "")))
    return sa.or_(column.is_(None), column == "") if column.name in TEXTS else column.is_(None)


def _raised(update: sa.Update, changes: dict[str, Any]) -> sa.Update:
    return update.values(changes | {"revision": CALLS.c.revision + 1})
