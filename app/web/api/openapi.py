"""`GET /openapi.json`: the description of the HTTP API, behind the token."""

import asyncio
from copy import deepcopy
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from fastapi import APIRouter, Depends, Request

from app.web.api_token import TokenRoute, require_token
from app.web.app_state import State

router = APIRouter(
    include_in_schema=False, route_class=TokenRoute, dependencies=[Depends(require_token)]
)


@router.get("/openapi.json")
async def openapi(request: Request, state: State) -> dict[str, Any]:
    """OpenAPI 3.1, with this agent's transfer destinations and the time zones as enums."""
    described: dict[str, Any] = deepcopy(request.app.openapi())
    names = [each.name for each in state.services.agent.agent.destinations]
    order = described["components"]["schemas"]["TransferOrder"]
    destination = order["properties"]["destination"]
    if len(names) > 1:
        order["required"] = ["destination"]
        destination["enum"] = names
        del destination["default"]
    elif names:
        destination["enum"] = ["", *names]
    for operations in described["paths"].values():
        for parameter in operations.get("get", {}).get("parameters", ()):
            if parameter["name"] == "zone":
                parameter["schema"]["enum"] = await asyncio.to_thread(_zones)
    return described


@cache
def _zones() -> list[str]:
    return sorted(available_timezones())
