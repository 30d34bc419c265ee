"""A search may pass over a call only if it cannot match."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.records.digests.digest import words_of
from app.records.digests.marks import marks_of, masks_of


def may_match(words: str, *parts: str, outcome: str = "") -> bool:
    marks = marks_of(words)
    return all(marks[at] & mask == mask for at, mask in masks_of(parts, outcome).items())


@given(st.text(max_size=60), st.integers(0, 50), st.integers(1, 20))
def test_every_part_of_every_word_may_match(text: str, at: int, length: int) -> None:
    for word in words_of(text):
        assert may_match(f" 15550001 {' '.join(words_of(text))} ", word[at : at + length])


@pytest.mark.parametrize("part", ["zebra", "15559", "再见吗", "退货", "über"])
def test_other_words_are_passed_over(part: str) -> None:
    words = " 15550001234 status=busy 我想订一个披萨 good morning how are you "
    assert not may_match(words, part)
    assert may_match(words, "披萨", "morn", "000123", outcome="busy")
    assert not may_match(words, outcome="canceled")


def test_a_column_holds_its_marks() -> None:
    assert all(0 <= each < 2**63 for each in marks_of(" a b abc " * 99))
