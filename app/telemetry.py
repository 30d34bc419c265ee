"""The log: one line per record on stderr, for people or for machines, without phone numbers."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Literal

_STANDARD = {*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName", "color_message"}
_NUMBER = re.compile(r"(\+|%2B)(\d{8,15})")
_NEEDS_QUOTES = re.compile(r'[\s"=]|[^ -~]|^$')


def redact(line: str) -> str:
    """Hide all but the ends of every phone number: +15551230001 becomes +1555…01.

    At least five digits are hidden; the last two stay, so that calls can be told apart.
    """

    def hide(match: re.Match[str]) -> str:
        sign, digits = match.groups()
        return f"{sign}{digits[: min(4, len(digits) - 7)]}…{digits[-2:]}"

    return _NUMBER.sub(hide, line)


def configure_logging(level: str = "INFO", format: Literal["text", "json"] = "text") -> None:
    """Send the log to stderr; may be called again.

    `level` is this project's; every library says only warnings, because their chatter holds
    headers, frames, parameters, and the paths of media sockets, which are tickets. An unknown level
    counts as INFO. There is no access log.
    """
    chosen = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    handler = _StderrHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if format == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not isinstance(h, _StderrHandler)] + [handler]
    root.setLevel(max(chosen, logging.WARNING))
    logging.getLogger("app").setLevel(chosen)
    logging.getLogger("uvicorn").setLevel(max(chosen, logging.WARNING))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        joined = logging.getLogger(name)
        joined.handlers = []
        joined.propagate = name != "uvicorn.access"


class _StderrHandler(logging.StreamHandler[Any]):
    """Ours, told apart from handlers that others put on the root logger."""


class _TextFormatter(logging.Formatter):
    """`12:00:00.123 INFO  app.bridge call started call_sid=CA… count=3`, in local time."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        line = f"{at} {record.levelname:<5} {record.name} {record.getMessage()}"
        for name, value in _extras(record).items():
            shown = value if isinstance(value, str) else _json(value)
            line += f" {name}={_json(shown) if _NEEDS_QUOTES.search(shown) else shown}"
        return redact("\n".join([line, *_trace(self, record)]))


class _JsonFormatter(logging.Formatter):
    """One JSON object a line; `at` is UTC."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line = _extras(record) | line  # an extra never hides what every line has
        if trace := _trace(self, record):
            line["exception"] = "\n".join(trace)
        return redact(_json(line))


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in record.__dict__.items() if name not in _STANDARD}


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    parts = []
    if record.exc_info:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return parts


def _json(value: object) -> str:
    try:
        return json.dumps(value, default=repr)
    except (TypeError, ValueError):  # a key that is no string, a circle
        flat = {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else str(value)
        return json.dumps(flat)
