"""Liveness and readiness: `GET /healthz` and `GET /readyz`."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.web.app_state import State

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The state of this process."""

    status: Literal["ok", "degraded", "draining"]
    #: `away`: records wait until it is back. Calls go on, and new ones are answered.
    database: Literal["away"] | None = None


_PROBE_S = 0.5  # less than what asks waits for the answer


@router.get("/healthz", summary="Is the process alive?", response_model_exclude_none=True)
async def healthz() -> Health:
    """200 as long as the process lives, while draining too."""
    return Health(status="ok")


@router.get(
    "/readyz",
    summary="Does it take new calls?",
    response_model_exclude_none=True,
    responses={503: {"model": Health}},
)
async def readyz(state: State, response: Response) -> Health:
    """200 while the service takes new calls, also while its database is away; 503 once it is
    stopping."""
    if state.switchboard.draining:
        response.status_code = 503
        return Health(status="draining")
    if not await state.store.probe(_PROBE_S):
        return Health(status="degraded", database="away")
    return Health(status="ok")
