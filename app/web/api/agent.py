"""`GET /agent`: what the console says of the agent."""

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from app.web.api_token import TokenRoute, require_token
from app.web.app_state import State
from app.web.problems import documented

router = APIRouter(
    tags=["calls"],
    route_class=TokenRoute,
    dependencies=[Depends(require_token)],
    responses=documented(401, 429, 503),
)


class AgentShown(BaseModel):
    """The agent that answers calls."""

    name: str
    destinations: list[str] = Field(
        description="names of the humans to whom a caller can be transferred"
    )
    listen_in: bool = Field(description="whether live calls may be listened to, see LISTEN_IN")


@router.get("/agent", summary="Get the agent")
async def agent(state: State) -> AgentShown:
    """The agent's name, and the destinations of its transfers."""
    loaded = state.services.agent.agent
    names = [each.name for each in loaded.destinations]
    return AgentShown(name=loaded.name, destinations=names, listen_in=state.listening.allowed)
