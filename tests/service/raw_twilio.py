"""Twilio's requests and media sockets by hand, so that a test can make them invalid."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree

import aiohttp
from yarl import URL

from app.simulator.twilio import signature
from tests.service.world import ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL, World

CALL_SID = "CA" + "7" * 32
STREAM_SID = "MZ" + "7" * 32

Pairs = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """The service's response."""

    status: int
    content_type: str
    body: str

    @property
    def twiml(self) -> ElementTree.Element:
        assert (self.status, self.content_type) == (200, "text/xml"), self.body
        return ElementTree.fromstring(self.body)

    @property
    def stream_url(self) -> str:
        stream = self.twiml.find("Connect/Stream")
        assert stream is not None, self.body
        return stream.attrib["url"]

    @property
    def ticket(self) -> str:
        return self.stream_url.rpartition("/")[2]


def call_form(call_sid: str = CALL_SID, **changes: str) -> dict[str, str]:
    """The form of Twilio's request for an incoming call, as far as the service reads it."""
    usual = {
        "AccountSid": ACCOUNT_SID,
        "CallSid": call_sid,
        "CallStatus": "ringing",
        "Direction": "inbound",
        "From": "+15550100001",
        "To": "+15550109999",
        "FromCity": "",
    }
    return usual | changes


async def request(
    world: World,
    path: str = "/incoming-call",
    form: Mapping[str, str] | Pairs | None = None,
    *,
    method: str = "POST",
    url: str = "",
    token: str | None = AUTH_TOKEN,
    signed_form: Mapping[str, str] | Pairs | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send a request as Twilio does. `url`: the one to sign; empty: PUBLIC_URL and the path.
    `token`: the key of the signature; None: no signature. `signed_form`: signed in place of the
    form that is sent."""
    pairs = _pairs(call_form() if form is None else form)
    signed = pairs if signed_form is None else _pairs(signed_form)
    url = url or PUBLIC_URL + path
    data = None
    if method == "GET":
        query = urlencode(pairs)
        path, url = f"{path}?{query}", f"{url}?{query}"
    else:
        data = urlencode(pairs).encode()
    sent = {"Content-Type": "application/x-www-form-urlencoded"} if data else {}
    if token is not None:
        sent["X-Twilio-Signature"] = signature(token, url, signed if data else ())
    target = URL(f"{world.url}{path}", encoded=True)
    async with world.http.request(
        method, target, data=data, headers={**sent, **(headers or {})}
    ) as answer:
        return Answer(answer.status, answer.content_type, await answer.text())


def _pairs(form: Mapping[str, str] | Pairs) -> list[tuple[str, str]]:
    return list(form.items() if isinstance(form, Mapping) else form)


class RawStream:
    """A media socket that sends only what the test says."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def start(self, call_sid: str = CALL_SID) -> None:
        await self.send(
            {
                "event": "start",
                "sequenceNumber": "1",
                "streamSid": STREAM_SID,
                "start": {
                    "accountSid": ACCOUNT_SID,
                    "streamSid": STREAM_SID,
                    "callSid": call_sid,
                    "tracks": ["inbound"],
                    "mediaFormat": {
                        "encoding": "audio/x-mulaw",
                        "sampleRate": 8000,
                        "channels": 1,
                    },
                    "customParameters": {},
                },
            }
        )

    async def send(self, message: Mapping[str, Any]) -> None:
        await self.socket.send_str(json.dumps(message))

    async def receive(self) -> dict[str, Any]:
        """Wait for the service's next message."""
        found: dict[str, Any] = json.loads(await self.socket.receive_str())
        return found

    async def close_code(self) -> int:
        """Wait until the service closes the socket. Returns the code."""
        async for _ in self.socket:
            pass
        return self.socket.close_code or 0


@asynccontextmanager
async def raw_stream(
    world: World, stream_url: str, *, signed: str | None = None
) -> AsyncIterator[RawStream]:
    """Open a media socket. `signed`: the signature to send; None: the valid one, empty: none.

    Raises aiohttp.WSServerHandshakeError when the service refuses it.
    """
    right = signature(AUTH_TOKEN, stream_url) if signed is None else signed
    headers = {"X-Twilio-Signature": right} if right else {}
    path = urlsplit(stream_url).path
    async with world.http.ws_connect(f"{world.url}{path}", headers=headers) as socket:
        yield RawStream(socket)


async def refusal(world: World, stream_url: str, *, signed: str | None = None) -> int:
    """The HTTP status that a media socket's handshake is refused with."""
    try:
        async with raw_stream(world, stream_url, signed=signed):
            return 101
    except aiohttp.WSServerHandshakeError as error:
        return error.status
