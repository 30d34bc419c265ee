"""Removes what a voice should not speak from the model's text: Markdown, emoji, code.

Markdown is recognized much as CommonMark does it. In a piece that was cut out of a longer text,
markers that lost their other half are removed, too. Everything else stays as it is written.
"""

import re
from collections.abc import Iterable

_LINE_END = re.compile("\r\n|[\n\r\v\f\x85\u2028\u2029]")
_SAYABLE = re.compile(r"[^\W_]")
_MARKS = frozenset(".,;:!?…)]}”»，。、！？；：」』）】")  # no space in front of these

# Invisible: control characters, zero-width characters, direction marks, fillers, lone surrogates,
# private use.
_UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u034f\u061c\u115f\u1160\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u2800\u3164\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef\ufe00-\ufe0e"
    "\ufeff\uffa0\ufff9-\uffff\U000e0000-\U0010ffff]"
)
_VARIANT = "\ufe0f"  # shows the character before it as an emoji
_KEYCAP = re.compile(f"([0-9#*]){_VARIANT}?\u20e3")
_PICTURES = re.compile(
    f" ?(?:[©®™ℹ]{_VARIANT}|[\u20e3\u2190-\u23ff\u24c2\u2500-\u27bf\u2900-\u297f\u2b00-\u2bff\u3030"
    f"\u303d\u3297\u3299\U0001f000-\U0001fbff]{_VARIANT}*)+"
)
_PICTURED_MARKS = str.maketrans("‼⁉", "!?")

_FENCE = re.compile(r"\s*(?P<fence>`{3,}(?=[^`]*$)|~{3,})(?P<info>.*)")

# What a piece may begin with that belongs to the piece before, and what a line may begin with.
_LEFT_OVER_PATTERN = r"[\s」』】》〉〕）”)\]}，、。；：！？]|[.,;:!?…]+(?=\s|$)"
_LEFT_OVER = re.compile(rf"(?:{_LEFT_OVER_PATTERN})+")
_BEGINNING = re.compile(
    rf"(?:{_LEFT_OVER_PATTERN}|>(?!=)|#{{1,6}}(?=\s|$)|[-+*•‣⁃–—](?=\s|$)|\[[ xX]\](?=\s))+"
)
_HEADING_END = re.compile(r"\s#+$")
_REFERENCE = re.compile(r"\s*\[[^\[\]]+\]:\s*<?(?:https?:|www\.|mailto:|[/#]).*")
_ROW = re.compile(r"^\s*\||\s\|\s|(?<!\\)\|\s*$")
_CELL_END = re.compile(r"(?<!\\)\|")

# Within a line.
_COMMENT = re.compile(r"<!--.*?(?:-->|$)")
_BARE_ADDRESS = re.compile(r"<((?:[A-Za-z][\w+.-]+:|[\w.+-]+@)[^\s<>]+)>")
_VALUE = r"(?:\"[^\"]*\"|'[^']*'|[^\s\"'<>=`]+)"
_TAG = re.compile(rf"</?([A-Za-z][\w:-]*)(?:\s+[\w:-]+\s*=\s*{_VALUE})*\s*/?>")
_TAGS_IN_WORDS = frozenset(
    "a abbr b code del em font i ins kbd mark s span strong sub sup u".split()
)
_ENTITY = re.compile(r"&(amp|lt|gt|quot|apos|nbsp|#39);")
_ENTITIES = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'", "#39": "'", "nbsp": " "}
_FOOTNOTE = re.compile(r"\[\^[^\[\]\s]+\]")
_TARGET = r"\((?:[^()]|\([^()]*\))*\)"
_LINK = re.compile(rf"!?\[([^\[\]]*)\](?:{_TARGET}|\[[^\[\]]*\])")
_HALF_LINK = re.compile(rf"\](?:{_TARGET}|\([^\s()]*\)?)")
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_MARKERS = re.compile(  # addresses first, because they may contain marker characters
    r"(?P<address>(?:https?://|\bwww\.)[^\s<>*`]*[^\s<>*`_~.,;:!?)\]}'\"]"
    r"|(?<![\w.+-])[^\W_][\w.+-]*@(?:[^\W_]+(?:-+[^\W_]+)*\.)+[^\W_]+)"
    r"|`+|~~+|\*+|_+"
)
_CLOSING_STAR = re.compile(r"[^\s*]\*")
_SIGNS = re.compile(r"[\\<>|\[\]*_`~#&]")

DEEPEST = 8  # levels of nested markers
LONGEST_KEYS = 100  # characters: a star before a digit is a marker if one closes it so near


class Cleaner:
    """Cleans the pieces of one text, in order: it remembers whether a code block is open, and
    whether a piece begins a line."""

    def __init__(self) -> None:
        self._begun = False
        self._fence = ""  # the fence that opened a code block which is still open

    def clean(self, raw_piece: str) -> str:
        """The part of the next piece that a voice should speak; empty if there is none. Runs of
        white space become one space."""
        goes_on, self._begun = self._begun, True
        first, *lines = _LINE_END.split(raw_piece)
        parts = []
        if not goes_on:
            lines.insert(0, first)
        elif not self._fence:
            parts.append(_stable(first, begins_line=False))
        parts += [_stable(line, begins_line=True) for line in self._prose(lines)]
        said = " ".join(part for part in parts if part)
        return said if _SAYABLE.search(said) else ""

    def _prose(self, lines: Iterable[str]) -> Iterable[str]:
        """The lines outside code blocks."""
        for line in lines:
            found = _FENCE.fullmatch(line)
            if not self._fence:
                if found:
                    self._fence = found["fence"]
                else:
                    yield line
            elif found and found["fence"].startswith(self._fence) and not found["info"].strip():
                self._fence = ""


def speakable(raw: str) -> str:
    """The part of a complete text that a voice should speak; empty if there is none. Cleaning the
    result again does not change it."""
    said = Cleaner().clean(raw)
    while (again := Cleaner().clean(said)) != said:
        said = again
    return said


def _stable(line: str, *, begins_line: bool) -> str:
    """The line without its Markdown. Removing a marker may reveal another one, so this repeats
    until nothing changes; a line nested deeper than `DEEPEST` loses all its marker characters."""
    for _ in range(DEEPEST):
        said = _once(line, begins_line)
        if said == line:
            return said
        line = said
    return _once(_SIGNS.sub(" ", line), begins_line)


def _once(line: str, begins_line: bool) -> str:
    line = _seen(" ".join(line.split()))
    if not _SAYABLE.search(line) or (begins_line and _REFERENCE.fullmatch(line)):
        return ""
    if beginning := (_BEGINNING if begins_line else _LEFT_OVER).match(line):
        line = line[beginning.end() :]
        if "#" in beginning[0]:
            line = _HEADING_END.sub("", line)
    if _ROW.search(line):
        cells = [_inline(cell).strip() for cell in _CELL_END.split(line)]
        line = ", ".join(cell for cell in cells if _SAYABLE.search(cell))
    else:
        line = _inline(line)
    return " ".join(line.split())


def _seen(line: str) -> str:
    """The line without emoji and without invisible characters."""
    line = _KEYCAP.sub(r"\1", _UNSEEN.sub("", line)).translate(_PICTURED_MARKS)
    return _PICTURES.sub(_gap, line).replace(_VARIANT, "")


def _gap(picture: re.Match[str]) -> str:
    """What replaces emoji: a space, unless punctuation follows."""
    behind = picture.string[picture.end() : picture.end() + 1]
    return "" if behind in _MARKS else " "


def _inline(text: str) -> str:
    """The text without the Markdown and HTML that occur within a line."""
    text = _BARE_ADDRESS.sub(r"\1", _COMMENT.sub("", text))
    text = _TAG.sub(lambda tag: "" if tag[1].lower() in _TAGS_IN_WORDS else " ", text)
    text = _ENTITY.sub(lambda entity: _ENTITIES[entity[1]], text)
    text = _HALF_LINK.sub("", _LINK.sub(r"\1", _FOOTNOTE.sub("", text)))
    closed, bracket, opened = text.rpartition("]")  # a later piece closes those
    text = closed + bracket + opened.replace("![", "").replace("[", "")
    return _MARKERS.sub(_without_marker, _ESCAPE.sub(r"\1", text))


def _without_marker(found: re.Match[str]) -> str:
    """The replacement for an address, which stays, or for a run of marker characters. Those that
    mark nothing stay: 5 * 3, snake_case, the star key."""
    run = found[0]
    if found["address"]:
        return run
    before = found.string[found.start() - 1 : found.start()] or " "
    behind = found.string[found.end() : found.end() + 1] or " "
    if run[0] == "_":
        return run if _SAYABLE.match(before) and _SAYABLE.match(behind) else ""
    if run[0] != "*":
        return ""
    between_digits = before.isdigit() and behind.isdigit()
    if run != "*":
        return " " if between_digits else ""
    alone = before.isspace() and (behind.isspace() or behind in _MARKS)
    near = found.string[found.end() : found.end() + LONGEST_KEYS]
    key = before.isspace() and behind.isdigit() and not _CLOSING_STAR.search(near)  # "dial *67"
    return run if alone or between_digits or key else ""
