"""How far off the estimated word times are, for voices whose real word times are known."""

import random
from collections.abc import Callable

import pytest

from tests.call.words.word_times_speech import (
    ENGLISH,
    VOICES,
    all_alike,
    by_characters,
    by_espeak,
    by_rule,
    interrupted,
    interrupted_early,
    learnt,
    short,
    without_numbers,
)

# espeak-ng varies a little from run to run: every bound leaves room for that.


@pytest.mark.parametrize("voice", VOICES)
def test_the_words_heard_of_complete_audio_are_mostly_right_within_one(voice: str) -> None:
    chance = random.Random(1)
    said = [by_espeak(text, voice=voice) for text in VOICES[voice]]
    errors = interrupted(said, chance)
    assert errors.within_one(errors.half) >= 0.985, errors
    assert errors.within_one(errors.begun) >= 0.93, errors
    assert errors.within_one(errors.over) >= 0.96, errors
    assert max(errors.half) <= 3, errors


@pytest.mark.parametrize("words_per_minute", [130, 220])
def test_slow_and_fast_voices_are_estimated_as_well(words_per_minute: int) -> None:
    said = [
        by_espeak(text, voice="en-us", words_per_minute=words_per_minute) for text in ENGLISH[::2]
    ]
    errors = interrupted(said, random.Random(2))
    assert errors.within_one(errors.half) >= 0.985, errors


@pytest.mark.parametrize("voice", ["en-us", "en-gb-x-rp", "de"])
def test_a_known_voice_is_estimated_while_its_audio_still_arrives(voice: str) -> None:
    said = [by_espeak(text, voice=voice) for text in VOICES[voice]]
    before, now = said[::2], said[1::2]
    errors = interrupted_early(now, random.Random(3), pace=learnt(before))
    assert errors.within_one(errors.half) >= 0.94, errors


def test_an_unknown_voice_is_mostly_estimated_right() -> None:
    said = [by_espeak(text, voice="en-us") for text in ENGLISH[::2]]
    errors = interrupted_early(said, random.Random(4))
    assert errors.within_one(errors.half) >= 0.90, errors


@pytest.mark.parametrize("jitter", [0.0, 0.3])
@pytest.mark.parametrize("gap_ms", [60, 100, 250])
@pytest.mark.parametrize("ms_of", [by_characters, all_alike])
def test_pauses_behind_every_word_give_the_words_within_one(
    ms_of: Callable[[str], float], gap_ms: int, jitter: float
) -> None:
    chance = random.Random(5)
    said = [
        by_rule(text, ms_of, gap_ms=gap_ms, jitter=jitter, chance=chance)
        for text in ENGLISH
        if len(text.split()) > 2
    ]
    errors = interrupted(said, chance)
    assert max(errors.half) <= 1 and max(errors.begun) <= 1 and max(errors.over) <= 1, errors
    assert errors.half[0] / errors.half.total() > 0.9, errors


@pytest.mark.parametrize("ms_of", [by_characters, all_alike])
def test_a_voice_known_to_pause_behind_every_word_is_estimated_in_mid_sentence(
    ms_of: Callable[[str], float],
) -> None:
    chance = random.Random(6)
    said = [by_rule(text, ms_of, gap_ms=100, jitter=0.3, chance=chance) for text in ENGLISH]
    pace = learnt(said)
    assert pace.word_by_word
    errors = interrupted_early(said, chance, pace=pace)
    assert errors.within_one(errors.half) >= 0.99, errors


def test_words_as_long_as_their_letters_are_estimated_without_any_pause() -> None:
    chance = random.Random(7)
    texts = list(short(without_numbers(ENGLISH)))
    said = [by_rule(text, by_characters, chance=chance) for text in texts]
    errors = interrupted(said, chance)
    assert max(errors.half) <= 1, errors
    assert errors.within_one(errors.begun) >= 0.985, errors
    assert errors.within_one(errors.over) >= 0.985, errors
    uneven = [by_rule(text, by_characters, jitter=0.3, chance=chance) for text in texts]
    errors = interrupted(uneven, chance)
    assert errors.within_one(errors.half) >= 0.98, errors


def test_words_of_equal_length_are_mostly_estimated_without_any_pause() -> None:
    chance = random.Random(8)
    texts = list(short(without_numbers(ENGLISH)))
    said = [by_rule(text, all_alike, chance=chance) for text in texts]
    errors = interrupted(said, chance)
    assert errors.within_one(errors.half) >= 0.96, errors


def test_a_voice_that_reads_numbers_faster_than_expected_is_learned() -> None:
    chance = random.Random(9)
    before = [by_rule(text, by_characters, chance=chance) for text in without_numbers(ENGLISH)]
    texts = [text for text in short(ENGLISH) if text not in without_numbers(ENGLISH)]
    said = [by_rule(text, by_characters, chance=chance) for text in texts]
    knowing = interrupted(said, chance, pace=learnt(before))
    guessing = interrupted(said, chance)
    assert knowing.within_one(knowing.half) >= 0.97, knowing
    assert knowing.within_one(knowing.half) > guessing.within_one(guessing.half)
