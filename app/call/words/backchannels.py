"""What a caller says without meaning to interrupt: "mm-hm", "okay", "嗯"; and what sounds that are
no words become in a transcript."""

import re
import unicodedata
from collections.abc import Collection
from functools import lru_cache

#: A longer text is no backchannel, whatever it consists of.
MOST_WORDS = 6
#: A question counts as asked while at most this many words were heard after it ...
_WORDS_AFTER = 2
#: ... or when at most this many characters of it were not heard.
_CHARACTERS_LEFT = 12

_NOTES = re.compile(r"[(\[*<♪][^)\]*>♪]*[)\]*>♪]")  # "[cough]", "*laughs*": no words
_REPEATED = re.compile(r"(.)\1+")
_QUESTION_MARKS = "?？؟"
# Thai and Lao, and all from here on, but for Hangul, which has them
_SCRIPTS_WITHOUT_SPACES = re.compile("[\u0e00-\u0eff\u2e80-\U0010ffff]")


def normalized(text: str) -> str:
    """A text as words in lower case, each run of a letter as one letter: "Mmm-hmm." is "m hm".
    Empty: it has no words."""
    text = unicodedata.normalize("NFKC", _NOTES.sub(" ", text)).casefold().replace("’", "'")
    words = "".join(each if _in_word(each) else " " for each in text).split()
    spelled = (word.strip("'") for word in words if any(map(str.isalnum, word)))
    return _REPEATED.sub(r"\1", " ".join(spelled))


def _in_word(character: str) -> bool:
    # The vowels of many scripts are combining marks.
    return character.isalnum() or character == "'" or unicodedata.category(character)[0] == "M"


def is_backchannel(text: str, phrases: Collection[str]) -> bool:
    """Whether a transcript has no words, or consists of backchannels alone.

    Args:
        phrases: As `normalized` writes them.
    """
    words = normalized(text).split()
    if not words:
        return True
    return len(words) <= MOST_WORDS and _consists_of(tuple(words), frozenset(phrases))


@lru_cache(maxsize=256)
def _consists_of(words: tuple[str, ...], phrases: frozenset[str]) -> bool:
    if not words:
        return True
    if _SCRIPTS_WITHOUT_SPACES.match(words[0]) and words[0] not in phrases:
        heads = [n for n in range(1, len(words[0])) if words[0][:n] in phrases]
        return any(_consists_of((words[0][n:], *words[1:]), phrases) for n in heads)
    return any(
        " ".join(words[:n]) in phrases and _consists_of(words[n:], phrases)
        for n in range(1, len(words) + 1)
    )


def asks(heard: str, text: str) -> bool:
    """Whether a listener has just heard a question.

    Args:
        heard: What was heard of the text.
        text: All of it.
    """
    after = heard
    for mark in _QUESTION_MARKS:
        after = after.rpartition(mark)[2]
    asked = after != heard and len(normalized(after).split()) <= _WORDS_AFTER
    left = text[len(heard) : len(heard) + _CHARACTERS_LEFT]
    return asked or any(mark in left for mark in _QUESTION_MARKS)
