"""The phrases that a caller may say: as a graph of words, and from words back to phrase and slots.

A phrase is words and `[words that may be left out]`, with slots: `{name}`; `{number}`, 0 to 999 as
people say it; `{digits}`, 3 to 12 digits one by one; and choices, `{size:small|large}`.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.simulator.receptionist.spoken_numbers import (
    digits,
    digits_from,
    number,
    number_from,
    written_digits,
)
from app.simulator.receptionist.word_graph import (
    Arc,
    Chain,
    Expression,
    Named,
    either,
    graph,
    maybe,
    pattern,
    words,
)

FIRST_NAMES = tuple(
    "Adam Barbara Charles Daniel Elizabeth Frances George Grace Henry Jessica Laura Margaret "
    "Nicholas Oliver Patricia Robert Thomas Victoria William".split()
)
"""Names that `{name}` always recognizes: few, and far apart in sound, because each further name is
confused with others."""

_COMMON_NAME = 1e-20  # the weight of one of them beside the agent's own names
_BY_KEYWORD = 1e-40  # the weight of a sentence with a keyword beside the phrases
# How people ask for something; a keyword may follow any of these.
_CARRIERS = (
    "what is", "what are", "what about", "tell me", "tell me about", "can you tell me",
    "could you tell me", "do you have", "have you got", "i want", "i need", "i would like",
    "i am calling about", "i have a question about", "show me", "is there",
)  # fmt: skip
_ARTICLES = ("the", "your", "a", "an", "any", "my")
_GREETINGS = frozenset({"hello", "hi", "sorry"})
_QUESTIONS = frozenset(
    "what what's when when's where where's who who's whom whose which why how how's can could may "
    "do does did is are am will would should have has".split()
)

_PARTS = re.compile(r"\{([^{}]*)\}|\[([^\[\]{}]*)\]|([^\s{}\[\]]+)")
_CHOICE = re.compile(r"([a-z_]+):(.*)")


class PhraseError(ValueError):
    """A phrase that cannot be said. The message names the fault."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What a caller said."""

    #: In written form, with capitals and a full stop or question mark.
    text: str
    #: The phrase or keyword, as it was given.
    phrase: str
    #: Such as {"name": "Ada", "number": "12", "digits": "5551234"}.
    slots: Mapping[str, str]


class Grammar:
    """Everything that one agent's callers may say. The first phrase that matches counts.

    Args:
        phrases: as the module describes them.
        keywords: words that match in any sentence.
        names: for `{name}`, beside the common ones.

    Raises:
        PhraseError: a phrase, keyword or name cannot be said.
    """

    def __init__(
        self, phrases: Sequence[str], *, keywords: Sequence[str] = (), names: Sequence[str] = ()
    ) -> None:
        named = _Alternatives((*names, *FIRST_NAMES), unlikely_after=len(names))
        self._given = frozenset(phrases)
        self._phrases = [_Phrase(phrase, named) for phrase in phrases]
        self._keywords = {spoken_form(keyword): keyword for keyword in reversed(keywords)}
        if "" in self._keywords:
            raise PhraseError(f"the keyword {self._keywords['']!r} has no words")

    @property
    def phrases(self) -> frozenset[str]:
        """The phrases, as they were given."""
        return self._given

    @property
    def keywords(self) -> tuple[str, ...]:
        """The keywords, as they are spoken."""
        return tuple(reversed(self._keywords))

    def graph(self) -> tuple[list[Arc], int]:
        """The phrases, and questions with the keywords, as a graph: its arcs lead from state 0 to
        the last state, whose number is the second value."""
        said = [phrase.expression for phrase in self._phrases]
        if self._keywords:
            asked = maybe(either(words(each) for each in _CARRIERS))
            article = maybe(either(words(each) for each in _ARTICLES))
            keyword = either(words(each, _BY_KEYWORD) for each in self.keywords)
            said.append(Chain((asked, article, keyword, maybe(words("please")))))
        return graph(either(said))

    def understand(self, spoken: Sequence[str]) -> Heard | None:
        """The phrase or keyword that these words, in lower case, match; None: no match."""
        said = "".join(f"{each} " for each in spoken)
        for phrase in self._phrases:
            if heard := phrase.match(said):
                return heard
        for keyword in self.keywords:
            if f" {keyword} " in f" {said}":
                return Heard(_sentence(said.strip()), self._keywords[keyword], {})
        return None


def spoken_form(written: str) -> str:
    """Words as the dictionary has them: in lower case, split at hyphens."""
    return " ".join(written.lower().replace("’", "'").replace("-", " ").split())


class _Alternatives:
    """Written words, one of which is said. Those from index `unlikely_after` on are rare."""

    def __init__(self, written: Iterable[str], *, unlikely_after: int | None = None) -> None:
        self._written: dict[str, str] = {}
        options = []
        for place, each in enumerate(written):
            spoken, each = spoken_form(each), " ".join(each.split())
            if not spoken:
                raise PhraseError("a choice, or a name, has no words")
            if spoken not in self._written:
                rare = unlikely_after is not None and place >= unlikely_after > 0
                options.append(words(spoken, _COMMON_NAME if rare else 1.0))
                self._written[spoken] = each
        self.expression = either(options)

    def value(self, spoken: str) -> str:
        return self._written[spoken]


@dataclass(frozen=True, slots=True)
class _Part:
    """A word, optional words, or a slot."""

    expression: Expression
    #: Spoken words to the slot's value. Raises ValueError if they have none.
    value: Callable[[str], str]
    #: The slot's value to written text.
    written: Callable[[str], str] = str
    #: The name of the slot; empty for words.
    slot: str = ""


class _Phrase:
    """A phrase, parsed into its parts."""

    def __init__(self, phrase: str, names: _Alternatives) -> None:
        self._phrase = phrase
        self._parts: list[_Part] = []
        if set(_PARTS.sub("", phrase)) & set("{}[]"):
            raise PhraseError(f"{phrase!r}: a bracket or brace without its other half")
        for found in _PARTS.finditer(phrase):
            slot, optional, plain = found.groups()
            if slot is not None:
                self._parts.append(self._slot(slot.strip(), names))
            else:
                self._parts.append(_fixed(optional or plain or "", may_lack=plain is None))
        taken = [part.slot for part in self._parts if part.slot]
        if len(taken) > len(set(taken)):
            raise PhraseError(f"{phrase!r}: a slot appears twice")
        if not any(pattern(part.expression) for part in self._parts):
            raise PhraseError(f"{phrase!r} has no words")
        self.expression = Chain(tuple(part.expression for part in self._parts))
        named = Chain(tuple(Named(f"p{n}", part.expression) for n, part in enumerate(self._parts)))
        self._pattern = re.compile(pattern(named))

    def _slot(self, slot: str, names: _Alternatives) -> _Part:
        if slot == "name":
            return _Part(names.expression, names.value, slot=slot)
        if slot == "number":
            return _Part(number(), number_from, slot=slot)
        if slot == "digits":
            return _Part(digits(), digits_from, written_digits, slot)
        choice = _CHOICE.fullmatch(slot)
        if choice is None or choice[1] in ("name", "number", "digits"):
            raise PhraseError(
                f"{self._phrase!r}: unknown slot {{{slot}}}; known: {{name}}, {{number}}, "
                "{digits} and choices such as {size:small|large}"
            )
        alternatives = _Alternatives(choice[2].split("|"))
        return _Part(alternatives.expression, alternatives.value, slot=choice[1])

    def match(self, spoken: str) -> Heard | None:
        """The phrase with its slots, or None. `spoken`: words, each followed by a space."""
        found = self._pattern.fullmatch(spoken)
        if found is None:
            return None
        texts, slots = [], {}
        for n, part in enumerate(self._parts):
            said = found[f"p{n}"].strip()
            try:
                value = part.value(said) if said else ""
            except ValueError:
                return None
            if part.slot:
                slots[part.slot] = value
            if value:
                texts.append(part.written(value))
        return Heard(_sentence(" ".join(texts)), self._phrase, slots)


def _fixed(written: str, *, may_lack: bool) -> _Part:
    written = " ".join(written.split())
    said: Expression = words(spoken_form(written))
    return _Part(maybe(said) if may_lack else said, lambda _: written)


def _sentence(text: str) -> str:
    """A sentence in written form: with capitals and a full stop or question mark."""
    text = re.sub(r"\bi\b", "I", text)
    spoken = text.lower().split()
    first = next((word for word in spoken if word not in _GREETINGS), "")
    mark = "" if text[-1] in ".!?…" else "?" if first in _QUESTIONS else "."
    return text[0].upper() + text[1:] + mark
