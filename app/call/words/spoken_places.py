"""How long a text takes to say, character by character.

The unit is the time of a Latin letter, about 58 ms. A digit is said as a word, and a Chinese
character is a whole syllable.
"""

import re
from functools import lru_cache
from itertools import accumulate

from app.call.words.word_places import CJK_MARKS, HAN, KANA, SOUNDING

_LONG_VOWEL = "\u30fc"
# In Latin letters. Anything else counts as one: letters, spaces, and punctuation, of which a pause
# remains.
_LETTERS = (
    (re.compile(rf"(?![{CJK_MARKS}])[{HAN}]"), 3.8),
    (re.compile(f"[{KANA}{_LONG_VOWEL}]"), 2.3),
    (re.compile("[\uac00-\ud7a3]"), 2.5),  # Hangul syllables
    (re.compile(rf"[\d{SOUNDING}]"), 6.5),  # said as words: "nine", "hundred and", "percent"
)


def spoken_places(text: str) -> list[float]:
    """How much of a text is said before each of its characters, and at its end: `len(text) + 1`
    rising values in Latin letters, from 0."""
    return [0.0, *accumulate(map(_letters, text))]


@lru_cache(maxsize=4096)
def _letters(character: str) -> float:
    return next((letters for kind, letters in _LETTERS if kind.match(character)), 1.0)
