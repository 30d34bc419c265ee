"""The texts of the picture, read back from its SVG, which stores text as text."""

import re
import struct
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from app.records.report.call_report import CallReport, report_of
from app.records.report.levels import RecordingUnreadable, read_levels
from app.records.report.picture import PictureUnavailable, draw
from app.records.report.picture_plan import LONGEST_ROW_MS, MOST_ROWS, Planner, rows_of
from app.records.report.picture_text import Pen, Strip, Style, best_block, clean
from tests.records.report.recorded_call import Story, pizza_call

SVG = "{http://www.w3.org/2000/svg}"
PLAIN, OTHER = Style("#000000", 11), Style("#777777", 11, italic=True)


def reported(story: Story, wav: Path | None = None) -> CallReport:
    levels = read_levels(wav) if wav else None
    return report_of(story.call(wav), story.turns(), story.timeline(), levels)


def svg(report: CallReport, folder: Path, wav: Path | None = None) -> ElementTree.Element:
    path = folder / "picture.svg"
    draw(report, wav, path)
    return ElementTree.parse(path).getroot()


def lines(root: ElementTree.Element) -> list[str]:
    return ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]


def words(root: ElementTree.Element) -> str:
    """All text, with words together that a line break parted."""
    return re.sub(r"\s+", " ", " ".join(lines(root)))


def png_size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def long_call(length_ms: float) -> Story:
    story = Story()
    story.connect()
    story.go(300)
    turn = 0
    while story.now_ms < length_ms:
        turn += 1
        story.caller_says(f"Question {turn}: what about number {turn}?", 2300)
        story.go(story.now_ms + 300)
        story.agent_says(f"Answer {turn} takes a while, and says a lot about it. " * 2, 7000)
        story.quiet(400)
    story.hang_up()
    return story


# --- what is on it ----------------------------------------------------------------------------


def test_who_said_what_how_long_it_took_and_what_was_cut(tmp_path: Path) -> None:
    story = pizza_call()
    wav = story.write_wav(tmp_path / "call.wav", noise=100)
    report = reported(story, wav)
    root = svg(report, tmp_path, wav)
    text = words(root)
    assert "Answered in 890 ms (median of 2 answers, 1040 ms at worst)" in text
    assert {"1040 ms", "740 ms", "Caller", "Agent"} <= set(lines(root))
    for turn in report.turns:
        for word in (turn.heard + " " + turn.unheard).split():
            assert word in text, word
    assert "interrupted: 3360 of 9000 ms heard" in text
    assert "menu(size: large) → margherita: 11.0, funghi: 12.5" in text
    assert "the caller hung up" in lines(root)
    assert "0.0185 USD" in text and "+15550100001 → +15550109999" in text
    assert "the line adds 80 ms" in text
    assert "generated, but never heard" in text
    assert "5640 ms not heard" in text


def test_unheard_words_look_different_from_heard_ones(tmp_path: Path) -> None:
    styles = {
        "".join(text.itertext()): text.get("style", "")
        for text in svg(reported(pizza_call()), tmp_path).iter(f"{SVG}text")
    }
    (heard,) = [style for line, style in styles.items() if line.startswith("We have two.")]
    (unheard,) = [style for line, style in styles.items() if line.endswith("wood oven.")]
    assert "italic" in unheard and "italic" not in heard


def test_without_a_recording_the_picture_says_what_its_figures_leave_out(tmp_path: Path) -> None:
    text = words(svg(reported(pizza_call()), tmp_path))
    assert "Answered in 390 ms" in text
    assert "without the silence that it waited for" in text


def test_a_png_is_twice_as_wide_as_it_is_shown(tmp_path: Path) -> None:
    story = pizza_call()
    wav = story.write_wav(tmp_path / "call.wav")
    draw(reported(story, wav), wav, tmp_path / "picture.png")
    width, height = png_size(tmp_path / "picture.png")
    assert width == 1800
    assert 500 < height < 1200
    assert 20_000 < (tmp_path / "picture.png").stat().st_size < 1_000_000


def test_the_recording_is_on_it(tmp_path: Path) -> None:
    """The same report with and without its sound gives different pictures."""
    story = pizza_call()
    wav = story.write_wav(tmp_path / "call.wav")
    report = reported(story, wav)
    draw(report, wav, tmp_path / "sound.png")
    draw(report, None, tmp_path / "bars.png")
    assert (tmp_path / "sound.png").read_bytes() != (tmp_path / "bars.png").read_bytes()


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_same_call_gives_the_same_file(tmp_path: Path, suffix: str) -> None:
    report = reported(pizza_call())
    draw(report, None, tmp_path / f"one.{suffix}")
    draw(report, None, tmp_path / f"two.{suffix}")
    assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


# --- short, long and strange calls ------------------------------------------------------------


def test_a_call_without_a_word(tmp_path: Path) -> None:
    story = Story()
    assert "A call without a word" in words(svg(reported(story), tmp_path))


def test_a_call_without_an_answer(tmp_path: Path) -> None:
    story = Story()
    story.connect()
    story.go(1000)
    story.caller_says("Hello?", 600)
    assert "A call without an answer" in words(svg(reported(story), tmp_path))


def test_a_long_call_is_wrapped_into_rows(tmp_path: Path) -> None:
    report = reported(long_call(180_000))
    root = svg(report, tmp_path)
    count = lines(root).count("Caller")
    assert count == len(rows_of(report.ended_ms)) == 10
    text = words(root)
    for turn in report.turns:
        assert turn.heard.split()[1] in text
    assert "Only the first" not in text


def test_of_half_an_hour_the_beginning_is_drawn(tmp_path: Path) -> None:
    report = reported(long_call(30 * 60_000))
    root = svg(report, tmp_path)
    assert lines(root).count("Caller") == MOST_ROWS
    minutes = MOST_ROWS * LONGEST_ROW_MS // 60_000
    assert f"Only the first {minutes} minutes are drawn." in lines(root)
    assert "Question 1:" in words(root)
    last = next(turn for turn in reversed(report.turns) if turn.role == "user")
    assert " ".join(last.heard.split()[:2]) not in words(root)


@pytest.mark.parametrize("length_ms", [0, 1, 999, 1000, 20_000, 20_001, 100_000, 480_000, 9e6])
def test_rows_follow_one_another_and_are_never_too_long(length_ms: float) -> None:
    rows = rows_of(length_ms)
    assert rows[0].from_ms == 0
    assert len(rows) <= MOST_ROWS
    for row, following in zip(rows, rows[1:], strict=False):
        assert row.to_ms == following.from_ms
    for row in rows:
        assert 0 < row.to_ms - row.from_ms <= row.full_ms <= LONGEST_ROW_MS
    drawn = min(max(length_ms, 1000), MOST_ROWS * LONGEST_ROW_MS)
    assert rows[-1].to_ms == drawn


@pytest.mark.parametrize(
    "said",
    [
        r"It costs $5 to $10_000, or x^2 \alpha {or} 100% <b>&amp;</b>",
        "今日のおすすめは何ですか。ピザを一枚お願いします。" * 4,
        "Привет! مرحبا بك שלום नमस्ते 🍕",
        "control \x00\x07\x1b[31m characters, lone \ud800 surrogates, private \ue000 ones",
        "NoSpacesAtAll" * 60,
        "   ",
        "many words " * 800,
    ],
    ids=["formula", "no spaces", "scripts", "controls", "long word", "blank", "long"],
)
@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_whatever_was_said_is_drawn(tmp_path: Path, said: str, suffix: str) -> None:
    """Formulas are not read into it, and what no font can write does not even warn."""
    story = Story()
    story.connect()
    story.go(500)
    story.agent_says("Hello!", 700)
    story.quiet(200)
    story.caller_says(said, 1500)
    story.go(story.now_ms + 200)
    story.agent_says(said, 2000, tool=("look_up", f'{{"what": "{said[:30]}"'))
    story.quiet(300)
    story.hang_up()
    path = tmp_path / f"picture.{suffix}"
    draw(reported(story), None, path)
    if suffix == "svg":
        text = words(ElementTree.parse(path).getroot())
        first = (clean(said).split() or ["Hello!"])[0]
        assert first[:8] in text
    else:
        assert png_size(path)[0] == 1800


# --- words do not cover each other ------------------------------------------------------------


@dataclass(frozen=True)
class Box:
    x0: float
    x1: float
    y0: float
    y1: float


@pytest.mark.parametrize("length_ms", [20_000, 55_000, 120_000])
def test_no_text_lies_on_another_or_leaves_the_picture(length_ms: float) -> None:
    report = reported(long_call(length_ms))
    planner = Planner(Pen([]), report)
    homes = 0
    for row in planner.rows:
        plan = planner.plan(row)
        for role in ("user", "assistant"):
            placed = [
                Box(place.x0, place.x1, place.near, place.far) for _, place in plan.words[role]
            ]
            homes += len(placed)
            assert_apart(placed)
        assert_apart([Box(n.place.x0, n.place.x1, n.place.near, n.place.far) for n in plan.notes])
    assert homes == len(report.turns)  # each turn is drawn once


def assert_apart(boxes: list[Box]) -> None:
    for number, box in enumerate(boxes):
        assert box.x0 >= 0 and box.x1 <= 900
        for other in boxes[:number]:
            beside = box.x0 >= other.x1 or other.x0 >= box.x1
            assert beside or box.y0 >= other.y1 or other.y0 >= box.y1, (box, other)


def test_crowded_words_move_away_from_the_lane() -> None:
    pen, strip = Pen([]), Strip()
    placed = [
        best_block(pen, strip, [("Some words that need room.", PLAIN)], at, at + 30, (60, 890), 7)
        for at in (100.0, 130.0, 160.0, 870.0)
    ]
    assert_apart([Box(p.x0, p.x1, p.near, p.far) for _, p in placed])
    assert placed[3][1].x1 <= 890


def test_lines_are_no_wider_than_allowed_and_keep_their_words_and_styles() -> None:
    pen = Pen([])
    runs = [("Heard words come first,", PLAIN), ("then the unheard ones.", OTHER)]
    block = pen.wrap(runs, 90, 9)
    assert block.whole and len(block.lines) > 2
    assert block.width <= 90
    said = [segment.text.strip() for line in block.lines for segment in line]
    assert " ".join(said) == "Heard words come first, then the unheard ones."
    kinds = [segment.style for line in block.lines for segment in line]
    assert kinds == sorted(kinds, key=[PLAIN, OTHER].index)


def test_what_does_not_fit_ends_with_an_ellipsis() -> None:
    block = Pen([]).wrap([("one two three four five six seven eight nine ten", PLAIN)], 80, 2)
    assert not block.whole
    assert len(block.lines) == 2
    assert block.lines[-1][-1].text.endswith("…")
    assert block.width <= 80


def test_scripts_that_have_no_slanted_letters_stay_upright() -> None:
    pen = Pen([])
    (latin,), (arabic,) = (pen.wrap([(text, OTHER)], 300, 1).lines for text in ("menu", "قائمة"))
    assert latin[0].style.italic and not arabic[0].style.italic


def test_what_the_first_font_cannot_write_another_one_may() -> None:
    ring = "\N{COMBINING ENCLOSING CIRCLE}"  # in STIX, which comes with matplotlib
    assert len(Pen(["plain"]).families) == 1
    assert len(Pen([ring]).families) == 2


# --- what can be wrong ------------------------------------------------------------------------


def test_without_matplotlib_the_error_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PictureUnavailable, match=r"pip install '.+\[demo\]'"):
        draw(reported(pizza_call()), None, tmp_path / "picture.png")


def test_a_missing_recording_is_an_error(tmp_path: Path) -> None:
    report = replace(reported(pizza_call()), wav=tmp_path / "gone.wav")
    with pytest.raises(RecordingUnreadable):
        draw(report, report.wav, tmp_path / "picture.png")
