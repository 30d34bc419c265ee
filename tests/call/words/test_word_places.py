"""The words of a text, and how long each one sounds."""

from hypothesis import given
from hypothesis import strategies as st

from app.call.words.word_places import words


def texts(text: str) -> list[str]:
    return [word.text for word in words(text)]


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


def test_punctuation_behind_a_word_ends_a_clause() -> None:
    found = [word.ends_clause for word in words('Well, "yes": so – ask Kay in 5 days (now). Ok')]
    assert found == [True, True, True, False, False, False, False, False, True, False]


@given(st.text(max_size=60))
def test_any_text_has_words_that_follow_each_other(text: str) -> None:
    at = 0
    for word in words(text):
        assert at <= word.start < word.end <= len(text)
        assert word.text == text[word.start : word.end]
        at = word.end
