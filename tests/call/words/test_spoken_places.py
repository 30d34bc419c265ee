"""How long the characters of a text take to say."""

import pytest

from app.call.words.spoken_places import spoken_places


def test_a_latin_letter_a_space_and_a_mark_take_as_long_as_each_other() -> None:
    assert spoken_places("Ja, é") == [0, 1, 2, 3, 4, 5]
    assert spoken_places("") == [0]


@pytest.mark.parametrize("word", "0９٣%@&+/=#°$€£¥")
def test_digits_and_signs_are_said_as_words(word: str) -> None:
    assert spoken_places(f"a{word}a") == [0, 1, 7.5, 8.5]


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("你", 3.8),
        ("々", 3.8),
        ("か", 2.3),
        ("カ", 2.3),
        ("ー", 2.3),
        ("가", 2.5),
        ("。", 1),
        ("、", 1),
    ],
)
def test_a_sign_of_east_asia_is_a_syllable_and_its_punctuation_is_not(
    text: str, letters: float
) -> None:
    assert spoken_places(text) == [0, letters]
