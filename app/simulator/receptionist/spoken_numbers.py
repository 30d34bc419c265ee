"""Numbers and phone numbers as callers say them: their words, and the digits of the words."""

from app.simulator.receptionist.word_graph import (
    Chain,
    Either,
    Expression,
    Repeated,
    Word,
    either,
    maybe,
)

FEWEST_DIGITS, MOST_DIGITS = 3, 12

_ONES = "zero one two three four five six seven eight nine".split()
_TEENS = ("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen").split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_VALUES = {said: value for value, said in enumerate([*_ONES, *_TEENS])}
_VALUES |= {said: 10 * tens for tens, said in enumerate(_TENS, 2)}
_DIGITS = {**{said: str(value) for value, said in enumerate(_ONES)}, "oh": "0"}
_TIMES = {"double": 2, "triple": 3}
_RARE = 1e-10  # "one twenty three" beside "a hundred and twenty three"
_DIGIT = 1e-8  # low, or one spoken digit is recognized as two


def number() -> Expression:
    """0 to 999: "twelve", "twenty three", "a hundred and five", "two oh five"."""
    one = _any(_ONES[1:])
    two_digits = either((_any(_TEENS), Chain((_any(_TENS), maybe(one)))))
    to_99 = either((one, two_digits))
    hundreds = Chain(
        (
            either((Word("a"), one)),
            Word("hundred"),
            maybe(Chain((maybe(Word("and")), to_99))),
        )
    )
    by_digits = Chain((_any(_ONES[1:], _RARE), either((Chain((Word("oh"), one)), two_digits))))
    return either((Word("zero"), to_99, hundreds, by_digits))


def number_from(spoken: str) -> str:
    """The digits of words that match `number`."""
    said = spoken.split()
    if len(said) > 1 and said[1] == "hundred":
        hundreds, rest = 1 if said[0] == "a" else _VALUES[said[0]], said[2:]
    elif len(said) > 1 and _VALUES[said[0]] < 10:
        hundreds, rest = _VALUES[said[0]], said[1:]
    else:
        hundreds, rest = 0, said
    return str(100 * hundreds + sum(_VALUES[each] for each in rest if each not in ("and", "oh")))


def digits() -> Expression:
    """Digits one by one: "five", "oh", "double five", "triple seven"."""
    digit = _any(_DIGITS, _DIGIT)
    several = Chain((_any(_TIMES), _any(_ONES)))
    group = either((digit, several))
    return Chain((group, Repeated(group)))


def digits_from(spoken: str) -> str:
    """The digits of words that match `digits`. Raises ValueError for too few or too many."""
    written, times = "", 1
    for said in spoken.split():
        if said in _TIMES:
            times = _TIMES[said]
        else:
            written, times = written + times * _DIGITS[said], 1
    if not FEWEST_DIGITS <= len(written) <= MOST_DIGITS:
        raise ValueError(f"{len(written)} digits")
    return written


def written_digits(value: str) -> str:
    """5551234 -> 555 1234: in threes; a single digit that is left joins the last three."""
    groups = [value[start : start + 3] for start in range(0, len(value), 3)]
    if len(groups) > 1 and len(groups[-1]) == 1:
        groups[-2:] = ["".join(groups[-2:])]
    return " ".join(groups)


def _any(said: "list[str] | dict[str, str] | dict[str, int]", weight: float = 1.0) -> Either:
    return either(Word(each, weight) for each in said)
