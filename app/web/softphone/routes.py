"""The softphone: `POST /softphone/calls` begins a call with the agent, without a telephone.

The call runs over Twilio's own wire, at the `stream_url` of the answer. When that stream ends, the
page asks what follows, as Twilio asks `<Connect action>`; it reports of a transfer that rings in it
what Twilio would report. The handlers of Twilio's webhooks answer, and their TwiML is translated.
"""

import logging
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.bridge.softphone.following import Following
from app.call.exits.attempts import RINGING, TALKING
from app.web.api.calls import Sid
from app.web.api_token import TokenRoute, check_token, request_fields, require_token
from app.web.app_state import AppState, State
from app.web.page_origin import foreign_page, media_base, page_base
from app.web.problems import documented
from app.web.twilio import call_webhooks, transfer_webhooks
from app.web.twilio.request import answer_as_webhook, fault_fields

logger = logging.getLogger(__name__)

ASK_AGAIN_S = 1.0  # between two questions about an attempt that rings
STILL_HERE_S = 15.0  # and while caller and human talk: a page that asks no more was closed


class SoftphoneRoute(TokenRoute):
    """A route of the softphone: the token first, then the Origin."""

    def check(self, request: Request) -> None:
        """See `TokenRoute.check`. Raises HTTPException 403 for a foreign page."""
        check_token(request)
        if page_base(request.scope) is None:
            fault = foreign_page(request.scope)
            extra = {**request_fields(request), **fault_fields(fault)}
            logger.warning("softphone of a foreign page refused", extra=extra)
            raise HTTPException(403, "the page is not this service's own")


router = APIRouter(
    prefix="/softphone/calls",
    tags=["softphone"],
    route_class=SoftphoneRoute,
    dependencies=[Depends(require_token)],
    responses=documented(401, 403, 422, 429, 503),
)

_ON_A_CALL = documented(404)
Attempt = Annotated[int, Path(ge=0, le=10**6, description="the number of the transfer's attempt")]


class SoftphoneCall(BaseModel):
    """A call that waits for its media stream."""

    call_sid: str
    stream_url: str = Field(description="where the stream connects, once, within 30 s")


class Step(BaseModel):
    """What the call does next."""

    state: Literal["stream", "ringing", "talking", "wait", "over"] = Field(
        description="stream: connect to `stream_url`; ringing: at a human; talking: with that "
        "human; wait: ask again after `seconds`; over: the call has ended"
    )
    stream_url: str = Field(
        default="", description="of the next stream with the agent, good for 30 s"
    )
    attempt: int | None = Field(default=None, description="the number of the transfer's attempt")
    destination: str = Field(default="", description="the human's name")
    reason: str = Field(default="", description="why the agent transfers the call")
    summary: str = Field(default="", description="what the human has to know")
    said: str = Field(default="", description="what the caller hears first, to be spoken or shown")
    digits: str = Field(default="", description="keys that sound first; w: 500 ms, W: 1000 ms")
    seconds: float = Field(default=0.0, description="of a pause first, or until the next question")


class AttemptEnded(BaseModel):
    """How an attempt ended, in Twilio's words."""

    model_config = ConfigDict(extra="forbid")

    status: Literal["busy", "completed", "canceled"] = Field(
        description="busy: the human declined; completed: the human hung up; canceled: the caller"
    )


@router.post("", status_code=201, summary="Call the agent")
async def call_agent(request: Request, response: Response, state: State) -> SoftphoneCall:
    """Begin a call with the agent over Twilio's media stream protocol. No Twilio account is
    needed, and Twilio learns nothing of the call."""
    bus, base_url = state.services.bus, _base(request)
    if bus.shared and not bus.available:
        raise HTTPException(503, "Redis is away; try again", {"Retry-After": "5"})
    call = state.softphone.call(state.services.softphone.new_sid())
    ticket = await state.reconnects.answer(call, base_url, is_new=True)
    if ticket is None:
        draining = state.switchboard.draining
        reason = "the service is shutting down" if draining else "MAX_CALLS is reached"
        raise HTTPException(503, f"{reason}; try again later", {"Retry-After": "30"})
    prefix = next(iter(state.gate.prefixes(request.scope)), "")
    response.headers["Location"] = f"{prefix}/calls/{call.call_sid}"
    return SoftphoneCall(call_sid=call.call_sid, stream_url=_stream_url(base_url, ticket))


@router.post("/{call_sid}/next", responses=_ON_A_CALL, summary="Ask what follows a stream")
async def next_step(call_sid: Sid, request: Request, state: State) -> Step:
    """The stream of a call has ended: ask once what follows. It may be lost, or the agent transfers
    the call, or presses keys."""
    await _known(state, call_sid)
    answer_as_webhook(request, _form(state, call_sid), _base(request))
    answer = await call_webhooks.stream_ended(request, state)
    return await _step(request, state, call_sid, answer)


@router.get("/{call_sid}/transfers/{number}", responses=_ON_A_CALL, summary="Ask about an attempt")
async def attempt(call_sid: Sid, number: Attempt, request: Request, state: State) -> Step:
    """What became of an attempt that rings, or that the human answered. Ask every `seconds`: a
    page that stops asking while they talk has hung up."""
    await _known(state, call_sid)
    record = await state.transfers.record(call_sid, number)
    if record is None:
        raise HTTPException(404, "there is no such transfer")
    if record["outcome"] in (RINGING, TALKING):
        return await _of_attempt(request, state, call_sid, number)
    ended = {"DialCallStatus": str(record["outcome"]), "DialBridged": "false"}
    return await _ended(request, state, call_sid, ended)


@router.post(
    "/{call_sid}/transfers/{number}/answer",
    responses=documented(404),
    summary="Answer as the human",
)
async def answer(call_sid: Sid, number: Attempt, request: Request, state: State) -> Step:
    """The human answers, and accepts the call."""
    await _known(state, call_sid)
    answer_as_webhook(request, {**_form(state, call_sid), "Digits": "1"}, _base(request))
    await transfer_webhooks.pressed(request, state)
    return await attempt(call_sid, number, request, state)


@router.post(
    "/{call_sid}/transfers/{number}/ended", responses=documented(404, 413), summary="End an attempt"
)
async def attempt_ended(
    call_sid: Sid, number: Attempt, end: AttemptEnded, request: Request, state: State
) -> Step:
    """The human declines or hangs up, or the caller does. Returns what follows."""
    await _known(state, call_sid)
    record = await state.transfers.record(call_sid, number)
    if record is None:
        raise HTTPException(404, "there is no such transfer")
    talked_s = state.softphone.talked_s(call_sid)
    ended = {
        "DialCallStatus": end.status,
        "DialBridged": "true" if record["outcome"] == TALKING else "false",
        **({"DialCallDuration": str(round(talked_s))} if talked_s is not None else {}),
    }
    if end.status == "canceled":
        ended["CallStatus"] = "completed"
        if record["outcome"] == TALKING:
            ended["DialCallStatus"] = "completed"
    return await _ended(request, state, call_sid, ended)


# --- answers --------------------------------------------------------------------------------------


async def _known(state: AppState, call_sid: str) -> None:
    """Check that this is a softphone's call, and note that its page is open."""
    if not state.services.softphone.has(call_sid):
        raise HTTPException(404, "there is no such call of a softphone")
    await state.softphone.seen(call_sid)


def _base(request: Request) -> str:
    base_url = page_base(request.scope)
    if base_url is None:
        raise HTTPException(403, "the page is not this service's own")
    return base_url


def _form(state: AppState, call_sid: str) -> dict[str, str]:
    """What Twilio would send about this call."""
    call = state.softphone.call(call_sid)
    numbers = {"From": call.from_number, "To": call.to_number}
    return {"CallSid": call_sid, "Direction": call.direction, **numbers}


async def _ended(request: Request, state: AppState, call_sid: str, ended: dict[str, str]) -> Step:
    answer_as_webhook(request, {**_form(state, call_sid), **ended}, _base(request))
    answer = await transfer_webhooks.ended(request, state)
    return await _step(request, state, call_sid, answer)


async def _step(request: Request, state: AppState, call_sid: str, answer: Response) -> Step:
    """The TwiML of an answer, translated for the page."""
    base_url, twiml = _base(request), bytes(answer.body).decode()
    found = state.softphone.follow(call_sid, twiml, base_url)
    if found.attempt is not None:
        return await _of_attempt(request, state, call_sid, found.attempt, found)
    first: dict[str, Any] = {"said": found.said, "digits": found.digits}
    if found.ticket:
        url = _stream_url(base_url, found.ticket)
        return Step(state="stream", stream_url=url, seconds=found.pause_s, **first)
    if found.again is not None:
        return Step(state="wait", seconds=max(ASK_AGAIN_S, found.pause_s), **first)
    return Step(state="over", **first)


async def _of_attempt(
    request: Request, state: AppState, call_sid: str, number: int, found: Following | None = None
) -> Step:
    record = await state.transfers.record(call_sid, number) or {}
    talking = record.get("outcome") == TALKING
    if talking:
        state.softphone.talks(call_sid, number, _base(request))
    return Step(
        state="talking" if talking else "ringing",
        attempt=number,
        destination=str(record.get("destination", "")),
        reason=str(record.get("reason", "")),
        summary=str(record.get("summary", "")),
        said=found.said if found is not None else "",
        seconds=STILL_HERE_S if talking else ASK_AGAIN_S,
    )


def _stream_url(base_url: str, ticket: str) -> str:
    return f"{media_base(base_url)}/media-stream/{ticket}"
