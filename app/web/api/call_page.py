"""`GET /calls/{call_sid}/page`: a call as one file, which a browser opens from the disk."""

import asyncio
from contextlib import AsyncExitStack

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse
from starlette.types import Send

from app.bridge.recording_copy import recording_file
from app.bridge.recordings import RecordingUnavailable
from app.records.report.whole_call import WholeCall, stored_call
from app.web.api.calls import Sid, find_call
from app.web.api_token import TokenRoute, require_token
from app.web.app_state import State
from app.web.console import call_page
from app.web.problems import documented

router = APIRouter(
    prefix="/calls",
    tags=["calls"],
    route_class=TokenRoute,
    dependencies=[Depends(require_token)],
    responses=documented(401, 404, 422, 429, 503),
)
#: It is saved, and not shown at the address of this service.
HEADERS = {
    "Content-Disposition": 'attachment; filename="call.html"',
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@router.get(
    "/{call_sid}/page",
    summary="Save a call as a page",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/html": {}}, "description": "the page, one HTML file"}},
)
async def page(call_sid: Sid, state: State) -> StreamingResponse:
    """The call with its transcript, time axis, figures and sound, as one HTML file that needs
    nothing else."""
    store = state.store
    call = await find_call(store, call_sid)
    turns = await store.turns(call_sid)
    batches = await store.digests.batches(call_sid)
    recording, wav, fault = AsyncExitStack(), None, ""
    try:
        wav = await recording.enter_async_context(recording_file(state.recordings, call))
    except RecordingUnavailable as error:
        fault = str(error)
    try:
        whole = await asyncio.to_thread(stored_call, call, turns, batches, wav, fault)
    except BaseException:
        await recording.aclose()
        raise
    return _Page(whole, recording)


class _Page(StreamingResponse):
    """Made while it is sent, in threads. The recording is let go in the end."""

    def __init__(self, call: WholeCall, recording: AsyncExitStack) -> None:
        super().__init__(call_page.call_page(call), media_type="text/html", headers=HEADERS)
        self._recording = recording

    async def stream_response(self, send: Send) -> None:
        async with self._recording:
            await super().stream_response(send)
