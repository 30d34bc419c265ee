"""The console's softphone in a real browser: a whole call, with WAV files as the microphone."""

import io
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.audio import tone, ulaw_decode
from app.simulator.realtime import RealtimeServer, Reply
from app.simulator.realtime.script import Turn
from tests.service.test_service_softphone import NO_ACCOUNT
from tests.service.transfer_world import DESK, Agent, desk, outcomes, transfer_reply
from tests.service.world import API_TOKEN, World, names, noise, world
from tests.web.console.browser import IN_BROWSER, Browsing, browsing

pytestmark = IN_BROWSER

INF = float("inf")
STORY = Reply("Once upon a time there was a telephone.", audio=noise(40_000, "story"), speed=INF)
TIME = Reply("It is noon.", audio=noise(200, "noon"), speed=INF)
BACK = Reply("Nobody is there just now.", audio=noise(200, "back"), speed=INF)
WORDS_MS, COUGH_MS = 900, 240


def wav(duration_ms: int, hz: int = 8000) -> dict[str, Any]:
    """A file with a loud tone, then half a second of silence."""
    ulaw = tone((300.0,), note_ms=duration_ms, level_dbfs=-9.0) + b"\xff" * 4000
    held = io.BytesIO()
    with wave.open(held, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(hz)
        file.writeframes(ulaw_decode(ulaw))
    return {"name": "words.wav", "mimeType": "audio/wav", "buffer": held.getvalue()}


class Caller:
    """What the caller says in each of their turns, and what the agent answers."""

    def __init__(self) -> None:
        self.says: list[str] = []
        self._agent = Agent(transfer=transfer_reply(), back=BACK)

    def transcribe(self, _ulaw: bytes) -> str:
        return self.says.pop(0) if self.says else ""

    def brain(self, turn: Turn) -> Reply:
        if turn.kind == "reply" and not turn.tool_outputs:
            if "story" in turn.transcript:
                return STORY
            if "time" in turn.transcript:
                return TIME
        return self._agent.brain(turn)


class Page:
    """The softphone, as people find it."""

    def __init__(self, w: World, it: Browsing, caller: Caller) -> None:
        self.w = w
        self.it = it
        self.caller = caller

    async def call(self) -> str:
        """Call the agent. Returns the call's SID."""
        await self.it.role("button", "Call the agent").click()
        await self.status("Connected")
        link = await self.it.role("link", "Transcript and timeline").get_attribute("href")
        return str(link).rpartition("/")[2]

    async def status(self, text: str) -> None:
        await self.it.page.get_by_role("status").get_by_text(text, exact=True).wait_for()

    async def heard(self, text: str) -> None:
        """Wait until the live call shows these words."""
        await self.it.role("list", "Live calls").get_by_text(text).wait_for()

    async def says(self, text: str, duration_ms: int = WORDS_MS) -> None:
        if text:
            self.caller.says.append(text)
        field = self.it.page.get_by_label("WAV file instead of the microphone")
        await field.set_input_files(wav(duration_ms))

    async def press(self, keys: str) -> None:
        for key in keys:
            keypad = self.it.role("group", "Keypad")
            await keypad.get_by_role("button", name=key, exact=True).click()

    async def hang_up(self) -> None:
        await self.it.role("button", "Hang up").click()
        await self.status("Call ended")


@asynccontextmanager
async def softphone(**options: Any) -> AsyncIterator[Page]:
    caller = Caller()
    model = RealtimeServer(caller.brain, transcribe=caller.transcribe)
    file = desk(name="desk", number=DESK)
    async with world(model, agent=file, **NO_ACCOUNT) as w:
        async with browsing(w.url, API_TOKEN, **options) as it:
            await it.open()
            yield Page(w, it, caller)
        await w.settled()


async def test_a_whole_call() -> None:
    async with softphone() as phone:
        call_sid = await phone.call()
        await phone.heard("Hello.")
        await phone.says("Tell me a story.")
        await phone.heard("Once upon")
        await phone.says("", COUGH_MS)
        await phone.heard("Agent paused")
        await phone.heard("Agent speaks")
        await phone.says("Wait, what time is it?")
        await phone.heard("It is noon.")
        await phone.press("42#")
        await phone.says("A human please.")
        await phone.it.role("button", "Decline").click()
        await phone.heard("Nobody is there")
        await phone.status("Connected")
        await phone.it.check_access()
        phone.caller.says.append("A human, once more.")
        await phone.it.role("button", "Play it again").click()
        await phone.it.role("button", "Answer as the human").click()
        await phone.status("With the human")
        await phone.hang_up()
        item = phone.it.role("list", "Past calls").get_by_role("link", name="Softphone")
        await item.click()
        await phone.it.role("log", "Transcript").get_by_text("It is noon.").wait_for()
        record = await phone.w.record(call_sid)
        assert (record["status"], outcomes(record)) == ("completed", ["busy", "completed"])
        verdicts = [
            each["data"]["verdict"]
            for each in record["events"]
            if each["name"] == "ReportInterruption"
        ]
        assert verdicts == ["false", "confirmed"]
        assert names(record).count("DigitPressed") == 3
        cut = [turn for turn in record["transcript"] if turn["cut"]]
        assert [turn["text"][:9] for turn in cut] == ["Once upon"]


async def test_hanging_up_while_it_rings_and_leaving_the_page_end_the_call() -> None:
    async with softphone() as phone:
        call_sid = await phone.call()
        await phone.heard("Hello.")
        await phone.says("A human please.")
        await phone.it.role("button", "Decline").wait_for()
        await phone.hang_up()
        assert outcomes(await phone.w.record(call_sid)) == ["canceled"]
        await phone.it.page.get_by_label("WAV file").set_input_files([])  # it would speak again
        call_sid = await phone.call()
        await phone.heard("Hello.")
        await phone.it.page.goto("about:blank")
        await phone.w.settled()
        record = await phone.w.record(call_sid)
        assert (record["status"], record["ended_by"]) == ("completed", "caller")
        await phone.it.open()


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((), "No microphone was found."),
        (("--use-fake-device-for-media-stream", "--deny-permission-prompts"), "it was not allowed"),
    ],
)
async def test_a_reason_is_shown_where_there_is_no_microphone(
    args: tuple[str, ...], text: str
) -> None:
    async with softphone(args=args) as phone:
        await phone.call()
        await phone.it.page.get_by_role("status").get_by_text(text).wait_for()
        await phone.hang_up()


async def test_a_microphone_that_is_allowed_is_heard() -> None:
    fake = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    async with softphone(args=fake) as phone:
        await phone.call()
        for _ in range(50):  # the fake device beeps once a second
            if await phone.it.page.locator("meter").first.evaluate("it => it.value") > 0.2:
                break
            await phone.it.page.wait_for_timeout(100)
        else:
            pytest.fail("the meter shows no sound")
        assert await phone.it.page.get_by_label("Microphone").locator("option").count() > 1
        await phone.hang_up()
