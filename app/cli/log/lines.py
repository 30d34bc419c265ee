"""A log line: copied from its record when it is logged, formatted and redacted later."""

import json
import logging
import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from app.records.redaction import TRACE, redact, redact_foreign
from app.records.visible import visible

LONGEST_VALUE = 2000  # characters of a message, or of one of its extras
LONGEST_TRACE = 20_000

_STANDARD = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName", "color_message"}
_OWN = ("app", "app.")
# Extras of this project's records that quote libraries and peers: redacted more strictly.
_FOREIGN_WORDS = {"error", "cause", "reason", "fault", "faults", "detail", "code", "tool", TRACE}
_NEEDS_QUOTES = re.compile(r'[\s"=]|[^ -~]|^$')
_ELLIPSIS = re.compile(r"(?<!\\)((?:\\\\)*)\\u2026")  # from redaction; stays readable in JSON
_SOURCE_LINE = re.compile(r'^\s*File "')

Format = Literal["text", "json"]


@dataclass(frozen=True, slots=True)
class Line:
    """A copy of a record from the moment it was logged; nothing in it changes any more."""

    #: Seconds since the epoch.
    created: float
    level: str
    logger: str
    message: str
    extras: Mapping[str, Any] = field(default_factory=dict)
    trace: traceback.TracebackException | str = ""
    #: Write `message` as it is, and nothing else.
    plain: bool = False


def line_of(record: logging.LogRecord) -> Line:
    """Copy a record, mutable values included. Reading source lines and redaction, which are slow,
    happen in `formatted`."""
    extras = {k: _fixed(v) for k, v in record.__dict__.items() if k not in _STANDARD}
    trace: traceback.TracebackException | str = str(extras.pop(TRACE, ""))
    if record.exc_info and record.exc_info[1] is not None:
        trace = traceback.TracebackException.from_exception(
            record.exc_info[1], lookup_lines=False, compact=True
        )
    elif record.exc_text or record.stack_info:
        trace = record.exc_text or record.stack_info or ""
    return Line(
        record.created, record.levelname, record.name, _cut(record.getMessage()), extras, trace
    )


def _fixed(value: object) -> Any:
    if value is None or type(value) in (int, float, bool):
        return value
    if isinstance(value, str):
        return _cut(value)
    text = _json(value)
    return json.loads(text) if len(text) <= LONGEST_VALUE else _cut(text)


def _cut(text: str, longest: int = LONGEST_VALUE) -> str:
    if len(text) <= longest:
        return text
    return f"{text[:longest]}… ({len(text)} characters)"


def formatted(line: Line, form: Format) -> str:
    """A line as redacted text, with its line end."""
    if line.plain:
        return f"{line.message}\n"
    own = line.logger.startswith(_OWN[1]) or line.logger == _OWN[0]
    message = line.message if own else redact_foreign(line.message)
    extras = {
        name: _foreign(value) if name in _FOREIGN_WORDS else value
        for name, value in line.extras.items()
    }
    text = (_json_line if form == "json" else _text_line)(line, message, extras, _trace(line.trace))
    return f"{redact(text)}\n"


def _foreign(value: Any) -> Any:
    if isinstance(value, dict | list):
        value = _json(value)
    return redact_foreign(value) if isinstance(value, str) else value


def _text_line(line: Line, message: str, extras: Mapping[str, Any], trace: str) -> str:
    """`12:00:00.123 INFO  app.bridge.leg.leg call started call_sid=CA… count=3`, in local time."""
    at = datetime.fromtimestamp(line.created).strftime("%H:%M:%S.%f")[:-3]
    text = f"{at} {line.level:<5} {line.logger} {visible(message.rstrip())}"
    for name, value in extras.items():
        shown = value if isinstance(value, str) else _json(value)
        text += f" {name}={_quoted(shown) if _NEEDS_QUOTES.search(shown) else shown}"
    return f"{text}\n{trace}" if trace else text


def _json_line(line: Line, message: str, extras: Mapping[str, Any], trace: str) -> str:
    """One JSON object a line; `at` is UTC."""
    fields: dict[str, Any] = {
        "at": datetime.fromtimestamp(line.created, UTC).isoformat(timespec="milliseconds"),
        "level": line.level,
        "logger": line.logger,
        "message": message,
    }
    fields = {**extras, **fields}  # an extra never replaces a standard field
    if trace:
        fields["exception"] = trace
    return _ELLIPSIS.sub(r"\1…", _json(fields))


def _trace(trace: traceback.TracebackException | str) -> str:
    text = trace if isinstance(trace, str) else "".join(trace.format())
    if len(text) > LONGEST_TRACE:
        half = LONGEST_TRACE // 2
        text = f"{text[:half]}\n… {len(text) - 2 * half} characters …\n{text[-half:]}"
    # Source paths hold no personal data, but digits that redaction would take for numbers.
    return "\n".join(
        visible(each if _SOURCE_LINE.match(each) else redact_foreign(each))
        for each in text.rstrip("\n").split("\n")
    )


def _quoted(text: str) -> str:
    return visible(json.dumps(text, ensure_ascii=False))


def _json(value: object) -> str:
    try:
        return json.dumps(value, default=repr)
    except (TypeError, ValueError):  # a key that is not a string, or a reference cycle
        flat = {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else str(value)
        return json.dumps(flat)
    except RecursionError:
        return '"nested too deep"'
