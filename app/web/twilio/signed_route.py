"""What holds of every webhook of Twilio's before its own handler is asked: it is signed, it names
the call that its URL is about, and that call is not long over."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from app.bridge.deadlines import within
from app.bridge.outbound import Outbound
from app.bridge.switchboard import Switchboard
from app.bridge.transfers.transfers import Transfers
from app.records.store import Store, StoreUnavailable
from app.web.api_token import request_fields
from app.web.twilio.request import form_of, rendered
from app.wires.twilio.call import TERMINAL

logger = logging.getLogger(__name__)

KNOWN_S = 0.25  # for the store to say whether a call is over; if it does not, the call is not
LATE = timedelta(seconds=60)  # Twilio repeats a request within seconds, and not after a minute
# Asked about a human's call, and not the caller's; see app/web/twilio/transfer_webhooks.py.
_OF_THE_HUMAN = ("whisper", "pressed", "status")
_TOLD = ("/call-status", "/answering-machine/", "/status")  # nothing is asked: no TwiML is answered


class SignedRoute(APIRoute):
    """A route that Twilio calls. Nothing is said about a request that is not Twilio's, not even
    that its path is wrong: 403."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        answer = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            form = await form_of(request)
            _check_same_call(request, form)
            call_sid = request.path_params.get("call_sid") or form.get("CallSid", "")
            if await _is_long_over(request, call_sid):
                extra = {"path": request.url.path, "call_sid": call_sid}
                logger.info("webhook about a call that is long over", extra=extra)
                asks = not any(part in request.url.path for part in _TOLD)
                return rendered("unavailable") if asks else Response(status_code=204)
            return await answer(request)

        return guarded


# --- the same call --------------------------------------------------------------------------------


def _check_same_call(request: Request, form: Mapping[str, str]) -> None:
    """A signature says that Twilio made the request, and not when or for what: its form must not
    contradict its URL. Raises HTTPException 403."""
    switchboard: Switchboard = request.app.state.switchboard
    call_sid = form.get("CallSid", "")
    if of_transfer := request.path_params.get("call_sid"):
        fits = _fits_transfer(request, form, of_transfer)
    elif token := request.path_params.get("token"):
        outbound: Outbound = request.app.state.outbound
        fits = outbound.may_be(token, call_sid, live=switchboard.is_live(call_sid))
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
    """The caller's questions bear the caller's SID. Those of the human bear the SID of a call to
    them: made by the caller's <Dial>, which is its parent, or by our order (Twilio: TwiML, request
    parameters)."""
    call_sid, parent_sid = form.get("CallSid", ""), form.get("ParentCallSid", "")
    if not call_sid or request.url.path.rpartition("/")[2] not in _OF_THE_HUMAN:
        return call_sid == caller_sid
    if parent_sid:
        return parent_sid == caller_sid
    transfers: Transfers = request.app.state.transfers
    if callee_sid := transfers.callee_sid(caller_sid, request.path_params.get("number", "")):
        return call_sid == callee_sid
    # Whether Twilio names the parent everywhere is not sure, nor have we been told our order's SID
    # yet: what is left is that it may not be the SID of a live caller.
    switchboard: Switchboard = request.app.state.switchboard
    outbound: Outbound = request.app.state.outbound
    return not switchboard.is_live(call_sid) and outbound.placed(call_sid) is None


# --- the past -------------------------------------------------------------------------------------


async def _is_long_over(request: Request, call_sid: str) -> bool:
    """Whether the store knows that the call ended more than a minute ago: what comes now is a
    recorded request. A store that does not answer at once counts as a no."""
    switchboard: Switchboard = request.app.state.switchboard
    store: Store = request.app.state.store
    if not call_sid or switchboard.is_live(call_sid):
        return False
    try:
        row = await within(KNOWN_S, store.get_call(call_sid))
    except (StoreUnavailable, TimeoutError):
        return False
    if row is None or row.status not in TERMINAL:
        return False
    return datetime.now(UTC) - (row.ended_at or row.created_at) > LATE
