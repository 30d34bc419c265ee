"""One call as a page in one file, which a browser opens from the disk.

It has the console's view of a call, the call's data and its sound, and fetches nothing. Everything
foreign is in blocks of data: JSON in ASCII with `<` escaped, or base64. The Content-Security-Policy
allows the one script and the one style sheet by their hashes.
"""

import zlib
from base64 import b64encode
from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256
from html import escape
from json import dumps
from pathlib import Path
from string import Template
from typing import Any

from pydantic import TypeAdapter

from app import __version__
from app.records.record import Call, TimelineRow, shown
from app.records.report.files import KEPT_SOUND
from app.records.report.levels import read_levels
from app.records.report.recorded_pcm import AGENT, CALLER, HZ
from app.records.report.sound import read_ulaw
from app.records.report.view import CallView, drawn
from app.records.report.whole_call import WholeCall
from app.records.visible import one_line
from app.web.console.joined import joined

FOLDER = Path(__file__).parent / "page"
ENTRY = "file.js"

_CALL = TypeAdapter(Call)
_VIEW = TypeAdapter(CallView)
_EVENTS = TypeAdapter(list[TimelineRow])
_EVENTS_AT_ONCE = 500
_LONGEST_TITLE = 80
_GZIP = 31  # zlib: the largest window, with the header of gzip

_HEAD = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="$policy">
<title>$title</title>
<meta name="generator" content="phone-agent-bridge $version">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:image/svg+xml;base64,$icon">
<style>$style</style>
</head>
<body>
<div id="page"></div>
<noscript>This page needs JavaScript.</noscript>
""")


def call_page(call: WholeCall) -> Iterator[str]:
    """The page of a call, in pieces. Takes long for a long call: in a service, iterate in a thread.

    Raises:
        RecordingUnreadable: the recording became unreadable after the report was made.
    """
    report = call.report
    levels = read_levels(report.wav) if report.wav is not None else None
    view = drawn(report, call.timeline, levels, report.recording_fault)
    row = replace(report.call, recording=KEPT_SOUND if report.wav is not None else None)
    record = _CALL.dump_python(shown(row, call.turns, ()), mode="json", by_alias=True)
    data = {"record": record, "report": _VIEW.dump_python(view, mode="json"), "hz": HZ}
    yield _head(f"{row.from_number} → {row.to_number}")
    yield from _block("call-data", "application/json", (_json(data),))
    yield from _block("timeline-data", "text/plain", _packed(_events(call.timeline)))
    if report.wav is not None:
        for name, side in (("caller", CALLER), ("agent", AGENT)):
            yield from _block(f"{name}-sound", "text/plain", _packed(read_ulaw(report.wav, side)))
    yield from _block("licences", "text/plain", (_licences(),))
    yield f"<script>{script()}</script>\n</body>\n</html>\n"


@cache
def script() -> str:
    """The page's script, joined from the console's modules."""
    modules = {
        path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8")
        for path in FOLDER.rglob("*.js")
    }
    return _raw(joined(modules, ENTRY))


def policy() -> str:
    """The page's Content-Security-Policy. A meta element knows no `frame-ancestors`."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hash(script())}",
            f"style-src {_hash(_style())}",
            "img-src data:",
            "media-src blob:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _head(title: str) -> str:
    return _HEAD.substitute(
        policy=policy(),
        title=escape(one_line(title)[:_LONGEST_TITLE]),
        version=__version__,
        icon=b64encode((FOLDER / "icon.svg").read_bytes()).decode(),
        style=_style(),
    )


@cache
def _style() -> str:
    return _raw((FOLDER / "style.css").read_text(encoding="utf-8"))


@cache
def _licences() -> str:
    return _raw((FOLDER / "vendor" / "LICENSES.txt").read_text(encoding="utf-8"))


def _raw(text: str) -> str:
    """Text of this project that goes into an element as it is: nothing in it may end the element.

    Raises:
        ValueError: something does.
    """
    lowered = text.lower()
    for mark in ("</script", "</style", "<!--", "<script"):
        if mark in lowered:
            raise ValueError(f"{mark} cannot be in the page of a call")
    return text


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _block(name: str, media_type: str, pieces: Iterable[str]) -> Iterator[str]:
    """An element with data. A browser runs no script of these types."""
    yield f'<script type="{media_type}" id="{name}">'
    yield from pieces
    yield "</script>\n"


def _json(value: Any) -> str:
    """JSON in ASCII that no element's end, comment or line separator can be found in."""
    return dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def _events(timeline: Sequence[TimelineRow]) -> Iterator[bytes]:
    """The timeline as a JSON array."""
    yield b"["
    for at in range(0, len(timeline), _EVENTS_AT_ONCE):
        rows = _EVENTS.dump_json(list(timeline[at : at + _EVENTS_AT_ONCE]))
        yield (b"," if at else b"") + rows[1:-1]
    yield b"]"


def _packed(pieces: Iterable[bytes]) -> Iterator[str]:
    """The same with gzip, in base64."""
    packing = zlib.compressobj(wbits=_GZIP)
    rest = b""
    for piece in pieces:
        rest += packing.compress(piece)
        whole = len(rest) // 3 * 3  # base64 of which has no padding
        yield b2a_base64(rest[:whole], newline=False).decode()
        rest = rest[whole:]
    yield b2a_base64(rest + packing.flush(), newline=False).decode()
