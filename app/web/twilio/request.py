"""A webhook request of Twilio's: check its signature, read its form, answer with TwiML."""

import asyncio
import logging
from collections.abc import Mapping

from fastapi import HTTPException, Request, Response

from app.errors import ProtocolError
from app.web.api_token import count_wrong_token, request_fields
from app.web.app_state import state_of
from app.web.bearer import bearer_of
from app.wires.twilio.signature import Fault, parse_form
from app.wires.twilio.twiml import render

logger = logging.getLogger(__name__)

LARGEST_FORM_BYTES = 64 << 10
FORM_S = 20.0  # for servers without a limit of their own


async def form_of(request: Request) -> Mapping[str, str]:
    """The webhook's parameters, after its signature was checked. Later calls return the same.

    Raises:
        HTTPException: 403 for a wrong signature, 400 for a malformed form, 413 for one that is too
            large, 408 for one that does not come in time, 429 after too many wrong tokens.
    """
    if not hasattr(request.state, "form"):
        request.state.form = await _read_form(request)
    form: Mapping[str, str] = request.state.form
    return form


def answer_as_webhook(request: Request, form: Mapping[str, str], base_url: str) -> None:
    """Let the handler of a webhook answer a request that is not Twilio's and that was checked
    otherwise: `form_of` returns this form, `base_of` this address."""
    request.state.form = form
    state_of(request.app).gate.use_base(request.scope, base_url)


async def _read_form(request: Request) -> Mapping[str, str]:
    gate = state_of(request.app).gate
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
        if not gate.signed and bearer_of(request):
            count_wrong_token(request)
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
    base_url = state_of(request.app).gate.base_url(request.scope)
    if base_url is None:
        raise HTTPException(400, "Host is missing")
    return base_url


def twiml(document: str) -> Response:
    """A TwiML document as a response."""
    return Response(document, media_type="text/xml")


def rendered(template: str, **values: str) -> Response:
    """A TwiML template as a response; see `render`."""
    return twiml(render(template, **values))
