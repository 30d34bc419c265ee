"""The words of a text, and how long each one sounds relative to the others.

A length is counted in letters: of everything in a text, they predict best how long a word sounds,
in every alphabet (measured with espeak-ng; syllables add little). Numbers and symbols count as many
letters as their English words, whatever the language: in other languages they are about as long.
"""

import re
from dataclasses import dataclass

# Unicode blocks of scripts without spaces between words: each sign counts as a word.
_HAN = "\u2e80-\u303a\u303d-\u303f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff\uff66-\uff9d"
_INDOCHINA = "\u0e01-\u0e2e\u0e40-\u0e44\u0e81-\u0eae\u0ec0-\u0ec4\u1000-\u1021\u1780-\u17b3"
# These belong to the sign before them: small kana, the long vowel mark, vowel and tone signs.
_ATTACHED = (
    "\u3041\u3043\u3045\u3047\u3049\u3063\u3083\u3085\u3087\u308e\u3099-\u309c"
    "\u30a1\u30a3\u30a5\u30a7\u30a9\u30c3\u30e3\u30e5\u30e7\u30ee\u30fc\ufe00-\ufe0f"
    "\u0e2f-\u0e3a\u0e45-\u0e4e\u0eaf-\u0ebd\u0ec5-\u0ecd\u102b-\u109f\u17b4-\u17dd"
)
_NO_SPACES = f"{_HAN}{_KANA}{_INDOCHINA}"
_CJK_MARKS = "\u3000-\u3004\u3008-\u3020\u3030"  # punctuation in the first block of `_HAN`
_SIGN = re.compile(f"(?![{_CJK_MARKS}])[{_NO_SPACES}][{_ATTACHED}]*")
_OPENING = "([{<«„“‘¿¡「『（《〈【〔"
_CLOSING = "\"'”’»›*_」』）》〉】〕"
_PIECE = re.compile(rf"{_SIGN.pattern}|(?:(?!{_SIGN.pattern})\S)+")
_PART = re.compile(
    rf"(?P<sign>{_SIGN.pattern})"
    r"|(?P<time>[0-9]{1,2}:[0-9]{2})(?![0-9])"
    r"|(?P<number>[0-9]{1,3}(?:[,.'’][0-9]{3})+(?:[.,][0-9]+)?|[0-9]+(?:[.,][0-9]+)?)"
    r"|(?P<letters>(?:[^\W0-9_]|(?<=[^\W0-9_])['’](?=[^\W0-9_]))+)"
    r"|(?P<symbol>[$€£¥%@&+/=#°])"
    r"|(?P<dot>(?<=\w)[.](?=\w))"
)
_THOUSANDS = re.compile(r"([0-9]{1,3}(?:[,.'’][0-9]{3})+)(?:[.,]([0-9]+))?")
_PLAIN = re.compile(r"([0-9]+)(?:[.,]([0-9]+))?")
_TELEPHONE = re.compile("[0-9]-[0-9]|[+][0-9]")
_ORDINALS = frozenset({"st", "nd", "rd", "th"})
_VOWELS = frozenset("AEIOUYÄÖÜ")

_UNITS = (4, 3, 3, 5, 4, 4, 3, 5, 5, 4, 3, 6, 6, 8, 8, 7, 7, 9, 8, 8)  # zero, one, ... nineteen
_TENS = (0, 3, 6, 6, 5, 5, 5, 7, 6, 6)  # -, ten, twenty, ... ninety
_SYMBOLS = {"%": 7, "@": 2, "&": 3, "+": 4, "/": 5, "=": 6, "#": 6, "°": 7}
_ABBREVIATIONS = {"dr": 6, "mr": 6, "mrs": 6, "st": 6, "etc": 8, "vs": 6, "prof": 9}
_CURRENCY = "$€£¥"
_SOUNDING = frozenset(_SYMBOLS) | frozenset(_CURRENCY)
_DOLLARS, _AND_CENTS, _POINT, _DOT, _ORDINAL_LETTERS, _LETTER_NAME = 7, 8, 5, 3, 2, 3
_HAN_LETTERS, _KANA_LETTERS, _INDOCHINESE_LETTERS = 3.5, 2.3, 1.5
LONGEST_NUMBER = 6  # digits; a longer number is spoken digit by digit

LONG_MARK, MARK, WEAK_MARK = 3, 2, 1
_LONG_MARKS, _MARKS, _WEAK_MARKS = ".!?。！？؟।۔…\n", ",;:，、；：،؛–—", "-/"


@dataclass(frozen=True, slots=True)
class Word:
    """A word with the punctuation around it, and without the space behind it."""

    #: The same as `text[start:end]` of the whole text.
    text: str
    start: int
    end: int
    #: How long each part of it sounds. A number has several, and a voice may pause between them.
    letters: tuple[float, ...]
    #: How surely a voice pauses behind it: `LONG_MARK`, `MARK`, `WEAK_MARK`, or 0.
    mark: int


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
    if not places:
        return ()
    nexts = [start for start, _ in places[1:]] + [len(text)]
    return tuple(
        Word(text[start:end], start, end, _letters(text[start:end]), _mark(text, start, end, then))
        for (start, end), then in zip(places, nexts, strict=True)
    )


def _mark(text: str, start: int, end: int, then: int) -> int:
    """The punctuation behind the word `text[start:end]`, when the next word begins at `then`."""
    word = text[start:end]
    sounding = word.rstrip("".join({*_LONG_MARKS, *_MARKS, *_WEAK_MARKS, *_CLOSING}))
    behind = word[len(sounding) :] + text[end:then]
    if behind.startswith(".") and not behind.startswith(("..", ".\n")):
        # an abbreviation, an initial, or a German ordinal, rather than the end of a sentence
        short = len(sounding) <= 3 and not sounding.isdigit() and not sounding.islower()
        if short or "." in sounding or text[then : then + 1].islower():
            return WEAK_MARK
        if sounding[-1:].isdigit() and then < len(text):
            return MARK
    for mark, signs in ((LONG_MARK, _LONG_MARKS), (MARK, _MARKS), (WEAK_MARK, _WEAK_MARKS)):
        if any(each in signs for each in behind):
            return mark
    opens = text[then : then + 1] in _OPENING if then < len(text) else False
    return WEAK_MARK if opens else 0


def _letters(word: str) -> tuple[float, ...]:
    """How long each part of a word sounds."""
    parts: list[float] = []
    currency = any(each in _CURRENCY for each in word)
    by_digit = _TELEPHONE.search(word) is not None
    for part in _PART.finditer(word):
        said = part[0]
        match part.lastgroup:
            case "sign":
                parts.append(_sign_letters(said[0]))
            case "time":
                hour, minute = said.split(":")
                parts += [_cardinal(hour), _cardinal(minute)]
            case "number":
                parts += _number(said, currency=currency, by_digit=by_digit)
            case "letters":
                written_short = word[part.end() :].startswith(".") and said.lower()
                letters = _ABBREVIATIONS.get(written_short or "") or _spelled(said)
                _join(parts, letters, apart=_is_acronym(said))
            case "dot":
                _join(parts, _DOT)
            case _ if said not in _CURRENCY:
                _join(parts, _SYMBOLS[said])
    if currency and not any(map(str.isdigit, word)):
        parts.append(_DOLLARS)
    return tuple(parts) or (1.0,)


def _sign_letters(sign: str) -> float:
    if "\u0e01" <= sign <= "\u1900":
        return _INDOCHINESE_LETTERS
    kana = "\u3041" <= sign <= "\u31ff" or "\uff66" <= sign <= "\uff9d"
    return _KANA_LETTERS if kana else _HAN_LETTERS


def _join(parts: list[float], letters: float, *, apart: bool = False) -> None:
    """Add this length to the last part, or as a part of its own (`apart`)."""
    if parts and not apart:
        parts[-1] += letters
    else:
        parts.append(letters)


def _number(written: str, *, currency: bool, by_digit: bool) -> list[float]:
    """The parts of a number: the whole, or its digits, and the fraction."""
    thousands = _THOUSANDS.fullmatch(written)
    plain = thousands or _PLAIN.fullmatch(written)
    assert plain is not None, "a number matches one of the two"
    whole, fraction = plain.groups()
    whole = re.sub(r"\D", "", whole)
    long = len(whole) > LONGEST_NUMBER and not thousands
    if by_digit or long or (whole[0] == "0" and len(whole) > 1):
        parts = [float(_UNITS[int(digit)]) for digit in whole]
    else:
        parts = [_cardinal(whole)]
    if currency:
        parts[-1] += _DOLLARS
    if fraction and len(fraction) == 2:
        parts.append(_cardinal(fraction) + (_AND_CENTS if currency else _POINT))
    elif fraction:
        parts.append(_POINT + sum(_UNITS[int(digit)] for digit in fraction))
    return parts


def _cardinal(digits: str) -> float:
    """How many letters a number has in words: 20 for 2026, "two thousand twenty six"."""
    value = int(digits)
    letters = 0
    for size, name in ((10**9, 7), (10**6, 7), (10**3, 8)):
        if value >= size:
            letters += int(_cardinal(str(value // size))) + name
            value %= size
    if value >= 100:
        letters += _UNITS[value // 100] + len("hundred")
        value %= 100
    if value >= 20:
        letters += _TENS[value // 10]
        value = value % 10
        return float(letters + (_UNITS[value] if value else 0))
    return float(letters + (_UNITS[value] if value or not letters else 0))


def _spelled(letters: str) -> float:
    """The length of a run of letters: a word, an ordinal's ending, or an acronym."""
    if letters in _ORDINALS:
        return _ORDINAL_LETTERS
    if _is_acronym(letters):
        return _LETTER_NAME * len(letters)
    # Arabic and Hebrew omit most vowels.
    return sum(1.5 if "\u0590" <= each <= "\u077f" else 1.0 for each in letters)


def _is_acronym(letters: str) -> bool:
    return (
        1 < len(letters) <= 5
        and letters.isupper()
        and (len(letters) <= 3 or not _VOWELS & set(letters))
    )
