"""Marks of a digest's words: with them, a search passes over nearly all calls that cannot match,
without reading their words.

They are a Bloom filter. Every gram of the words sets one bit: three characters of a word, or two of
which one is no ASCII, because Chinese and Japanese words are short. A part that is searched for has
grams as well, and a call can match only if it has all their bits. It works on every database.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from zlib import crc32

from app.records.schema import MARKS

COLUMNS = len(MARKS)
#: In each column: what a signed integer of 64 bits holds.
BITS = 63
#: Bits of an outcome: searches for one alone are common.
OUTCOME_BITS = 4


def marks_of(words: str) -> list[int]:
    """The marks of a digest's words."""
    bits = 0
    for token in words.split():
        bits |= _bits_of(token)
        _, is_outcome, outcome = token.partition("=")
        if is_outcome:
            bits |= _bits_of_outcome(outcome)
    return _columns(bits)


def masks_of(parts: Iterable[str], outcome: str) -> dict[int, int]:
    """By the number of a column: the bits that a call has to have."""
    bits = _bits_of_outcome(outcome) | _bits_of(f"={outcome}") if outcome else 0
    for part in parts:
        for token in part.split():
            bits |= _bits_of(token)
    return {number: mask for number, mask in enumerate(_columns(bits)) if mask}


@lru_cache(10_000)
def _bits_of(token: str) -> int:
    bits = 0
    for gram in grams_of(token):
        bits |= _bit(gram)
    return bits


def _bits_of_outcome(outcome: str) -> int:
    bits = 0
    for number in range(OUTCOME_BITS):
        bits |= _bit(f"{number}={outcome}")
    return bits


def _bit(gram: str) -> int:
    return 1 << crc32(gram.encode("utf-8", "replace")) % (COLUMNS * BITS)


def _columns(bits: int) -> list[int]:
    return [bits >> BITS * number & (1 << BITS) - 1 for number in range(COLUMNS)]


def grams_of(token: str) -> Iterator[str]:
    """The grams of a text without blanks: those of each part of it are among them."""
    for at in range(len(token) - 2):
        yield token[at : at + 3]
    if not token.isascii():
        for at in range(len(token) - 1):
            if not (pair := token[at : at + 2]).isascii():
                yield pair
