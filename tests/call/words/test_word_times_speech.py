"""How far off the estimated words are, by voices that tell where each really is."""

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

# espeak-ng flutters, so no two runs measure quite the same: every bound leaves room for that.


@pytest.mark.parametrize("voice", VOICES)
def test_a_caller_who_interrupts_a_whole_sentence_heard_the_words_that_we_think(voice: str) -> None:
    chance = random.Random(1)
    said = [by_espeak(text, voice=voice) for text in VOICES[voice]]
    errors = interrupted(said, chance)
    assert errors.within_one(errors.half) >= 0.985, errors
    assert errors.within_one(errors.begun) >= 0.93, errors
    assert errors.within_one(errors.over) >= 0.96, errors
    assert max(errors.half) <= 3, errors


@pytest.mark.parametrize("words_per_minute", [130, 220])
def test_slow_and_hasty_voices_are_followed_as_well(words_per_minute: int) -> None:
    said = [
        by_espeak(text, voice="en-us", words_per_minute=words_per_minute) for text in ENGLISH[::2]
    ]
    errors = interrupted(said, random.Random(2))
    assert errors.within_one(errors.half) >= 0.985, errors


@pytest.mark.parametrize("voice", ["en-us", "en-gb-x-rp", "de"])
def test_a_voice_that_was_heard_before_is_followed_while_it_still_speaks(voice: str) -> None:
    said = [by_espeak(text, voice=voice) for text in VOICES[voice]]
    before, now = said[::2], said[1::2]
    errors = interrupted_early(now, random.Random(3), pace=learnt(before))
    assert errors.within_one(errors.half) >= 0.94, errors


def test_a_voice_that_nobody_heard_before_is_mostly_followed() -> None:
    said = [by_espeak(text, voice="en-us") for text in ENGLISH[::2]]
    errors = interrupted_early(said, random.Random(4))
    assert errors.within_one(errors.half) >= 0.90, errors


@pytest.mark.parametrize("jitter", [0.0, 0.3])
@pytest.mark.parametrize("gap_ms", [60, 100, 250])
@pytest.mark.parametrize("ms_of", [by_characters, all_alike])
def test_pauses_behind_every_word_leave_no_doubt(
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
def test_a_voice_known_to_pause_behind_every_word_leaves_no_doubt_in_mid_sentence(
    ms_of: Callable[[str], float],
) -> None:
    chance = random.Random(6)
    said = [by_rule(text, ms_of, gap_ms=100, jitter=0.3, chance=chance) for text in ENGLISH]
    pace = learnt(said)
    assert pace.word_by_word
    errors = interrupted_early(said, chance, pace=pace)
    assert errors.within_one(errors.half) >= 0.99, errors


def test_words_that_last_as_they_are_written_are_told_without_any_pause() -> None:
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


def test_words_that_all_last_alike_are_mostly_told_without_any_pause() -> None:
    chance = random.Random(8)
    texts = list(short(without_numbers(ENGLISH)))
    said = [by_rule(text, all_alike, chance=chance) for text in texts]
    errors = interrupted(said, chance)
    assert errors.within_one(errors.half) >= 0.96, errors


def test_a_voice_that_reads_numbers_as_they_are_written_is_found_out() -> None:
    chance = random.Random(9)
    before = [by_rule(text, by_characters, chance=chance) for text in without_numbers(ENGLISH)]
    texts = [text for text in short(ENGLISH) if text not in without_numbers(ENGLISH)]
    said = [by_rule(text, by_characters, chance=chance) for text in texts]
    knowing = interrupted(said, chance, pace=learnt(before))
    guessing = interrupted(said, chance)
    assert knowing.within_one(knowing.half) >= 0.97, knowing
    assert knowing.within_one(knowing.half) > guessing.within_one(guessing.half)
