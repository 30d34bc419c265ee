"""A Realtime client for tests. It checks every server event against the openai package's types."""

import asyncio
import base64
import json
from types import TracebackType
from typing import Any, get_args

from openai import BaseModel
from openai.types.realtime import RealtimeServerEvent
from websockets.asyncio.client import ClientConnection, connect

from app.simulator.realtime import RealtimeServer

Event = dict[str, Any]

# In the API reference, but not in the package's types.
_UNTYPED = {"session.id", "session.object", "session.expires_at"}

_TYPES: dict[str, type[BaseModel]] = {
    get_args(member.model_fields["type"].annotation)[0]: member
    for member in get_args(get_args(RealtimeServerEvent)[0])
}

PHONE = {
    "type": "realtime",
    "output_modalities": ["audio"],
    "instructions": "You answer the phone.",
    "audio": {
        "input": {
            "format": {"type": "audio/pcmu"},
            "transcription": {"model": "gpt-transcribe", "language": "en"},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 200},
        },
        "output": {"format": {"type": "audio/pcmu"}, "voice": "marin"},
    },
    "tools": [
        {
            "type": "function",
            "name": "book_table",
            "description": "Book a table.",
            "parameters": {"type": "object", "properties": {"guests": {"type": "integer"}}},
        }
    ],
}


def check_server_event(event: Event) -> None:
    """Raise AssertionError for an event with fields that the openai package does not have."""
    model = _TYPES[event["type"]].model_validate(event)
    unknown = set(_unknown_fields(model, "")) - _UNTYPED
    assert not unknown, f"{event['type']} has unknown fields: {unknown}"


def _unknown_fields(value: Any, path: str) -> list[str]:
    if isinstance(value, BaseModel):
        prefix = f"{path}." if path else ""
        found = [prefix + name for name in value.model_extra or {}]
        for name in type(value).model_fields:
            found += _unknown_fields(getattr(value, name), prefix + name)
        return found
    if isinstance(value, list):
        return [name for element in value for name in _unknown_fields(element, path)]
    return []


class Client:
    """Sends and reads raw events."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        #: Every event that was read.
        self.seen: list[Event] = []

    async def send(self, event_type: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": event_type, **fields}))

    async def append(self, audio: bytes) -> None:
        await self.send("input_audio_buffer.append", audio=base64.b64encode(audio).decode())

    async def next(self) -> Event:
        event: Event = json.loads(await self.socket.recv())
        check_server_event(event)
        self.seen.append(event)
        return event

    async def until(self, event_type: str) -> Event:
        """Read up to the next event of one type."""
        while (event := await self.next())["type"] != event_type:
            pass
        return event

    async def refused(self, event_type: str, **fields: Any) -> Event:
        """Send an event that must be refused. Returns the error object."""
        await self.send(event_type, event_id="mine", **fields)
        answer = await self.next()
        assert answer["type"] == "error", answer
        assert answer["error"]["event_id"] == "mine"
        error: Event = answer["error"]
        return error

    def types(self) -> list[str]:
        """The types read so far; consecutive equal ones count once."""
        kinds = [event["type"] for event in self.seen]
        return [kind for n, kind in enumerate(kinds) if n == 0 or kinds[n - 1] != kind]

    def of(self, event_type: str) -> list[Event]:
        return [event for event in self.seen if event["type"] == event_type]


class PhoneSession:
    """A client with the settings of a phone call: `async with PhoneSession(server)`."""

    def __init__(self, server: RealtimeServer, **changes: Any) -> None:
        self._url = server.base_url.replace("http:", "ws:") + "/realtime?model=gpt-realtime-2"
        self._session = {**PHONE, **changes}

    async def __aenter__(self) -> Client:
        self._connection = await connect(
            self._url, additional_headers={"Authorization": "Bearer sk-test"}, compression=None
        )
        client = Client(self._connection)
        assert (await client.next())["type"] == "session.created"
        await client.send("session.update", session=self._session)
        assert (await client.next())["type"] == "session.updated"
        client.seen.clear()
        return client

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        async with asyncio.timeout(5):
            await self._connection.close()


def phone(**input_changes: Any) -> dict[str, Any]:
    """The settings of a phone call with changes to audio.input."""
    audio: dict[str, Any] = PHONE["audio"]  # type: ignore[assignment] # a JSON literal
    return {"audio": {**audio, "input": {**audio["input"], **input_changes}}}
