"""A minimal bridge: it answers TwiML from a table, and a test drives its end of the media socket.

It uses aiohttp, the simulator picows, so that they cannot share a fault.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import WSMsgType, web

PUBLIC = "https://bridge.example.com"
TOKEN = "12345"
STREAM = '<Stream url="wss://bridge.example.com/media-stream"/>'


def twiml(body: str) -> str:
    """A TwiML document."""
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{body}</Response>'


@dataclass
class Leg:
    """The bridge's end of one media socket."""

    socket: web.WebSocketResponse
    headers: dict[str, str]
    path: str
    messages: list[dict[str, Any]] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def stream_sid(self) -> str:
        return str(self.of("start")[0]["streamSid"])

    @property
    def events(self) -> list[str]:
        return [message["event"] for message in self.messages]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [message for message in self.messages if message["event"] == event]

    @property
    def marks(self) -> list[str]:
        return [message["mark"]["name"] for message in self.of("mark")]

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            assert not self.closed.is_set(), "the socket closed while the bridge waited"
            self.news.clear()
            await self.news.wait()

    async def started(self) -> None:
        await self.until(lambda: bool(self.of("start")))

    async def order(self, event: str, **body: Any) -> None:
        await self.socket.send_json({"event": event, "streamSid": self.stream_sid, **body})

    async def play(self, audio: bytes) -> None:
        await self.order("media", media={"payload": base64.b64encode(audio).decode()})

    async def mark(self, name: str) -> None:
        await self.order("mark", mark={"name": name})


@dataclass
class Request:
    """A request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    #: In order.
    form: list[tuple[str, str]]


class TinyBridge:
    """Answers every path with its documents, and accepts media sockets."""

    def __init__(self) -> None:
        self.url = ""
        #: The documents of a path, one for each request; the last one repeats.
        self.documents: dict[str, list[str]] = {}
        self.content_type = "text/xml"
        self.status = 200
        self.handshake_status = 101
        self.hold_webhooks = False
        self.hold_handshakes = False
        self.holding = asyncio.Event()
        self.released = asyncio.Event()
        self.requests: list[Request] = []
        self._held: list[asyncio.Transport] = []
        self._legs: asyncio.Queue[Leg] = asyncio.Queue()

    def answer(self, path: str, *bodies: str) -> None:
        self.documents[path] = [twiml(body) for body in bodies]

    def requested(self, path: str) -> list[dict[str, str]]:
        return [dict(request.form) for request in self.requests if request.path == path]

    async def leg(self) -> Leg:
        leg = await self._legs.get()
        await leg.started()
        return leg

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._media(request)
        form = parse_qsl((await request.text()), keep_blank_values=True)
        self.requests.append(Request(request.method, request.path_qs, dict(request.headers), form))
        if self.hold_webhooks:
            await self._hold()
        documents = self.documents.get(request.path, [twiml("")])
        document = documents.pop(0) if len(documents) > 1 else documents[0]
        return web.Response(text=document, content_type=self.content_type, status=self.status)

    def cut_off(self) -> None:
        """Abort every handshake that is held."""
        for transport in self._held:
            transport.abort()

    async def _hold(self) -> None:
        self.holding.set()
        await self.released.wait()

    async def _media(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.handshake_status != 101:
            return web.Response(status=self.handshake_status)
        if self.hold_handshakes:
            assert request.transport is not None
            self._held.append(request.transport)
            await self._hold()
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        leg = Leg(socket, dict(request.headers), request.path_qs)
        self._legs.put_nowait(leg)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                leg.messages.append(json.loads(message.data))
                leg.news.set()
        leg.closed.set()
        leg.news.set()
        return socket


@asynccontextmanager
async def tiny_bridge() -> AsyncIterator[TinyBridge]:
    """A bridge on a loopback port; its webhook is `url`."""
    bridge = TinyBridge()
    runner = web.ServerRunner(web.Server(bridge.handle), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        bridge.url = f"http://{host}:{port}/incoming-call"
        yield bridge
    finally:
        bridge.released.set()
        await runner.cleanup()
