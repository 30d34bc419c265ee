"""Words on a picture: measured, wrapped into lines, and laid out so that none covers another.

Lengths are pixels of a picture 900 wide. Text comes from calls and may hold anything: control
characters are replaced, and what no font on this machine has is drawn as an empty box.
"""

import importlib
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from app.errors import BridgeError

INSTALL = "pip install '.[demo]'"
POINTS_PER_PIXEL = 0.72
LINE_HEIGHT = 1.28  # of a font's size
FONT = "DejaVu Sans"  # comes with matplotlib


class PictureUnavailable(BridgeError):
    """matplotlib is not installed. The message says how to install it."""

    def __init__(self) -> None:
        super().__init__(f"a picture of a call needs matplotlib: {INSTALL}")


@dataclass(frozen=True, slots=True)
class Style:
    colour: str
    size: float
    bold: bool = False
    italic: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """Words of one style on one line, `x` pixels from where the line begins."""

    text: str
    style: Style
    x: float


Line = tuple[Segment, ...]
Runs = Sequence[tuple[str, Style]]


@dataclass(frozen=True, slots=True)
class Block:
    """Wrapped text. `width`: of its longest line. `whole`: nothing was left out."""

    lines: tuple[Line, ...]
    width: float
    line_height: float
    whole: bool

    @property
    def height(self) -> float:
        return len(self.lines) * self.line_height


def clean(text: str) -> str:
    """Text as one line that every font engine and XML take."""
    line = " ".join(text.split())
    return "".join("\N{REPLACEMENT CHARACTER}" if _unwritable(char) else char for char in line)


def _unwritable(char: str) -> bool:
    """Control characters, lone surrogates, private ones, and those that do not exist."""
    return unicodedata.category(char) in ("Cc", "Cs", "Co", "Cn")


def shortened(text: str, most: int) -> str:
    """Clean text of at most so many characters."""
    text = clean(text)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


class Pen:
    """Measures text. `texts`: all that it will measure, to choose fonts by.

    Raises:
        PictureUnavailable: matplotlib is not installed.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        try:
            manager = importlib.import_module("matplotlib.font_manager")
            agg = importlib.import_module("matplotlib.backends.backend_agg")
        except ImportError:
            raise PictureUnavailable from None
        self.families = [FONT, *_fallbacks(manager, {char for text in texts for char in text})]
        self._properties = manager.FontProperties
        # What the slanted font can write: fewer scripts than the upright one.
        slanted = manager.FontProperties(family=FONT, style="italic")
        self._slanted = _written_by(manager, manager.findfont(slanted))
        self._renderer = agg.RendererAgg(1, 1, 100 * _FINER)
        self._widths: dict[tuple[str, Style], float] = {}

    def font(self, style: Style) -> Any:
        """The style as matplotlib's FontProperties. Titles and figures are bold, and those need no
        other scripts: few fonts have them in bold."""
        return self._properties(
            family=[*(self.families[:1] if style.bold else self.families), "sans-serif"],
            size=style.size * POINTS_PER_PIXEL,
            weight="bold" if style.bold else "normal",
            style="italic" if style.italic else "normal",
        )

    def width(self, text: str, style: Style) -> float:
        key = text, style
        if key not in self._widths:
            size = self._renderer.get_text_width_height_descent(text, self.font(style), False)
            self._widths[key] = size[0] / _FINER
        return self._widths[key]

    def wrap(self, runs: Runs, width: float, most_lines: int) -> Block:
        """Break text into lines no wider than `width`. Words that are longer, and scripts without
        spaces, break anywhere. What exceeds `most_lines` is left out, with an ellipsis."""
        lines: list[list[_Word]] = [[]]
        used = 0.0
        for word in self._words(runs, width):
            if lines[-1] and used + word.width > width:
                lines.append([])
                used = 0.0
            lines[-1].append(word)
            used += word.width + word.space
        whole = len(lines) <= most_lines
        if not whole:
            del lines[most_lines:]
            lines[-1] = self._shortened(lines[-1], width)
        lengths = [sum(w.width + w.space for w in line) - line[-1].space for line in lines if line]
        size = max((style.size for _, style in runs), default=0.0)
        joined = tuple(_joined(line) for line in lines if line)
        return Block(joined, max(lengths, default=0.0), size * LINE_HEIGHT, whole)

    def stack(self, runs: Runs, width: float) -> Block:
        """Each of these on a line of its own, cut with an ellipsis where it is too wide."""
        blocks = [self.wrap([run], width, 1) for run in runs]
        return Block(
            tuple(line for block in blocks for line in block.lines),
            max(block.width for block in blocks),
            max(block.line_height for block in blocks),
            all(block.whole for block in blocks),
        )

    def _words(self, runs: Runs, width: float) -> Iterator["_Word"]:
        """The words of a text, none wider than a line."""
        for text, style in runs:
            if style.italic and not self._slanted.issuperset(map(ord, clean(text))):
                style = replace(style, italic=False)
            space = self.width("n n", style) - self.width("nn", style)
            for word in clean(text).split():
                *parts, last = self._parts(word, style, width)
                for part in parts:
                    yield _Word(part, style, self.width(part, style), 0.0)
                yield _Word(last, style, self.width(last, style), space)

    def _parts(self, word: str, style: Style, width: float) -> list[str]:
        """A word, in parts if it is wider than a line. These are measured by the character: a
        script without spaces makes words of a thousand."""
        if self.width(word, style) <= width:
            return [word]
        parts, used = [""], 0.0
        for char in word:
            used += self.width(char, style)
            if used > width and parts[-1]:
                parts.append("")
                used = self.width(char, style)
            parts[-1] += char
        return parts

    def _shortened(self, line: Sequence["_Word"], width: float) -> list["_Word"]:
        """A line that ends with an ellipsis, and is no wider for it."""
        kept = list(line)
        while True:
            last = kept.pop()
            text = last.text.rstrip(".,;:") + "…"
            kept.append(_Word(text, last.style, self.width(text, last.style), 0.0))
            if len(kept) == 1 or sum(word.width + word.space for word in kept) <= width:
                return kept
            kept.pop()


@dataclass(frozen=True, slots=True)
class _Word:
    """A word, or a part of one; `space`: how much of it follows."""

    text: str
    style: Style
    width: float
    space: float


def _joined(words: Sequence[_Word]) -> Line:
    """The segments of a line: words of one style are written in one go."""
    segments: list[Segment] = []
    x = 0.0
    for word in words:
        text = word.text + (" " if word.space else "")
        if segments and segments[-1].style == word.style:
            last = segments.pop()
            segments.append(Segment(last.text + text, last.style, last.x))
        else:
            segments.append(Segment(text, word.style, x))
        x += word.width + word.space
    last = segments.pop()
    return (*segments, Segment(last.text.rstrip(), last.style, last.x))


_FINER = 2  # measured at twice the size, as it is drawn, so that hinting is the same


def _fallbacks(manager: Any, chars: set[str]) -> list[str]:
    """Families of this machine's fonts that can write what the first choice cannot."""
    missing = {ord(char) for char in chars} - _written_by(manager, manager.findfont(FONT))
    found: list[str] = []
    for entry in manager.fontManager.ttflist if missing else ():
        if entry.style != "normal" or entry.name in found or entry.name.startswith("Last Resort"):
            continue
        covered = missing & _written_by(manager, entry.fname)
        if covered:
            found.append(entry.name)
            missing -= covered
        if not missing:
            break
    return found


@lru_cache(maxsize=256)
def _written_by(manager: Any, path: str) -> frozenset[int]:
    try:
        return frozenset(manager.get_font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()  # a font file that cannot be read writes nothing


@dataclass(frozen=True, slots=True)
class PlacedText:
    """Where something lies: from `x0` to `x1`, its near edge `near` away from the lane."""

    x0: float
    x1: float
    near: float
    far: float


class Strip:
    """Space beside a lane, filled from the lane outwards. Nothing in it overlaps."""

    def __init__(self, gap: float = 6.0) -> None:
        self._gap = gap
        self._placed: list[PlacedText] = []

    @property
    def depth(self) -> float:
        """How far the outermost thing reaches."""
        return max((each.far for each in self._placed), default=0.0)

    def room(self, x0: float, width: float, height: float) -> PlacedText:
        """The nearest free place for something from `x0` on; it is not taken by asking."""
        near, x1 = 0.0, x0 + width
        beside = [e for e in self._placed if e.x0 < x1 + self._gap and x0 < e.x1 + self._gap]
        for other in sorted(beside, key=lambda each: each.near):
            if other.near < near + height and near < other.far:
                near = other.far
        return PlacedText(x0, x1, near, near + height)

    def take(self, place: PlacedText) -> PlacedText:
        self._placed.append(place)
        return place


def best_block(
    pen: Pen,
    strip: Strip,
    runs: Runs,
    at: float,
    before: float,
    edges: tuple[float, float],
    most_lines: int,
) -> tuple[Block, PlacedText]:
    """Wrap text and lay it into a strip where it reads best: flat, beginning at `at`, and ending
    `before` the next one begins. `edges`: between which it must stay."""
    left, right = edges
    choices: list[tuple[float, Block, PlacedText]] = []
    for wanted in _WIDTHS:
        if wanted > right - left:
            break
        block = pen.wrap(runs, wanted, most_lines)
        x0 = max(left, min(at, right - block.width))
        place = strip.room(x0, block.width, block.height)
        over_next = max(0.0, place.x1 - max(before, x0))
        cost = place.far + 0.5 * over_next + 0.2 * (at - x0) + 0.06 * block.width
        if not block.whole:
            cost += 1000 - wanted
        choices.append((cost, block, place))
        if len(block.lines) <= 1:
            break
    _, block, place = min(choices, key=lambda choice: choice[0])
    return block, strip.take(place)


_WIDTHS = tuple(range(64, 420, 12))
