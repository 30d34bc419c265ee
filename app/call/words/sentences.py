"""Cuts the agent's text into sentences while it streams in, so that a voice can begin early.

What is cut depends on the text alone, not on the deltas it came in: every character is judged when
it arrives, by what came before it. Only `settle` knows of time.
"""

import re

from app.call.words.sentence_ends import ENDS_AT_ONCE, MARKS, SAYABLE, WIDE, End, end_of, is_end

LONG = 60  # from this width on the first sentence of a text is not waited for
CLAUSE = 30  # the least width that is cut off at the end of a clause

_NEWLINES = frozenset("\n\r\v\f\x85\u2028\u2029")
_CLAUSE_MARKS = frozenset(",;:،؛")  # a space follows them
_WIDE_CLAUSE_MARKS = frozenset("，、：")
_DASHES = frozenset({"–", "—", "-", "--"})
_QUOTES = "\"'”’“»)]*_"
_OPENING, _CLOSING = frozenset("([{（【"), frozenset(")]}）】")
_OF_NUMBERS = frozenset("()+-/")
# Nothing is cut in front of these: what they belong to comes before.
_CLINGS = re.compile(
    "[\u0300-\u036f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u200d\u20e3\u3099\u309a\ufe00-\ufe0f"
    "\U0001f3fb-\U0001f3ff，、：。！？；…」』）】》〉”’!?.,;:)]"
)


class SentenceCutter:
    """One text after another: `feed` its deltas, then `finish`.

    All pieces together are exactly the text; a piece begins with the space that parts it from the
    one before. Each holds something to be said, except what is left over at the end and what alone
    is longer than `longest` characters, which no piece is.
    """

    def __init__(self, longest: int = 300) -> None:
        self._longest = longest
        self._first = True  # nothing of this text was given away yet
        self._hold("")

    def _hold(self, text: str) -> None:
        self._held = text
        self._width = 0  # a wide character counts as two
        self._depth = 0  # of open parentheses
        self._maybe: tuple[int, End] | None = None  # where a sentence ends if the next word says so
        self._clause = 0  # where one ended last, wide enough to be cut off
        self._space = 0  # the last one that may be cut at
        self._any_space = 0

    # --- told ---------------------------------------------------------------------------------

    def feed(self, delta: str) -> list[str]:
        """More of the text. Returns the pieces that are complete by it."""
        pieces: list[str] = []
        for character in delta:
            self._take(character, pieces)
        return pieces

    @property
    def may_end(self) -> bool:
        """What is held back looks like a whole sentence, and only what follows could tell that it
        is none. When nothing follows for a moment: `settle`."""
        text = self._held.rstrip()
        if end_of(text) not in (End.SURE, End.CLOSED) or not SAYABLE.search(text):
            return False
        return self._depth == 0 and not _in_quotes(text)  # else what closes them follows

    def settle(self) -> list[str]:
        """Nothing followed for a moment: takes a sentence that `may_end`."""
        pieces: list[str] = []
        if self.may_end:
            self._cut(len(self._held.rstrip()), "", pieces)
        return pieces

    def finish(self) -> list[str]:
        """The text is over. Returns what is left of it; the next `feed` begins another."""
        pieces: list[str] = []
        if self._maybe is not None:
            at, end = self._maybe
            if is_end(end, self._held[at:], over=True):
                self._cut(at, "", pieces)
        rest = self._held
        if pieces and not SAYABLE.search(rest) and len(pieces[-1]) + len(rest) <= self._longest:
            pieces[-1] += rest
        elif rest:
            pieces.append(rest)
        self._first = True
        self._hold("")
        return pieces

    # --- cutting ------------------------------------------------------------------------------

    def _take(self, character: str, pieces: list[str]) -> None:
        at = self._sentence_end(character)
        if not at and not character.isspace():
            self._note(character)
            if self._first and self._width >= LONG:
                at = self._clause
        if not at and len(self._held) >= self._longest:
            at = self._clause or self._last_space(character)
        if at:
            self._cut(at, character, pieces)
            return
        self._append(character)
        if character in ENDS_AT_ONCE and SAYABLE.search(self._held):
            self._cut(len(self._held), "", pieces)

    def _cut(self, at: int, character: str, pieces: list[str]) -> None:
        """Give away what is held up to there, and look anew at the rest."""
        pieces.append(self._held[:at])
        rest = self._held[at:] + character
        self._first = False
        self._hold("")
        for each in rest:
            self._take(each, pieces)

    def _append(self, character: str) -> None:
        self._held += character
        self._width += 2 if WIDE.match(character) else 1
        if character in _OPENING:
            self._depth += 1
        elif character in _CLOSING:
            self._depth = max(0, self._depth - 1)

    def _sentence_end(self, character: str) -> int:
        """Where in what is held a sentence ends, now that this follows it; 0 if none does."""
        held = self._held
        at = len(held)
        if character in _NEWLINES:
            return at if SAYABLE.search(held) else 0
        if self._maybe is not None:
            where, end = self._maybe
            ended = is_end(end, held[where:] + character)
            if ended is not None:
                self._maybe = None
            if ended:
                return where
        if not held or held[-1].isspace():
            return 0
        if character.isspace():
            end_here = end_of(held)
            if end_here is None or not SAYABLE.search(held):
                return 0
            if end_here is End.SURE:
                return at
            self._maybe = (at, end_here)
        elif held[-1] in MARKS and WIDE.match(character) and SAYABLE.match(character):
            return at if self._ends_before_wide(held) else 0
        return 0

    @staticmethod
    def _ends_before_wide(held: str) -> bool:
        """A mark of another script ends a sentence in front of a wide letter too, if it is not the
        point of an address or of a number."""
        body = held.rstrip("".join(MARKS))
        if held.endswith(".") and not held.endswith("..") and not WIDE.match(body[-1:]):
            return False
        return end_of(held) in (End.SURE, End.TRAILING_OFF) and bool(SAYABLE.search(body))

    # --- where else to cut --------------------------------------------------------------------

    def _note(self, character: str) -> None:
        """Remember the place in front of this character, if it is one to cut at."""
        held = self._held
        if not held:
            return
        at = len(held)
        if held[-1].isspace():
            at = len(held.rstrip())
            if not SAYABLE.search(held, 0, at):
                return
            self._any_space = at
            if self._in_number(held[at - 1], character):
                return
            if not _CLINGS.match(character):
                self._space = at
            ends = self._ends_clause(held[:at], character)
        else:
            ends = self._ends_clause_unspaced(held, character)
        if ends and self._depth == 0 and self._width >= CLAUSE:
            self._clause = at

    @staticmethod
    def _in_number(before: str, after: str) -> bool:
        """Whether a space between these two may part the digits of one number."""
        return (before.isdigit() or before in _OF_NUMBERS) and (
            after.isdigit() or after in _OF_NUMBERS
        )

    @staticmethod
    def _ends_clause(text: str, character: str) -> bool:
        """Whether a clause ends with `text`, with a space and this character behind it."""
        head, word = ["", *text.rsplit(None, 1)][-2:]
        if word in _DASHES:
            return not head[-1:].isdigit()
        body = text.rstrip(_QUOTES)
        mark, before = body[-1:], body[-2:-1]
        return mark in _CLAUSE_MARKS and not (before.isdigit() and character.isdigit())

    @staticmethod
    def _ends_clause_unspaced(text: str, character: str) -> bool:
        """The same with nothing between."""
        before = text[-2:-1]
        if text[-1] == "—":
            return before.isalpha() and character.isalpha()
        if text[-1] not in _WIDE_CLAUSE_MARKS or _CLINGS.match(character):
            return False
        return not (before.isdigit() and character.isdigit())

    def _last_space(self, character: str) -> int:
        """Where to cut what has no end of a clause: at a space, else where it hurts least."""
        held = self._held
        if character.isspace() and not held[-1].isspace():
            return len(held)
        return self._space or self._any_space or self._no_space(held + character)

    def _no_space(self, text: str) -> int:
        """The last place between two wide characters, or a wide one and others; else the end."""
        for at in range(self._longest, self._longest // 2, -1):
            before, after = text[at - 1], text[at]
            wide = WIDE.match(before) or WIDE.match(after)
            if wide and not _CLINGS.match(after) and not (before.isdigit() and after.isdigit()):
                return at
        for at in range(self._longest, max(self._longest - 16, 0), -1):
            if not _CLINGS.match(text[at]) and text[at - 1] != "\u200d":
                return at
        return self._longest


def _in_quotes(text: str) -> bool:
    if text.count('"') % 2 or text.rfind("«") > text.rfind("»"):
        return True
    opened, closed = ("„", "“") if "„" in text else ("“", "”")
    return text.rfind(opened) > text.rfind(closed)


def sentences(text: str) -> list[str]:
    """The sentences of a text that is all there; together they are the text."""
    cutter = SentenceCutter()
    return [*cutter.feed(text), *cutter.finish()]
