"""`make pictures`: takes the documentation's pictures of the console, in a real Chromium.

Runs the demo's call and two more on the demo's service, and looks at its console. Each picture is
taken twice: light and dark. CHROMIUM names the browser; else the system's is taken.
"""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import Browser, Page, async_playwright

from app.cli.demo.call import ACCEPTS, CALLER_VOICE, NO_ANSWER, QUESTION, built_in_caller, read_back
from app.cli.demo.service import DemoService, demo_service
from app.config.agent.example import EXAMPLE_AGENT
from app.records.report.files import keep_call
from app.simulator.speech import speak
from app.simulator.twilio import Call
from app.web.console.call_page import call_page

FOLDER = Path(__file__).parent / "pictures"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
THEMES = ("light", "dark")
WIDTH, SHARPNESS = 1120, 1.5
ORDER = "I would like one large funghi please."
LIVES_MS = 60_000.0
WRITTEN_S = 4.0  # until the digest of a call that ended is written, and shown
RECORDED_S = 5.0  # more, until some of a live call's sound is

Look = Callable[[Page], Awaitable[None]]


async def take() -> None:
    """Take all pictures."""
    FOLDER.mkdir(exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox"]
        )
        with TemporaryDirectory() as folder:
            async with demo_service(EXAMPLE_AGENT, Path(folder)) as demo:
                await _take(browser, demo, Path(folder))
        await browser.close()


def chromium() -> str:
    """The path of a Chromium. Exits if there is none."""
    chosen = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), "")
    if not chosen:
        sys.exit("no Chromium was found; install one, or name it in CHROMIUM")
    return chosen


async def _take(browser: Browser, demo: DemoService, folder: Path) -> None:
    line = demo.line
    line.callee, line.callees[demo.human.address] = ACCEPTS, NO_ANSWER
    call = await line.call(caller=built_in_caller(line, demo.human.address))
    brief = await line.call(from_="+15550100017", caller=_says(QUESTION, hangs_up=True))
    await asyncio.gather(call.wait_ended(), brief.wait_ended())
    live = [
        await line.call(from_=number, caller=_says(words))
        for number, words in (("+15550100023", ORDER), ("+15550100042", QUESTION))
    ]
    for each in live:
        await each.wait_spoken()
        await each.wait_quiet(300)
    await asyncio.sleep(WRITTEN_S)
    await _console(browser, demo, "console", "", 760, _listed)
    await asyncio.sleep(RECORDED_S)
    await _console(browser, demo, "live-call", f"calls/{live[1].call_sid}", 700, _drawn)
    for each in live:
        each.hang_up()
        await each.wait_ended()
    whole = await read_back(demo.services.store, call.call_sid)
    kept = [*keep_call(whole, folder / "kept", call_page)][-1]
    for theme in THEMES:
        async with _page(browser, theme, 1010) as page:
            await page.goto(kept.as_uri())
            await _drawn(page)
            await _save(page, "call", theme)


def _says(words: str, *, hangs_up: bool = False) -> Callable[[Call], Awaitable[None]]:
    async def caller(call: Call) -> None:
        await call.wait_connected()
        await call.wait_quiet(600)
        call.say(speak(words, voice=CALLER_VOICE))
        await call.wait_spoken()
        if hangs_up:
            await call.wait_heard(len(call.heard) + 1)
            await call.wait_quiet(1500)
            call.hang_up()
        else:
            await asyncio.sleep(LIVES_MS / 1000)

    return caller


async def _console(
    browser: Browser, demo: DemoService, name: str, view: str, height: int, look: Look
) -> None:
    for theme in THEMES:
        async with _page(browser, theme, height) as page:
            await page.goto(f"{demo.url}/#token={demo.api_token}")
            await page.get_by_role("heading", level=1).wait_for()
            await page.goto(f"{demo.url}/#/{view}")
            await look(page)
            await _save(page, name, theme)


async def _listed(page: Page) -> None:
    for name in ("Live calls", "Past calls"):
        await page.get_by_role("list", name=name).get_by_role("link").first.wait_for()


async def _drawn(page: Page) -> None:
    await page.get_by_role("log", name="Transcript").get_by_text("Agent").first.wait_for()
    await page.locator("svg .turn").first.wait_for()


@asynccontextmanager
async def _page(browser: Browser, theme: str, height: int) -> AsyncIterator[Page]:
    context = await browser.new_context(
        color_scheme="dark" if theme == "dark" else "light",
        viewport={"width": WIDTH, "height": height},
        device_scale_factor=SHARPNESS,
        locale="en-GB",
        timezone_id="UTC",
        reduced_motion="reduce",
    )
    try:
        yield await context.new_page()
    finally:
        await context.close()


async def _save(page: Page, name: str, theme: str) -> None:
    await page.screenshot(path=FOLDER / f"{name}-{theme}.png")


if __name__ == "__main__":
    asyncio.run(take())
