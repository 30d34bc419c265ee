"""Splitting texts for Volcengine, and reassembling its samples."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import VoiceError
from app.wires.voices.volcengine.text import LARGEST_TEXT_BYTES, Samples, portions, speakable


@pytest.mark.parametrize("text", ["a", "7", "字", "こ", "ß!", "... ok", "<b>a</b>", "👍 5"])
def test_a_text_with_a_letter_or_a_digit_is_speakable(text: str) -> None:
    assert speakable(text)


@pytest.mark.parametrize("text", ["", " ", "?!", "。，", "👍", "__", "<break time='1s'/>"])
def test_a_text_without_one_is_not_speakable(text: str) -> None:
    assert not speakable(text)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=3000))
def test_portions_join_to_the_text_without_unspeakable_parts(text: str) -> None:
    cut = list(portions(text))
    assert all(speakable(each) and len(each.encode()) <= LARGEST_TEXT_BYTES for each in cut)
    at = 0
    for each in cut:
        found = text.index(each, at)
        assert not speakable(text[at:found])
        at = found + len(each)
    assert not speakable(text[at:])


def test_a_text_is_split_after_a_sentence_a_clause_or_a_word() -> None:
    first = "It costs 3.14 dollars. " * 30
    assert list(portions(first + "b" * 500)) == [first, "b" * 500]
    clauses = "one thing, " * 90
    assert next(portions(clauses + "b" * 500)) == clauses
    words = "word " * 200
    assert next(portions(words + "b" * 500)) == words
    assert list(portions("字" * 342)) == ["字" * 341, "字"]


def test_samples_do_not_depend_on_the_chunks() -> None:
    dice = random.Random(5)
    pcm = dice.randbytes(20_000)
    for _ in range(50):
        samples, got, at = Samples(16_000), b"", 0
        while at < len(pcm):
            size = dice.choice((0, 1, 2, 3, 7, 320, 5000))
            for piece in samples.feed(pcm[at : at + size]):
                assert 0 < len(piece) <= 16_000 and len(piece) % 2 == 0
                got += piece
            at += size
        assert got + b"".join(samples.finish()) == pcm


def test_a_sound_of_one_sample_is_not_lost() -> None:
    samples = Samples(16_000)
    assert list(samples.feed(b"ab")) == []  # could still be an audio file
    assert list(samples.finish()) == [b"ab"]


def test_an_audio_file_is_detected_byte_by_byte() -> None:
    samples = Samples(16_000)
    assert list(samples.feed(b"R")) == list(samples.feed(b"IF")) == []
    with pytest.raises(VoiceError, match="WAV"):
        list(samples.feed(b"F"))


def test_a_magic_number_within_the_sound_is_sound() -> None:
    samples = Samples(16_000)
    assert list(samples.feed(b"\0\0\0\0")) == [b"\0\0\0\0"]
    assert list(samples.feed(b"ID3\x04")) == [b"ID3\x04"]
