"""`GET /statistics`: figures of the calls by day."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from app.records.digests.search import bounds
from app.records.digests.statistics import DayFigures, by_day
from app.records.digests.table import dated
from app.web.api.calls import Zone, zone_of
from app.web.api_token import TokenRoute, require_token
from app.web.app_state import State
from app.web.problems import documented

router = APIRouter(
    tags=["calls"],
    route_class=TokenRoute,
    dependencies=[Depends(require_token)],
    responses=documented(401, 422, 429, 503),
)


class Statistics(BaseModel):
    """The days that have calls, in their order."""

    days: list[DayFigures]


@router.get("/statistics", summary="Figures by day")
async def statistics(
    state: State, days: Annotated[int, Query(ge=1, le=366)] = 30, zone: Zone = "UTC"
) -> Statistics:
    """Response times, interruptions, transfers and cost of the ended calls of the last days."""
    tz = zone_of(zone)
    first = (datetime.now(UTC) - timedelta(days=days - 1)).astimezone(tz).date()
    rows = await state.store.digests.since(bounds(first, tz)[0])
    return Statistics(days=await asyncio.to_thread(lambda: by_day(dated(rows), tz)))
