"""The caller's frames on their way to the model: in order, counted, muted, recorded."""

import base64
from array import array
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from app.audio import ulaw_encode
from app.bridge.leg.caller_audio import MOST_BYTES, CallerAudio
from app.call import events as ev
from app.call.deadlines import NEVER
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
        self.awaited_sound = 0
        self.awaits_quiet = False
        self.voice_awaited_ms = NEVER
        self.successor: FakeWire | None = None
        self.fed: list[ev.Event] = []
        self.recorded: list[tuple[str, object, float]] = []

    def caller_frame(self, payload: str, timestamp: object, now_ms: float) -> None:
        self.recorded.append((payload, timestamp, now_ms))

    def audio(self) -> CallerAudio:
        peers: Any = self
        now_ms: Callable[[], float] = lambda: 7.0  # noqa: E731
        return CallerAudio(peers, peers, peers, now_ms, self.fed.append)


def frame(number: int, size_bytes: int = 160) -> Media:
    return media(bytes([number % 256]) * size_bytes, str(number * 20))


def media(ulaw: bytes, timestamp: str = "") -> Media:
    return Media(base64.b64encode(ulaw).decode(), ulaw, timestamp)


def payloads(count: int, first: int = 0) -> list[str]:
    return [frame(number).payload for number in range(first, first + count)]


def test_frames_are_forwarded_as_they_come_and_counted() -> None:
    wire = FakeWire()
    audio = Peers(wire).audio()
    for number in range(3):
        audio.take(frame(number))

    assert wire.payloads == payloads(3)
    event = audio.take_event()
    assert (event.frames, event.size_bytes) == (3, 480)
    event = audio.take_event()
    assert (event.frames, event.size_bytes) == (0, 0)


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
    event = audio.take_event()
    assert (event.frames, event.size_bytes) == (1, size_bytes)


# --- how much voice is in it --------------------------------------------------------------------


def sound(ms: int, rms: int = 3000) -> list[Media]:
    """Noise of this loudness, as 16-bit samples, in frames of 20 ms."""
    random, frames = Random(ms), []
    for _ in range(ms // 20):
        pcm = array("h", (round(random.gauss(0, rms)) for _ in range(160))).tobytes()
        frames.append(media(ulaw_encode(pcm)))
    return frames


def take(peers: Peers, audio: CallerAudio, *sounds: list[Media]) -> list[type[ev.Event]]:
    """The events that the machine gets while these frames come."""
    peers.fed.clear()
    for media in (frame for sound in sounds for frame in sound):
        audio.take(media)
    return [type(event) for event in peers.fed]


@pytest.mark.parametrize("line_rms", [1, 40])
def test_voice_is_told_when_the_frames_hold_enough_of_it(line_rms: int) -> None:
    peers = Peers(FakeWire())
    audio = peers.audio()
    take(peers, audio, sound(2000, line_rms), sound(200))
    peers.awaited_sound = 1  # turn detection is a little later than the caller

    assert take(peers, audio, sound(380)) == []
    assert take(peers, audio, sound(20)) == [ev.CallerVoiced]
    assert take(peers, audio, sound(2000)) == []


def test_a_quiet_talker_has_a_voice_as_well() -> None:
    peers = Peers(FakeWire())
    audio = peers.audio()
    take(peers, audio, sound(3000, 20))
    peers.awaited_sound = 1

    assert take(peers, audio, sound(700, 200)) == [ev.CallerVoiced]


def test_noise_as_loud_as_the_line_is_no_voice() -> None:
    peers = Peers(FakeWire())
    audio = peers.audio()
    take(peers, audio, sound(20_000, 400))
    peers.awaited_sound = 1

    assert take(peers, audio, sound(5000, 400)) == [ev.CallerQuieted]


def test_the_gaps_between_syllables_do_not_count_and_end_nothing() -> None:
    peers = Peers(FakeWire())
    audio = peers.audio()
    take(peers, audio, sound(1000, 5))
    peers.awaited_sound = 1
    syllable, gap = sound(200), sound(160, 5)

    assert take(peers, audio, syllable, gap, syllable, gap) == []
    assert take(peers, audio, syllable) == [ev.CallerVoiced]


def test_quiet_is_told_once_for_each_sound() -> None:
    peers = Peers(FakeWire())
    audio = peers.audio()
    take(peers, audio, sound(1000, 5))
    peers.awaited_sound = 1

    assert take(peers, audio, sound(200), sound(480, 5)) == []
    assert take(peers, audio, sound(20, 5), sound(1000, 5)) == [ev.CallerQuieted]
    peers.awaited_sound = 2
    assert take(peers, audio, sound(200), sound(480, 5)) == []
    assert take(peers, audio, sound(20, 5)) == [ev.CallerQuieted]


def test_noise_is_no_voice_after_the_line_was_muted() -> None:
    peers = Peers(FakeWire())
    audio = peers.audio()
    muted = [media(b"\xff" * 160)] * 200
    take(peers, audio, sound(20_000, 400), muted)
    peers.awaited_sound = 1

    assert take(peers, audio, sound(5000, 400)) == [ev.CallerQuieted]


def test_a_muted_caller_has_no_voice() -> None:
    peers = Peers(FakeWire())
    audio = peers.audio()
    audio.muted, peers.awaited_sound = True, 1

    assert take(peers, audio, sound(2000)) == [ev.CallerQuieted]


def test_voice_that_the_model_does_not_report_is_told_when_the_frames_hold_enough_of_it() -> None:
    peers = Peers(FakeWire())
    audio = peers.audio()
    take(peers, audio, sound(1000, 5))
    peers.voice_awaited_ms = 8.0  # it is 7.0 now
    assert take(peers, audio, sound(2000), sound(1000, 5)) == []

    peers.voice_awaited_ms = 7.0
    syllables = [sound(200), sound(160, 5), sound(200), sound(160, 5), sound(180)]  # 580 ms
    assert take(peers, audio, *syllables) == []
    assert take(peers, audio, sound(100)) == [ev.CallerVoiced]  # it looks every 100 ms


def test_voice_that_began_before_it_was_awaited_is_told_as_well() -> None:
    peers = Peers(FakeWire())
    audio = peers.audio()
    assert take(peers, audio, sound(1000, 5), sound(1000)) == []
    peers.voice_awaited_ms = 7.0
    assert take(peers, audio, sound(100)) == [ev.CallerVoiced]  # it looks every 100 ms


def test_quiet_before_a_swap_is_told_too_where_voice_is_awaited() -> None:
    peers = Peers(FakeWire())
    audio = peers.audio()
    peers.awaits_quiet, peers.voice_awaited_ms = True, 7.0
    assert take(peers, audio, sound(200), sound(480, 5)) == []
    assert take(peers, audio, sound(20, 5)) == [ev.CallerQuieted]


def test_a_muted_caller_has_no_voice_that_the_model_could_report() -> None:
    peers = Peers(FakeWire())
    audio = peers.audio()
    audio.muted, peers.voice_awaited_ms = True, 7.0
    assert take(peers, audio, sound(2000)) == []


def test_quiet_before_a_swap_is_told_as_soon_as_the_frames_hold_no_voice() -> None:
    peers = Peers(FakeWire())
    audio = peers.audio()
    take(peers, audio, sound(1000, 5), sound(200))
    peers.awaits_quiet = True
    assert take(peers, audio, sound(200), sound(480, 5)) == []
    assert take(peers, audio, sound(20, 5)) == [ev.CallerQuieted]


# --- another session takes over -------------------------------------------------------------------


def swapped(peers: Peers, audio: CallerAudio, from_ms: int, most_ms: int) -> FakeWire:
    """The successor takes over. Returns its wire."""
    assert peers.successor is not None
    audio.carry_over(from_ms, most_ms)
    peers.wire, peers.successor = peers.successor, None
    audio.forward_buffered()
    assert peers.wire is not None
    return peers.wire


@pytest.mark.parametrize(
    ("from_ms", "most_ms", "first"),
    [(0, 500, 25), (900, 500, 45), (1000, 500, 50), (300, 10_000, 15), (0, 10_000, 0)],
)
def test_the_next_session_gets_the_last_frames_again_and_then_goes_on(
    from_ms: int, most_ms: int, first: int
) -> None:
    peers = Peers(FakeWire())
    audio = peers.audio()
    peers.successor = FakeWire()
    for number in range(50):  # one second
        audio.take(frame(number))
    after = swapped(peers, audio, from_ms, most_ms)
    audio.take(frame(50))
    assert after.payloads == payloads(51 - first, first)


def test_frames_that_the_session_did_not_take_follow_those_that_it_got() -> None:
    before = FakeWire(room=10)
    peers = Peers(before)
    audio = peers.audio()
    peers.successor = FakeWire()
    for number in range(15):
        audio.take(frame(number))
    assert before.payloads == payloads(10)
    assert swapped(peers, audio, 100, 10_000).payloads == payloads(10, 5)


def test_positions_count_from_the_beginning_of_each_session() -> None:
    peers = Peers(FakeWire())
    audio = peers.audio()
    for number in range(100):
        audio.take(frame(number))
    peers.successor = FakeWire()
    audio.take(frame(100))
    swapped(peers, audio, 2000, 500)
    peers.successor = FakeWire()
    for number in range(101, 111):
        audio.take(frame(number))
    assert swapped(peers, audio, 120, 500).payloads == payloads(5, 106)


def test_frames_are_kept_only_while_a_successor_is_open_and_for_thirty_seconds() -> None:
    peers = Peers(FakeWire())
    audio = peers.audio()
    audio.take(frame(0))
    peers.successor = FakeWire()
    for number in range(1, 1601):
        audio.take(frame(number))
    assert swapped(peers, audio, 0, 60_000).payloads == payloads(1500, 101)


def test_a_session_that_is_slow_gets_all_that_is_carried_over() -> None:
    peers = Peers(FakeWire())
    audio = peers.audio()
    successor = peers.successor = FakeWire(room=3)
    for number in range(1000):  # 20 s
        audio.take(frame(number))
    swapped(peers, audio, 0, 60_000)
    audio.take(frame(1000))
    assert successor.payloads == payloads(3)
    successor.room = 2000
    audio.take(frame(1001))
    assert successor.payloads == payloads(1002)
