"""The files that the console loads, and those that can be saved of a call."""

import json
import wave
from pathlib import Path

import pytest

from tests.records.report.recorded_call import pizza_call
from tests.web.console.browser import IN_BROWSER, browsing
from tests.web.console.test_call_file import saved
from tests.web.console.test_console import console, keep

pytestmark = IN_BROWSER


async def test_the_files_of_a_past_call_are_saved_and_its_page_opens(tmp_path: Path) -> None:
    async with console() as (w, it):
        story = pizza_call()
        await keep(w, story, tmp_path)
        await it.open(f"calls/{story.sid}")
        await it.role("log", "Transcript").locator("del").wait_for()
        sound = await saved(it, "Recording (WAV)", tmp_path)
        with wave.open(str(sound)) as file:
            assert file.getnframes() / 8 == pytest.approx(story.now_ms, abs=1)
        record = json.loads((await saved(it, "Record (JSON)", tmp_path)).read_text())
        timeline = json.loads((await saved(it, "Timeline (JSON)", tmp_path)).read_text())
        assert record["events"] == timeline["events"]
        report = json.loads((await saved(it, "Report (JSON)", tmp_path)).read_text())
        assert report["interruptions"]
        page = await saved(it, "Page (HTML)", tmp_path)
    async with browsing(page.as_uri(), "no token") as it:
        await it.page.goto(it.url)
        await it.role("log", "Transcript").locator("del").wait_for()
        await it.until("document.querySelector('audio').duration > 0")


async def test_a_file_that_cannot_be_saved_is_named_with_the_reason(tmp_path: Path) -> None:
    async with console() as (w, it):
        story = pizza_call()
        await keep(w, story, tmp_path)
        await it.open(f"calls/{story.sid}")
        await it.role("log", "Transcript").locator("del").wait_for()
        await it.page.route("**/page", lambda route: route.fulfill(status=503, body="busy"))
        await it.role("button", "Page (HTML)").click()
        await it.role("status").get_by_text("The file could not be saved.").wait_for()
        it.forgive("503")


async def test_a_view_is_loaded_when_it_is_opened_and_a_failure_is_said() -> None:
    async with console() as (_, it):
        loaded: list[str] = []
        it.page.on("request", lambda request: loaded.append(request.url.rpartition("/")[2]))
        await it.open()
        await it.role("list", "Past calls").wait_for(state="attached")
        assert "start.js" in loaded and not {"call.js", "acts.js", "days.js"} & {*loaded}
        await it.page.route("**/days.js", lambda route: route.abort())
        await it.role("link", "Over time").click()
        await it.role("heading", "This page could not be loaded.").wait_for()
        it.forgive("days.js")
        await it.page.unroute("**/days.js")
        await it.role("button", "Load it again").click()
        await it.role("heading", "Over time", level=1).wait_for()
