"""The words of a text, and how long each one sounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.call.words.word_lengths import LONG_MARK, MARK, WEAK_MARK, words


def texts(text: str) -> list[str]:
    return [word.text for word in words(text)]


def letters(text: str) -> float:
    return sum(sum(word.letters) for word in words(text))


def test_words_are_separated_by_spaces_and_keep_their_punctuation() -> None:
    assert texts(' "Yes,"  he said. ') == ['"Yes,"', "he", "said."]
    assert [(word.start, word.end) for word in words(" a  bc.")] == [(1, 2), (4, 7)]


def test_a_piece_without_sound_belongs_to_the_word_before_or_to_the_first() -> None:
    assert texts("Well – fine … !") == ["Well –", "fine … !"]
    assert texts("- – hi") == ["- – hi"]
    assert texts("¿ Qué ?") == ["¿ Qué ?"]
    assert texts("... – !") == texts("") == texts("😀 :-)") == []


def test_in_scripts_without_spaces_each_sign_is_a_word() -> None:
    assert texts("你好，我是「前台」。") == ["你", "好，", "我", "是", "「前", "台」。"]
    assert texts("使用iPhone手机") == ["使", "用", "iPhone", "手", "机"]
    assert texts("ちょっと、スーパー") == ["ちょっ", "と、", "スー", "パー"]
    assert texts("ดีครับ") == ["ดี", "ค", "รั", "บ"]


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("7", "seven"),
        ("0", "zero"),
        ("48", "forty eight"),
        ("416", "four hundred sixteen"),
        ("1,249", "one thousand two hundred forty nine"),
        ("1.249.000", "one million two hundred forty nine thousand"),
        ("10:30", "ten thirty"),
        ("$12.50", "twelve dollars and fifty cents"),
        ("€5", "five dollars"),
        ("3.5", "three point five"),
        ("20%", "twenty percent"),
        ("0199", "zero one nine nine"),
        ("555-0199", "five five five zero one nine nine"),
        ("4155550", "four one five five five five zero"),
        ("+49", "plus four nine"),
        ("Dr. No", "doctor No"),
        ("XR", "eks are"),
    ],
)
def test_a_number_is_as_long_as_its_words(written: str, spoken: str) -> None:
    assert letters(written) == pytest.approx(letters(spoken), abs=1)


def test_a_voice_may_pause_within_a_number() -> None:
    (price,) = words("$12.50,")
    assert len(price.letters) == 2 and price.mark == MARK
    (number,) = words("+1-555-0199")
    assert len(number.letters) == 9


def test_punctuation_shows_where_a_voice_pauses() -> None:
    marks = [
        word.mark for word in words('Well, "yes": so – ask Mr. Kay in the U.S. (now). Ok? 5. Bye')
    ]
    assert marks == [
        MARK, MARK, MARK, 0, WEAK_MARK, 0, 0, 0, WEAK_MARK, LONG_MARK, LONG_MARK, MARK, 0,
    ]  # fmt: skip
    assert [word.mark for word in words("好，是。")] == [MARK, LONG_MARK]
    assert words("am 3. mai")[1].mark == WEAK_MARK


@given(st.text(max_size=60))
def test_any_text_has_words_that_follow_each_other_and_last(text: str) -> None:
    at = 0
    for word in words(text):
        assert at <= word.start < word.end <= len(text)
        assert word.text == text[word.start : word.end]
        assert word.letters and all(each > 0 for each in word.letters)
        at = word.end
