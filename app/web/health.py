"""Liveness and readiness: `GET /healthz` and `GET /readyz`."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.web.app_state import State

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The state of this process."""

    status: Literal["ok", "draining"]


@router.get("/healthz", summary="Is the process alive?")
async def healthz() -> Health:
    """200 as long as the process lives, while draining too."""
    return Health(status="ok")


@router.get("/readyz", summary="Does it take new calls?", responses={503: {"model": Health}})
async def readyz(state: State, response: Response) -> Health:
    """200 while the service takes new calls, 503 once it is stopping."""
    if not state.switchboard.draining:
        return Health(status="ok")
    response.status_code = 503
    return Health(status="draining")
