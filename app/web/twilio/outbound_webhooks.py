"""The webhooks of outbound calls: the callee answered, and whether that is a human."""

from dataclasses import replace

from fastapi import APIRouter, Request, Response

from app.bridge.deadlines import within
from app.bridge.outbound import PlacedCall
from app.bridge.reconnects import WRITTEN_S
from app.call.events import CalleeDetected
from app.records.store import StoreUnavailable
from app.web.app_state import AppState
from app.web.twilio.call_webhooks import call_info, call_is_over
from app.web.twilio.request import base_of, rendered
from app.web.twilio.signed_route import SignedRoute
from app.web.twilio.webhook_deadline import Form, acknowledge, ask_again, webhook
from app.wires.twilio.call import TERMINAL, CallInfo

router = APIRouter(include_in_schema=False, route_class=SignedRoute)


@router.post("/outgoing-call/{token}")
@webhook(fallback=ask_again)
async def outgoing_call(request: Request, form: Form, state: AppState) -> Response:
    """The callee answered: TwiML that connects them to a media stream."""
    call, base_url, token = call_info(form), base_of(request), request.path_params["token"]
    if call_is_over(state, form):
        return rendered("goodbye")
    placed = state.outbound.answered(token, call.call_sid)
    known = placed is not None
    if placed is None:
        placed = await _placed_earlier(state, call, token)
    if placed is None:
        return rendered("unavailable")
    agent = state.services.agent.agent.calling(placed.greeting, placed.context)
    ticket = await state.reconnects.answer(call, base_url, agent, is_new=known)
    if ticket is None:
        return rendered("goodbye")
    _report_verdict(state, call.call_sid, placed)
    return rendered("incoming-call", **state.switchboard.streams.urls(base_url, ticket))


async def _placed_earlier(state: AppState, call: CallInfo, token: str) -> PlacedCall | None:
    """The call, if an earlier process of this service placed it. Its greeting and context are lost,
    but the agent still talks to the callee.

    Not None as well if the store does not answer: Twilio requests this URL only for placed calls.
    """
    placed = PlacedCall(token, call.to_number, call_sid=call.call_sid)
    try:
        row = await within(WRITTEN_S, state.store.get_call(call.call_sid))
    except (StoreUnavailable, TimeoutError):
        return placed
    if row is None or row.direction != "outbound-api" or row.status in TERMINAL:
        return None
    return replace(placed, answered_by=row.answered_by or "")


@router.post("/answering-machine/{token}")
@webhook(fallback=acknowledge)
async def answering_machine(request: Request, form: Form, state: AppState) -> Response:
    """Twilio's answering machine detection: `AnsweredBy`. It may come while the agent is speaking,
    or before the request for the call's TwiML."""
    token = request.path_params["token"]
    call_sid, answered_by = form.get("CallSid", ""), form.get("AnsweredBy", "")
    if call_sid and answered_by:
        state.store.save_call(call_sid, answered_by=answered_by)
        placed = state.outbound.detected(token, call_sid, answered_by)
        placed = placed or PlacedCall(token, "", answered_by=answered_by)
        _report_verdict(state, call_sid, placed)
    return Response(status_code=204)


def _report_verdict(state: AppState, call_sid: str, placed: PlacedCall) -> None:
    """Tell the agent who answered, as far as Twilio knows. What follows is the call's decision."""
    outbound = state.services.agent.agent.outbound
    if placed.answered_by and outbound.answering_machine == "detect":
        message = placed.voicemail or outbound.voicemail
        state.switchboard.tell(call_sid, CalleeDetected(placed.answered_by, message))
