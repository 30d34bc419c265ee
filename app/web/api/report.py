"""`GET /calls/{call_sid}/report`: a call as the console draws it."""

import asyncio

from fastapi import APIRouter, Depends

from app.records.report.view import CallView, view_of
from app.web.api.calls import Sid, find_call
from app.web.api_token import TokenRoute, require_token
from app.web.app_state import State
from app.web.problems import documented

router = APIRouter(
    prefix="/calls",
    tags=["calls"],
    route_class=TokenRoute,
    dependencies=[Depends(require_token)],
    responses=documented(401, 404, 422, 429, 503),
)


@router.get("/{call_sid}/report", summary="Measure a call")
async def report(call_sid: Sid, state: State) -> CallView:
    """Turns, answers, interruptions, tools, silences and the waveform of a call, on one time axis,
    measured in its timeline and its recording."""
    store = state.store
    call = await find_call(store, call_sid)
    turns = await store.turns(call_sid)
    batches = await store.digests.batches(call_sid)
    return await asyncio.to_thread(view_of, call, turns, batches)
