"""What Twilio calls: the webhooks of a number, and the media socket."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, get_args

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.datastructures import Headers
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send

from app.errors import ProtocolError
from app.recorder import CallInfo
from app.store import CallStatus
from app.switchboard import Switchboard
from app.telephony.media_stream import Start, decode
from app.telephony.signature import SignatureChecker, parse_form
from app.telephony.twiml import render, say_language
from app.web.security import token_matches

logger = logging.getLogger(__name__)
router = APIRouter(include_in_schema=False)

LARGEST_FORM_BYTES = 64 << 10
FORM_S = 10.0
START_S = 10.0  # a media socket that has not said which call it is by then is closed
MOST_BEFORE_START = 100
_STATUSES: dict[str, CallStatus] = {status: status for status in get_args(CallStatus)}


class Phone:
    """What the doors for Twilio need. `api_token` opens them when Twilio has no account here.
    `announcement`: said to a caller before the agent answers, in `language` (ISO 639-1)."""

    def __init__(
        self,
        switchboard: Switchboard,
        signatures: SignatureChecker,
        *,
        api_token: str,
        signed: bool,
        stream_signature: str,
        transfer_number: str | None,
        announcement: str = "",
        language: str = "en",
    ) -> None:
        self.switchboard = switchboard
        self.signatures = signatures
        self.transfer_number = transfer_number
        self.announcement = announcement
        self.language = language
        self._api_token = api_token
        self._signed = signed
        self._stream_signature = stream_signature

    def admits(self, scope: Scope, body: bytes) -> bool:
        """Whether a webhook comes from whom it should."""
        if self._signed:
            return self.signatures.is_valid(scope, body)
        scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and token_matches(token, self._api_token)

    def admits_stream(self, scope: Scope) -> bool:
        """Whether a media socket's handshake may go on; its ticket decides the rest. That Twilio
        signs every handshake is not documented, so a missing signature can be allowed; a wrong
        one never is."""
        if not self._signed:
            return True
        if self._stream_signature == "if-present" and not self.signatures.is_signed(scope):
            return True
        return self.signatures.is_valid(scope)


async def _form(request: Request) -> Mapping[str, str]:
    """The webhook's parameters, once it is sure that they are Twilio's.

    Raises HTTPException: 403 when they are not, 413 when they are too many.
    """
    phone: Phone = request.app.state.phone
    body = b""
    try:
        async with asyncio.timeout(FORM_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_FORM_BYTES:
                    raise HTTPException(413, "a webhook of Twilio's is smaller than this")
    except TimeoutError:
        raise HTTPException(408, "the request's body did not come") from None
    if not phone.admits(request.scope, body):
        extra = {"path": request.url.path, "url_expected": phone.signatures.base_url(request.scope)}
        logger.warning("webhook without a valid signature refused", extra=extra)
        raise HTTPException(403, "the request is not signed by this service's Twilio account")
    try:
        return dict(parse_form(body)) if body else dict(request.query_params)
    except ProtocolError as error:
        raise HTTPException(400, str(error)) from None


def _twiml(template: str, **values: str) -> Response:
    return Response(render(template, **values), media_type="text/xml")


@router.api_route("/incoming-call", methods=["GET", "POST"])
async def incoming_call(request: Request) -> Response:
    """A call comes in: TwiML that joins it to a media stream."""
    phone: Phone = request.app.state.phone
    form = await _form(request)
    call_sid = form.get("CallSid", "")
    base = phone.signatures.base_url(request.scope)
    if not call_sid or base is None:
        raise HTTPException(400, "CallSid or Host is missing")
    ticket = await phone.switchboard.answer(
        CallInfo(
            call_sid,
            account_sid=form.get("AccountSid", ""),
            direction=form.get("Direction", "inbound"),
            from_number=form.get("From", ""),
            to_number=form.get("To", ""),
        )
    )
    if ticket is None:
        return _twiml("busy")
    if not phone.announcement:
        return _twiml("incoming-call", **_stream(base, ticket))
    said = {"announcement": phone.announcement, "language": say_language(phone.language)}
    return _twiml("announced-call", **said, **_stream(base, ticket))


def _stream(base: str, ticket: str) -> dict[str, str]:
    """Where the call's media stream goes, and what comes after it. Twilio opens streams over TLS
    only, and takes no query string (Twilio: <Stream>)."""
    return {
        "stream_url": f"wss://{base.partition('://')[2]}/media-stream/{ticket}",
        "action_url": f"{base}/stream-ended",
    }


@router.post("/stream-ended")
async def stream_ended(request: Request) -> Response:
    """The stream is over and the call is not: what now?"""
    phone: Phone = request.app.state.phone
    form = await _form(request)
    call_sid, base = form.get("CallSid", ""), phone.signatures.base_url(request.scope)
    if base is not None and form.get("CallStatus") == "in-progress":
        if ticket := await phone.switchboard.resume(call_sid):
            return _twiml("incoming-call", **_stream(base, ticket))
    number = phone.transfer_number
    if not phone.switchboard.take_leave(call_sid, of_helpless=number is None):
        return _twiml("goodbye")
    return _twiml("unavailable-dial", number=number) if number else _twiml("unavailable")


@router.api_route("/call-status", methods=["GET", "POST"])
async def call_status(request: Request) -> Response:
    """How a call stands, in Twilio's words. Callbacks may be repeated and out of order."""
    phone: Phone = request.app.state.phone
    form = await _form(request)
    call_sid, status = form.get("CallSid", ""), _STATUSES.get(form.get("CallStatus", ""))
    if call_sid and status:
        phone.switchboard.status_changed(call_sid, status, form.get("AnsweredBy"))
    return Response(status_code=204)


async def media_stream(scope: Scope, receive: Receive, send: Send) -> None:
    """The media socket, bare ASGI: at fifty frames a second and call each layer counts.

    Refused before it is accepted, unless its handshake and its ticket are good; closed, unless its
    start names the call that the ticket is for.
    """
    phone: Phone = scope["app"].state.phone
    ticket: str = scope["path_params"].get("ticket", "")
    await receive()  # websocket.connect
    if not phone.admits_stream(scope) or not phone.switchboard.knows(ticket):
        logger.warning("media socket refused", extra={"peer": scope.get("client")})
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.accept"})
    try:
        async with asyncio.timeout(START_S):
            start = await _wait_for_start(receive)
    except TimeoutError:
        start = None
    leg = phone.switchboard.claim(ticket, start.call_sid) if start else None
    if start is None or leg is None:
        logger.warning("media socket without a good start closed")
        await _close(send, 1008)
        return
    direct = scope.get("extensions", {}).get("media.direct", {})
    await leg.carry(start, receive, send, direct.get("deliver_to"))
    await _close(send, 1000)


async def _wait_for_start(receive: Receive) -> Start | None:
    """The stream's start; None when the socket closes before it, or says too much else."""
    for _ in range(MOST_BEFORE_START):
        message: Mapping[str, Any] = await receive()
        if message["type"] == "websocket.disconnect":
            return None
        try:
            decoded = decode(message.get("text") or message.get("bytes") or b"")
        except ProtocolError as error:
            logger.warning("message before the start ignored", extra={"error": str(error)})
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
