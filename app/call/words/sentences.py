"""Cuts the agent's text into sentences while it streams in, so that a voice can begin early.

The result depends on the text alone, not on its deltas: each character is judged when it arrives,
by the text before it. Only `take_sentence` depends on time.
"""

import re

from app.call.words.sentence_ends import ENDS_AT_ONCE, MARKS, SAYABLE, WIDE, End, end_of, is_end

LONG = 60  # a first sentence that reaches this width is cut at the end of a clause
CLAUSE = 30  # the least width of a piece that is cut there

_LETTERS = re.compile("[A-Za-z]+")
_NEWLINES = frozenset("\n\r\v\f\x85\u2028\u2029")
_CLAUSE_MARKS = frozenset(",;:،؛")  # followed by a space
_WIDE_CLAUSE_MARKS = frozenset("，、：")
_DASHES = frozenset({"–", "—", "-", "--"})
_QUOTES = "\"'”’“»)]*_"
_OPENING, _CLOSING = frozenset("([{（【"), frozenset(")]}）】")
_OF_NUMBERS = frozenset("()+-/")
# These belong to the character before them: never cut between.
_CLINGS = re.compile(
    "[\u0300-\u036f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u200d\u20e3\u3099\u309a\ufe00-\ufe0f"
    "\U0001f3fb-\U0001f3ff，、：。！？；…」』）】》〉”’!?.,;:)]"
)


class SentenceCutter:
    """Cuts one text after another: `feed` its deltas, then call `finish`.

    All pieces together are exactly the text; a piece begins with the space that separates it from
    the one before. No piece is longer than `longest` characters. Each contains a letter or a digit,
    except the last one, and the pieces of a run without any that is longer than `longest`.
    """

    def __init__(self, longest: int = 300) -> None:
        self._longest = longest
        self._first = True  # no piece of this text was returned yet
        self._hold("")

    def _hold(self, text: str) -> None:
        self._held = text
        self._width = 0  # a wide character counts as two
        self._depth = 0  # of open parentheses
        self._maybe: tuple[int, End] | None = None  # where a sentence ends if the next word allows
        self._clause = 0  # where the last clause ended, if it is wide enough for a piece
        self._space = 0  # the last space at which to cut
        self._any_space = 0  # the last space, even within a number

    # --- the text -----------------------------------------------------------------------------

    def feed(self, delta: str) -> list[str]:
        """More of the text. Returns the pieces that it completes."""
        pieces: list[str] = []
        at, end = 0, len(delta)
        while at < end:
            if letters := self._letters_within_word(delta, at):
                self._held += delta[at : at + letters]
                self._width += letters
                at += letters
            else:
                self._take(delta[at], pieces)
                at += 1
        return pieces

    def _letters_within_word(self, delta: str, at: int) -> int:
        """How many letters follow that continue a word, so that nothing can end at them. They are
        most of the text. 0: judge the next character."""
        held = self._held
        if self._maybe is not None or not _LETTERS.match(held[-1:]):
            return 0
        found = _LETTERS.match(delta, at)
        if found is None:
            return 0
        letters = found.end() - at
        if len(held) + letters > self._longest:
            return 0
        if self._first and self._clause and self._width + letters > LONG:
            return 0
        return letters

    @property
    def may_end(self) -> bool:
        """Whether the text held back looks like a whole sentence. Only the text that follows could
        show that it is not: if none follows for a moment, call `take_sentence`."""
        text = self._held.rstrip()
        if _LETTERS.match(text[-1:]):
            return False
        if end_of(text) not in (End.SURE, End.CLOSED) or not SAYABLE.search(text):
            return False
        return self._depth == 0 and not _in_quotes(text)  # else the closing ones follow

    def take_sentence(self) -> list[str]:
        """Returns the sentence held back if it `may_end`, when no text follows for a moment."""
        pieces: list[str] = []
        if self.may_end:
            self._cut(len(self._held.rstrip()), "", pieces)
        return pieces

    def finish(self) -> list[str]:
        """The text is complete. Returns the rest of it; the next `feed` begins another text."""
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
        """Take the held text up to `at` as a piece, and judge the rest anew."""
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
        """Where a sentence ends in the held text, given the next character; 0 if none does."""
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
        """Whether a mark such as "." or "?" ends a sentence directly before a wide character: not
        if it is the period of an address or a number."""
        body = held.rstrip("".join(MARKS))
        if held.endswith(".") and not held.endswith("..") and not WIDE.match(body[-1:]):
            return False
        return end_of(held) in (End.SURE, End.TRAILING_OFF) and bool(SAYABLE.search(body))

    # --- where else to cut --------------------------------------------------------------------

    def _note(self, character: str) -> None:
        """Remember the place before this character, if a piece can be cut there."""
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
        """Whether a space between these two may be within a number, such as a telephone number."""
        return (before.isdigit() or before in _OF_NUMBERS) and (
            after.isdigit() or after in _OF_NUMBERS
        )

    @staticmethod
    def _ends_clause(text: str, character: str) -> bool:
        """Whether a clause ends with `text`, when a space and this character follow."""
        head, word = ["", *text.rsplit(None, 1)][-2:]
        if word in _DASHES:
            return not head[-1:].isdigit()
        body = text.rstrip(_QUOTES)
        mark, before = body[-1:], body[-2:-1]
        return mark in _CLAUSE_MARKS and not (before.isdigit() and character.isdigit())

    @staticmethod
    def _ends_clause_unspaced(text: str, character: str) -> bool:
        """Whether a clause ends with `text`, when this character follows without a space."""
        before = text[-2:-1]
        if text[-1] == "—":
            return before.isalpha() and character.isalpha()
        if text[-1] not in _WIDE_CLAUSE_MARKS or _CLINGS.match(character):
            return False
        return not (before.isdigit() and character.isdigit())

    def _last_space(self, character: str) -> int:
        """Where to cut a text without the end of a clause: at a space, or between characters."""
        held = self._held
        if character.isspace() and not held[-1].isspace():
            return len(held)
        return self._space or self._any_space or self._no_space(held + character)

    def _no_space(self, text: str) -> int:
        """Where to cut a text without a space: beside a wide character, or near the end."""
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
    """Whether a quotation is open at the end of the text."""
    if text.count('"') % 2 or text.rfind("«") > text.rfind("»"):
        return True
    opened, closed = ("„", "“") if "„" in text else ("“", "”")
    return text.rfind(opened) > text.rfind(closed)


def sentences(text: str) -> list[str]:
    """The sentences of a complete text; together they are exactly the text."""
    cutter = SentenceCutter()
    return [*cutter.feed(text), *cutter.finish()]
