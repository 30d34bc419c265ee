"""The console in a real browser, driven by roles and names."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from app.records.digests.digest import digest_of
from app.simulator.realtime import Reply, Script
from tests.records.report.recorded_call import Story, pizza_call, transferred_call
from tests.service.world import API_TOKEN, World, decisions, noise, world
from tests.web.console.browser import IN_BROWSER, Browsing, browsing

pytestmark = IN_BROWSER

AGENT = """
name = "Ada"
instructions = "Be brief."
greeting = "Hello."
[turns]
silence_ms = 100
[limits]
idle_seconds = 0
[[transfer.destinations]]
name = "Front desk"
number = "+15550190001"
[[transfer.destinations]]
name = "Kitchen"
number = "+15550190002"
"""
FAST = float("inf")


@asynccontextmanager
async def console(*replies: Reply, **options: Any) -> AsyncIterator[tuple[World, Browsing]]:
    script = Script(*(replies or (Reply("Hello.", audio=noise(300), speed=FAST),)))
    async with world(script, agent=AGENT) as w:
        async with browsing(w.url, API_TOKEN, **options) as page:
            yield w, page


async def keep(w: World, story: Story, folder: Path | None = None) -> None:
    """A past call with its digest; with its recording in this folder."""
    await story.save(w.store, folder and story.write_wav(folder / f"{story.sid}.wav"))
    call = await w.store.get_call(story.sid)
    assert call is not None
    made = digest_of(call, story.turns(), await w.store.timeline(story.sid))
    await w.store.digests.save(story.sid, call.created_at, made)


async def serve_recording(page: Browsing, wav: Path) -> None:
    """Answers for the recording's route."""

    async def answer(route: Any) -> None:
        await route.fulfill(path=wav, content_type="audio/wav")

    await page.page.route("**/recording", answer)


async def test_only_the_right_token_signs_in_and_no_address_shows_it() -> None:
    async with console() as (w, it):
        await it.page.goto(w.url)
        await it.role("textbox", "API token").fill("wrong")
        await it.role("button", "Sign in").click()
        await it.role("alert").wait_for()
        it.forgive("401")
        await it.role("textbox", "API token").fill(API_TOKEN)
        await it.page.keyboard.press("Enter")
        await it.role("heading", "Ada", level=1).wait_for()
        assert await it.page.evaluate("document.cookie") == ""
        await it.page.reload()
        await it.role("heading", "Ada", level=1).wait_for()
        await it.role("button", "Sign out").click()
        await it.role("textbox", "API token").wait_for()
        assert await it.page.evaluate("sessionStorage.length") == 0


async def test_a_link_with_the_token_signs_in_and_leaves_the_address_bar() -> None:
    async with console() as (w, it):
        await it.page.goto(f"{w.url}/#token={API_TOKEN}")
        await it.role("heading", "Ada", level=1).wait_for()
        assert it.page.url == f"{w.url}/"
        await it.page.go_back()
        assert API_TOKEN not in it.page.url


async def test_a_live_call_appears_is_spoken_into_and_ended() -> None:
    hello = Reply("Hello, this is Ada.", audio=noise(400), speed=FAST)
    said = Reply("We close at five.", audio=noise(300, "said"), speed=FAST)
    async with console(hello, said) as (w, it):
        await it.open()
        call = await w.connected(from_="+15551230007")
        item = it.role("list", "Live calls").get_by_role("link", name="+15551230007")
        await item.click()
        log = it.role("log", "Transcript")
        await log.get_by_text("Hello, this is Ada.").wait_for()
        await it.role("region", "Timeline").wait_for()
        await it.role("region", "Latency").wait_for()
        await it.role("button", "Say", exact=True).click()  # nothing was written
        await it.role("status").get_by_text("Write what").wait_for()
        await it.role("textbox", "Words for the caller").fill("We close at five.")
        await it.role("button", "Say", exact=True).click()
        await log.get_by_text("We close at five.").wait_for()
        assert await it.role("button", "Transfer").is_enabled()
        await it.role("button", "Hang up").click()
        await call.wait_ended()
        await it.role("button", "Hang up").wait_for(state="detached")
        await it.role("link", "Calls", exact=True).click()
        await it.role("list", "Past calls").get_by_role("link", name="+15551230007").wait_for()
        record = await w.record(call.call_sid)
        assert {"SayRequested", "HangUpRequested"} <= {each["name"] for each in record["events"]}


ANALYSE = """
const connect = AudioNode.prototype.connect;
AudioWorkletNode.prototype.connect = function (to) {
  window.analyser = new AnalyserNode(this.context);
  connect.call(this, window.analyser);
  return connect.call(this, to);
};
window.sounds = (wanted) => new Promise((done) => {
  const samples = new Float32Array(2048);
  const look = () => {
    window.analyser.getFloatTimeDomainData(samples);
    if (samples.some((sample) => Math.abs(sample) > 0.05) === wanted) done();
    else setTimeout(look, 20);
  };
  look();
});
"""


async def test_a_live_call_is_listened_to_and_its_record_says_so() -> None:
    hello = Reply("Hello.", audio=noise(20_000), speed=FAST)
    async with console(hello) as (w, it):
        await it.page.add_init_script(ANALYSE)
        call = await w.connected(from_="+15551230007")
        await it.open(f"calls/{call.call_sid}")
        button = it.role("button", "Listen in")
        await button.click()
        await it.role("status").get_by_text("You hear the call").wait_for()
        await it.page.evaluate("sounds(true)")
        assert await button.get_attribute("aria-pressed") == "true"
        await button.click()
        await button.and_(it.page.locator("[aria-pressed=false]")).wait_for()
        while w.state.listening.listeners:
            await w.status_of("/healthz")
        await button.click()
        await it.role("status").get_by_text("You hear the call").wait_for()
        call.hang_up()
        await call.wait_ended()
        await button.wait_for(state="detached")
        said = [each[0] for each in decisions(await w.record(call.call_sid))]
        assert said[:3] == ["listening in", "listening in ended", "listening in"]


async def test_what_cannot_be_done_is_said_with_the_reason() -> None:
    async with console() as (w, it):
        call = await w.connected()
        await it.open(f"calls/{call.call_sid}")
        await it.role("button", "Hang up").wait_for()
        words = "x" * 3000
        box = it.role("textbox", "Words for the caller")
        await box.evaluate("(box) => box.removeAttribute('maxlength')")
        await box.fill(words)
        await it.role("button", "Say", exact=True).click()
        await it.role("status").get_by_text("text").wait_for()
        it.forgive("422")


async def test_past_calls_are_searched_and_read_page_by_page() -> None:
    async with console() as (w, it):
        stories = [pizza_call(), *(transferred_call() for _ in range(30))]
        for number, story in enumerate(stories):
            story.sid = f"CA{number:032d}"
        for story in stories:
            await keep(w, story)
        await it.open()
        past = it.role("list", "Past calls")
        await past.get_by_role("listitem").nth(24).wait_for()
        assert await past.get_by_role("listitem").count() == 25
        await it.role("button", "Older calls").click()
        await past.get_by_role("listitem").nth(30).wait_for()
        box = it.role("searchbox", "Search calls")
        await box.fill("margherita")
        await past.get_by_role("listitem").nth(1).wait_for(state="detached")
        assert await past.get_by_role("listitem").count() == 1
        await box.fill("nothing like it")
        await it.role("status").get_by_text("No call matches.").wait_for()
        await box.fill("")
        await it.role("combobox", "Outcome").select_option("Transfer not accepted")
        await it.role("status").get_by_text("No call matches.").wait_for()


async def test_a_past_call_shows_what_was_not_heard_and_plays(tmp_path: Path) -> None:
    async with console() as (w, it):
        story = pizza_call()
        await keep(w, story, tmp_path)
        await serve_recording(it, tmp_path / f"{story.sid}.wav")
        await it.open(f"calls/{story.sid}")
        log = it.role("log", "Transcript")
        unheard = log.locator("del")
        await unheard.wait_for()
        assert "wood oven" in await unheard.inner_text()
        timeline = it.role("region", "Timeline")
        await timeline.locator("path.wave").first.wait_for()
        assert await timeline.locator("g.unheard").count() == 1
        assert await it.role("region", "Latency").get_by_role("row").count() >= 3
        for name in ("Say", "Transfer", "Hang up"):
            assert await it.role("button", name).count() == 0
        player = it.page.get_by_label("Recording", exact=True)
        await player.evaluate(
            "(player) => player.duration || new Promise(done => "
            "player.addEventListener('loadedmetadata', done, {once: true}))"
        )
        assert (await player.get_attribute("src")).startswith("blob:")
        await log.get_by_role("button", name=re.compile("Play from 0:0[4-9]")).first.click()
        await it.until("document.querySelector('audio').currentTime > 3")
        await log.locator(".playing").first.wait_for()
        await timeline.get_by_role("button", name="Zoom in").click()
        await timeline.get_by_role("button", name="Whole call").click()


HOSTILE = (
    '</script><script>throw 1</script><img src=x onerror="throw 2"><!-- {{7*7}} ${7*7} '
    "\u2028\u2029\u202e\u001b[31m\u0007 " + "A" * 100_000
)


async def test_hostile_text_is_text_everywhere() -> None:
    async with console() as (w, it):
        story = pizza_call()
        await keep(w, story)
        turn = story.turns()[0]
        w.store.save_turns(story.sid, [type(turn)(0, "assistant", HOSTILE, "item_h")])
        w.store.save_call(
            story.sid, from_number=HOSTILE[:200], agent_name=HOSTILE, summary=HOSTILE,
            transfers=[{"destination": HOSTILE, "outcome": HOSTILE}],
        )  # fmt: skip
        await w.store.flush()
        await it.open()
        await it.role("list", "Past calls").get_by_role("link", name="onerror").click()
        await it.role("log", "Transcript").get_by_text("onerror").first.wait_for()
        await it.role("region", "Timeline").wait_for()
        assert await it.page.locator("img, #page script").count() == 0
        widths = "[document.documentElement.scrollWidth, innerWidth]"
        scroll_width, inner_width = await it.page.evaluate(widths)
        assert scroll_width <= inner_width


async def test_every_view_is_accessible_in_every_look(tmp_path: Path) -> None:
    async with console() as (w, it):
        story = pizza_call()
        await keep(w, story, tmp_path)
        await serve_recording(it, tmp_path / f"{story.sid}.wav")
        await it.page.goto(w.url)
        await it.role("button", "Sign in").wait_for()
        await it.check_looks()
        call = await w.connected(from_="+15551230007")
        await it.open()
        await it.role("list", "Live calls").get_by_role("link", name="+15551230007").wait_for()
        await it.role("list", "Past calls").get_by_role("link").first.wait_for()
        await it.check_looks()
        await it.open(f"calls/{call.call_sid}")
        await it.role("button", "Hang up").wait_for()
        await it.role("img").wait_for()
        await it.check_looks()
        await it.open(f"calls/{story.sid}")
        await it.role("log", "Transcript").locator("del").wait_for()
        await it.page.get_by_label("Recording", exact=True).wait_for()
        await it.page.get_by_text("As a list").click()
        await it.check_looks()
        await it.open("days")
        await it.role("img", "Interruptions").wait_for()
        await it.page.get_by_text("As a table").click()
        await it.check_looks()


async def test_every_action_is_reached_with_the_keyboard() -> None:
    async with console() as (w, it):
        call = await w.connected(from_="+15551230007")
        await it.open(f"calls/{call.call_sid}")
        await it.role("button", "Hang up").wait_for()
        await it.role("button", "Zoom in").wait_for()
        reached = set()
        for _ in range(40):
            await it.page.keyboard.press("Tab")
            name = "document.activeElement.ariaLabel || document.activeElement.innerText"
            reached.add(await it.page.evaluate(name))
        wanted = {"Words for the caller", "Say", "Destination", "Transfer", "Hang up", "Listen in"}
        assert wanted | {"Transcript", "Time axis", "Zoom in"} <= reached
        await it.role("link", "← All calls").focus()
        await it.page.keyboard.press("Enter")
        await it.role("searchbox", "Search calls").wait_for()


async def test_the_page_says_that_the_connection_is_lost_and_finds_it_again() -> None:
    async with console() as (w, it):
        await it.open()
        await it.role("status").get_by_text("Live", exact=True).wait_for()
        await it.page.context.set_offline(True)
        w.state.board.close()
        await it.role("status").get_by_text("No connection").wait_for()
        await it.page.context.set_offline(False)
        await it.role("status").get_by_text("Live", exact=True).wait_for()
        it.faults = [fault for fault in it.faults if "ERR_INTERNET_DISCONNECTED" not in fault]
