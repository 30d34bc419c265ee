"""Which address OPENAI_BASE_URL should be, found by trying those that are plausibly meant."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit

from app.config.settings import Settings
from app.errors import ModelError
from app.wires.realtime.socket import HandshakeRefused, RealtimeSocket, connect

_TRY_S = 4.0
# What people write behind the base URL, because examples of other clients have it.
_ENDPOINTS = ("/realtime", "/chat/completions", "/responses", "/audio/speech")
_VERSION, _AZURE = "/v1", "/openai/v1"
# What a server answers that has nothing at the path, and what becomes of another protocol.
_NOT_THERE = (301, 302, 307, 308, 400, 404, 405, 426)
_OTHER_PROTOCOL = ("WebSocket", "SSL", "reset")


async def better_base_url(settings: Settings, error: ModelError) -> str:
    """How to mend OPENAI_BASE_URL, if the same host takes Realtime sessions at another path or with
    TLS; empty: it does not, or the error is about something else.

    Only the handshake is made, with the key, at the host that OPENAI_BASE_URL names.
    """
    if isinstance(error, HandshakeRefused):
        plausible = error.status in _NOT_THERE
    else:
        plausible = any(each in str(error) for each in _OTHER_PROTOCOL)
    if not plausible:
        return ""
    for base_url in candidates(settings.openai_base_url):
        if await _takes_sessions(settings.model_copy(update={"openai_base_url": base_url})):
            return f"set OPENAI_BASE_URL to {base_url}, where the server takes Realtime sessions"
    return ""


def candidates(base_url: str) -> Iterator[str]:
    """The addresses that are plausibly meant, the likeliest first."""
    parts = urlsplit(base_url)
    path = parts.path
    for ending in _ENDPOINTS:
        path = path.removesuffix(ending)
    paths = [path, path + _VERSION, _VERSION, _AZURE]
    if path.endswith(_VERSION + _VERSION):
        paths.insert(0, path.removesuffix(_VERSION))
    found = [urlunsplit(parts._replace(path=each)) for each in paths if each]
    # Over the other scheme too; without TLS on this machine alone, because the key is sent.
    other = {"http": "https", "ws": "wss"}.get(parts.scheme)
    if other is None and parts.hostname in ("localhost", "127.0.0.1", "::1"):
        other = {"https": "http", "wss": "ws"}[parts.scheme]
    if other is not None:
        found += [urlunsplit(parts._replace(scheme=other, path=each)) for each in paths if each]
    yield from (each for each in dict.fromkeys(found) if each != base_url)


async def _takes_sessions(settings: Settings) -> bool:
    opened: list[RealtimeSocket] = []
    try:
        async with asyncio.timeout(_TRY_S):
            await connect(
                settings.endpoint,
                on_opened=opened.append,
                on_message=lambda _: None,
                on_lost=lambda _: None,
                on_writable=lambda: None,
            )
    except (ModelError, TimeoutError):
        return False
    finally:
        for socket in opened:
            socket.close()
    return True
