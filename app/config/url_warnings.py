"""Addresses among the settings that are accepted and probably wrong."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from urllib.parse import urlsplit

from app.config.settings import Settings

# What Twilio calls, and where OpenAI-compatible servers are asked.
_OUR_PATHS = (
    "/incoming-call", "/call-status", "/media-stream", "/outgoing-call", "/calls", "/healthz",
)  # fmt: skip
_ENDPOINTS = ("/realtime", "/chat/completions", "/responses", "/audio/speech")
_OPENAI = "https://api.openai.com/v1"
# Domains of OpenAI's that serve pages, and no API.
_OPENAI_PAGES = ("openai.com", "chatgpt.com")
_AZURE = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
_TWILIO = "https://api.twilio.com"


def url_warnings(settings: Settings) -> Iterator[str]:
    """One line for each address that is probably wrong, `VARIABLE: …`."""
    for name in ("public_url", "replica_url"):
        yield from _own_address(name.upper(), getattr(settings, name) or "", settings.port)
    yield from _model_address(settings.openai_base_url)
    yield from _twilio_address(settings.twilio_api_base_url)
    for name, sent in (
        ("openai_base_url", "credentials go"),
        ("twilio_api_base_url", "credentials go"),
        ("call_webhook_url", "reports with what was said go"),
    ):
        if _is_open(getattr(settings, name) or ""):
            yield f"{name.upper()}: without TLS; expected https://, because {sent} there"


def is_openai(url: str) -> bool:
    """Whether a URL leads to OpenAI, such as to api.openai.com or eu.api.openai.com."""
    return _is_below(urlsplit(url).hostname or "", "openai.com")


def _own_address(variable: str, address: str, port: int) -> Iterator[str]:
    """Where Twilio reaches the service."""
    if ending := _ending(address, _OUR_PATHS):
        yield (
            f"{variable}: ends in {ending}, a path of the service itself; remove it, because the "
            "service adds its paths"
        )
    if _is_open(address):
        yield (
            f"{variable}: http without TLS; expected https://, because Twilio connects media "
            "streams by wss only"
        )
    elif address.startswith("https://") and urlsplit(address).port == port:
        yield (
            f"{variable}: https at port {port}, where the service itself listens without TLS; "
            "expected the address of the tunnel or proxy, which usually has no port"
        )


def _model_address(base: str) -> Iterator[str]:
    parts = urlsplit(base)
    host, path = parts.hostname or "", parts.path
    if ending := _ending(base, _ENDPOINTS):
        yield f"OPENAI_BASE_URL: ends in {ending}; remove it, because the service adds /realtime"
    elif _is_below(host, "api.openai.com"):
        if path != "/v1":
            yield f"OPENAI_BASE_URL: expected {parts.scheme}://{host}/v1 for OpenAI, with /v1"
    elif any(_is_below(host, each) for each in _OPENAI_PAGES):
        yield f"OPENAI_BASE_URL: {host} is no API; expected {_OPENAI} for OpenAI"
    elif host.endswith(_AZURE):
        if path != "/openai/v1":
            yield f"OPENAI_BASE_URL: expected {parts.scheme}://{host}/openai/v1 for Azure OpenAI"
    elif path.endswith("/v1/v1"):
        yield "OPENAI_BASE_URL: ends in /v1/v1; remove one of them"


def _twilio_address(base: str) -> Iterator[str]:
    parts = urlsplit(base)
    host = parts.hostname or ""
    if _is_below(host, "twilio.com") and not host.startswith("api."):
        yield f"TWILIO_API_BASE_URL: {host} is no REST API; expected {_TWILIO}"
    elif parts.path and (host.endswith(".twilio.com") or "/2010-04-01" in parts.path):
        yield f"TWILIO_API_BASE_URL: has the path {parts.path}; remove it"


def _is_below(host: str, domain: str) -> bool:
    """Whether a host is this domain or in it."""
    return f".{host}".endswith(f".{domain}")


def _ending(url: str, paths: Sequence[str]) -> str:
    """The one of these paths that a URL ends in; empty: none."""
    return next((path for path in paths if urlsplit(url).path.endswith(path)), "")


def _is_open(url: str) -> bool:
    """Whether a URL has no TLS and leads to another machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        here = ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost" or host.endswith(".localhost")
    return parts.scheme in ("http", "ws") and not here
