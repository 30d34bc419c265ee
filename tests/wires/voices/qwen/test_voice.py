"""A caller's line to a Qwen voice: text after text, sessions opened ahead, texts dropped."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from app.errors import VoiceError
from app.simulator.voices.mouth import Plan, PlanFor, always, tones
from app.simulator.voices.qwen import QwenSession, QwenStandIn
from app.wires.voices.qwen.codec import Mode
from app.wires.voices.qwen.voice import QwenLine, QwenSettings, QwenVoice
from app.wires.voices.voice import VoiceLine, with_deadlines

KEY = "sk-not-to-be-told"
MODES: list[Mode] = ["commit", "server_commit"]
HELLO, STORY, SORRY = "Hello there.", "A long story. It goes on! And on.", "Sorry, go on."
both_modes = pytest.mark.parametrize("mode", MODES)


@pytest.fixture(autouse=True)
async def no_task_outlives_its_test() -> AsyncIterator[None]:
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}


class Scene:
    """A voice, a line to it, and the stand-in behind them."""

    def __init__(self, qwen: QwenStandIn, voice: QwenVoice) -> None:
        self.qwen, self.voice = qwen, voice
        self.line = voice.line()

    async def opened(self, number: int) -> None:
        """Wait until so many sessions have been opened, in all, and had their settings taken."""
        await self.qwen.until(
            lambda: [configured(each) for each in self.qwen.sessions] == [True] * number
        )

    def types(self, session: int) -> list[str]:
        return [event["type"] for event in self.qwen.sessions[session].received]


def configured(session: QwenSession) -> bool:
    return "session.updated" in session.sent


@asynccontextmanager
async def scene(plan: PlanFor = always, **settings: Any) -> AsyncIterator[Scene]:
    async with QwenStandIn(plan=plan, api_key=KEY) as qwen:
        voice = QwenVoice(QwenSettings(KEY, url=qwen.url, **settings))
        yield Scene(qwen, voice)
        await voice.aclose()
        await qwen.until(lambda: not qwen.open_sessions)
        assert [session.errors for session in qwen.sessions] == [[] for _ in qwen.sessions]


async def sound_of(line: VoiceLine, text: str) -> bytes:
    async with aclosing(line.say(text)) as sounds:
        return b"".join([sound.pcm async for sound in sounds])


def said(text: str, hz: int = 8000) -> bytes:
    return tones(text, hz).pcm


def broken(text_of: str, plan: Plan) -> PlanFor:
    """That text goes wrong in this way; all others are said."""
    return lambda text: plan if text and text in text_of else Plan()


# --- text after text ------------------------------------------------------------------------------


@both_modes
async def test_a_caller_hears_each_text_whole_and_in_order(mode: Mode) -> None:
    async with scene(mode=mode) as this:
        assert await sound_of(this.line, HELLO) == said(HELLO)
        assert await sound_of(this.line, STORY) == b"".join(
            said(part) for part in [each.text for each in this.qwen.heard.said[1:]]
        )
        assert "".join(each.text for each in this.qwen.heard.said) == HELLO + STORY
        assert all(each.whole for each in this.qwen.heard.said)


async def test_in_commit_mode_one_session_says_all_texts() -> None:
    async with scene() as this:
        for text in (HELLO, STORY, SORRY):
            assert await sound_of(this.line, text) == said(text)
            assert this.line.session_id == this.qwen.sessions[0].id
        await this.opened(2)  # and the spare
        text_and_commit = ["input_text_buffer.append", "input_text_buffer.commit"]
        assert this.types(0) == ["session.update", *text_and_commit * 3]
        assert this.types(1) == ["session.update"]


async def test_in_server_commit_mode_each_text_has_a_session_and_the_next_is_ready() -> None:
    async with scene(mode="server_commit") as this:
        for number, text in enumerate((HELLO, STORY, SORRY)):
            await sound_of(this.line, text)
            assert this.line.session_id == this.qwen.sessions[number].id
            await this.opened(number + 2)
        whole = ["session.update", "input_text_buffer.append", "session.finish"]
        assert [this.types(number) for number in range(4)] == [whole] * 3 + [["session.update"]]


async def test_the_line_knows_how_long_the_first_sound_took() -> None:
    async with scene(plan=lambda text: Plan(delay_ms=40)) as this:
        assert this.line.first_sound_ms is None
        await sound_of(this.line, HELLO)
        assert this.line.first_sound_ms is not None and this.line.first_sound_ms >= 35


async def test_two_callers_share_a_voice_and_no_session() -> None:
    async with scene() as this:
        other = this.voice.line()
        heard = await asyncio.gather(sound_of(this.line, HELLO), sound_of(other, SORRY))
        assert list(heard) == [said(HELLO), said(SORRY)]
        assert this.line.session_id != other.session_id


async def test_two_texts_at_once_on_one_line_do_not_mix() -> None:
    async with scene() as this:
        heard = await asyncio.gather(*(sound_of(this.line, text) for text in (HELLO, SORRY, STORY)))
        assert heard == [said(HELLO), said(SORRY), said(STORY)]


async def test_a_text_with_nothing_in_it_never_reaches_the_voice() -> None:
    async with scene() as this:
        with pytest.raises(VoiceError) as error:
            await sound_of(this.line, " \n")
        assert error.value.kind == "text"
        assert this.qwen.heard.connections == 0


# --- settings -------------------------------------------------------------------------------------


async def test_the_server_is_told_what_was_set_and_nothing_else() -> None:
    async with scene() as this:
        await sound_of(this.line, HELLO)
        assert this.qwen.sessions[0].received[0]["session"] == {
            "voice": "Cherry",
            "mode": "commit",
            "response_format": "pcm",
            "sample_rate": 8000,
            "language_type": "Auto",
        }
        assert "x-dashscope-workspace" not in this.qwen.sessions[0].headers
        assert "sec-websocket-extensions" not in this.qwen.sessions[0].headers


async def test_every_setting_reaches_the_server() -> None:
    asked: dict[str, Any] = {
        "voice": "Momo",
        "mode": "server_commit",
        "sample_rate": 16000,
        "language_type": "German",
        "speech_rate": 1.2,
        "volume": 70,
        "pitch_rate": 0.9,
        "instructions": "Softly.",
        "optimize_instructions": True,
        "enable_tn": False,
    }
    model = "qwen3-tts-instruct-flash-realtime"
    async with scene(model=model, workspace="ws-1", **asked) as this:
        assert await sound_of(this.line, HELLO) == said(HELLO, 16000)
        session = this.qwen.sessions[0]
        assert session.received[0]["session"] == {**asked, "response_format": "pcm"}
        assert session.model == model
        assert session.headers["x-dashscope-workspace"] == "ws-1"
        assert this.voice.label == "qwen/Momo"


@pytest.mark.parametrize("model", ["qwen-tts-realtime", "qwen-tts-realtime-2025-07-15"])
async def test_the_old_model_is_spared_what_it_does_not_know(model: str) -> None:
    async with scene(model=model, speech_rate=1.1, volume=40, instructions="Softly.") as this:
        assert await sound_of(this.line, HELLO) == said(HELLO, 24000)


# --- the spare ------------------------------------------------------------------------------------


async def test_nothing_is_opened_before_the_line_is_asked_to() -> None:
    async with scene() as this:
        this.voice.line()
        assert this.qwen.heard.connections == 0


@both_modes
async def test_a_prepared_line_says_its_first_text_on_the_session_that_waits(mode: Mode) -> None:
    async with scene(mode=mode) as this:
        await this.line.prepare()
        assert this.qwen.heard.connections == 1 and configured(this.qwen.sessions[0])
        await this.line.prepare()
        assert this.qwen.heard.connections == 1
        await sound_of(this.line, HELLO)
        assert this.line.session_id == this.qwen.sessions[0].id


async def test_preparing_in_vain_tells_nobody_until_something_is_to_be_said() -> None:
    plans = {"door": Plan(fault="refuse")}
    async with scene(plan=lambda text: Plan() if text else plans["door"]) as this:
        await this.line.prepare()
        assert this.qwen.refusals == [503]
        with pytest.raises(VoiceError, match="503"):
            await sound_of(this.line, HELLO)
        plans["door"] = Plan()
        assert await sound_of(this.line, HELLO) == said(HELLO)


@both_modes
async def test_a_spare_that_the_server_closed_is_replaced_without_a_word(mode: Mode) -> None:
    async with scene(mode=mode) as this:
        await this.line.prepare()
        await this.qwen.sessions[0].close()
        await this.opened(2)
        this.qwen.sessions[1].drop()
        await this.opened(3)
        assert await sound_of(this.line, HELLO) == said(HELLO)
        assert this.line.session_id == this.qwen.sessions[2].id


@both_modes
async def test_a_session_that_ended_this_moment_is_given_no_text(mode: Mode) -> None:
    async with scene(mode=mode) as this:
        await this.line.prepare()
        for text in (HELLO, SORRY, HELLO):
            for session in this.qwen.open_sessions:
                await session.close()
            assert await sound_of(this.line, text) == said(text)


async def test_a_server_that_keeps_no_spare_is_not_asked_for_ever() -> None:
    async with scene() as this:
        await this.line.prepare()
        for number in range(4):
            await this.opened(number + 1)
            await this.qwen.sessions[number].close()
        assert await sound_of(this.line, HELLO) == said(HELLO)
        assert this.line.session_id == this.qwen.sessions[4].id  # the fifth, when it was needed


async def test_a_session_that_ended_between_two_texts_is_not_missed() -> None:
    async with scene() as this:
        await sound_of(this.line, HELLO)
        await this.opened(2)
        await this.qwen.sessions[0].close()
        assert await sound_of(this.line, SORRY) == said(SORRY)
        assert this.line.session_id == this.qwen.sessions[1].id


# --- dropped --------------------------------------------------------------------------------------


@both_modes
async def test_a_dropped_text_is_gone_and_the_next_is_said_at_once(mode: Mode) -> None:
    slow = broken(STORY, Plan(speed=1.0))
    async with scene(plan=slow, mode=mode) as this:
        for number in range(0, 6, 2):
            async with aclosing(this.line.say(STORY)) as sounds:
                first = await anext(sounds)
            assert said(STORY).startswith(first.pcm)
            dropped_id = this.line.session_id
            assert await sound_of(this.line, SORRY) == said(SORRY)  # none of the story in it
            assert this.line.session_id != dropped_id
            dropped = next(each for each in this.qwen.sessions if each.id == dropped_id)
            await this.qwen.until(lambda dropped=dropped: not dropped.open)  # type: ignore[misc]
            assert dropped.close_code == 1000
            if mode == "commit":
                assert "session.finish" not in [event["type"] for event in dropped.received]
            assert this.qwen.heard.said[number].dropped


async def test_the_next_text_after_a_drop_finds_its_session_open() -> None:
    async with scene(plan=broken(STORY, Plan(fault="stall", fault_after_bytes=1600))) as this:
        await this.line.prepare()
        async with aclosing(this.line.say(STORY)) as sounds:
            await anext(sounds)
            await this.opened(2)
        assert await sound_of(this.line, SORRY) == said(SORRY)
        assert this.line.session_id == this.qwen.sessions[1].id


@both_modes
async def test_dropping_waits_for_nothing(mode: Mode) -> None:
    async with scene(plan=lambda text: Plan(speed=1.0), mode=mode) as this:
        sounds = this.line.say(STORY)
        await anext(sounds)
        with pytest.raises(StopIteration):  # it ends in one step: nothing was waited for
            sounds.aclose().send(None)


async def test_whoever_listens_may_be_cancelled() -> None:
    async with scene(plan=broken(STORY, Plan(fault="stall"))) as this:
        listening = asyncio.create_task(sound_of(this.line, STORY))
        await this.qwen.until(lambda: len(this.qwen.heard.said) == 1)
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
        assert await sound_of(this.line, SORRY) == said(SORRY)
        await this.qwen.until(lambda: this.qwen.heard.said[0].dropped)


async def test_a_text_dropped_before_its_session_was_open_costs_nothing() -> None:
    async with scene() as this:
        asked = asyncio.create_task(sound_of(this.line, STORY))
        await this.qwen.until(lambda: this.qwen.heard.connections == 1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert await sound_of(this.line, SORRY) == said(SORRY)
        assert this.line.session_id == this.qwen.sessions[0].id  # it went on opening
        assert [each.text for each in this.qwen.heard.said] == [SORRY]


async def test_a_text_that_stalls_is_given_up_by_who_asked_for_it() -> None:
    async with scene(plan=broken(STORY, Plan(fault="stall", fault_after_bytes=800))) as this:
        with pytest.raises(VoiceError, match="more sound"):
            async for _ in with_deadlines(this.line.say(STORY), gap_s=0.05):
                pass
        assert await sound_of(this.line, SORRY) == said(SORRY)


# --- the end --------------------------------------------------------------------------------------


async def test_closing_the_line_ends_a_text_under_way() -> None:
    async with scene(plan=broken(STORY, Plan(fault="stall"))) as this:
        listening = asyncio.create_task(sound_of(this.line, STORY))
        await this.qwen.until(lambda: len(this.qwen.heard.said) == 1)
        await this.line.aclose()
        with pytest.raises(VoiceError, match="closed"):
            await listening
        await this.qwen.until(lambda: not this.qwen.open_sessions)


async def test_a_closed_line_opens_nothing_any_more() -> None:
    async with scene() as this:
        await this.line.prepare()
        await this.line.aclose()
        await this.line.aclose()
        await this.line.prepare()
        with pytest.raises(VoiceError, match="closed"):
            await sound_of(this.line, HELLO)
        assert this.qwen.heard.connections == 1


async def test_a_line_closed_while_it_opens_leaves_nothing_behind() -> None:
    async with scene() as this:
        preparing = asyncio.create_task(this.line.prepare())
        asked = asyncio.create_task(sound_of(this.line, HELLO))
        await this.qwen.until(lambda: this.qwen.heard.connections == 1)
        await this.line.aclose()
        with pytest.raises(VoiceError, match="closed"):
            await asked
        await preparing


async def test_closing_the_voice_closes_its_lines() -> None:
    async with scene() as this:
        lines: list[QwenLine] = [this.line, this.voice.line(), this.voice.line()]
        for line in lines:
            await line.prepare()
        await sound_of(lines[0], HELLO)
        await this.voice.aclose()
        await this.qwen.until(lambda: not this.qwen.open_sessions)
        codes = {session.close_code for session in this.qwen.sessions}
        assert 1000 in codes and codes <= {1000, 1006}  # one may not have been open yet


# --- what is told of it ---------------------------------------------------------------------------


@both_modes
async def test_no_log_line_holds_the_key_or_the_text(
    mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret_text = "My password is Rumpelstiltskin."
    async with scene(mode=mode) as this:
        await this.line.prepare()
        await this.qwen.sessions[0].close()
        await sound_of(this.line, secret_text)
        assert KEY not in repr(this.voice.settings)
    ours = [each for each in caplog.records if each.name.startswith("app.wires.voices")]
    assert any(record.message == "Qwen first sound" for record in ours)
    for record in ours:
        told = str(record.__dict__)
        assert KEY not in told and "Rumpel" not in told
