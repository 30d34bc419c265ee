"""The checks before every webhook handler: the request is signed, its CallSid belongs to its URL,
and the call did not end long ago."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from app.bridge.deadlines import within
from app.records.store import StoreUnavailable
from app.web.api_token import request_fields
from app.web.app_state import state_of
from app.web.twilio.request import form_of, rendered
from app.wires.twilio.call import TERMINAL

logger = logging.getLogger(__name__)

STORE_S = 0.25  # for reading whether a call is over; on a timeout it counts as live
LATE = timedelta(seconds=60)  # Twilio retries a request within seconds, never after a minute
# Requests for the call to the human, not the caller's; see app/web/twilio/transfer_webhooks.py.
_CALLEE_PATHS = ("whisper", "pressed", "status")
_CALLBACKS = ("/call-status", "/answering-machine/", "/status")  # answered without TwiML


class SignedRoute(APIRoute):
    """A route that Twilio calls. It checks the signature before anything else, so that an unsigned
    request gets 403 whatever else is wrong with it."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        answer = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            form = await form_of(request)
            _check_same_call(request, form)
            call_sid = request.path_params.get("call_sid") or form.get("CallSid", "")
            if await _is_long_over(request, call_sid):
                extra = {"path": request.url.path, "call_sid": call_sid}
                logger.info("webhook about a call that is long over", extra=extra)
                if any(part in request.url.path for part in _CALLBACKS):
                    return Response(status_code=204)
                return rendered("unavailable")
            return await answer(request)

        return guarded


# --- the same call --------------------------------------------------------------------------------


def _check_same_call(request: Request, form: Mapping[str, str]) -> None:
    """Check that the form's CallSid belongs to the URL: a signature proves neither when a request
    was made nor for which call. Raises HTTPException 403."""
    state, call_sid = state_of(request.app), form.get("CallSid", "")
    if of_transfer := request.path_params.get("call_sid"):
        fits = _fits_transfer(request, form, of_transfer)
    elif token := request.path_params.get("token"):
        live = state.switchboard.is_live(call_sid)
        fits = state.outbound.may_be(token, call_sid, live=live)
    else:
        fits = True
    if not fits:
        extra = {
            **request_fields(request),
            "call_sid": call_sid,
            "reason": "CallSid is of another call",
        }
        logger.warning("webhook that names another call refused", extra=extra)
        raise HTTPException(403, "CallSid is not of the call that this URL is about")


def _fits_transfer(request: Request, form: Mapping[str, str], caller_sid: str) -> bool:
    """Whether a transfer's request names the right call.

    Requests for the caller carry the caller's SID. Those for the human carry the SID of the call to
    the human: made by the caller's <Dial>, with the caller's call as ParentCallSid, or over REST
    (Twilio: TwiML, request parameters).
    """
    call_sid, parent_sid = form.get("CallSid", ""), form.get("ParentCallSid", "")
    if not call_sid or request.url.path.rpartition("/")[2] not in _CALLEE_PATHS:
        return call_sid == caller_sid
    if parent_sid:
        return parent_sid == caller_sid
    state, number = state_of(request.app), request.path_params.get("number", "")
    if callee_sid := state.transfers.callee_sid(caller_sid, number):
        return call_sid == callee_sid
    # Twilio may leave out the parent, and the REST response with the callee's SID may not be here
    # yet. Then only refuse the SID of another live or placed call.
    return not state.switchboard.is_live(call_sid) and state.outbound.placed(call_sid) is None


# --- replays --------------------------------------------------------------------------------------


async def _is_long_over(request: Request, call_sid: str) -> bool:
    """Whether the stored call ended more than `LATE` ago: then the request is a replay. False if
    the store does not answer within `STORE_S`."""
    state = state_of(request.app)
    if not call_sid or state.switchboard.is_live(call_sid):
        return False
    try:
        row = await within(STORE_S, state.store.get_call(call_sid))
    except (StoreUnavailable, TimeoutError):
        return False
    if row is None or row.status not in TERMINAL:
        return False
    return datetime.now(UTC) - (row.ended_at or row.created_at) > LATE
