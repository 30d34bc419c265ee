"""Faults between Twilio and the service: media streams that fail to open, late requests."""

import asyncio
from collections.abc import Callable

from tests.service.world import World


def asks_late(w: World) -> asyncio.Event:
    """Hold Twilio's requests for what follows a stream, until the returned event is set."""
    client = w.line._open.client
    ask, may = client.request, asyncio.Event()

    async def late(url: str, params: dict[str, str], method: str = "POST") -> object:
        if "/stream-ended" in url:
            await may.wait()
        return await ask(url, params, method)

    client.request = late  # type: ignore[assignment,method-assign]
    return may


Handshake = tuple[str, dict[str, str]]
Spoils = Callable[[Handshake], Handshake]


def no_websockets(handshake: Handshake) -> Handshake:
    """A proxy without WebSockets: the handshake does not reach the media route."""
    url, headers = handshake
    return url.partition("/media-stream")[0] + "/healthz", headers


def wrong_signature(handshake: Handshake) -> Handshake:
    url, headers = handshake
    return url, {**headers, "x-twilio-signature": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="}


def unknown_ticket(handshake: Handshake) -> Handshake:
    url, headers = handshake
    return url[:-4] + "AAAA", headers


def spoil(w: World, spoils: Spoils, times: int = 1000) -> list[str]:
    """Spoil the next `times` handshakes of media sockets. Returns the list that their URLs are
    appended to."""
    client = w.line._open.client
    handshake = client.handshake
    tried: list[str] = []

    def spoiled(stream_url: str) -> Handshake:
        tried.append(stream_url)
        made = handshake(stream_url)
        return spoils(made) if len(tried) <= times else made

    client.handshake = spoiled  # type: ignore[method-assign]
    return tried
