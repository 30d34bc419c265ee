"""The layout of a call's picture: rows of time, the words of each turn, notes between them.

Pure arithmetic in pixels of a picture 900 wide; `app.records.report.picture` draws it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from app.records.report.call_report import CallReport
from app.records.report.call_text import cost_text, ending, lasted, tool_caption, tool_text
from app.records.report.gaps import gap_reason
from app.records.report.picture_text import (
    Block,
    Pen,
    PlacedText,
    Strip,
    Style,
    best_block,
    shortened,
)
from app.records.report.trace import Span

WIDTH = 900
LEFT, RIGHT = 62.0, 12.0  # margins of the lanes
TIER = 15.0  # height of a line of notes
LONGEST_ROW_MS = 20_000
MOST_ROWS = 24  # eight minutes: a longer picture would not be read
LONGEST_GAP_MS = 8000.0  # of a gap without the agent: its middle is not drawn

_TEXT_LINES, _NOTE_WIDTH, _BRACKET = 7, 400.0, 5.0
_AWAY_WIDTH, _AWAY_LINES = 96.0, 6

CALLER_INK, AGENT_INK = "#004B76", "#8F3F00"
INK, FAINT, UNHEARD, TOOL_INK, CUT_INK = "#222222", "#6B6B6B", "#757575", "#5B4B8A", "#A50026"
WORDS = {"user": Style(CALLER_INK, 11.5), "assistant": Style(AGENT_INK, 11.5)}
_GHOST_WORDS = Style(UNHEARD, 11.5, italic=True)

Kind = Literal["wait", "cut", "tool", "end", "away"]
NOTE_STYLE: dict[Kind, Style] = {
    "wait": Style(INK, 11, bold=True),
    "cut": Style(CUT_INK, 10.5, bold=True),
    "tool": Style(TOOL_INK, 10.5),
    "end": Style(INK, 10.5, bold=True),
    "away": Style(INK, 10.5),
}


@dataclass(frozen=True, slots=True)
class Axis:
    """Maps the time of the call to the time that is drawn: without the `cuts`, in order."""

    cuts: tuple[Span, ...] = ()

    def drawn(self, at_ms: float) -> float:
        """The drawn time of a time of the call."""
        before = (min(at_ms, cut.to_ms) - cut.from_ms for cut in self.cuts if cut.from_ms < at_ms)
        return at_ms - sum(before)

    def real(self, drawn_ms: float) -> float:
        """The time of the call at a drawn time."""
        for cut in self.cuts:
            if drawn_ms <= cut.from_ms:
                break
            drawn_ms += cut.to_ms - cut.from_ms
        return drawn_ms


def axis_of(report: CallReport) -> Axis:
    """Cuts the middle out of every long gap."""
    half_ms = LONGEST_GAP_MS / 2
    long = [e for e in report.gaps if e.to_ms - e.from_ms > LONGEST_GAP_MS]
    return Axis(tuple(Span(each.from_ms + half_ms, each.to_ms - half_ms) for each in long))


@dataclass(frozen=True, slots=True)
class Row:
    """A stretch of time, and its scale in pixels. `full_ms`: the drawn length of a whole row."""

    from_ms: float
    to_ms: float
    full_ms: float
    axis: Axis = Axis()

    def x(self, at_ms: float) -> float:
        at_ms = min(max(at_ms, self.from_ms), self.to_ms)
        drawn_ms = self.axis.drawn(at_ms) - self.axis.drawn(self.from_ms)
        return LEFT + drawn_ms / self.full_ms * (WIDTH - LEFT - RIGHT)

    def at_ms(self, x: float) -> float:
        """The time of the call at this x."""
        drawn_ms = (x - LEFT) / (WIDTH - LEFT - RIGHT) * self.full_ms
        return self.axis.real(self.axis.drawn(self.from_ms) + drawn_ms)

    def shared_ms(self, from_ms: float, to_ms: float) -> float:
        """How much of a stretch is drawn in this row; 0 or less: nothing."""
        drawn = self.axis.drawn
        return drawn(min(to_ms, self.to_ms)) - drawn(max(from_ms, self.from_ms))


def rows_of(length_ms: float, axis: Axis = Axis()) -> list[Row]:
    """The rows of a call. All have the same length but the last. The end of a call that takes more
    than `MOST_ROWS` is not drawn."""
    drawn_ms = max(axis.drawn(length_ms), 1000.0)
    count = math.ceil(drawn_ms / LONGEST_ROW_MS)
    full_ms = math.ceil(drawn_ms / count / 1000) * 1000.0
    if count > MOST_ROWS:
        count, full_ms = MOST_ROWS, float(LONGEST_ROW_MS)
    starts = [full_ms * number for number in range(count) if full_ms * number < drawn_ms]
    edges = [axis.real(each) for each in (*starts, min(starts[-1] + full_ms, drawn_ms))]
    return [Row(*edge, full_ms, axis) for edge in pairwise(edges)]


@dataclass(frozen=True, slots=True)
class Note:
    """A note between the lanes: words beside a line, or beside a bar from `bar[0]` to `bar[1]`."""

    kind: Kind
    words: Block
    words_x: float
    bar: tuple[float, float]
    place: PlacedText


@dataclass(frozen=True, slots=True)
class Plan:
    """The contents of a row. `words`: by role. `depths`: the height of the caller's words, the
    notes and the agent's words."""

    row: Row
    words: dict[str, list[tuple[Block, PlacedText]]]
    notes: list[Note]
    depths: tuple[float, float, float]


class Planner:
    """Plans the rows of a call one by one."""

    def __init__(self, pen: Pen, report: CallReport) -> None:
        self.rows = rows_of(report.ended_ms, axis_of(report))
        self._pen = pen
        self._report = report
        self._homes = [self._home(turn.from_ms, turn.to_ms) for turn in report.turns]

    def plan(self, row: Row) -> Plan:
        words = {role: self._words(row, role) for role in WORDS}
        strip = Strip()
        notes = [
            *self._waits(row, strip),
            *self._gaps(row, strip),
            *self._others(row, strip),
        ]
        depths = (
            max((place.far for _, place in words["user"]), default=0.0),
            max(TIER + _BRACKET, strip.depth),
            max((place.far for _, place in words["assistant"]), default=0.0),
        )
        return Plan(row, words, notes, depths)

    def _home(self, from_ms: float, to_ms: float) -> Row | None:
        """The row that shows most of a stretch; None: it is not drawn."""
        row = max(self.rows, key=lambda row: row.shared_ms(from_ms, to_ms))
        return row if row.shared_ms(from_ms, to_ms) >= 0 else None

    def _words(self, row: Row, role: str) -> list[tuple[Block, PlacedText]]:
        """The words of one role in this row, those of the row before first."""
        strip = Strip(gap=9)
        homes = zip(self._report.turns, self._homes, strict=True)
        turns = [turn for turn, home in homes if home is row and turn.role == role]
        placed = []
        for number, turn in enumerate(turns):
            runs = [(turn.heard, WORDS[role])] if turn.heard else []
            runs += [(turn.unheard, _GHOST_WORDS)] if turn.unheard else []
            if not runs:
                continue
            after = row.x(turns[number + 1].from_ms) if number + 1 < len(turns) else WIDTH
            at, edges = row.x(turn.from_ms), (LEFT, WIDTH - RIGHT)
            placed.append(best_block(self._pen, strip, runs, at, after, edges, _TEXT_LINES))
        return placed

    def _waits(self, row: Row, strip: Strip) -> Iterator[Note]:
        """How long each answer took, above a bracket."""
        style = NOTE_STYLE["wait"]
        for answer in self._report.answers:
            if row is not self._home(answer.from_ms, answer.to_ms):
                continue
            words = self._pen.wrap([(f"{answer.latency_ms:.0f} ms", style)], WIDTH, 1)
            bar = row.x(answer.from_ms), row.x(answer.to_ms)
            x = inside(sum(bar) / 2 - words.width / 2, words.width)
            x0, x1 = min(x, bar[0]), max(x + words.width, bar[1])
            place = strip.take(strip.room(x0, x1 - x0, TIER + _BRACKET))
            yield Note("wait", words, x, bar, place)

    def _gaps(self, row: Row, strip: Strip) -> Iterator[Note]:
        """The reason of each gap, in its middle."""
        style = NOTE_STYLE["away"]
        for gap in self._report.gaps:
            if row is not self._home(gap.from_ms, gap.to_ms):
                continue
            bar = row.x(gap.from_ms), row.x(gap.to_ms)
            runs = [(f"{gap_reason(gap)} ({lasted(gap)})", style)]
            words = self._pen.wrap(runs, max(_AWAY_WIDTH, bar[1] - bar[0] - 10), _AWAY_LINES)
            x = inside(sum(bar) / 2 - words.width / 2, words.width)
            place = strip.take(strip.room(x, words.width, words.height))
            yield Note("away", words, x, bar, place)

    def _others(self, row: Row, strip: Strip) -> Iterator[Note]:
        report = self._report
        moments: list[tuple[Kind, str, float]] = [
            (
                "cut",
                f"interrupted: {cut.heard_ms:.0f} of {cut.generated_ms:.0f} ms heard",
                cut.at_ms,
            )
            for cut in report.interruptions
        ]
        if report.call.ended_by:
            at_ms = report.ended_ms if report.hung_up_ms is None else report.hung_up_ms
            with_human = report.gaps and not report.gaps[-1].returned  # its note says how it ended
            text = "the call is over" if with_human else ending(report.call)
            moments.append(("end", text, at_ms))
        moments = [each for each in moments if row is self._home(each[2], each[2])]
        for kind, text, at_ms in moments:
            yield self._note(strip, kind, (text,), (row.x(at_ms), row.x(at_ms)), ())
        lines = [row.x(at_ms) for _, _, at_ms in moments]
        for tool in report.tools:
            if row is self._home(tool.from_ms, tool.to_ms):
                x0 = row.x(tool.from_ms)
                bar = x0, max(row.x(tool.to_ms), x0 + 3)
                yield self._note(strip, "tool", tool_caption(tool), bar, lines)

    def _note(
        self,
        strip: Strip,
        kind: Kind,
        parts: tuple[str, ...],
        bar: tuple[float, float],
        lines: Sequence[float],
    ) -> Note:
        """Words beside a bar or a line: behind it, or before it where they would not fit or would
        cross one of the `lines`. `parts`: begin lines of their own when one is too short."""
        style = NOTE_STYLE[kind]
        behind, before = WIDTH - RIGHT - bar[1] - 5, bar[0] - LEFT - 5
        free_behind = min([x - bar[1] - 10 for x in lines if x > bar[1]] + [behind])
        free_before = min([bar[0] - x - 10 for x in lines if x < bar[0]] + [before])
        choices: list[tuple[float, float, Block]] = []
        for many, texts_of in ((0, (" ".join(parts),)), (1, parts)):
            for back, (free, space) in enumerate(((free_behind, behind), (free_before, before))):
                most = min(_NOTE_WIDTH, max(space, 40.0))
                words = self._pen.stack([(text, style) for text in texts_of], most)
                shown = sum(len(part.text) for line in words.lines for part in line)
                lost = max(0, sum(map(len, texts_of)) - shown) / 10
                cost = lost + 0.3 * (lost > 0) + 2 * (words.width > free) + many + 0.5 * back
                x = bar[0] - 5 - words.width if back else bar[1] + 5
                choices.append((cost, inside(x, words.width), words))
        _, x, words = min(choices, key=lambda choice: choice[0])
        x0, x1 = min(bar[0], x), max(bar[1], x + words.width)
        place = strip.take(strip.room(x0, x1 - x0, TIER * len(words.lines)))
        return Note(kind, words, x, bar, place)


def inside(x: float, width: float) -> float:
    """Moved so far that it stays between the margins."""
    return max(LEFT, min(x, WIDTH - RIGHT - width))


def heading(report: CallReport) -> str:
    """The picture's title."""
    if report.median_ms is None or report.worst_ms is None:
        return "A call without an answer" if report.turns else "A call without a word"
    count = len(report.latencies_ms)
    words = f"Answered in {report.median_ms:.0f} ms"
    if count > 1:
        words += f" (median of {count} answers, {report.worst_ms:.0f} ms at worst)"
    return words


def subheadings(report: CallReport) -> list[str]:
    """Which call it is, how its latency was measured, and what is not drawn."""
    call = report.call
    when = f"{call.started_at or call.created_at:%Y-%m-%d %H:%M} UTC"
    numbers = f"{call.from_number or '?'} → {call.to_number or '?'}"
    facts = [numbers, when, f"{report.ended_ms / 1000:.1f} s", ending(call), cost_text(call)]
    lines = [shortened("  ·  ".join(fact for fact in facts if fact), 140)]
    if report.answers:
        how = (
            "Measured in the sound, from the caller's last to the agent's first"
            if report.by_sound
            else "Counted from turn detection's word, without the silence that it waited for"
        )
        if report.round_trip_ms is not None:
            how += f"; the line adds {report.round_trip_ms:.0f} ms for the caller's ear"
        lines.append(f"{how}.")
    drawn_ms = rows_of(report.ended_ms, axis_of(report))[-1].to_ms
    if report.ended_ms > drawn_ms + 1000:
        lines.append(f"Only the first {drawn_ms / 60_000:.0f} minutes are drawn.")
    return lines


def texts(report: CallReport) -> Sequence[str]:
    """All texts of the picture."""
    spoken = [turn.heard + turn.unheard for turn in report.turns]
    away = map(gap_reason, report.gaps)
    return [*spoken, *map(tool_text, report.tools), *away, heading(report), *subheadings(report)]
