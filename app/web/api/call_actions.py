"""The HTTP API's actions: place a call; transfer it, hang it up, say something on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.bridge.operator_orders import OrderRefused
from app.bridge.outbound import OutboundRefused
from app.call.words.blank import NOT_BLANK, stripped
from app.config.phone_number import NUMBER_PATTERN
from app.web.api.calls import Sid
from app.web.api_token import TokenRoute, require_token
from app.web.app_state import State
from app.web.problems import documented

router = APIRouter(
    prefix="/calls",
    tags=["actions"],
    route_class=TokenRoute,
    dependencies=[Depends(require_token)],
    responses=documented(401, 413, 422, 429, 503),
)

LONGEST_TEXT = 2000
WRITTEN_S = 0.5  # for the record of a call that was placed

_Text = Annotated[str, AfterValidator(stripped)]  # blank counts as empty


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewCall(_Body):
    """A call to place."""

    to: str = Field(
        description="the number to call, E.164",
        examples=["+14155550123"],
        json_schema_extra={"pattern": NUMBER_PATTERN},  # checked by `Outbound`, in plain words
    )
    greeting: _Text = Field(
        "",
        max_length=LONGEST_TEXT,
        description="the agent's first words; empty: the agent file's greeting",
    )
    voicemail: _Text = Field(
        "",
        max_length=LONGEST_TEXT,
        description="the message after an answering machine's beep; empty: the agent file's",
    )
    context: _Text = Field(
        "", max_length=20_000, description="what the agent should know about this call"
    )


class PlacedCall(BaseModel):
    """The call that was placed."""

    call_sid: str


class TransferOrder(_Body):
    """Where to transfer the caller."""

    destination: str = Field(
        "", description="a destination's name in the agent file; optional if there is only one"
    )


class Words(_Body):
    """The agent says this."""

    text: _Text = Field(min_length=1, max_length=LONGEST_TEXT, pattern=NOT_BLANK)


class Accepted(BaseModel):
    """The action was accepted; the call's record shows its outcome."""

    call_sid: str


@router.post("", status_code=201, summary="Place a call", responses=documented(403, 409, 502, 504))
async def place_call(
    request: Request, response: Response, call: NewCall, state: State
) -> PlacedCall:
    """Call a number. It has to begin with one of OUTBOUND_PREFIXES (default: be of the country of
    TWILIO_PHONE_NUMBER), and must not have been called in the last OUTBOUND_REPEAT_SECONDS."""
    try:
        call_sid = await state.outbound.place(
            call.to,
            base_url=state.gate.url_for_twilio(request.scope),
            greeting=call.greeting,
            voicemail=call.voicemail,
            context=call.context,
            room=state.switchboard.room,
        )
    except OutboundRefused as refused:
        wait_s = refused.retry_after_s
        headers = None if wait_s is None else {"Retry-After": str(wait_s)}
        raise HTTPException(refused.status, str(refused), headers) from refused
    if (
        state.services.bus.shared and state.store.available
    ):  # any replica may be asked for the call now
        await state.store.flush(WRITTEN_S)
    prefix = next(iter(state.gate.prefixes(request.scope)), "")
    response.headers["Location"] = f"{prefix}/calls/{call_sid}"
    return PlacedCall(call_sid=call_sid)


_ON_A_CALL: dict[str, Any] = {"status_code": 202, "responses": documented(404, 409, 504)}


@router.post("/{call_sid}/transfer", summary="Transfer the caller to a human", **_ON_A_CALL)
async def transfer(call_sid: Sid, order: TransferOrder, state: State) -> Accepted:
    """The agent announces the transfer; it begins when the caller has heard the announcement."""
    with _refusals():
        await state.orders.transfer(call_sid, order.destination)
    return Accepted(call_sid=call_sid)


@router.post("/{call_sid}/say", summary="Make the agent say something", **_ON_A_CALL)
async def say(call_sid: Sid, words: Words, state: State) -> Accepted:
    """The agent says exactly this text, at its next turn."""
    with _refusals():
        await state.orders.say(call_sid, words.text)
    return Accepted(call_sid=call_sid)


@router.post(
    "/{call_sid}/hangup", summary="End a call", status_code=202,
    responses=documented(404, 409, 502, 504),
)  # fmt: skip
async def hangup(call_sid: Sid, state: State) -> Accepted:
    """The call ends at once, even while the caller talks with a human."""
    with _refusals():
        await state.orders.hang_up(call_sid)
    return Accepted(call_sid=call_sid)


@contextmanager
def _refusals() -> Iterator[None]:
    """Answer with the status and the reason of an order that is refused."""
    try:
        yield
    except OrderRefused as refused:
        raise HTTPException(refused.status, str(refused)) from refused
