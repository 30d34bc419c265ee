"""What goes wrong between Twilio and the service: streams do not come, questions come late."""

import asyncio
from collections.abc import Callable

from tests.service.world import World


def asks_late(w: World) -> asyncio.Event:
    """From now on Twilio asks what comes after a stream only once this is set."""
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
    """A proxy that does not know WebSockets: the service never sees the handshake as one."""
    url, headers = handshake
    return url.partition("/media-stream")[0] + "/healthz", headers


def wrong_signature(handshake: Handshake) -> Handshake:
    url, headers = handshake
    return url, {**headers, "x-twilio-signature": "AAAAAAAAAAAAAAAAAAAAAAAAAAA="}


def unknown_ticket(handshake: Handshake) -> Handshake:
    url, headers = handshake
    return url[:-4] + "AAAA", headers


def spoil(w: World, spoils: Spoils, times: int = 1000) -> list[str]:
    """The next so many handshakes of media sockets go wrong. Returns their URLs, which grow."""
    client = w.line._open.client
    handshake = client.handshake
    tried: list[str] = []

    def spoiled(stream_url: str) -> Handshake:
        tried.append(stream_url)
        made = handshake(stream_url)
        return spoils(made) if len(tried) <= times else made

    client.handshake = spoiled  # type: ignore[method-assign]
    return tried
