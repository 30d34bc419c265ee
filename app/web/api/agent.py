"""`GET /agent`: what the console says of the agent."""

import re

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from app.bridge.services import Services
from app.web.api_token import TokenRoute, require_token
from app.web.app_state import State
from app.web.problems import documented

router = APIRouter(
    tags=["calls"],
    route_class=TokenRoute,
    dependencies=[Depends(require_token)],
    responses=documented(401, 429, 503),
)


_SLOT = re.compile(r"\{[^}]*\}")
_NO_BRACKETS = str.maketrans("", "", "[]")  # around words that may be left out


class AgentShown(BaseModel):
    """The agent that answers calls."""

    name: str
    destinations: list[str] = Field(
        description="names of the humans that a caller can be transferred to"
    )
    understands: list[str] = Field(
        description="examples of what the embedded model understands; empty: another model answers"
    )
    listen_in: bool = Field(description="whether live calls may be listened to, see LISTEN_IN")


@router.get("/agent", summary="Get the agent")
async def agent(state: State) -> AgentShown:
    """The agent's name, and the destinations of its transfers."""
    loaded = state.services.agent.agent
    names = [each.name for each in loaded.destinations]
    return AgentShown(
        name=loaded.name,
        destinations=names,
        understands=_examples(state.services),
        listen_in=state.listening.allowed,
    )


def _examples(services: Services) -> list[str]:
    """One phrase of each line that the embedded model knows. Empty: calls have another model."""
    if not services.embedded:
        return []
    lines = services.agent.demo.lines
    return [_SLOT.sub("…", line.hears[0]).translate(_NO_BRACKETS) for line in lines if line.hears]
