"""The Realtime wire between the bridge and a socket: what it sends, feeds, and reports."""

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.call.agent import Agent
from app.call.commands import CancelResponse
from app.call.events import Event, ModelOpened, SessionCreated
from app.errors import ProtocolError
from app.wires.realtime import wire as wires
from app.wires.realtime.endpoint import Endpoint
from app.wires.realtime.wire import RealtimeWire

AGENT = Agent("Ada", "You answer the phone.")
CREATED = b'{"type":"session.created","session":{"id":"sess_1"}}'


class Socket:
    """Keeps what is sent. `writable`: as the test sets it."""

    def __init__(self) -> None:
        self.writable = True
        self.sent: list[dict[str, Any]] = []
        self.calls: list[str] = []

    def send(self, message: bytes) -> None:
        self.sent.append(json.loads(message))

    def hold(self) -> None:
        self.calls.append("hold")

    def release(self) -> None:
        self.calls.append("release")

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")

    def close(self) -> None:
        self.calls.append("close")


class Bridge:
    """A wire with what it fed and reported. `message`: gives it a server event."""

    def __init__(self) -> None:
        self.socket = Socket()
        self.events: list[Event] = []
        self.malformed: list[ProtocolError] = []
        self.wire = RealtimeWire(
            Endpoint("ws://localhost", "a model", "a key"),
            AGENT,
            feed=self.events.append,
            on_writable=lambda: None,
            on_malformed=self.malformed.append,
        )

    async def connect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def connect(*_: Any, on_opened: Any, on_message: Any, **__: Any) -> None:
            self.message = on_message
            on_opened(self.socket)

        monkeypatch.setattr(wires, "connect", connect)
        await self.wire.connect()


@pytest.fixture
async def bridge(monkeypatch: pytest.MonkeyPatch) -> Bridge:
    bridge = Bridge()
    await bridge.connect(monkeypatch)
    return bridge


@given(st.binary(min_size=1, max_size=1000))
async def test_audio_is_appended_unchanged(audio: bytes) -> None:
    bridge, payload = Bridge(), b64encode(audio).decode()
    with pytest.MonkeyPatch.context() as monkeypatch:
        await bridge.connect(monkeypatch)

    assert bridge.wire.append_audio(payload)
    assert bridge.socket.sent == [{"type": "input_audio_buffer.append", "audio": payload}]


async def test_audio_is_not_taken_while_the_socket_is_full_or_closed(bridge: Bridge) -> None:
    bridge.socket.writable = False
    assert not bridge.wire.append_audio("/w==")
    bridge.socket.writable = True
    bridge.wire.close()

    assert not bridge.wire.append_audio("/w==")
    assert not Bridge().wire.append_audio("/w=="), "it was never open"
    assert bridge.socket.sent == []


async def test_the_session_opens_before_anything_of_it_is_fed(bridge: Bridge) -> None:
    bridge.message(CREATED)

    assert bridge.events == [ModelOpened(), SessionCreated("sess_1")]


async def test_a_session_that_opens_after_the_end_is_closed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bridge = Bridge()
    bridge.wire.close()
    await bridge.connect(monkeypatch)

    assert (bridge.events, bridge.socket.calls) == ([], ["close"])
    assert not bridge.wire.append_audio("/w==")


async def test_a_malformed_message_is_reported_and_the_session_goes_on(bridge: Bridge) -> None:
    bridge.message(b"{")
    bridge.message(CREATED)

    assert len(bridge.malformed) == 1 and bridge.events[1:] == [SessionCreated("sess_1")]


async def test_commands_are_encoded_and_dropped_after_the_end(bridge: Bridge) -> None:
    bridge.wire.send(CancelResponse("c1", "resp_1"))
    bridge.wire.pause()
    bridge.wire.resume()
    bridge.wire.close()
    bridge.wire.close()
    bridge.wire.send(CancelResponse("c2", "resp_1"))
    bridge.wire.pause()

    assert [each["event_id"] for each in bridge.socket.sent] == ["c1"]
    assert bridge.socket.calls == ["pause", "resume", "close"]


async def test_what_is_held_is_held_by_the_socket(bridge: Bridge) -> None:
    bridge.wire.hold()
    bridge.wire.release()
    bridge.wire.close()
    bridge.wire.hold()
    bridge.wire.release()
    assert bridge.socket.calls == ["hold", "release", "close"]
