"""Other sounds on a phone line, and when Silero's net is called."""

import audioop
import math
from array import array

import pytest

from app.audio import silence, tone, ulaw_decode, ulaw_encode
from app.simulator.realtime import RealtimeServer, Script
from app.simulator.receptionist import ears
from app.simulator.receptionist.ears import SileroDetector
from app.simulator.speech import speak
from tests.simulator.realtime.realtime_client import PhoneSession, phone
from tests.simulator.receptionist.test_ears import edges
from tests.simulator.receptionist.test_recognizer import noise

_LOUD_RMS = 6000
_QUIET = array("h", [20, -20] * 256).tobytes()  # a chunk of the net's at -64 dBFS
_LOUD = array("h", [9000, -9000] * 256).tobytes()


def crackle(ms: int) -> bytes:
    return ulaw_encode(noise(ms * 8, _LOUD_RMS, "white", 5))


def slam(tau_ms: int) -> bytes:
    """A door: a loud noise that fades."""
    bang = array("h", noise(tau_ms * 48, _LOUD_RMS, "white", 6))
    faded = (round(sample * math.exp(-n / (8 * tau_ms))) for n, sample in enumerate(bang))
    return ulaw_encode(array("h", faded).tobytes())


def key(low_hz: int, high_hz: int, ms: int) -> bytes:
    """A DTMF key."""
    low, high = (
        ulaw_decode(tone((hz,), note_ms=ms, level_dbfs=-18, fade_ms=2)) for hz in (low_hz, high_hz)
    )
    return ulaw_encode(audioop.add(low, high, 2))


@pytest.mark.parametrize(
    "sound",
    [
        pytest.param(crackle(200), id="crackle"),
        pytest.param(slam(50), id="slam"),
        pytest.param(slam(200), id="thunder"),
        pytest.param(key(770, 1336, 100), id="key 5"),
        pytest.param(key(941, 1477, 600), id="key # held down"),
        pytest.param(tone((440, 480), note_ms=400, level_dbfs=-20), id="ringing"),
    ],
)
def test_other_sounds_on_a_line_are_not_speech(sound: bytes) -> None:
    assert edges(silence(500) + sound + silence(900)) == []


class Net:
    """Returns given probabilities, and counts its calls."""

    def __init__(self, *probabilities: float) -> None:
        self._probabilities = list(probabilities)
        self.asked = self.resets = 0

    def process_chunk(self, audio: bytes) -> float:
        assert len(audio) == len(_LOUD)
        self.asked += 1
        return self._probabilities.pop(0) if self._probabilities else 0.0

    def reset(self) -> None:
        self.resets += 1


def verdicts(
    net: Net, monkeypatch: pytest.MonkeyPatch, pcm: bytes, threshold: float = 0.5
) -> list[bool]:
    """The detector's result for each chunk at the net's own rate."""
    monkeypatch.setattr(ears, "_net", lambda: net)
    detector, size = SileroDetector(), len(_LOUD)
    return [
        detector.is_speech(pcm[start : start + size], 16000, threshold)
        for start in range(0, len(pcm), size)
    ]


def test_the_threshold_is_a_probability_and_a_fading_voice_continues_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fades = (0.45, 0.55, 0.4, 0.3, 0.45)
    said = verdicts(Net(*fades), monkeypatch, 5 * _LOUD)
    assert said == [False, True, True, False, False]
    assert not any(verdicts(Net(*fades), monkeypatch, 5 * _LOUD, 0.8))
    assert all(verdicts(Net(*fades), monkeypatch, 5 * _LOUD, 0.1))


def test_the_net_skips_quiet_chunks_and_gets_those_before_a_sound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = Net()
    verdicts(net, monkeypatch, 50 * _QUIET)
    assert net.asked == 0
    verdicts(net, monkeypatch, 50 * _QUIET + _LOUD)
    assert (net.asked, net.resets) == (3, 1)


async def test_a_server_listens_with_the_detector_it_was_given() -> None:
    script = Script("Sure.", heard=["I want a table"])
    patient = phone(turn_detection={"type": "server_vad", "silence_duration_ms": 500})
    speech = speak("I would like to book a table for two, please.")
    async with (
        RealtimeServer(script, detector=SileroDetector) as server,
        PhoneSession(server, **patient) as client,
    ):
        await client.append(silence(400) + crackle(300) + silence(600) + speech + silence(800))
        await client.until("response.done")
        (started,) = client.of("input_audio_buffer.speech_started")
        assert 900 <= started["audio_start_ms"] <= 1200  # with 300 ms of padding
        (stopped,) = client.of("input_audio_buffer.speech_stopped")
        assert stopped["audio_end_ms"] > 1300 + len(speech) / 8
