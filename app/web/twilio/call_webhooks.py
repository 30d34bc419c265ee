"""What Twilio calls: the webhooks of a number, and the media socket."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send

from app.bridge.decisions import log_decision
from app.bridge.reconnects import Reconnects
from app.bridge.services import Services
from app.bridge.switchboard import Switchboard
from app.bridge.transfers.transfers import Transfers
from app.call.commands import PlayDigits
from app.errors import ProtocolError
from app.web import authenticated
from app.web.twilio.answer_in_time import Form, answered, apology, nothing_to_say, once_more
from app.web.twilio.refused_stream import refused
from app.web.twilio.request import Gate, base_of, rendered, twiml
from app.web.twilio.signed_route import SignedRoute
from app.wires.twilio.call import TERMINAL, CallInfo, CallStatus
from app.wires.twilio.media_stream import Start, decode
from app.wires.twilio.twiml import KEYS, one_moment, say_language, stream_urls

logger = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False, route_class=SignedRoute)

START_S = 10.0  # a media socket that has not said which call it is by then is closed
MOST_BEFORE_START = 100
_STATUSES: dict[str, CallStatus] = {status: status for status in get_args(CallStatus)}


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a caller hears before the agent answers, if anything, in a language (ISO 639-1)."""

    text: str = ""
    language: str = "en"


def call_info(form: Mapping[str, str]) -> CallInfo:
    """Whose call it is. Raises HTTPException 400 when the form does not say."""
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
@answered(next_best=once_more)
async def incoming_call(request: Request, form: Form) -> Response:
    """A call comes in: TwiML that joins it to a media stream."""
    reconnects: Reconnects = request.app.state.reconnects
    announcement: Announcement = request.app.state.announcement
    call, base_url = call_info(form), base_of(request)
    if ended(request, form):
        return rendered("goodbye")
    ticket = await reconnects.answer(call, base_url)
    if ticket is None:
        return rendered("busy")
    if not announcement.text:
        return rendered("incoming-call", **stream_urls(base_url, ticket))
    said = {"announcement": announcement.text, "language": say_language(announcement.language)}
    return rendered("announced-call", **said, **stream_urls(base_url, ticket))


async def with_a_fresh_agent(request: Request, form: Form) -> Response:
    """The record of a call cannot be read, which this process does not know: an agent all the
    same."""
    switchboard: Switchboard = request.app.state.switchboard
    reconnects: Reconnects = request.app.state.reconnects
    call, base_url = call_info(form), base_of(request)
    if switchboard.leg(call.call_sid) is not None:
        return await once_more(request, form)
    leg = await reconnects.take_over_without_record(call, base_url)
    return rendered("incoming-call", **stream_urls(base_url, switchboard.ticket(leg)))


@router.post("/stream-ended")
@answered(next_best=with_a_fresh_agent)
async def stream_ended(request: Request, form: Form) -> Response:
    """The stream is over and the call is not: what now?"""
    transfers: Transfers = request.app.state.transfers
    if ended(request, form):
        return rendered("goodbye")
    if (told := transfers.twiml_after_stream(form.get("CallSid", ""))) is not None:
        return twiml(told)
    return await _next_stream(request, form)


@router.post("/stream-ended" + KEYS)
@answered(next_best=with_a_fresh_agent)
async def keys_pressed(request: Request, form: Form) -> Response:
    """The same, of the stream after Twilio pressed keys for the agent. It may not have come."""
    switchboard: Switchboard = request.app.state.switchboard
    transfers: Transfers = request.app.state.transfers
    if ended(request, form):
        return rendered("goodbye")
    leg = switchboard.leg(form.get("CallSid", ""))
    away_for_keys = (
        leg is not None and leg.on_other_twiml and isinstance(leg.redirect_command, PlayDigits)
    )
    if (
        not away_for_keys
        and (told := transfers.twiml_after_stream(form.get("CallSid", ""))) is not None
    ):
        return twiml(told)
    return await _next_stream(request, form)


async def _next_stream(request: Request, form: Form) -> Response:
    """The agent in another stream, or how the call ends without."""
    switchboard: Switchboard = request.app.state.switchboard
    reconnects: Reconnects = request.app.state.reconnects
    services: Services = request.app.state.services
    call, base_url = call_info(form), base_of(request)
    language = services.agent.agent.language
    following = await reconnects.resume(call, base_url, stream_sid=form.get("StreamSid", ""))
    if following is not None:
        urls = stream_urls(base_url, following.ticket)
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
    return await apology(request, form)


@router.api_route("/call-status", methods=["GET", "POST"])
@answered(next_best=nothing_to_say)
async def call_status(request: Request, form: Form) -> Response:
    """How a call stands, in Twilio's words. Callbacks may be repeated and out of order."""
    switchboard: Switchboard = request.app.state.switchboard
    call_sid, status = form.get("CallSid", ""), _STATUSES.get(form.get("CallStatus", ""))
    if call_sid and status:
        switchboard.status_changed(call_sid, status, form.get("AnsweredBy"))
    return Response(status_code=204)


def ended(request: Request, form: Form) -> bool:
    """Whether Twilio says with its question that the call is over: then let go of it."""
    switchboard: Switchboard = request.app.state.switchboard
    status = _STATUSES.get(form.get("CallStatus", ""))
    if status not in TERMINAL or status is None:
        return False
    switchboard.ended(form.get("CallSid", ""), status)
    return True


async def media_stream(scope: Scope, receive: Receive, send: Send) -> None:
    """The media socket, bare ASGI: at fifty frames a second and call each layer counts.

    Refused before it is accepted, unless its handshake and its ticket are good; closed, unless its
    start names the call that the ticket is for.
    """
    gate: Gate = scope["app"].state.gate
    switchboard: Switchboard = scope["app"].state.switchboard
    ticket: str = scope["path_params"].get("ticket", "")
    await receive()  # websocket.connect
    if not gate.admits_stream(scope) or not switchboard.knows(ticket):
        refused(scope, ticket)
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.accept"})
    cause = "the socket closed, or said too much, before its start"
    try:
        async with asyncio.timeout(START_S):
            start = await _wait_for_start(receive)
    except TimeoutError:
        start, cause = None, f"no start came within {START_S:g} s"
    if start is not None:
        other = "the start names another call, or one that is over"
        cause = switchboard.ticket_fault(ticket) or other
    leg = switchboard.claim(ticket, start.call_sid) if start else None
    if start is None or leg is None:
        refused(scope, ticket, cause, "media socket without a good start closed")
        await _close(send, 1008)
        return
    authenticated.passed(scope)
    direct = scope.get("extensions", {}).get("media.direct", {})
    await leg.attach(start, receive, send, direct.get("deliver_to"))
    await _close(send, 1000)


async def _wait_for_start(receive: Receive) -> Start | None:
    """The stream's start; None when the socket closes before it, or says too much else."""
    told = False
    for _ in range(MOST_BEFORE_START):
        message: Mapping[str, Any] = await receive()
        if message["type"] == "websocket.disconnect":
            return None
        try:
            decoded = decode(message.get("text") or message.get("bytes") or b"")
        except ProtocolError as error:
            if not told:
                logger.warning("message before the start ignored", extra={"error": str(error)})
            told = True
            continue
        if isinstance(decoded, Start):
            return decoded
    return None


async def _close(send: Send, code: int) -> None:
    """Close the socket, which may be closed already; servers say so in different ways."""
    try:
        await send({"type": "websocket.close", "code": code})
    except (OSError, RuntimeError):
        pass


class _MediaStream:
    """Starlette takes an object for ASGI and a function for a handler of its own."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await media_stream(scope, receive, send)


router.routes += [
    WebSocketRoute("/media-stream", _MediaStream()),
    WebSocketRoute("/media-stream/{ticket}", _MediaStream()),
]
