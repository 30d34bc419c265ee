"""Finding pauses in sound that arrives in chunks of any size."""

import math
import random
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.audio import resample_pcm16, ulaw_decode
from app.simulator.speech import utter
from app.simulator.voices.mouth import tones
from app.wires.voices.pauses import Pauses


def tone(ms: int, *, level: int = 8000, hz: int = 440) -> bytes:
    step = 2 * math.pi * hz / 8000
    return array("h", (round(level * math.sin(step * n)) for n in range(ms * 8))).tobytes()


def noise(ms: int, *, level: int) -> bytes:
    chance = random.Random(1)
    return array("h", (chance.randint(-level, level) for _ in range(ms * 8))).tobytes()


def silence(ms: int) -> bytes:
    return bytes(ms * 16)


def pauses_ms(pcm: bytes) -> list[tuple[int, int]]:
    pauses = Pauses()
    found = pauses.feed(pcm) + pauses.finish()
    return [(start // 8, end // 8) for start, end in found]


def test_the_pause_between_two_words_is_found() -> None:
    assert pauses_ms(tone(300) + silence(100) + tone(300)) == [(300, 400)]


def test_silence_before_the_first_and_after_the_last_word_is_a_pause() -> None:
    assert pauses_ms(silence(80) + tone(300) + silence(200)) == [(0, 80), (380, 580)]


def test_a_pause_is_returned_when_the_next_word_begins() -> None:
    pauses = Pauses()
    assert pauses.feed(tone(300) + silence(100)) == []
    assert pauses.feed(tone(10)) == [(2400, 3200)]
    assert pauses.feed(tone(300)) == []


@pytest.mark.parametrize(("quiet_ms", "found"), [(50, []), (60, [(200, 260)])])
def test_a_plosives_closure_is_no_pause(quiet_ms: int, found: list[tuple[int, int]]) -> None:
    assert pauses_ms(tone(200) + silence(quiet_ms) + tone(200)) == found


def test_a_quiet_voice_pauses_as_a_loud_one_does() -> None:
    for level in (400, 3000, 30_000):
        pcm = tone(300, level=level) + noise(120, level=level // 100) + tone(300, level=level)
        assert pauses_ms(pcm) == [(300, 420)]


def test_a_soft_word_is_no_pause() -> None:
    assert pauses_ms(tone(300) + tone(200, level=800) + tone(300)) == []


def test_the_noise_of_a_codec_before_the_first_word_is_silence() -> None:
    assert pauses_ms(noise(100, level=30) + tone(300)) == [(0, 100)]


def test_complete_silence_is_one_pause() -> None:
    assert pauses_ms(silence(500)) == [(0, 500)]
    assert pauses_ms(b"") == []


def test_a_voice_that_is_loud_from_its_first_sample_has_no_pause_before_it() -> None:
    assert pauses_ms(tone(30) + silence(100)) == [(30, 130)]


def test_the_pause_after_every_word_of_a_stand_in_is_found() -> None:
    spoken = tones("One two three, and four.", 24_000, gap_ms=120)
    begins_ms = [word.offset_bytes / 48 for word in spoken.words]
    found = pauses_ms(resample_pcm16(spoken.pcm, 24_000, 8000))
    assert len(found) == len(spoken.words)
    assert [end for _, end in found[:-1]] == pytest.approx(begins_ms[1:], abs=10)


def test_a_speaker_pauses_at_commas() -> None:
    utterance = utter("First the name, then the number, and then the street.")
    begins_ms = [word.offset_bytes / 8 for word in utterance.words]
    found = pauses_ms(ulaw_decode(utterance.ulaw))
    for after_comma in (begins_ms[3], begins_ms[6]):
        assert min(abs(end - after_comma) for _, end in found) <= 40


SENTENCE = (
    silence(70) + tone(230) + silence(65) + noise(400, level=5000) + silence(333) + tone(77)
    + noise(90, level=50) + bytes(3)
)  # fmt: skip


@given(st.lists(st.integers(0, 2000)))
def test_pauses_do_not_depend_on_the_chunks(sizes: list[int]) -> None:
    whole, cut, at = Pauses(), Pauses(), 0
    found = []
    for size in sizes:
        found += cut.feed(SENTENCE[at : at + size])
        at = min(at + size, len(SENTENCE))
    found += cut.feed(SENTENCE[at:]) + cut.finish()
    assert found == whole.feed(SENTENCE) + whole.finish()
    assert len(found) == 4
