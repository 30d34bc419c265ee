"""`GET /calls/{call_sid}/recording`: the sound of a call, whole or by ranges."""

import logging
import re
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import Response, StreamingResponse
from starlette.types import Send

from app.bridge.recordings import PIECE_BYTES, FoundRecording, RecordingUnavailable
from app.records.recording import HEADER_BYTES, wav_header
from app.web.api.calls import Sid, find_call
from app.web.api_token import TokenRoute, require_token
from app.web.app_state import State
from app.web.problems import documented

logger = logging.getLogger(__name__)

router = APIRouter(
    prefix="/calls",
    tags=["calls"],
    route_class=TokenRoute,
    dependencies=[Depends(require_token)],
    responses=documented(401, 422, 429, 503),
)

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))", re.ASCII)
_WAV = {"audio/wav": {"schema": {"type": "string", "format": "binary"}}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "the whole file", "content": _WAV},
    206: {"description": "the range that was asked for", "content": _WAV},
    **documented(404, 416),
}


@router.head("/{call_sid}/recording", include_in_schema=False, response_class=Response)
@router.get(
    "/{call_sid}/recording",
    summary="Get a call's recording",
    response_class=Response,
    responses=_ANSWERS,
)
async def get_recording(request: Request, call_sid: Sid, state: State) -> Response:
    """A stereo WAV file: the caller left, the agent right, on the clock of the timeline, whichever
    replicas recorded it. That of a live call ends some 10 s ago. One range of bytes may be asked
    for."""
    row = await find_call(state.store, call_sid)
    try:
        found = await state.recordings.find(row)
    except RecordingUnavailable as error:
        raise HTTPException(error.status, str(error)) from error
    total = HEADER_BYTES + found.size_bytes
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-store",
        "ETag": f'"{found.tag}"',
        "X-Content-Type-Options": "nosniff",
    }
    status, begin, end = 200, 0, total
    if (asked := _range(request, headers["ETag"], total)) is not None:
        status, (begin, end) = 206, asked
        if begin >= end:
            unsatisfied = {"Content-Range": f"bytes */{total}"}
            raise HTTPException(416, f"the recording has {total} bytes", unsatisfied)
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{total}"
    headers["Content-Length"] = str(end - begin)
    if request.method == "HEAD":
        return Response(None, status, headers, "audio/wav")
    return _Recording(_pieces(found, begin, end), status, headers, "audio/wav")


def _range(request: Request, tag: str, total: int) -> tuple[int, int] | None:
    """The bytes that are asked for, as (begin, end); empty if the file has none of them. None: all
    of them. What is not one range of bytes is ignored (RFC 9110, 14.2)."""
    given = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if given is None or request.headers.get("if-range", tag) != tag:
        return None
    first, last, length = given.groups()
    if length is not None:
        return max(0, total - int(length)), total if int(length) else 0
    begin, end = int(first), min(total, int(last) + 1) if last else total
    if last and int(last) < begin:
        return None
    return (begin, end) if begin < total else (0, 0)


async def _pieces(found: FoundRecording, begin: int, end: int) -> AsyncIterator[bytes]:
    """The bytes of the file from `begin` to `end`."""
    if begin < HEADER_BYTES:
        yield wav_header(found.size_bytes)[begin:end]
    at, until = max(0, begin - HEADER_BYTES), end - HEADER_BYTES
    while at < until:
        piece = await found.read(at, min(PIECE_BYTES, until - at))
        at += len(piece)
        yield piece


class _Recording(StreamingResponse):
    """Its body ends early if the replica that has it goes away: the server then closes the
    connection, and the client sees that."""

    async def stream_response(self, send: Send) -> None:
        head = {"type": "http.response.start", "status": self.status_code}
        await send({**head, "headers": self.raw_headers})
        try:
            async for piece in self.body_iterator:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except RecordingUnavailable as error:
            logger.warning("recording not sent to its end", extra={"cause": str(error)})
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})
