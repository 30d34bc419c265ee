"""What routes share: set once when the application starts, read by one dependency."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from app.bridge.listening import Listening
from app.bridge.operator_orders import OperatorOrders
from app.bridge.outbound import Outbound
from app.bridge.reconnects import Reconnects
from app.bridge.recordings import Recordings
from app.bridge.services import Services
from app.bridge.softphone.calls import SoftphoneCalls
from app.bridge.switchboard import Switchboard
from app.bridge.transfers.transfers import Transfers
from app.records.store import Store
from app.web.gate import Gate
from app.web.live.board import Board
from app.web.metrics import Metrics
from app.web.stream_voices import StreamAudio
from app.web.token_rate_limit import TokenRateLimit


@dataclass(frozen=True, slots=True)
class AppState:
    """The parts of the running application. Routes take it as `state: State`."""

    #: API_TOKEN, or a random one.
    api_token: str = field(repr=False)
    services: Services = field(repr=False)
    switchboard: Switchboard
    reconnects: Reconnects
    transfers: Transfers
    outbound: Outbound
    orders: OperatorOrders
    recordings: Recordings
    listening: Listening
    softphone: SoftphoneCalls
    gate: Gate
    stream_audio: StreamAudio
    metrics: Metrics
    #: The live calls.
    board: Board = field(default_factory=Board)
    #: METRICS_TOKEN; empty: there is none.
    metrics_token: str = field(default="", repr=False)
    token_rate_limit: TokenRateLimit = field(default_factory=TokenRateLimit)

    @property
    def store(self) -> Store:
        """The records of calls."""
        return self.services.store


def set_state(app: FastAPI, state: AppState) -> None:
    """The application has started."""
    app.state.parts = state


def find_state(app: FastAPI) -> AppState | None:
    """The parts of an application; None: it has not started."""
    return getattr(app.state, "parts", None)


def state_of(app: FastAPI) -> AppState:
    """The parts of an application that has started: for what FastAPI calls without dependencies,
    such as route classes and plain ASGI."""
    state = find_state(app)
    assert state is not None, "the application has not started"
    return state


async def _of_request(request: Request) -> AppState:
    """A coroutine, because FastAPI runs plain functions in a thread."""
    return state_of(request.app)


#: A route's parameter: the parts of the application.
State = Annotated[AppState, Depends(_of_request)]
