"""Turn detection over real telephone audio."""

from typing import Any

import pytest

from app.audio import resample_pcm16, silence, tone, ulaw_decode
from app.simulator.realtime.config import AudioFormat
from app.simulator.realtime.vad import InputBuffer, SpeechEdge
from app.simulator.speech import speak

VAD: dict[str, Any] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 500,
}


def buffer(audio_format: str = "audio/pcmu", **changes: Any) -> InputBuffer:
    made = InputBuffer()
    made.configure(AudioFormat(audio_format), {**VAD, **changes})
    return made


def edges(into: InputBuffer, audio: bytes, frame_bytes: int = 160) -> list[SpeechEdge]:
    """Append audio in frames, and take each turn at its end."""
    found = []
    for start in range(0, len(audio), frame_bytes):
        for edge in into.append(audio[start : start + frame_bytes]):
            found.append(edge)
            if not edge.started:
                into.take(edge.at_ms)
    return found


def sound(ms: int, level_dbfs: float = -20) -> bytes:
    return tone((220,), note_ms=ms, level_dbfs=level_dbfs, fade_ms=1)


def test_a_spoken_sentence_is_one_turn() -> None:
    sentence = speak("I would like to book a table for two, please.")
    heard = edges(buffer(), silence(1000) + sentence + silence(1000))
    assert [edge.started for edge in heard] == [True, False]
    assert 700 <= heard[0].at_ms <= 800
    end_ms = 1000 + len(sentence) / 8 + 500
    assert end_ms - 200 <= heard[1].at_ms <= end_ms + 60


@pytest.mark.parametrize("frame_bytes", [1, 77, 160, 100_000])
def test_frames_of_any_size_give_the_same_turns(frame_bytes: int) -> None:
    audio = silence(500) + sound(300) + silence(700) + sound(300) + silence(700)
    heard = edges(buffer(), audio, frame_bytes)
    assert [edge.at_ms for edge in heard] == [200, 1300, 1300, 2300]
    # the second start is padded by 300 ms, but never back into the first turn
    assert [edge.started for edge in heard] == [True, False, True, False]


def test_a_click_starts_no_turn_and_a_short_pause_ends_none() -> None:
    assert edges(buffer(), silence(200) + sound(40) + silence(800)) == []
    heard = edges(buffer(), sound(300) + silence(400) + sound(300) + silence(600))
    assert [edge.at_ms for edge in heard] == [0, 1500]


def test_silence_duration_and_threshold_are_honoured() -> None:
    audio = sound(300, level_dbfs=-36) + silence(700)
    assert [edge.at_ms for edge in edges(buffer(silence_duration_ms=200), audio)] == [0, 500]
    assert edges(buffer(threshold=0.9), audio) == []
    assert edges(buffer(threshold=0.5), sound(300, level_dbfs=-60)) == []


def test_a_turn_holds_its_speech_with_the_padding_before_and_the_silence_after() -> None:
    spoken = sound(400)
    into = buffer(prefix_padding_ms=100, silence_duration_ms=200)
    audio = silence(1000) + spoken + silence(600)
    turns = [into.take(edge.at_ms) for edge in into.append(audio) if not edge.started]
    assert turns == [silence(100) + spoken + silence(200)]
    assert into.pending_ms() < 400


def test_silence_outside_turns_is_dropped() -> None:
    into = buffer()
    edges(into, silence(60_000))
    assert into.pending_ms() <= 400
    assert into.end_ms == 60_000


def test_semantic_vad_waits_and_null_detects_nothing() -> None:
    semantic = InputBuffer()
    semantic.configure(AudioFormat("audio/pcmu"), {"type": "semantic_vad", "eagerness": "auto"})
    assert [edge.at_ms for edge in edges(semantic, sound(400) + silence(800))] == [0, 1000]
    off = InputBuffer()
    off.configure(AudioFormat("audio/pcmu"), None)
    assert edges(off, sound(400) + silence(800)) == []
    assert off.pending_ms() == 1200


def test_pcm_sessions_hear_the_same() -> None:
    ulaw = silence(500) + sound(300) + silence(700)
    pcm = resample_pcm16(ulaw_decode(ulaw), 8000, 24000)
    heard = edges(buffer("audio/pcm"), pcm, 960)
    assert [edge.started for edge in heard] == [True, False]
    assert heard[0].at_ms == pytest.approx(200, abs=20)


def test_clearing_keeps_the_clock() -> None:
    into = buffer()
    edges(into, sound(300))
    into.clear()
    assert into.pending_ms() == 0
    assert [edge.at_ms for edge in edges(into, silence(100) + sound(300))] == [300]
