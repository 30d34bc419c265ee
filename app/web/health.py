"""Liveness and readiness: `GET /healthz` and `GET /readyz`."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.web.app_state import State

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The state of this process."""

    #: degraded: it takes calls, and something that it uses is away.
    status: Literal["ok", "degraded", "draining"]
    #: `away`: records wait until it is back. Absent: it answers.
    database: Literal["away"] | None = None
    #: Absent: it answers.
    redis: Literal["away"] | None = None
    #: `broken`: it was changed, cannot be read, and calls have the agent of before (`serve --dev`).
    agent_file: Literal["broken"] | None = None


_PROBE_S = 0.5  # less than what asks waits for the answer


@router.get("/healthz", summary="Is the process alive?", response_model_exclude_none=True)
async def healthz() -> Health:
    """200 as long as the process lives, while draining too."""
    return Health(status="ok")


@router.get(
    "/readyz",
    summary="Does it take new calls?",
    responses={503: {"model": Health}},
    response_model_exclude_none=True,
)
async def readyz(state: State, response: Response) -> Health:
    """200 while the service takes new calls, also while its database or Redis is away; 503 once it
    is stopping."""
    health = Health(status="ok")
    if state.services.agent_fault:
        health.agent_file = "broken"
    if not state.services.bus.available:
        health.redis = "away"
    if state.switchboard.draining:
        health.status = "draining"
        response.status_code = 503
        return health
    if not await state.store.probe(_PROBE_S):
        health.database = "away"
    if health.redis or health.database:
        health.status = "degraded"
    return health
