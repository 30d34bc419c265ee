"""`GET /calls` and `GET /calls/{call_sid}`: the records of live and past calls."""

import re
from dataclasses import dataclass, fields, replace
from datetime import date, tzinfo
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter

from app.records.digests.digest import Digest
from app.records.digests.search import parse_search
from app.records.finding import NO_RECORD, find_row
from app.records.record import Call, CallRow, CallSummary, shown
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


class Glance(BaseModel):
    """What is known of an ended call at a glance."""

    response_ms: int | None = Field(
        description="the median wait for an answer, from the caller's last sound to the first byte "
        "sent; null if there was no answer"
    )
    interruptions: int = Field(description="how often the caller interrupted the agent")
    false_interruptions: int = Field(description="coughs and the like, after which it went on")
    transfers: list[str] = Field(description="the outcome of each transfer")
    cost_usd: float = Field(description="of what has a known price")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedCall(CallSummary):
    """A call in a list."""

    __pydantic_config__ = ConfigDict(json_schema_serialization_defaults_required=True)

    ended_by: Annotated[
        str | None, Field(description="who or what ended the call, such as caller or agent")
    ]
    glance: Annotated[Glance | None, Field(description="null until the call is over")]


class CallPage(BaseModel):
    """Calls, the newest first. `next`: `before` of the next page; null on the last page."""

    calls: list[ListedCall]
    next: str | None


def zone_of(name: str) -> tzinfo:
    """A time zone by its IANA name. Raises HTTPException 422."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise HTTPException(422, "query.zone: expected an IANA time zone such as UTC") from None


def _written_day(value: object) -> object:
    """Reject what else could be read as a day, such as seconds since 1970."""
    if not _DAY.fullmatch(str(value)):
        raise ValueError("expected a day such as 2026-11-30")
    return value


_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


Day = Annotated[date, BeforeValidator(_written_day)]
Zone = Annotated[str, Query(description="the time zone of days, by its IANA name", max_length=64)]


@router.get("", summary="List calls", responses=documented(404))
async def list_calls(
    state: State,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    before: Annotated[str | None, Query(description="`next` of the previous page")] = None,
    status: CallStatus | None = None,
    search: Annotated[
        str,
        Query(
            description="ended calls that have all of this: words, parts of a number, an outcome "
            "such as busy, a day such as 2026-11-30",
            max_length=200,
        ),
    ] = "",
    outcome: Annotated[
        str,
        Query(
            description="a status, an `ended_by` or a transfer's outcome",
            max_length=40,
            pattern="^[a-z_-]*$",
        ),
    ] = "",
    day: Annotated[Day | None, Query(description="of `created_at`, in `zone`")] = None,
    zone: Zone = "UTC",
) -> CallPage:
    """Live and past calls, the newest first. With `search`, `outcome` or `day`: ended calls."""
    wanted = parse_search(search, outcome, day, zone_of(zone))
    if status is not None:
        wanted = replace(wanted, parts=(*wanted.parts, f" status={status} "))
    store = state.store
    try:
        if search.strip() or outcome.strip() or day:
            rows = await store.find_calls(wanted, limit + 1, before)
        else:
            rows = await store.list_calls(limit + 1, before, status)
    except LookupError as error:
        detail = f"query.before: {error}; pass the `next` of a page"
        raise HTTPException(404, detail) from error
    digests = await store.digests.of(row.call_sid for row in rows[:limit])
    calls = [_listed(row, digests.get(row.call_sid)) for row in rows[:limit]]
    return CallPage(calls=calls, next=calls[-1].call_sid if len(rows) > limit else None)


def _listed(row: CallRow, digest: Digest | None) -> ListedCall:
    summary = {each.name: getattr(row, each.name) for each in fields(CallSummary)}
    return ListedCall(**summary, ended_by=row.ended_by, glance=_glance(digest) if digest else None)


def _glance(digest: Digest) -> Glance:
    return Glance(
        response_ms=digest.response_ms,
        interruptions=digest.interruptions,
        false_interruptions=digest.false_interruptions,
        transfers=list(digest.transfers),
        cost_usd=digest.cost_usd,
    )


async def find_call(store: Store, call_sid: str) -> CallRow:
    """The record of a call. Raises HTTPException 404 if there is none."""
    row = await find_row(store, call_sid)
    if row is None:
        raise HTTPException(404, NO_RECORD)
    return row


@router.get("/{call_sid}", summary="Get a call", response_model=Call, responses=documented(404))
async def get_call(
    state: State,
    call_sid: Sid,
    events: Annotated[bool, Query(description="false: leave `events` empty, it is long")] = True,
) -> Response:
    """One call with its transcript, events, usage and timings."""
    store = state.store
    row = await find_call(store, call_sid)
    turns = await store.turns(call_sid)
    timeline = await store.timeline_json(call_sid) if events else b"[]"
    whole = _CALL.dump_json(shown(row, turns, []), by_alias=True)
    return Response(whole.removesuffix(b"[]}") + timeline + b"}", media_type="application/json")
