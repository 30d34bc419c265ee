"""`GET /calls` and `GET /calls/{call_sid}`: the records of live and past calls."""

import asyncio
from contextlib import suppress
from dataclasses import fields
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from app.records.store import CallRow, Store
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

WRITTEN_S = 2.0  # for the store to write the record of a call that has just begun
Sid = Annotated[str, Path(description="the call's SID at Twilio", examples=["CA" + "0" * 32])]


class _Record(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class CallSummary(_Record):
    """A call without its transcript and events. Times are UTC."""

    call_sid: str
    status: str = Field(description="in Twilio's words, such as in-progress or completed")
    direction: str = Field(description="inbound or outbound-api")
    from_number: str = Field(serialization_alias="from")
    to_number: str = Field(serialization_alias="to")
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    duration_s: float | None
    answered_by: str | None = Field(description="in Twilio's words, such as human")
    agent_name: str = Field(serialization_alias="agent")


class Turn(_Record):
    """One turn of the conversation."""

    role: str = Field(description="user, assistant or tool")
    text: str = Field(description="what was heard on the phone")
    cut: bool = Field(description="the caller interrupted it; the rest was not heard")
    estimated: bool = Field(
        description="`text` is estimated in proportion to the audio that was heard"
    )
    complete: bool = Field(description="the turn does not change any more")
    at_ms: float
    heard_ms: float | None = Field(description="how much of the agent's audio was heard")
    item_id: str
    extra: dict[str, Any] = Field(description="a tool's name and arguments, and the like")


class Transfer(BaseModel):
    """One attempt to transfer the caller to a human."""

    destination: str
    outcome: str = Field(
        description="completed: the human accepted, and they talked; busy, no-answer, failed, "
        "canceled: as Twilio reports; not-accepted: the call was answered, possibly by a machine, "
        "but 1 was not pressed; ringing or in-progress until then"
    )
    reason: str = ""
    summary: str = ""
    warm: bool = Field(False, description="the human was briefed while the caller heard music")
    seconds: float | None = Field(None, description="how long the human was on the line, if known")


class TimelineEntry(_Record):
    """An event or a command of the call."""

    at_ms: float
    kind: str = Field(description="event or command")
    name: str
    data: dict[str, Any]


class Call(CallSummary):
    """The whole record of a call."""

    ended_by: str | None = Field(description="such as caller, agent or limit")
    transcript: list[Turn]
    events: list[TimelineEntry]
    usage: dict[str, int] = Field(description="tokens, and ms of transcribed audio")
    timings: dict[str, float] = Field(description="milliseconds")
    transfers: list[Transfer]
    summary: str | None = Field(description="made after the call, if the agent file asks for it")
    cost: dict[str, Any] = Field(
        description="by list prices: `model`, `line` and their `total`, in `currency`; a part "
        "without a known price is null and listed in `unknown`; `as_of`: the date of the prices; "
        "empty until the call is over",
        examples=[
            {
                "currency": "USD",
                "model": 0.0123,
                "line": 0.0129,
                "total": 0.0252,
                "as_of": "2026-11-21",
                "unknown": [],
            }
        ],
    )
    recording: str | None = Field(
        description="path of the WAV file, on the machine that answered the call; null if the "
        "call was not recorded"
    )


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
    calls = [CallSummary.model_validate(row) for row in rows[:limit]]
    return CallPage(calls=calls, next=calls[-1].call_sid if len(rows) > limit else None)


async def find_call(store: Store, call_sid: str) -> CallRow:
    """The record of a call; if there is none yet, flushes the store and looks again. Raises
    HTTPException 404."""
    row = await store.get_call(call_sid)
    if row is None:
        with suppress(TimeoutError):
            async with asyncio.timeout(WRITTEN_S):
                await store.flush()
        row = await store.get_call(call_sid)
    if row is None:
        raise HTTPException(404, "there is no record of this call; see GET /calls")
    return row


@router.get("/{call_sid}", summary="Get a call", responses=documented(404))
async def get_call(state: State, call_sid: Sid) -> Call:
    """One call with its transcript, events, usage and timings."""
    store = state.store
    row = await find_call(store, call_sid)
    parts = {"transcript": await store.turns(call_sid), "events": await store.timeline(call_sid)}
    return Call.model_validate({f.name: getattr(row, f.name) for f in fields(row)} | parts)
