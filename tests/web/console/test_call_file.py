"""The page of one call, opened from the disk in a real browser."""

import json
import re
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.records.replays import events_in, replay_call
from app.records.report.whole_call import WholeCall
from app.web.console import call_page
from tests.records.report.recorded_call import AGENT, Story, pizza_call, transferred_call
from tests.web.console.browser import IN_BROWSER, Browsing, browsing
from tests.web.console.test_call_page import HOSTILE, hostile, whole

pytestmark = IN_BROWSER


@asynccontextmanager
async def opened(call: WholeCall, folder: Path, **options: Any) -> AsyncIterator[Browsing]:
    """The page in a browser that has nothing but this file."""
    file = folder / "call.html"
    file.write_text("".join(call_page.call_page(call)), encoding="utf-8")
    async with browsing(file.as_uri(), "no token", **options) as it:
        await it.page.goto(it.url)
        await it.role("heading", level=1).wait_for()
        yield it


def recorded(story: Story, folder: Path) -> WholeCall:
    return whole(story, story.write_wav(folder / "call.wav"))


async def test_it_shows_what_the_console_shows(tmp_path: Path) -> None:
    async with opened(recorded(pizza_call(), tmp_path), tmp_path) as it:
        await it.role("heading", "+15550100001", level=1).wait_for()
        assert await it.page.title() == "+15550100001"
        log = it.role("log", "Transcript")
        assert "wood oven" in await log.locator("del").inner_text()
        timeline = it.role("region", "Timeline")
        assert await timeline.locator("path.wave").count() == 2
        assert await timeline.locator("g.unheard").count() == 1
        assert await timeline.locator("svg").get_by_text("Interruption", exact=True).count() == 1
        assert await timeline.get_by_text("5.64 s not heard").count() >= 1
        assert await it.role("region", "Latency").get_by_role("row").count() == 3
        facts = it.role("region", "Facts")
        assert "$0.0185" in await facts.inner_text()
        for name in ("Say", "Transfer", "Hang up", "Sign out"):
            assert await it.role("button", name).count() == 0


async def test_the_sound_plays_and_the_transcript_follows_it(tmp_path: Path) -> None:
    story = pizza_call()
    async with opened(recorded(story, tmp_path), tmp_path) as it:
        player = it.page.get_by_label("Recording", exact=True)
        await it.until("document.querySelector('audio').duration > 0")
        seconds = await player.evaluate("(player) => player.duration")
        assert seconds == pytest.approx(story.now_ms / 1000, abs=0.02)
        log = it.role("log", "Transcript")
        await log.get_by_role("button", name=re.compile("Play from 0:0[4-9]")).first.click()
        await it.until("document.querySelector('audio').currentTime > 3.5")
        await it.page.wait_for_function("!document.querySelector('audio').paused")
        await log.locator(".playing.user").wait_for()
        await it.role("region", "Timeline").locator(".head").wait_for()
        await player.evaluate("(player) => player.pause()")
        box = await it.role("img").bounding_box()
        await it.page.mouse.click(box["x"] + box["width"] * 0.9, box["y"] + 80)
        await it.until("document.querySelector('audio').currentTime > 14")
        waits = it.role("region", "Latency")
        await waits.get_by_role("button", name="Play from 0:06").click()
        await it.until("document.querySelector('audio').currentTime < 10")


async def saved(it: Browsing, name: str, folder: Path) -> Path:
    async with it.page.expect_download() as download:
        await it.role("button", name).click()
    found = await download.value
    path = folder / str(found.suggested_filename)
    await found.save_as(path)
    return path


async def test_its_parts_can_be_saved(tmp_path: Path) -> None:
    story = pizza_call()
    call = recorded(story, tmp_path)
    async with opened(call, tmp_path, accept_downloads=True) as it:
        sound = await saved(it, "Recording (WAV)", tmp_path)
        record = await saved(it, "Record (JSON)", tmp_path)
        timeline = await saved(it, "Timeline (JSON)", tmp_path)
        report = await saved(it, "Report (JSON)", tmp_path)
    assert sound.name == f"{story.sid}.wav"
    with wave.open(str(sound)) as new, wave.open(str(tmp_path / "call.wav")) as old:
        assert new.getparams() == old.getparams()
        loss = 0.04 * 32768  # of µ-law, of a sample this loud
        for a, b in zip(_samples(new), _samples(old), strict=True):
            assert abs(a - b) < loss
    assert json.loads(record.read_text())["transcript"][0]["role"] == "assistant"
    for file in (record, timeline):
        assert replay_call(events_in(file), AGENT).difference is None
    assert json.loads(report.read_text())["interruptions"]


def _samples(file: wave.Wave_read) -> list[int]:
    return list(memoryview(file.readframes(file.getnframes())).cast("h"))[::97]


async def test_zoom_reaches_milliseconds_and_keeps_what_is_in_the_middle(tmp_path: Path) -> None:
    async with opened(recorded(pizza_call(), tmp_path), tmp_path) as it:
        timeline = it.role("region", "Timeline")
        axis = it.role("group", "Time axis")
        middle = "(axis) => (axis.scrollLeft + axis.clientWidth / 2) / axis.scrollWidth"
        await axis.focus()
        for _ in range(3):
            await it.page.keyboard.press("+")
        assert await axis.evaluate(middle) == pytest.approx(0.5, abs=0.02)
        width = await axis.evaluate("(axis) => axis.scrollWidth / axis.clientWidth")
        assert width == pytest.approx(8, abs=0.1)
        while await it.role("button", "Zoom in").is_enabled():
            await it.role("button", "Zoom in").click()
        await timeline.locator(".tick").get_by_text(re.compile(r"\.\d$")).first.wait_for()
        await axis.evaluate("(axis) => axis.scrollTo(axis.scrollWidth, 0)")
        await timeline.locator("tspan").get_by_text("Goodbye!").wait_for()
        await axis.press("0")
        assert await axis.evaluate("(axis) => axis.scrollWidth <= axis.clientWidth")


async def test_transfers_and_resumes_are_on_the_axis_and_a_long_talk_is_not_drawn_to_its_end(
    tmp_path: Path,
) -> None:
    story = transferred_call()
    story.go(story.now_ms + 2 * 3600 * 1000)
    async with opened(whole(story), tmp_path) as it:
        timeline = it.role("region", "Timeline")
        bars = timeline.locator("g.gap")
        titles = await bars.locator("title").all_text_contents()
        assert titles == [
            "Sales: no answer, Support: busy; back with the agent",
            "Support: took the call",
        ]
        first, last = [await bars.nth(n).locator("rect").bounding_box() for n in (0, 1)]
        assert first["width"] > 0.1 * last["width"]
        log = await it.role("log", "Transcript").inner_text()
        assert "Sales: no answer, Support: busy; back with the agent" in log
        assert await timeline.get_by_text("This call was not recorded").count() == 1
        assert await it.page.locator("audio").count() == 0


@pytest.mark.parametrize("size", [1, 1000], ids=["short", "100 kB"])
async def test_hostile_text_is_text(size: int, tmp_path: Path) -> None:
    async with opened(hostile(HOSTILE * size), tmp_path) as it:
        log = it.role("log", "Transcript")
        await log.get_by_text("onerror").first.wait_for()
        assert await it.page.locator("#page img, #page script, #page style").count() == 0
        await it.page.get_by_text("As a list").click()
        assert await it.page.locator("ol.events").get_by_text("onerror").count() >= 4
        await it.check_access()


async def test_it_is_accessible_in_every_look(tmp_path: Path) -> None:
    for story in (pizza_call(), transferred_call()):
        async with opened(recorded(story, tmp_path), tmp_path) as it:
            await it.page.get_by_text("As a list").click()
            await it.role("button", "Zoom in").click()
            await it.check_looks()
