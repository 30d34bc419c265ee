"""The webhooks of a phone number, and the media socket."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, get_args

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send

from app.bridge.decisions import log_decision
from app.bridge.leg.leg import Leg
from app.bridge.streams import StreamRefused
from app.errors import ProtocolError
from app.records.stored_call import CallIsOver
from app.web import authenticated
from app.web.app_state import AppState, state_of
from app.web.page_origin import foreign_page, page_base
from app.web.twilio.refused_stream import report_refused_stream
from app.web.twilio.request import base_of, rendered, twiml
from app.web.twilio.signed_route import SignedRoute
from app.web.twilio.webhook_deadline import Form, acknowledge, apology, ask_again, webhook
from app.wires.twilio.call import TERMINAL, CallInfo, CallStatus
from app.wires.twilio.media_socket import Direct
from app.wires.twilio.media_stream import Start, decode
from app.wires.twilio.twiml import DIGITS_PLAYED, one_moment, say_language

logger = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False, route_class=SignedRoute)

START_S = 10.0  # from the accepted handshake of a media socket to its `start` message
MOST_BEFORE_START = 100  # messages
_STATUSES: dict[str, CallStatus] = {status: status for status in get_args(CallStatus)}


def call_info(form: Mapping[str, str]) -> CallInfo:
    """The call that a webhook is about. Raises HTTPException 400 without a CallSid."""
    if not form.get("CallSid"):
        raise HTTPException(400, "CallSid is missing")
    return CallInfo(
        form["CallSid"],
        account_sid=form.get("AccountSid", ""),
        direction=form.get("Direction", "inbound"),
        from_number=form.get("From", ""),
        to_number=form.get("To", ""),
    )


@router.api_route("/incoming-call", methods=["GET", "POST"])
@webhook(fallback=ask_again)
async def incoming_call(request: Request, form: Form, state: AppState) -> Response:
    """A call comes in: TwiML that connects it to a media stream."""
    call, base_url, agent = call_info(form), base_of(request), state.services.agent
    if call_is_over(state, form):
        return rendered("goodbye")
    ticket = await state.reconnects.answer(call, base_url)
    if ticket is None:
        return rendered("busy")
    announcement = agent.recording.announcement if agent.recording.enabled else ""
    if not announcement:
        return rendered("incoming-call", **state.switchboard.streams.urls(base_url, ticket))
    said = {"announcement": announcement, "language": say_language(agent.agent.language)}
    urls = state.switchboard.streams.urls(base_url, ticket)
    return rendered("announced-call", **said, **urls)


async def new_agent(request: Request, form: Form, state: AppState) -> Response:
    """The fallback for a call whose record cannot be read: a new agent, without the conversation
    so far. `ask_again` if this process knows the call."""
    call, base_url = call_info(form), base_of(request)
    if state.switchboard.leg(call.call_sid) is not None:
        return await ask_again(request, form, state)
    ticket = await state.reconnects.take_over_without_record(call, base_url)
    return rendered("incoming-call", **state.switchboard.streams.urls(base_url, ticket))


@router.post("/stream-ended")
@webhook(fallback=new_agent)
async def stream_ended(request: Request, form: Form, state: AppState) -> Response:
    """`<Connect action>`: the stream ended, and the call goes on."""
    if call_is_over(state, form):
        return rendered("goodbye")
    current = await state.transfers.twiml_after_stream(call_info(form), base_of(request))
    if current is not None:
        return twiml(current)
    return await _next_stream(request, form, state)


@router.post("/stream-ended" + DIGITS_PLAYED)
@webhook(fallback=new_agent)
async def keys_pressed(request: Request, form: Form, state: AppState) -> Response:
    """The same, after Twilio played digits for the agent. That TwiML may not have run."""
    if call_is_over(state, form):
        return rendered("goodbye")
    current = await state.transfers.twiml_after_stream(
        call_info(form), base_of(request), after_keys=True
    )
    if current is not None:
        return twiml(current)
    return await _next_stream(request, form, state)


async def _next_stream(request: Request, form: Form, state: AppState) -> Response:
    """TwiML for another stream with the agent, or for the end of the call."""
    switchboard = state.switchboard
    call, base_url = call_info(form), base_of(request)
    language = state.services.agent.agent.language
    stream_sid = form.get("StreamSid", "")
    try:
        following = await state.reconnects.resume(call, base_url, stream_sid=stream_sid)
    except CallIsOver:
        return rendered("goodbye")
    if following is not None:
        urls = switchboard.streams.urls(base_url, following.ticket)
        if not following.pause_s:
            return rendered("incoming-call", **urls)
        pause = str(following.pause_s)
        return rendered("one-moment", **one_moment(language), pause_seconds=pause, **urls)
    leg = switchboard.leg(call.call_sid)
    if leg is None or (leg.over and not leg.call_continues):
        reason = "its record says that it is over" if leg is None else "Twilio stopped its stream"
        log_decision(call.call_sid, "call ended with an apology", reason)
        return rendered("unavailable")
    if leg.last_words:
        words = {"words": leg.last_words, "language": say_language(language)}
        switchboard.twiml_ended(call.call_sid)
        return rendered("last-words", **words)
    if leg.past_goodbye:
        switchboard.twiml_ended(call.call_sid)
        return rendered("unavailable" if leg.ended_by == "shutdown" else "goodbye")
    return await apology(request, form, state)


@router.api_route("/call-status", methods=["GET", "POST"])
@webhook(fallback=acknowledge)
async def call_status(request: Request, form: Form, state: AppState) -> Response:
    """The status of a call changed. Callbacks may be repeated, and come out of order."""
    call_sid, status = form.get("CallSid", ""), _STATUSES.get(form.get("CallStatus", ""))
    if call_sid and status:
        state.switchboard.status_changed(call_sid, status, form.get("AnsweredBy"))
    return Response(status_code=204)


def call_is_over(state: AppState, form: Form) -> bool:
    """Whether a webhook's CallStatus is terminal. If it is, ends the call in the switchboard."""
    status = _STATUSES.get(form.get("CallStatus", ""))
    if status not in TERMINAL or status is None:
        return False
    state.switchboard.ended(form.get("CallSid", ""), status)
    return True


async def media_stream(scope: Scope, receive: Receive, send: Send) -> None:
    """The media socket. Plain ASGI: with 50 frames a second per call, every layer costs.

    The handshake is refused unless its signature and its ticket are valid. The accepted socket is
    closed unless its `start` message names the call that the ticket was made for.
    """
    state = state_of(scope["app"])
    gate, streams = state.gate, state.switchboard.streams
    ticket: str = scope["path_params"].get("ticket", "")
    await receive()  # websocket.connect
    if streams.handing_over:  # a proxy may try another replica; the ticket stays good
        await _unavailable(scope, send)
        return
    if streams.is_probe(ticket) and gate.admits_stream(scope):
        await send({"type": "websocket.accept"})
        await _close(send, 1000)
        return
    softphone = streams.is_softphone(ticket)
    if softphone and state.services.bus.shared and not state.services.bus.available:
        cause = "a softphone's ticket needs Redis, which is away"
        report_refused_stream(scope, ticket, cause)
        await _unavailable(scope, send)
        return
    if softphone and page_base(scope) is None:
        report_refused_stream(scope, ticket, foreign_page(scope).reason)
        await send({"type": "websocket.close", "code": 1008})
        return
    if not (softphone or gate.admits_stream(scope)) or not streams.knows(ticket):
        report_refused_stream(scope, ticket)
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.accept"})
    cause = "the socket closed, or sent too many messages, before its start"
    try:
        async with asyncio.timeout(START_S):
            start = await _wait_for_start(receive)
    except TimeoutError:
        start, cause = None, f"no start came within {START_S:g} s"
    leg: Leg | None = None
    if start is not None:
        call = CallInfo(start.call_sid, start.account_sid)
        try:
            leg = await streams.claim(ticket, call, gate.base_url(scope) or "")
        except StreamRefused as refused:
            cause = str(refused)
    if start is None or leg is None:
        report_refused_stream(scope, ticket, cause, "media socket without a good start closed")
        await _close(send, 1008)
        return
    authenticated.mark_authenticated(scope)
    offered = scope.get("extensions", {}).get("media.direct")
    direct = Direct(**offered) if offered else None
    await leg.attach(start, receive, send, direct)
    await _close(send, 1000)


async def _wait_for_start(receive: Receive) -> Start | None:
    """The stream's `start`; None if the socket closes first, or sends too many other messages."""
    warned = False
    for _ in range(MOST_BEFORE_START):
        message: Mapping[str, Any] = await receive()
        if message["type"] == "websocket.disconnect":
            return None
        try:
            decoded = decode(message.get("text") or message.get("bytes") or b"")
        except ProtocolError as error:
            if not warned:
                logger.warning("message before the start ignored", extra={"error": str(error)})
            warned = True
            continue
        if isinstance(decoded, Start):
            return decoded
    return None


async def _unavailable(scope: Scope, send: Send) -> None:
    """Answer a handshake with 503, as far as the server can."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1013})
        return
    await send({"type": "websocket.http.response.start", "status": 503, "headers": []})
    await send({"type": "websocket.http.response.body", "body": b""})


async def _close(send: Send, code: int) -> None:
    """Close the socket. If it is closed already, servers raise different exceptions."""
    try:
        await send({"type": "websocket.close", "code": code})
    except (OSError, RuntimeError):
        pass


class _MediaStream:
    """An object, because Starlette calls objects as ASGI, but wraps functions as handlers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await media_stream(scope, receive, send)


router.routes += [
    WebSocketRoute("/media-stream", _MediaStream()),
    WebSocketRoute("/media-stream/{ticket}", _MediaStream()),
]
