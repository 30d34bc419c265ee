"""The words of a text and where they are in it. In scripts without spaces each sign is a word."""

import re
from dataclasses import dataclass

# Unicode blocks of scripts without spaces between words.
_HAN = "\u2e80-\u303a\u303d-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff\uff66-\uff9d"
_INDOCHINA = "\u0e01-\u0e2e\u0e40-\u0e44\u0e81-\u0eae\u0ec0-\u0ec4\u1000-\u1021\u1780-\u17b3"
# These belong to the sign before them: small kana, the long vowel mark, vowel and tone signs.
_ATTACHED = (
    "\u3041\u3043\u3045\u3047\u3049\u3063\u3083\u3085\u3087\u308e\u3099-\u309c"
    "\u30a1\u30a3\u30a5\u30a7\u30a9\u30c3\u30e3\u30e5\u30e7\u30ee\u30fc\ufe00-\ufe0f"
    "\u0e2f-\u0e3a\u0e45-\u0e4e\u0eaf-\u0ebd\u0ec5-\u0ecd\u102b-\u109f\u17b4-\u17dd"
)
_CJK_MARKS = "\u3000-\u3004\u3008-\u3020\u3030"  # punctuation in the first block of `_HAN`
_SIGN = f"(?![{_CJK_MARKS}])[{_HAN}{_KANA}{_INDOCHINA}][{_ATTACHED}]*"
_PIECE = re.compile(rf"{_SIGN}|(?:(?!{_SIGN})\S)+")
_OPENING = "([{<«„“‘¿¡「『（《〈【〔"
_SOUNDING = frozenset("%@&+/=#°$€£¥")


@dataclass(frozen=True, slots=True)
class Word:
    """A word with the punctuation around it, and without the space behind it."""

    #: The same as `text[start:end]` of the whole text.
    text: str
    start: int
    end: int

    @property
    def ends_clause(self) -> bool:
        """Whether punctuation follows, where a voice mostly pauses."""
        return not self.text[-1].isalnum()


def words(text: str) -> tuple[Word, ...]:
    """The words of a text, in order; empty if a voice has nothing to speak.

    Words are separated by spaces; in scripts without spaces, each sign is a word. A piece without
    any sound, such as a dash, belongs to the word before it, or to the first word.
    """
    places: list[tuple[int, int]] = []
    opened: int | None = None  # where the next word begins, if an opening mark is part of it
    for piece in _PIECE.finditer(text):
        start, end = piece.span()
        if any(each.isalnum() or each in _SOUNDING for each in piece[0]):
            places.append((start if opened is None else opened, end))
            opened = None
        elif places and opened is None and piece[0][-1] not in _OPENING:
            places[-1] = (places[-1][0], end)
        elif opened is None:
            opened = start
    if places and opened is not None:
        places[-1] = (places[-1][0], len(text.rstrip()))
    return tuple(Word(text[start:end], start, end) for start, end in places)
