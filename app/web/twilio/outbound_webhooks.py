"""The webhooks of outbound calls: the callee answered, and whether that is a human."""

from dataclasses import replace

from fastapi import APIRouter, Request, Response

from app.bridge.bus.bus import BusUnavailable
from app.bridge.deadlines import within
from app.bridge.outbound import PlacedCall, placed_key
from app.bridge.reconnects import WRITTEN_S
from app.call.events import CalleeDetected
from app.records.carried import Placed
from app.records.record import CallRow
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
        placed = await _placed_elsewhere(state, call, token)
    if placed is None:
        return rendered("unavailable")
    agent = state.services.agent.agent.calling(placed.greeting, placed.context)
    ticket = await state.reconnects.answer(call, base_url, agent, is_new=known)
    if ticket is None:
        return rendered("goodbye")
    await _report_verdict(state, call.call_sid, placed)
    return rendered("incoming-call", **state.switchboard.streams.urls(base_url, ticket))


async def _placed_elsewhere(state: AppState, call: CallInfo, token: str) -> PlacedCall | None:
    """The call, if another replica or an earlier process placed it. None: it has ended, or the
    token is of another call.

    Without its record the agent does not know what the call is for, but talks to the callee:
    Twilio requests this URL only for placed calls.
    """
    try:
        row = await within(WRITTEN_S, state.store.get_call(call.call_sid))
    except (StoreUnavailable, TimeoutError):
        return _placed(call, token, await _shared_purpose(state, token) or Placed())
    purpose = Placed.from_data(row.placed) if row is not None else Placed()
    if not purpose.token:  # Twilio asks before it has answered the order
        shared = await _shared_purpose(state, token)
        if shared is not None:
            state.store.save_call(call.call_sid, by_owner=False, placed=shared.as_data())
            return _placed(call, token, shared)
    if row is None or row.direction != "outbound-api" or row.status in TERMINAL:
        return None
    if purpose.token not in ("", token):
        return None
    return replace(_placed(call, token, purpose), answered_by=row.answered_by or "")


def _placed(call: CallInfo, token: str, purpose: Placed) -> PlacedCall:
    said = purpose.greeting, purpose.voicemail, purpose.context
    return PlacedCall(token, call.to_number, *said, call_sid=call.call_sid)


async def _shared_purpose(state: AppState, token: str) -> Placed | None:
    """What a call is for, as the replica that places it told the others; None: it did not."""
    try:
        kept = await state.services.bus.get(placed_key(token))
    except BusUnavailable:
        return None
    return Placed.from_data(kept) if kept is not None else None


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
        if placed is None:
            call = CallInfo(call_sid)
            purpose = await _purpose(state, call_sid, token)
            placed = replace(_placed(call, token, purpose), answered_by=answered_by)
        await _report_verdict(state, call_sid, placed)
    return Response(status_code=204)


async def _purpose(state: AppState, call_sid: str, token: str) -> Placed:
    """What a call of another replica is for, as far as it can be read."""
    try:
        row: CallRow | None = await within(WRITTEN_S, state.store.get_call(call_sid))
    except (StoreUnavailable, TimeoutError):
        row = None
    stored = Placed.from_data(row.placed) if row is not None else Placed()
    if stored.token:
        return stored
    return await _shared_purpose(state, token) or Placed()


async def _report_verdict(state: AppState, call_sid: str, placed: PlacedCall) -> None:
    """Tell the agent who answered, as far as Twilio knows. What follows is the call's decision."""
    outbound = state.services.agent.agent.outbound
    if placed.answered_by and outbound.answering_machine == "detect":
        message = placed.voicemail or outbound.voicemail
        verdict = CalleeDetected(placed.answered_by, message)
        if state.switchboard.leg(call_sid) is not None:
            state.switchboard.tell(call_sid, verdict)
        else:  # a leg that is opened later reads the verdict in the record
            await state.reconnects.callee_detected(call_sid, verdict)
