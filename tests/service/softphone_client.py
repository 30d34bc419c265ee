"""A softphone that is a program: it calls the agent over the wire, as the console's page does.

phone = await Softphone.call(w)
await phone.heard(8000)
await phone.hang_up()
"""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Self

import aiohttp

from app.simulator.realtime import Session
from tests.service.api import Told, api
from tests.service.world import API_TOKEN, World

FRAME = base64.b64encode(b"\xff" * 160).decode()
CLOSED = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSING, aiohttp.WSMsgType.CLOSED)


async def new_call(
    w: World, *, origin: str | None = None, token: str | None = API_TOKEN, host: str | None = None
) -> Told:
    """`POST /softphone/calls`."""
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    if origin is not None:
        headers["Origin"] = origin
    if host is not None:
        headers["Host"] = host
    async with w.http.post(f"{w.url}/softphone/calls", headers=headers) as answer:
        return Told(answer.status, answer.headers, await answer.json(content_type=None))


class Softphone:
    """One call: its stream, what was heard, and what its page asks."""

    def __init__(self, w: World, call_sid: str, session: Session | None = None) -> None:
        self.w = w
        self.call_sid = call_sid
        #: µ-law of all streams.
        self.audio = b""
        self.clears = 0
        #: The close code of the last stream; None: it is open.
        self.closed: int | None = None
        self.socket: aiohttp.ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @classmethod
    async def call(cls, w: World, **headers: str) -> Self:
        """Call the agent, and open the stream."""
        told = await new_call(w, **headers)
        assert told.status == 201, told.body
        assert told.body.keys() == {"call_sid", "stream_url"}
        phone = cls(w, told.body["call_sid"])
        await phone.open(told.body["stream_url"])
        return phone

    async def open(self, url: str, *, start: bool = True, **headers: str) -> None:
        """Open a stream, and send its `start`. Raises aiohttp.WSServerHandshakeError."""
        self.closed = None
        self.socket = await self.w.http.ws_connect(url, headers=headers)
        if start:
            await self.start()
        self._reading = asyncio.create_task(self._read(self.socket))

    async def start(self, call_sid: str = "") -> None:
        stream, call_sid = "MZ" + "5" * 32, call_sid or self.call_sid
        sound = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        body = {
            "streamSid": stream, "callSid": call_sid, "accountSid": "", "tracks": ["inbound"],
            "mediaFormat": sound, "customParameters": {},
        }  # fmt: skip
        await self.send("connected", protocol="Call", version="1.0.0")
        await self.send("start", sequenceNumber="1", streamSid=stream, start=body)

    async def send(self, event: str, **more: Any) -> None:
        assert self.socket is not None
        await self.socket.send_str(json.dumps({"event": event, **more}))

    async def press(self, digit: str) -> None:
        await self.send("dtmf", dtmf={"track": "inbound_track", "digit": digit})

    async def speak(self, ulaw: bytes) -> None:
        """Send frames of sound at once."""
        for at in range(0, len(ulaw), 160):
            payload = base64.b64encode(ulaw[at : at + 160]).decode()
            await self.send("media", media={"track": "inbound", "payload": payload})

    async def hang_up(self) -> None:
        """As Twilio ends a stream: `stop`, then the close."""
        assert self.socket is not None
        await self.send("stop", stop={"accountSid": "", "callSid": self.call_sid})
        await self.socket.close()
        await self.over()

    async def over(self) -> None:
        """Wait until the stream is closed."""
        assert self._reading is not None
        await self._reading

    async def drop(self) -> None:
        """Break the connection, without a close frame."""
        assert self.socket is not None
        transport = self.socket._response.connection.transport  # type: ignore[union-attr] # open
        transport.abort()  # type: ignore[union-attr] # likewise
        await self.over()

    async def heard(self, size_bytes: int) -> None:
        """Wait until this much of the agent was heard."""
        await self.until(lambda: len(self.audio) >= size_bytes)

    async def until(self, happened: Callable[[], bool]) -> None:
        """Wait for what a message of the stream brings about."""
        while not happened():
            self._changed.clear()
            await self._changed.wait()

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            event: Mapping[str, Any] = json.loads(message.data)
            if event["event"] == "media":
                self.audio += base64.b64decode(event["media"]["payload"])
            elif event["event"] == "mark":
                with suppress(ConnectionError):
                    await self.send("mark", mark=event["mark"])
            else:
                assert event["event"] == "clear"
                self.clears += 1
            self._changed.set()
        self.closed = socket.close_code

    # --- what the page asks -----------------------------------------------------------------------

    async def next(self) -> dict[str, Any]:
        """What follows the stream."""
        return await self._step("POST", "next")

    async def attempt(self, number: int = 0) -> dict[str, Any]:
        return await self._step("GET", f"transfers/{number}")

    async def answer(self, number: int = 0) -> dict[str, Any]:
        return await self._step("POST", f"transfers/{number}/answer")

    async def end(self, status: str, number: int = 0) -> dict[str, Any]:
        return await self._step("POST", f"transfers/{number}/ended", {"status": status})

    async def _step(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        told = await api(self.w, method, f"/softphone/calls/{self.call_sid}/{path}", body)
        assert told.status == 200, told.body
        found: dict[str, Any] = told.body
        return found

    async def record(self) -> dict[str, Any]:
        """The call's record, once its legs are over."""
        await self.w.settled()
        return await self.w.record(self.call_sid)
