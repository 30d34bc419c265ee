"""Which pages may use the softphone: the service's own, by the Origin that browsers send."""

import logging
from urllib.parse import urlsplit

from starlette.types import Scope

from app.web.app_state import state_of
from app.wires.twilio.public_address import header
from app.wires.twilio.signature import Fault

logger = logging.getLogger(__name__)

_DEFAULT_PORTS = {"http": 80, "https": 443}


def page_base(scope: Scope) -> str | None:
    """The base URL of the page that sends this request, `https://host[:port][/prefix]`. A program
    sends no Origin: the address that it requested. None: a foreign page sends it, or one without an
    origin of its own (`null`)."""
    bases = state_of(scope["app"]).gate.page_bases(scope)
    origin = header(scope, b"origin")
    if origin is None:
        return next(iter(bases), None)
    given = _origin(origin)
    return next((each for each in bases if given is not None and _origin(each) == given), None)


def foreign_page(scope: Scope) -> Fault:
    """Why a request is refused for its Origin."""
    origin = header(scope, b"origin")
    reason = "Host is missing"
    if origin is not None:
        reason = f"the page of another origin sent it: {origin[:100] or 'an empty one'}"
    fix = "open the console at this service's own address; behind a proxy, set PUBLIC_URL"
    return Fault(reason, fix)


def media_base(base_url: str) -> str:
    """The address of media streams beside a page: ws for http, wss for https."""
    return "ws" + base_url.removeprefix("http")


def _origin(url: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port; None: it is no origin of a web page."""
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        return None
    if split.scheme not in _DEFAULT_PORTS or not split.hostname:
        return None
    return split.scheme, split.hostname, port or _DEFAULT_PORTS[split.scheme]
