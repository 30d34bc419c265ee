"""Recording a voice outside a call: its audio, its figures, its file."""

import asyncio
import math
import wave
from pathlib import Path

import pytest

from app.audio import ulaw_decode
from app.bridge.leg.voice_side import PhoneSound
from app.cli.voice_sample import Sample, record, sentences_of
from app.errors import VoiceError
from app.simulator.voices.mouth import tones
from app.wires.voices.voice import Sound, Sounds, VoiceLine


class Speaker:
    """A voice and its only line. It says each sentence once at each of these sample rates."""

    label = "test/speaker"

    def __init__(self, *rates_hz: int) -> None:
        self.rates_hz = rates_hz
        self.asked: list[str] = []
        self.closed = False

    def line(self) -> VoiceLine:
        return self

    async def prepare(self) -> None:
        self.asked.append("ready?")

    async def say(self, text: str, *, answer: int = 0) -> Sounds:
        self.asked.append(text)
        for hz in self.rates_hz:
            await asyncio.sleep(0)
            yield Sound(tones(text, hz).pcm, hz)

    async def aclose(self) -> None:
        self.closed = True


def sample(*sentences: bytes, hz: int = 24000, whole_ms: float = 100.0) -> Sample:
    return Sample("test/speaker", hz, sentences, 1.0, 2.0, whole_ms)


def test_a_text_is_cut_into_sentences_and_cleaned_as_in_a_call() -> None:
    text = "**Hello**, Dr. Ada! 😀 It costs 3.50 euros.\n\n```\ncode\n```\nBye."
    assert sentences_of(text) == ["Hello, Dr. Ada!", "It costs 3.50 euros.", "Bye."]
    assert sentences_of("😀 ***") == []


async def test_the_line_is_prepared_before_the_first_sentence_is_requested() -> None:
    speaker, told = Speaker(16000), list[tuple[int, float]]()
    made = await record(speaker, ["One.", "Two."], lambda *news: told.append(news))
    assert speaker.asked == ["ready?", "One.", "Two."] and speaker.closed
    assert (made.label, made.hz) == ("test/speaker", 16000)
    assert made.sentences == (tones("One.", 16000).pcm, tones("Two.", 16000).pcm)
    assert told == [(0, 240.0), (1, 240.0), (1, 480.0), (2, 480.0)]
    assert made.sound_ms == 480.0
    assert 0 < made.first_sound_ms <= made.whole_ms and made.connect_ms >= 0


async def test_a_silent_voice_or_a_changed_sample_rate_is_an_error() -> None:
    for speaker, told in ((Speaker(), "without any sound"), (Speaker(8000, 16000), "16000 Hz")):
        with pytest.raises(VoiceError, match=told):
            await record(speaker, ["One."], lambda *_: None)
        assert speaker.closed


def test_a_second_of_audio_made_in_a_tenth_has_a_real_time_factor_of_0_1() -> None:
    second = sample(bytes(24000), bytes(24000))
    assert second.sound_ms == 1000.0 and second.real_time_factor == 0.1


def test_a_full_sine_peaks_at_0_dbfs_and_its_level_is_3_db_below() -> None:
    sine = b"".join(
        round(32767 * math.sin(2 * math.pi * n / 24)).to_bytes(2, "little", signed=True)
        for n in range(2400)
    )
    assert sample(sine).peak_dbfs == pytest.approx(0.0, abs=0.01)
    assert sample(sine).level_dbfs == pytest.approx(-3.01, abs=0.01)
    assert sample(bytes(480)).peak_dbfs == sample(bytes(480)).level_dbfs == -math.inf


def test_on_the_phone_each_sentence_sounds_as_in_a_call() -> None:
    sentences = tones("One.", 24000).pcm, tones("Two, three.", 24000).pcm
    phoned = sample(*sentences).on_the_phone()
    assert phoned.hz == 8000 and phoned.whole_ms == 100.0
    for pcm, heard in zip(sentences, phoned.sentences, strict=True):
        phone = PhoneSound()
        assert heard == ulaw_decode(phone.feed(pcm, 24000) + phone.finish())
        assert len(heard) % 320 == 0  # whole frames of 20 ms
        assert 0 <= len(heard) / 16000 - len(pcm) / 48000 < 0.020


def test_the_file_is_16_bit_mono_at_the_voices_rate(tmp_path: Path) -> None:
    made = sample(tones("One.", 16000).pcm, tones("Two.", 16000).pcm, hz=16000)
    made.write_wav(tmp_path / "voice.wav")
    with wave.open(str(tmp_path / "voice.wav")) as file:
        assert file.getparams()[:4] == (1, 2, 16000, len(made.pcm) // 2)
        assert file.readframes(file.getnframes()) == made.pcm
