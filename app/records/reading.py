"""Stored rows as the classes of `record`, whatever the rows hold.

A row may hold what this version never writes: another version wrote it, or a person did. A value
that cannot be read is replaced by its field's default; a row without a readable key is left out.
Each such row is logged, without its values. In JSON, what no answer of the API can contain is
replaced: NaN and the infinities by null, a lone surrogate by a question mark.
"""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields
from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BeforeValidator, TypeAdapter, ValidationError

from app.records.record import CallRow, Column, TimelineRow, TurnRow

logger = logging.getLogger(__name__)

_Record = TypeVar("_Record", CallRow, TurnRow)
_NO_DEFAULT: Any = object()
_UNKNOWN_TIME = datetime.fromtimestamp(0, UTC)


class _Reader(Generic[_Record]):
    """Makes instances of a dataclass of `record` from rows whose keys are its fields' names.

    Values may be as the driver returned them: JSON as text, times as text or without their zone.
    """

    def __init__(self, record: type[_Record]) -> None:
        kinds, hints = get_type_hints(record), get_type_hints(record, include_extras=True)
        self._record: Callable[..., _Record] = record
        self._fields = [
            (each.name, _adapter(kinds[each.name]), _default(each, hints[each.name]))
            for each in fields(record)
        ]

    def __call__(self, call_sid: str, row: Mapping[Any, Any]) -> _Record | None:
        """None: a value that has no default cannot be read."""
        values, unreadable = {}, []
        for name, adapter, default in self._fields:
            try:
                values[name] = adapter.validate_python(row[name])
            except ValidationError:
                unreadable.append(name)
                values[name] = default()
        if unreadable:
            extra = {"call_sid": call_sid, "columns": unreadable}
            logger.error("stored values cannot be read, defaults take their place", extra=extra)
            if any(values[name] is _NO_DEFAULT for name in unreadable):
                return None
        return self._record(**values)


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if datetime in (kind, *get_args(kind)):
        return TypeAdapter(Annotated[kind, AfterValidator(_with_zone)])
    if dict in (get_origin(kind), kind) or list in (get_origin(kind), kind):
        return TypeAdapter(Annotated[kind, BeforeValidator(_from_json)])
    if float in (kind, *get_args(kind)):
        return TypeAdapter(Annotated[kind, AfterValidator(_finite)])
    return TypeAdapter(kind)


def _finite(value: float | None) -> float | None:
    if value is not None and not isfinite(value):
        raise ValueError("no finite number")
    return value


def _with_zone(value: datetime | None) -> datetime | None:
    if value is None:
        return None
    try:
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError("a time before the year 1 or after 9999 in UTC") from error


def _from_json(value: Any) -> Any:
    try:
        return sendable(json.loads(value) if isinstance(value, str) else value)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def sendable(value: Any) -> Any:
    """A JSON value without what cannot be sent as JSON in UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:  # UnicodeEncodeError is one
        text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
        return json.loads(text, parse_constant=lambda _: None)
    return value


def _default(each: Field[Any], hint: Any) -> Callable[[], Any]:
    kind, *extras = get_args(hint)
    stored = next((extra for extra in extras if isinstance(extra, Column)), Column())
    made = stored.default if callable(stored.default) else each.default_factory
    if callable(made):
        return made
    if kind is datetime:
        return lambda: _UNKNOWN_TIME
    if stored.default is not None:
        return lambda: stored.default
    if each.default is not MISSING:
        return lambda: each.default
    return lambda: None if type(None) in get_args(kind) else _NO_DEFAULT


read_call = _Reader(CallRow)
read_turn = _Reader(TurnRow)


def read_timeline(call_sid: str, batches: Iterable[str]) -> Iterator[TimelineRow]:
    """The entries of stored batches in their order. `batches`: JSON lists of `[position, at_ms,
    kind, name, data]`."""
    unreadable = 0
    for batch in batches:
        try:
            entries = sendable(json.loads(batch))
        except (ValueError, TypeError, RecursionError):
            entries = None
        for entry in entries if isinstance(entries, list) else [None]:
            match entry:
                case [int(), int() | float(), "event" | "command", str(), dict()]:
                    yield TimelineRow(*entry)
                case _:
                    unreadable += 1
    if unreadable:
        extra = {"call_sid": call_sid, "entries": unreadable}
        logger.error("stored timeline entries cannot be read, they are left out", extra=extra)
