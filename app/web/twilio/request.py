"""A webhook request of Twilio's: check its signature, read its form, answer with TwiML."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import HTTPException, Request, Response
from starlette.datastructures import Headers
from starlette.types import Scope

from app.errors import ProtocolError
from app.web import authenticated
from app.web.api_token import bearer_in, bearer_of, count_wrong_token, request_fields, token_matches
from app.wires.twilio.signature import Fault, SignatureChecker, parse_form
from app.wires.twilio.twiml import render

logger = logging.getLogger(__name__)

LARGEST_FORM_BYTES = 64 << 10
FORM_S = 20.0  # for servers without a limit of their own


class Gate:
    """Admits webhooks and media sockets of this service's Twilio account, and no others.

    `signed`: there is an account, so that requests must be signed; otherwise `api_token` must come
    as bearer token. `stream_signature`: TWILIO_STREAM_SIGNATURE, "require" or "if-present".
    `rest_url`: TWILIO_API_BASE_URL.
    """

    def __init__(
        self,
        signatures: SignatureChecker,
        *,
        api_token: str,
        signed: bool,
        stream_signature: str,
        rest_url: str,
    ) -> None:
        self._signatures = signatures
        self._api_token = api_token
        self._signed = signed
        self._stream_signature = stream_signature
        self._rest_is_local = _is_loopback(rest_url)

    def base_url(self, scope: Scope) -> str | None:
        """The address at which Twilio reaches this service; None if the request has no Host."""
        return self._signatures.base_url(scope)

    def url_for_twilio(self, scope: Scope) -> str | None:
        """The same, for a URL given to Twilio's REST API: None for a loopback address, which Twilio
        cannot reach (unless its REST API is a simulator on this machine)."""
        base_url = self.base_url(scope)
        if base_url is None or (_is_loopback(base_url) and not self._rest_is_local):
            return None
        return base_url

    def admits(self, scope: Scope, body: bytes) -> bool:
        """Whether a webhook is signed by Twilio, or carries the token if there is no account."""
        if self._signed:
            admitted = self._signatures.is_valid(scope, body)
        else:
            token = bearer_in(Headers(scope=scope).get("authorization", ""))
            admitted = token_matches(token, self._api_token)
        if admitted:
            authenticated.mark_authenticated(scope)
        return admitted

    def admits_stream(self, scope: Scope) -> bool:
        """Whether the signature of a media socket's handshake is acceptable. Check its ticket next.

        Twilio does not document that it signs every handshake: "if-present" accepts a missing
        signature. A wrong one is never accepted.
        """
        if not self._signed:
            return True
        if self._stream_signature == "if-present" and not self._signatures.is_signed(scope):
            return True
        admitted = self._signatures.is_valid(scope)
        if admitted:
            authenticated.mark_authenticated(scope)
        return admitted

    def fault(self, scope: Scope) -> Fault:
        """Why a webhook or handshake was not admitted, for the log."""
        if not self._signed:
            fix = "set TWILIO_AUTH_TOKEN, or send Authorization: Bearer with API_TOKEN"
            return Fault(
                "there is no Twilio account, and the bearer token is missing or wrong", fix
            )
        fault = self._signatures.fault(scope)
        if scope["type"] == "websocket" and not self._signatures.is_signed(scope):
            return replace(fault, fix="TWILIO_STREAM_SIGNATURE=if-present lets it in")
        return fault

    def peer(self, scope: Scope) -> str:
        """The address of the client; forwarded headers count from trusted proxies only."""
        return self._signatures.peer(scope)

    def count_wrong_token(self, request: Request) -> None:
        """Count a wrong bearer token, if webhooks need one. Raises HTTPException 429."""
        if not self._signed and bearer_of(request):
            count_wrong_token(request)


def _is_loopback(url: str) -> bool:
    """Whether a URL points to the machine on which it is used."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def form_of(request: Request) -> Mapping[str, str]:
    """The webhook's parameters, after its signature was checked. Later calls return the same.

    Raises:
        HTTPException: 403 for a wrong signature, 400 for a malformed form, 413 for one that is too
            large, 408 for one that does not come in time.
    """
    if not hasattr(request.state, "form"):
        request.state.form = await _read_form(request)
    form: Mapping[str, str] = request.state.form
    return form


async def _read_form(request: Request) -> Mapping[str, str]:
    gate: Gate = request.app.state.gate
    body = b""
    try:
        async with asyncio.timeout(FORM_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_FORM_BYTES:
                    raise HTTPException(413, f"send at most {LARGEST_FORM_BYTES} bytes")
    except TimeoutError:
        raise HTTPException(408, "the request's body did not come") from None
    if not gate.admits(request.scope, body):
        extra = {**request_fields(request), **fault_fields(gate.fault(request.scope))}
        logger.warning("webhook without a valid signature refused", extra=extra)
        gate.count_wrong_token(request)
        raise HTTPException(403, "the request is not signed by this service's Twilio account")
    try:
        return dict(parse_form(body)) if body else dict(request.query_params)
    except ProtocolError as error:
        raise HTTPException(400, str(error)) from None


def fault_fields(fault: Fault) -> dict[str, str]:
    """A fault as log fields, without the empty ones."""
    found = {"reason": fault.reason, "url_checked": fault.url_checked, "fix": fault.fix}
    return {name: value for name, value in found.items() if value}


def base_of(request: Request) -> str:
    """The address at which Twilio reaches this service. Raises HTTPException 400 without a Host."""
    gate: Gate = request.app.state.gate
    base_url = gate.base_url(request.scope)
    if base_url is None:
        raise HTTPException(400, "Host is missing")
    return base_url


def twiml(document: str) -> Response:
    """A TwiML document as a response."""
    return Response(document, media_type="text/xml")


def rendered(template: str, **values: str) -> Response:
    """A TwiML template as a response; see `render`."""
    return twiml(render(template, **values))
