"""`GET /` and `GET /console/{file}`: the console's page and its files, which hold no data.

The files in `page/` are served as they are. The page asks the HTTP API for data, with the token
that its user enters.
"""

import gzip
import re
from dataclasses import dataclass
from functools import cache
from html import escape
from mimetypes import guess_type
from pathlib import Path, PurePosixPath

from fastapi import APIRouter, HTTPException, Request, Response

from app.web.app_state import State

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parent / "page"
#: What a softphone, or listening in, loads when it begins.
WORKLETS = {"worklets.js"}
#: The views. The module of each has its name; `main.js` loads it when it is first opened.
VIEWS = ("start", "call", "days")

# Nothing but the files of this service: no inline script or style, no frame around the page.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "media-src blob:",
        "base-uri 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Vary": "Accept-Encoding",
}

_TEXT = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_BASE = re.compile(r'<base href="[^"]*">')
_IMPORT = re.compile(r'from\s*"\./([\w/.-]+)"')
_FRAME = {"index.html", "style.css", "icon.svg"}


@dataclass(frozen=True, slots=True)
class File:
    """A file of the page."""

    body: bytes
    compressed: bytes
    media_type: str


@cache
def files() -> dict[str, File]:
    """The files that browsers get, by their path below `page/`. Read once."""
    found = {}
    for path in sorted(FOLDER.rglob("*")):
        if path.suffix in (".html", *_TEXT):
            media_type = _TEXT.get(path.suffix) or guess_type(path.name)[0] or "text/plain"
            found[path.relative_to(FOLDER).as_posix()] = _file(path.read_bytes(), media_type)
    return found


def _file(body: bytes, media_type: str) -> File:
    return File(body, gzip.compress(body, 9, mtime=0), media_type)


def modules_of(entry: str) -> set[str]:
    """The modules that a module imports, by its path below `page/`, those of theirs, and itself."""
    found, left = set[str](), [entry]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            targets = _IMPORT.findall(files()[name].body.decode())
            left += [(PurePosixPath(name).parent / target).as_posix() for target in targets]
    return found


def first_load_bytes(view: str) -> int:
    """What a browser loads when it opens the page at a view, compressed."""
    return _compressed_bytes(modules_of("main.js") | modules_of(f"{view}.js"))


def whole_load_bytes() -> int:
    """What a browser loads when it opens every view, compressed; `WORKLETS` come with sound."""
    entries = ("main.js", *(f"{view}.js" for view in VIEWS))
    return _compressed_bytes(set[str]().union(*map(modules_of, entries)))


def _compressed_bytes(modules: set[str]) -> int:
    return sum(len(files()[name].compressed) for name in modules | _FRAME)


@router.head("/")
@router.get("/")
async def page(request: Request, state: State) -> Response:
    """The page. Its addresses are relative to the prefix at which a proxy serves it."""
    prefix = next(iter(state.gate.prefixes(request.scope)), "")
    base = f'<base href="{escape(prefix)}/">' if prefix else '<base href="./">'
    body = _BASE.sub(lambda _: base, files()["index.html"].body.decode(), count=1)
    return _answer(request, _file(body.encode(), "text/html"))


@router.head("/console/{name:path}")
@router.get("/console/{name:path}")
async def file(name: str, request: Request) -> Response:
    """A script, a style sheet or a picture of the page."""
    found = files().get(name)
    if found is None or name == "index.html":
        raise HTTPException(404, "the console has no such file")
    return _answer(request, found)


def _answer(request: Request, file: File) -> Response:
    headers, body = dict(HEADERS), file.body
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"], body = "gzip", file.compressed
    return Response(body, media_type=file.media_type, headers=headers)
