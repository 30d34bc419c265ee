"""What Twilio calls: the webhooks of a number, and the media socket."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send

from app.errors import ProtocolError
from app.recorder import CallInfo
from app.store import TERMINAL, CallStatus
from app.switchboard import Switchboard
from app.telephony.media_stream import Start, decode
from app.telephony.twiml import say_language, stream_urls
from app.transfers import Transfers
from app.web import lock
from app.web.webhooks import Gate, base_of, form_of, rendered, twiml

logger = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)

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
async def incoming_call(request: Request) -> Response:
    """A call comes in: TwiML that joins it to a media stream."""
    switchboard: Switchboard = request.app.state.switchboard
    announcement: Announcement = request.app.state.announcement
    form = await form_of(request)
    base_url = base_of(request)
    ticket = await switchboard.answer(call_info(form), base_url)
    if ticket is None:
        return rendered("busy")
    if not announcement.text:
        return rendered("incoming-call", **stream_urls(base_url, ticket))
    said = {"announcement": announcement.text, "language": say_language(announcement.language)}
    return rendered("announced-call", **said, **stream_urls(base_url, ticket))


@router.post("/stream-ended")
async def stream_ended(request: Request) -> Response:
    """The stream is over and the call is not: what now?"""
    switchboard: Switchboard = request.app.state.switchboard
    transfers: Transfers = request.app.state.transfers
    form = await form_of(request)
    call_sid, base_url = form.get("CallSid", ""), base_of(request)
    if form.get("CallStatus") not in TERMINAL:
        if (told := transfers.current(call_sid)) is not None:
            return twiml(told)
        if ticket := await switchboard.resume(call_sid, base_url):
            return rendered("incoming-call", **stream_urls(base_url, ticket))
    leg = switchboard.leg(call_sid)
    if leg is not None and leg.needs_help:
        if rescue := await transfers.rescue(call_sid):
            return twiml(rescue)
        switchboard.take_leave(call_sid)
        return rendered("unavailable")
    switchboard.take_leave(call_sid)
    return rendered("goodbye")


@router.api_route("/call-status", methods=["GET", "POST"])
async def call_status(request: Request) -> Response:
    """How a call stands, in Twilio's words. Callbacks may be repeated and out of order."""
    switchboard: Switchboard = request.app.state.switchboard
    form = await form_of(request)
    call_sid, status = form.get("CallSid", ""), _STATUSES.get(form.get("CallStatus", ""))
    if call_sid and status:
        switchboard.status_changed(call_sid, status, form.get("AnsweredBy"))
    return Response(status_code=204)


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
        logger.warning("media socket refused", extra={"peer": scope.get("client")})
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.accept"})
    try:
        async with asyncio.timeout(START_S):
            start = await _wait_for_start(receive)
    except TimeoutError:
        start = None
    leg = switchboard.claim(ticket, start.call_sid) if start else None
    if start is None or leg is None:
        logger.warning("media socket without a good start closed")
        await _close(send, 1008)
        return
    lock.passed(scope)
    direct = scope.get("extensions", {}).get("media.direct", {})
    await leg.carry(start, receive, send, direct.get("deliver_to"))
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
