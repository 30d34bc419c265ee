"""A client of Qwen's realtime voices, for the tests of the stand-in: raw events on a WebSocket."""

import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count, groupby
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.simulator.voices.qwen import QwenStandIn

BEARER = {"Authorization": "Bearer sk-test"}
MODEL = "qwen3-tts-flash-realtime"
PHONE = {
    "voice": "Cherry",
    "mode": "commit",
    "response_format": "pcm",
    "sample_rate": 8000,
    "language_type": "Auto",
}
OPENED = ["session.created", "session.updated"]
SEGMENT = [
    "response.created",
    "response.output_item.added",
    "response.content_part.added",
    "response.audio.delta",
    "response.audio.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.done",
]
COMMITTED = ["input_text_buffer.committed", *SEGMENT]
LATE = "session already started or finished or failed"


class Client:
    """Sends and reads raw events."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        #: Every event that was read.
        self.events: list[dict[str, Any]] = []
        self._numbers = count()

    async def send(self, type_: str, **fields: Any) -> None:
        event = {"event_id": f"event_{next(self._numbers)}", "type": type_, **fields}
        await self.socket.send(json.dumps(event))

    async def next(self) -> dict[str, Any]:
        event = json.loads(await self.socket.recv())
        self.events.append(event)
        return dict(event)

    async def until(self, type_: str) -> dict[str, Any]:
        while True:
            event = await self.next()
            if event["type"] == type_:
                return event

    async def to_the_end(self) -> int:
        """Read until the server closes. Returns the code of its close."""
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await self.next()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code

    async def configure(self, **changed: Any) -> None:
        await self.send("session.update", session={**PHONE, **changed})
        await self.until("session.updated")

    async def say(self, text: str) -> None:
        await self.send("input_text_buffer.append", text=text)
        await self.send("input_text_buffer.commit")

    @property
    def types(self) -> list[str]:
        """The types read so far; consecutive equal ones count once."""
        return [type_ for type_, _ in groupby(event["type"] for event in self.events)]

    @property
    def sound(self) -> bytes:
        return b"".join(
            b64decode(event["delta"])
            for event in self.events
            if event["type"] == "response.audio.delta"
        )


@asynccontextmanager
async def talking(qwen: QwenStandIn, model: str = MODEL) -> AsyncIterator[Client]:
    address = f"{qwen.url}?model={model}"
    async with connect(address, additional_headers=BEARER, compression=None) as socket:
        yield Client(socket)


async def status_of(address: str, headers: dict[str, str]) -> int:
    with pytest.raises(InvalidStatus) as refusal:
        await connect(address, additional_headers=headers)
    return refusal.value.response.status_code
