"""The HTTP API's actions: place a call; transfer it, hang it up, say something on it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.bridge.outbound import OutboundRefused
from app.bridge.switchboard import Switchboard
from app.call.events import HangUpRequested, SayRequested, TransferRequested
from app.call.words.blank import NOT_BLANK, stripped
from app.config.phone_number import NUMBER_PATTERN
from app.errors import TwilioError
from app.web.api.calls import Sid, find_call
from app.web.api_token import TokenRoute, require_token
from app.web.app_state import AppState, State
from app.web.problems import documented
from app.wires.twilio.call import TERMINAL

router = APIRouter(
    prefix="/calls",
    tags=["actions"],
    route_class=TokenRoute,
    dependencies=[Depends(require_token)],
    responses=documented(401, 413, 422, 429, 503),
)

LONGEST_TEXT = 2000

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
    prefix = next(iter(state.gate.prefixes(request.scope)), "")
    response.headers["Location"] = f"{prefix}/calls/{call_sid}"
    return PlacedCall(call_sid=call_sid)


_ON_A_CALL: dict[str, Any] = {"status_code": 202, "responses": documented(404, 409)}


@router.post("/{call_sid}/transfer", summary="Transfer the caller to a human", **_ON_A_CALL)
async def transfer(call_sid: Sid, order: TransferOrder, state: State) -> Accepted:
    """The agent announces the transfer; it begins when the caller has heard the announcement."""
    await _check_live(state, call_sid)
    if state.services.rest is None:
        raise HTTPException(409, "a transfer needs a Twilio account; set TWILIO_ACCOUNT_SID")
    _order(state.switchboard, call_sid, TransferRequested(order.destination))
    return Accepted(call_sid=call_sid)


@router.post("/{call_sid}/say", summary="Make the agent say something", **_ON_A_CALL)
async def say(call_sid: Sid, words: Words, state: State) -> Accepted:
    """The agent says exactly this text, at its next turn."""
    await _check_live(state, call_sid)
    _order(state.switchboard, call_sid, SayRequested(words.text))
    return Accepted(call_sid=call_sid)


@router.post(
    "/{call_sid}/hangup", summary="End a call", status_code=202,
    responses=documented(404, 409, 502),
)  # fmt: skip
async def hangup(call_sid: Sid, state: State) -> Accepted:
    """The call ends at once, even while the caller talks with a human."""
    switchboard, services = state.switchboard, state.services
    await _check_live(state, call_sid)
    if not switchboard.tell(call_sid, HangUpRequested("operator")):
        if services.rest is None:
            raise HTTPException(
                409, "ending this call needs a Twilio account; set TWILIO_ACCOUNT_SID"
            )
        try:
            await services.rest.hang_up(call_sid)
        except TwilioError as error:
            if not error.call_is_over:
                raise HTTPException(502, str(error)) from error
            switchboard.ended(call_sid, "completed")
    return Accepted(call_sid=call_sid)


def _order(
    switchboard: Switchboard, call_sid: str, order: SayRequested | TransferRequested
) -> None:
    """Pass an order to the call's leg. Raises HTTPException 409 with the reason of a refusal."""
    if refusal := switchboard.order(call_sid, order):
        raise HTTPException(409, refusal)


async def _check_live(state: AppState, call_sid: str) -> None:
    """Raises HTTPException: 404 if there is no such call, 409 if it has ended."""
    if state.switchboard.is_live(call_sid):
        return
    if (await find_call(state.store, call_sid)).status in TERMINAL:
        raise HTTPException(409, "the call has ended")
