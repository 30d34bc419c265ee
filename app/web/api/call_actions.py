"""The HTTP API's actions: place a call; transfer it, hang it up, say something on it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.bridge.outbound import OutboundRefused
from app.bridge.switchboard import Switchboard
from app.call.events import Event, HangUpRequested, SayRequested, TransferRequested
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
    """Call a number. It has to begin with one of OUTBOUND_PREFIXES (default: the calling code of
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
    response.headers["Location"] = f"/calls/{call_sid}"
    return PlacedCall(call_sid=call_sid)


_ON_A_CALL: dict[str, Any] = {"status_code": 202, "responses": documented(404, 409)}


@router.post("/{call_sid}/transfer", summary="Transfer the caller to a human", **_ON_A_CALL)
async def transfer(call_sid: Sid, order: TransferOrder, state: State) -> Accepted:
    """The agent announces the transfer; it begins when the caller has heard the announcement."""
    services = state.services
    names = [each.name for each in services.agent.agent.destinations]
    await _check_live(state, call_sid)
    if services.rest is None:
        raise HTTPException(409, "a transfer needs a Twilio account; set TWILIO_ACCOUNT_SID")
    if not names:
        raise HTTPException(
            409, "no transfer destination is configured; see [transfer], or set TRANSFER_NUMBER"
        )
    name = order.destination or (names[0] if len(names) == 1 else "")
    if name not in names:
        raise HTTPException(422, f"body.destination: expected one of: {', '.join(names)}")
    _tell(state.switchboard, call_sid, TransferRequested(name))
    return Accepted(call_sid=call_sid)


@router.post("/{call_sid}/say", summary="Make the agent say something", **_ON_A_CALL)
async def say(call_sid: Sid, words: Words, state: State) -> Accepted:
    """The agent says exactly this text, at its next turn."""
    await _check_live(state, call_sid)
    _tell(state.switchboard, call_sid, SayRequested(words.text))
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


def _tell(switchboard: Switchboard, call_sid: str, event: Event) -> None:
    """Pass an event to the call's leg. Raises HTTPException 409 when the agent is ending or
    transferring the call, or does not talk with the caller."""
    leg = switchboard.leg(call_sid)
    if leg is not None and leg.redirecting:
        raise HTTPException(409, "the call is being transferred, or Twilio is playing digits on it")
    if leg is not None and leg.leaving and not leg.over:
        raise HTTPException(409, "the agent is ending or transferring the call")
    if not switchboard.tell(call_sid, event):
        raise HTTPException(409, "the caller does not talk with the agent now")


async def _check_live(state: AppState, call_sid: str) -> None:
    """Raises HTTPException: 404 if there is no such call, 409 if it has ended."""
    if state.switchboard.is_live(call_sid):
        return
    if (await find_call(state.store, call_sid)).status in TERMINAL:
        raise HTTPException(409, "the call has ended")
