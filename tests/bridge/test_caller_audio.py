"""The caller's frames on their way to the model: in order, counted, muted, recorded."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from app.bridge.leg.caller_audio import MOST_BYTES, CallerAudio
from app.call import events as ev
from app.wires.twilio.media_stream import Media


class FakeWire:
    """A model's wire that takes so many frames."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room
        self.payloads: list[str] = []

    def append_audio(self, payload: str) -> bool:
        if self.room <= 0:
            return False
        self.room -= 1
        self.payloads.append(payload)
        return True


class Peers:
    """Model side, machine and recorder of a leg, as far as the caller's audio uses them."""

    def __init__(self, wire: FakeWire | None = None) -> None:
        self.wire = wire
        self.hears_caller = wire is not None
        self.records_audio = False
        self.recorded: list[tuple[str, object, float]] = []

    def caller_frame(self, payload: str, timestamp: object, now_ms: float) -> None:
        self.recorded.append((payload, timestamp, now_ms))

    def audio(self) -> CallerAudio:
        peers: Any = self
        now_ms: Callable[[], float] = lambda: 7.0  # noqa: E731
        return CallerAudio(peers, peers, peers, now_ms)


def frame(number: int, size_bytes: int = 160) -> Media:
    payload = base64.b64encode(bytes([number % 256]) * size_bytes).decode()
    return Media(payload, size_bytes, str(number * 20))


def payloads(count: int, first: int = 0) -> list[str]:
    return [frame(number).payload for number in range(first, first + count)]


def test_frames_are_forwarded_as_they_come_and_counted() -> None:
    wire = FakeWire()
    audio = Peers(wire).audio()
    for number in range(3):
        audio.take(frame(number))

    assert wire.payloads == payloads(3)
    assert audio.take_event() == ev.CallerAudioForwarded(3, 480)
    assert audio.take_event() == ev.CallerAudioForwarded(0, 0)


@pytest.mark.parametrize("why", ["no wire", "not configured", "full"])
def test_frames_wait_for_a_session_that_takes_them(why: str) -> None:
    wire = FakeWire()
    peers = Peers(wire)
    audio = peers.audio()
    if why == "no wire":
        peers.wire = None
    elif why == "not configured":
        peers.hears_caller = False
    else:
        wire.room = 0
    audio.take(frame(0))
    audio.take(frame(1))
    audio.forward_buffered()
    assert wire.payloads == [] and audio.frames == 0

    peers.wire, peers.hears_caller, wire.room = wire, True, 9
    audio.forward_buffered()
    assert wire.payloads == payloads(2) and audio.frames == 2


def test_a_frame_does_not_overtake_those_that_a_full_wire_left_in_the_buffer() -> None:
    wire = FakeWire(room=0)
    audio = Peers(wire).audio()
    for number in range(4):
        audio.take(frame(number))
    wire.room = 2
    audio.take(frame(4))
    wire.room = 9
    audio.take(frame(5))

    assert wire.payloads == payloads(6)


def test_the_buffer_keeps_the_latest_ten_seconds() -> None:
    peers = Peers()
    audio = peers.audio()
    for number in range(MOST_BYTES // 160 + 3):
        audio.take(frame(number))
    peers.wire, peers.hears_caller = FakeWire(), True
    audio.forward_buffered()

    assert peers.wire.payloads == payloads(MOST_BYTES // 160, first=3)


@pytest.mark.parametrize("size_bytes", [160, 1, 400])
def test_a_muted_caller_sends_silence_of_the_same_length(size_bytes: int) -> None:
    wire = FakeWire()
    peers = Peers(wire)
    peers.records_audio = True
    audio = peers.audio()
    audio.muted = True
    audio.take(frame(3, size_bytes))

    quiet = base64.b64encode(b"\xff" * size_bytes).decode()
    assert wire.payloads == [quiet] and peers.recorded == [(quiet, "60", 7.0)]
    assert audio.take_event() == ev.CallerAudioForwarded(1, size_bytes)
