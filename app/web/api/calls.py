"""`GET /calls` and `GET /calls/{call_sid}`: the records of live and past calls."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Response
from pydantic import BaseModel, TypeAdapter

from app.records.finding import NO_RECORD, find_row
from app.records.record import Call, CallRow, CallSummary, shown, summarized
from app.records.store import Store
from app.web.api_token import TokenRoute, require_token
from app.web.app_state import State
from app.web.problems import documented
from app.wires.twilio.call import CallStatus

router = APIRouter(
    prefix="/calls",
    tags=["calls"],
    route_class=TokenRoute,
    dependencies=[Depends(require_token)],
    responses=documented(401, 422, 429, 503),
)

_CALL = TypeAdapter(Call)  # `events` is its last field

Sid = Annotated[str, Path(description="the call's SID at Twilio", examples=["CA" + "0" * 32])]


class CallPage(BaseModel):
    """Calls, the newest first. `next`: `before` of the next page; null on the last page."""

    calls: list[CallSummary]
    next: str | None


@router.get("", summary="List calls", responses=documented(404))
async def list_calls(
    state: State,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str | None, Query(description="`next` of the previous page")] = None,
    status: CallStatus | None = None,
) -> CallPage:
    """Live and past calls, the newest first."""
    try:
        rows = await state.store.list_calls(limit + 1, before, status)
    except LookupError as error:
        detail = f"query.before: {error}; pass the `next` of a page"
        raise HTTPException(404, detail) from error
    calls = [summarized(row) for row in rows[:limit]]
    return CallPage(calls=calls, next=calls[-1].call_sid if len(rows) > limit else None)


async def find_call(store: Store, call_sid: str) -> CallRow:
    """The record of a call. Raises HTTPException 404 if there is none."""
    row = await find_row(store, call_sid)
    if row is None:
        raise HTTPException(404, NO_RECORD)
    return row


@router.get("/{call_sid}", summary="Get a call", response_model=Call, responses=documented(404))
async def get_call(state: State, call_sid: Sid) -> Response:
    """One call with its transcript, events, usage and timings."""
    store = state.store
    row = await find_call(store, call_sid)
    turns, events = await store.turns(call_sid), await store.timeline_json(call_sid)
    whole = _CALL.dump_json(shown(row, turns, []), by_alias=True)
    return Response(whole.removesuffix(b"[]}") + events + b"}", media_type="application/json")
