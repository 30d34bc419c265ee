"""Draws a call: who spoke when, what was heard and what was cut, how long the caller waited.

Time runs to the right, wrapped into rows. The caller's sound is above, the agent's below, notes are
between them. Needs matplotlib, which is in the extra `demo`.
"""

import importlib
import math
import warnings
from pathlib import Path
from typing import Any

from app.records.report.call_report import CallReport
from app.records.report.levels import CELL_MS, Levels, Side, read_levels
from app.records.report.picture_plan import (
    AGENT_INK,
    CALLER_INK,
    FAINT,
    INK,
    LEFT,
    NOTE_STYLE,
    RIGHT,
    TIER,
    UNHEARD,
    WIDTH,
    Note,
    Plan,
    Planner,
    Row,
    heading,
    inside,
    subheadings,
    texts,
)
from app.records.report.picture_text import POINTS_PER_PIXEL, Block, Pen, PictureUnavailable, Style

__all__ = ["PictureUnavailable", "draw"]

_DPI = 200  # twice the pixels it is laid out in, for sharp screens
_LANE, _GAP, _AXIS, _BETWEEN_ROWS, _FOOT = 46.0, 4.0, 22.0, 14.0, 28.0

# Okabe and Ito's blue and vermilion, which colour-blind people can tell apart.
_CALLER, _AGENT = "#0072B2", "#D55E00"
_LANE_COLOUR = {_CALLER: "#EDF4F9", _AGENT: "#FCF1E9"}
_GRID, _WAIT = "#E6E6E6", "#F5F0CE"
_UNHEARD_HATCH, _UNHEARD_INK = "//////", "#9A9A9A"
_AWAY, _AWAY_HATCH, _AWAY_INK = "#F2F2F2", "\\\\\\", "#D2D2D2"
_NOTE_COLOUR = {kind: style.colour for kind, style in NOTE_STYLE.items()}

_TITLE, _SUBTITLE, _TICK = Style(INK, 17, bold=True), Style(FAINT, 11), Style(FAINT, 10)
_NAME = {_CALLER: Style(CALLER_INK, 12, bold=True), _AGENT: Style(AGENT_INK, 12, bold=True)}
_GHOST = Style(INK, 10)


def draw(report: CallReport, wav: Path | None, to: Path) -> None:
    """Draw a call into the file `to`: SVG if its name ends so, else PNG. `wav`: the recording;
    None: bars are drawn in place of the sound.

    Raises:
        PictureUnavailable: matplotlib is not installed.
        RecordingUnreadable: `wav` is missing, or not in the format of `app.records.recording`.
        OSError: the file cannot be written.
    """
    try:
        matplotlib = importlib.import_module("matplotlib")
        figures = importlib.import_module("matplotlib.figure")
    except ImportError:
        raise PictureUnavailable from None
    levels = read_levels(wav) if wav is not None else None
    is_svg = to.suffix.lower() == ".svg"
    # Text in an SVG stays text, and the same call gives the same file.
    settings = {"svg.fonttype": "none", "svg.hashsalt": "call", "hatch.linewidth": 0.7}
    with warnings.catch_warnings(), matplotlib.rc_context(settings):
        # What no font here can write is drawn as an empty box, and that is all there is to say.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        picture = _Picture(figures.Figure(facecolor="white"), report, levels)
        picture.draw()
        picture.figure.savefig(
            to,
            format="svg" if is_svg else "png",
            dpi=_DPI,
            metadata={"Date": None} if is_svg else {"Software": None},
        )


class _Picture:
    """Draws the planned rows, one below the other. y runs downwards."""

    def __init__(self, figure: Any, report: CallReport, levels: Levels | None) -> None:
        self.figure = figure
        self._report = report
        self._levels = levels
        self._full = (
            {_CALLER: _full_scale(levels.caller), _AGENT: _full_scale(levels.agent)}
            if levels is not None
            else {}
        )
        self._pen = Pen(texts(report))
        self._planner = Planner(self._pen, report)

    def draw(self) -> None:
        plans = [self._planner.plan(row) for row in self._planner.rows]
        lines = subheadings(self._report)
        top = 46 + 15.0 * len(lines)
        height = top + sum(map(_height, plans)) + _BETWEEN_ROWS * (len(plans) - 1) + _FOOT
        self.figure.set_size_inches(WIDTH / 100, height / 100)
        self._axes = self.figure.add_axes((0, 0, 1, 1))
        self._axes.set(xlim=(0, WIDTH), ylim=(height, 0))
        self._axes.set_axis_off()
        self._text(14, 26, heading(self._report), _TITLE)
        for number, line in enumerate(lines):
            self._text(14, 45 + 15 * number, line, _SUBTITLE)
        y = top
        for plan in plans:
            self._draw_row(plan, y)
            y += _height(plan) + _BETWEEN_ROWS
        self._draw_legend(height - 12)

    # --- a row --------------------------------------------------------------------------------

    def _draw_row(self, plan: Plan, top: float) -> None:
        row = plan.row
        above, between, below = plan.depths
        caller_y = top + above + _GAP
        notes_y = caller_y + _LANE + _GAP
        agent_y = notes_y + between + _GAP
        words_y = agent_y + _LANE + _GAP + 5
        self._draw_axis(row, caller_y, words_y + below)
        lanes = ("Caller", _CALLER, caller_y, "user"), ("Agent", _AGENT, agent_y, "assistant")
        for name, colour, y, role in lanes:
            self._box(LEFT, row.x(row.to_ms), y, _LANE, _LANE_COLOUR[colour], zorder=1)
            self._text(14, y + _LANE / 2 + 4, name, _NAME[colour])
            self._draw_turns(row, colour, y, role)
            if self._levels is not None:
                side = self._levels.caller if role == "user" else self._levels.agent
                self._draw_sound(row, side, colour, y + _LANE / 2)
        self._draw_absences(row, caller_y, agent_y + _LANE)
        self._draw_ghosts(row, agent_y)
        self._draw_marks(row, agent_y + _LANE)
        for note in plan.notes:
            self._draw_note(note, caller_y, notes_y, agent_y)
        for block, place in plan.words["user"]:
            self._draw_block(block, place.x0, caller_y - _GAP - place.near - block.height)
        for block, place in plan.words["assistant"]:
            self._draw_block(block, place.x0, words_y + place.near)

    def _draw_axis(self, row: Row, top: float, bottom: float) -> None:
        pixels = 1000 / row.full_ms * (WIDTH - LEFT - RIGHT)
        step_s = next((step for step in (1, 2, 5, 10) if step * pixels > 60), 20)
        free_from = 0.0
        for second in range(math.ceil(row.from_ms / 1000), int(row.to_ms // 1000) + 1):
            if any(cut.from_ms <= second * 1000 <= cut.to_ms for cut in row.axis.cuts):
                continue
            x = row.x(second * 1000)
            self._line((x, x), (top, bottom), _GRID, 0.7, zorder=0.5)
            if second % step_s == 0:
                minutes, seconds = divmod(second, 60)
                words = f"{minutes}:{seconds:02}" if minutes else f"{seconds} s"
                width = self._pen.width(words, _TICK)
                if x - width / 2 > free_from:
                    self._text(inside(x - width / 2, width), bottom + 14, words, _TICK)
                    free_from = x + width / 2 + 6

    def _draw_turns(self, row: Row, colour: str, y: float, role: str) -> None:
        """Where each turn sounded: a bar, or a shade behind the sound itself."""
        for turn in self._report.turns:
            for span in turn.spans if turn.role == role else ():
                if row.shared_ms(span.from_ms, span.to_ms) > 0:
                    x0, x1 = row.x(span.from_ms), row.x(span.to_ms)
                    if self._levels is None:
                        self._box(x0, x1, y + 10, _LANE - 20, colour, zorder=2)
                    else:
                        self._box(x0, x1, y, _LANE, colour, zorder=1.5, alpha=0.14)

    def _draw_sound(self, row: Row, side: Side, colour: str, middle: float) -> None:
        full = self._full[colour]
        xs, heights = _envelope(side, row, full)
        upper, lower = [middle - h for h in heights], [middle + h for h in heights]
        self._axes.fill_between(xs, upper, lower, color=colour, linewidth=0, zorder=2)

    def _draw_absences(self, row: Row, top: float, bottom: float) -> None:
        """The gaps without the agent, broken where the middle is not drawn."""
        for gap in self._report.gaps:
            if row.shared_ms(gap.from_ms, gap.to_ms) > 0:
                x0, x1 = row.x(gap.from_ms), row.x(gap.to_ms)
                size = bottom - top
                self._box(x0, x1, top, size, _AWAY, zorder=1.6, hatch=_AWAY_HATCH, ink=_AWAY_INK)
        for cut in row.axis.cuts:
            if row.from_ms <= cut.from_ms < row.to_ms:
                x = row.x(cut.from_ms)
                self._box(x - 3, x + 3, top - 1, bottom - top + 2, "white", zorder=1.7)
                for edge in (x - 3, x + 3):
                    self._line((edge, edge), (top - 4, bottom + 4), FAINT, 0.9, zorder=2.6)

    def _draw_ghosts(self, row: Row, y: float) -> None:
        """What was generated but not heard, until something else of the agent's sounds."""
        agents = [turn for turn in self._report.turns if turn.role == "assistant" and turn.spans]
        for number, turn in enumerate(agents):
            unheard_ms = (turn.generated_ms or 0) - (turn.heard_ms or 0)
            if not turn.cut or unheard_ms < 1:
                continue
            from_ms = turn.spans[-1].to_ms
            to_ms = from_ms + unheard_ms
            if number + 1 < len(agents):
                to_ms = min(to_ms, agents[number + 1].from_ms - 60)
            if row.shared_ms(from_ms, to_ms) > 0:
                x0, x1 = row.x(from_ms), row.x(to_ms)
                self._box(x0, x1, y + 10, _LANE - 20, "white", hatch=_UNHEARD_HATCH, zorder=1.8)
                unheard = f"{unheard_ms:.0f} ms not heard"
                longer = f"buffer cleared: {unheard}" if turn.interrupted else unheard
                if row.from_ms <= from_ms:
                    self._write_within(x0, x1, y + _LANE / 2 + 4, longer, unheard)

    def _write_within(self, x0: float, x1: float, y: float, *choices: str) -> None:
        """Write the first of these that fits, or nothing."""
        for words in choices:
            width = self._pen.width(words, _GHOST)
            if width + 12 < x1 - x0:
                self._text((x0 + x1 - width) / 2, y, words, _GHOST, halo=True)
                return

    def _draw_marks(self, row: Row, y: float) -> None:
        for mark in self._report.marks:
            if mark.echoed_ms is None or row.shared_ms(mark.echoed_ms, mark.echoed_ms) < 0:
                continue
            x = row.x(mark.echoed_ms)
            if mark.flushed:
                self._line((x, x), (y + 1, y + 5), UNHEARD, 1.0, zorder=2.5)
            else:
                self._line((x, x), (y - 2, y + 6), INK, 1.0, zorder=2.5)

    def _draw_note(self, note: Note, caller_y: float, notes_y: float, agent_y: float) -> None:
        y, colour = notes_y + note.place.near, _NOTE_COLOUR[note.kind]
        x0, x1 = note.bar
        if note.kind == "wait":
            between = agent_y - caller_y - _LANE
            self._box(x0, x1, caller_y + _LANE, between, _WAIT, zorder=0.8)
            under = y + TIER
            self._line((x0, x0, x1, x1), (under + 4, under, under, under + 4), INK, 1.1, zorder=3)
        elif note.kind == "tool":
            self._box(x0, x1, y + 3, 9, colour, zorder=3)
        elif note.kind in ("cut", "end"):
            self._line((x0, x0), (caller_y, agent_y + _LANE), colour, 1.8, zorder=3.5)
        self._draw_block(note.words, note.words_x, y, halo=note.kind != "wait")

    def _draw_legend(self, y: float) -> None:
        x, report = LEFT, self._report
        if any(turn.cut and turn.unheard for turn in report.turns):
            self._box(x, x + 22, y - 9, 10, "white", hatch=_UNHEARD_HATCH, zorder=2)
            x = self._text(x + 27, y, "generated, but never heard", _TICK) + 18
        if any(mark.echoed_ms is not None and not mark.flushed for mark in report.marks):
            self._line((x, x), (y - 9, y + 1), INK, 1.0, zorder=2)
            x = self._text(x + 6, y, "a mark came back: heard up to here", _TICK) + 18
        if any(mark.echoed_ms is not None and mark.flushed for mark in report.marks):
            self._line((x, x), (y - 6, y - 2), UNHEARD, 1.0, zorder=2)
            x = self._text(x + 6, y, "marks that the clear flushed", _TICK) + 18
        if report.gaps:
            self._box(x, x + 22, y - 9, 10, _AWAY, zorder=2, hatch=_AWAY_HATCH, ink=_AWAY_INK)
            x = self._text(x + 27, y, "without the agent", _TICK) + 18

    # --- strokes ------------------------------------------------------------------------------

    def _draw_block(self, block: Block, x: float, y: float, *, halo: bool = False) -> None:
        for number, line in enumerate(block.lines):
            for segment in line:
                baseline = y + block.line_height * (number + 0.8)
                self._text(x + segment.x, baseline, segment.text, segment.style, halo=halo)

    def _text(self, x: float, y: float, text: str, style: Style, *, halo: bool = False) -> float:
        """Write from `x` on, on the baseline `y`; returns where it ends."""
        back = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
        self._axes.text(
            x,
            y,
            text,
            color=style.colour,
            fontproperties=self._pen.font(style),
            parse_math=False,
            zorder=4,
            bbox=back if halo else None,
        )
        return x + self._pen.width(text, style)

    def _box(
        self,
        x0: float,
        x1: float,
        y: float,
        height: float,
        colour: str,
        *,
        zorder: float,
        alpha: float = 1.0,
        hatch: str = "",
        ink: str = _UNHEARD_INK,
    ) -> None:
        """`hatch`: matplotlib's sign for a pattern, in this `ink`."""
        patches = importlib.import_module("matplotlib.patches")
        look: dict[str, object] = {"linewidth": 0}
        if hatch:
            look = {"linewidth": 0.6, "hatch": hatch, "edgecolor": ink}
        patch = patches.Rectangle(
            (x0, y), x1 - x0, height, facecolor=colour, alpha=alpha, zorder=zorder, **look
        )
        self._axes.add_patch(patch)

    def _line(
        self,
        xs: tuple[float, ...],
        ys: tuple[float, ...],
        colour: str,
        pixels: float,
        *,
        zorder: float,
    ) -> None:
        width = pixels * POINTS_PER_PIXEL
        self._axes.plot(xs, ys, color=colour, linewidth=width, zorder=zorder)


def _height(plan: Plan) -> float:
    return sum(plan.depths) + 2 * _LANE + 4 * _GAP + _AXIS


def _full_scale(side: Side) -> int:
    """What fills the lane: the loudest of a side but for its clicks."""
    peaks = sorted(side.peak)
    return max(1500, peaks[len(peaks) * 995 // 1000]) if peaks else 1500


def _envelope(side: Side, row: Row, full: int) -> tuple[list[float], list[float]]:
    """Half the height of the sound for each pixel of a row. Quiet parts are lifted a little, for
    the ear hears them, too."""
    xs: list[float] = []
    heights: list[float] = []
    first, last = math.floor(row.x(row.from_ms)), math.ceil(row.x(row.to_ms))
    ms_per_pixel = row.full_ms / (WIDTH - LEFT - RIGHT)
    for pixel in range(last - first):
        at_ms = row.at_ms(LEFT + pixel)
        begin = int(at_ms // CELL_MS)
        end = max(begin + 1, int((at_ms + ms_per_pixel) // CELL_MS))
        loudest = max(side.peak[begin:end], default=0)
        xs.append(first + pixel)
        heights.append(min(1.0, loudest / full) ** 0.8 * (_LANE / 2 - 2))
    return xs, heights
