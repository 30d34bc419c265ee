"""A line to a Qwen voice: consecutive texts, spare sessions, dropped texts."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest

from app.errors import VoiceError
from app.simulator.voices.mouth import Plan, PlanFor, always, tones
from app.simulator.voices.qwen import QwenSession, QwenStandIn
from app.wires.voices.qwen.settings import Mode
from app.wires.voices.qwen.voice import QwenLine, QwenSettings, QwenVoice
from app.wires.voices.voice import VoiceLine, with_deadlines

KEY = "sk-not-to-be-told"
MODES: list[Mode] = ["commit", "server_commit"]
HELLO, STORY, SORRY = "Hello there.", "A long story. It goes on! And on.", "Sorry, go on."
both_modes = pytest.mark.parametrize("mode", MODES)


pytestmark = pytest.mark.usefixtures("no_task_outlives_its_test")


class Scene:
    """A voice, a line to it, and the stand-in that serves them."""

    def __init__(self, qwen: QwenStandIn, voice: QwenVoice) -> None:
        self.qwen, self.voice = qwen, voice
        self.line = voice.line()

    async def opened(self, number: int) -> None:
        """Wait until so many sessions have been opened and configured in total."""
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
    """A plan in which this text fails in this way; all others are said."""
    return lambda text: plan if text and text in text_of else Plan()


# --- consecutive texts ----------------------------------------------------------------------------


@both_modes
async def test_each_text_is_said_completely_and_in_order(mode: Mode) -> None:
    async with scene(mode=mode) as this:
        assert await sound_of(this.line, HELLO) == said(HELLO)
        assert await sound_of(this.line, STORY) == b"".join(
            said(part) for part in [each.text for each in this.qwen.heard.said[1:]]
        )
        assert "".join(each.text for each in this.qwen.heard.said) == HELLO + STORY
        assert all(each.whole for each in this.qwen.heard.said)


async def test_commit_mode_uses_one_session_for_all_texts() -> None:
    async with scene() as this:
        for text in (HELLO, STORY, SORRY):
            assert await sound_of(this.line, text) == said(text)
            assert this.line.session_id == this.qwen.sessions[0].id
        await this.opened(2)  # one of them is the spare
        text_and_commit = ["input_text_buffer.append", "input_text_buffer.commit"]
        assert this.types(0) == ["session.update", *text_and_commit * 3]
        assert this.types(1) == ["session.update"]


async def test_server_commit_mode_uses_one_session_per_text_with_a_spare() -> None:
    async with scene(mode="server_commit") as this:
        for number, text in enumerate((HELLO, STORY, SORRY)):
            await sound_of(this.line, text)
            assert this.line.session_id == this.qwen.sessions[number].id
            await this.opened(number + 2)
        whole = ["session.update", "input_text_buffer.append", "session.finish"]
        assert [this.types(number) for number in range(4)] == [whole] * 3 + [["session.update"]]


async def test_first_sound_ms_is_measured() -> None:
    async with scene(plan=lambda text: Plan(delay_ms=40)) as this:
        assert this.line.first_sound_ms is None
        await sound_of(this.line, HELLO)
        assert this.line.first_sound_ms is not None and this.line.first_sound_ms >= 35


async def test_two_lines_share_a_voice_but_no_session() -> None:
    async with scene() as this:
        other = this.voice.line()
        heard = await asyncio.gather(sound_of(this.line, HELLO), sound_of(other, SORRY))
        assert list(heard) == [said(HELLO), said(SORRY)]
        assert this.line.session_id != other.session_id


async def test_two_texts_at_once_on_one_line_do_not_mix() -> None:
    async with scene() as this:
        heard = await asyncio.gather(*(sound_of(this.line, text) for text in (HELLO, SORRY, STORY)))
        assert heard == [said(HELLO), said(SORRY), said(STORY)]


async def test_a_blank_text_is_not_sent() -> None:
    async with scene() as this:
        with pytest.raises(VoiceError) as error:
            await sound_of(this.line, " \n")
        assert error.value.kind == "text"
        assert this.qwen.heard.connections == 0


# --- settings -------------------------------------------------------------------------------------


async def test_only_the_given_settings_are_sent() -> None:
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
async def test_the_old_model_gets_only_the_settings_it_supports(model: str) -> None:
    async with scene(model=model, speech_rate=1.1, volume=40, instructions="Softly.") as this:
        assert await sound_of(this.line, HELLO) == said(HELLO, 24000)


# --- the spare ------------------------------------------------------------------------------------


async def test_no_session_is_opened_before_prepare_or_say() -> None:
    async with scene() as this:
        this.voice.line()
        assert this.qwen.heard.connections == 0


@both_modes
async def test_a_prepared_line_says_its_first_text_on_the_spare(mode: Mode) -> None:
    async with scene(mode=mode) as this:
        await this.line.prepare()
        assert this.qwen.heard.connections == 1 and configured(this.qwen.sessions[0])
        await this.line.prepare()
        assert this.qwen.heard.connections == 1
        await sound_of(this.line, HELLO)
        assert this.line.session_id == this.qwen.sessions[0].id


async def test_a_failed_prepare_raises_only_in_say() -> None:
    plans = {"door": Plan(fault="refuse")}
    async with scene(plan=lambda text: Plan() if text else plans["door"]) as this:
        await this.line.prepare()
        assert this.qwen.refusals == [503]
        with pytest.raises(VoiceError, match="503"):
            await sound_of(this.line, HELLO)
        plans["door"] = Plan()
        assert await sound_of(this.line, HELLO) == said(HELLO)


@both_modes
async def test_a_spare_that_the_server_closes_is_replaced(mode: Mode) -> None:
    async with scene(mode=mode) as this:
        await this.line.prepare()
        await this.qwen.sessions[0].close()
        await this.opened(2)
        this.qwen.sessions[1].drop()
        await this.opened(3)
        assert await sound_of(this.line, HELLO) == said(HELLO)
        assert this.line.session_id == this.qwen.sessions[2].id


@both_modes
async def test_a_session_that_has_just_ended_gets_no_text(mode: Mode) -> None:
    async with scene(mode=mode) as this:
        await this.line.prepare()
        for text in (HELLO, SORRY, HELLO):
            for session in this.qwen.open_sessions:
                await session.close()
            assert await sound_of(this.line, text) == said(text)


async def test_a_spare_is_replaced_three_times_in_a_row_at_most() -> None:
    async with scene() as this:
        await this.line.prepare()
        for number in range(4):
            await this.opened(number + 1)
            await this.qwen.sessions[number].close()
        assert await sound_of(this.line, HELLO) == said(HELLO)
        assert this.line.session_id == this.qwen.sessions[4].id  # opened by say


async def test_a_session_that_ends_between_two_texts_is_replaced() -> None:
    async with scene() as this:
        await sound_of(this.line, HELLO)
        await this.opened(2)
        await this.qwen.sessions[0].close()
        assert await sound_of(this.line, SORRY) == said(SORRY)
        assert this.line.session_id == this.qwen.sessions[1].id


# --- dropped --------------------------------------------------------------------------------------


@both_modes
async def test_the_next_text_is_said_at_once_after_a_dropped_one(mode: Mode) -> None:
    slow = broken(STORY, Plan(speed=1.0))
    async with scene(plan=slow, mode=mode) as this:
        for number in range(0, 6, 2):
            async with aclosing(this.line.say(STORY)) as sounds:
                first = await anext(sounds)
            assert said(STORY).startswith(first.pcm)
            dropped_id = this.line.session_id
            assert await sound_of(this.line, SORRY) == said(SORRY)  # without sound of the story
            assert this.line.session_id != dropped_id
            dropped = next(each for each in this.qwen.sessions if each.id == dropped_id)
            await this.qwen.until(lambda dropped=dropped: not dropped.open)  # type: ignore[misc]
            assert dropped.close_code == 1000
            if mode == "commit":
                assert "session.finish" not in [event["type"] for event in dropped.received]
            assert this.qwen.heard.said[number].dropped


async def test_after_a_drop_the_next_text_uses_the_open_spare() -> None:
    async with scene(plan=broken(STORY, Plan(fault="stall", fault_after_bytes=1600))) as this:
        await this.line.prepare()
        async with aclosing(this.line.say(STORY)) as sounds:
            await anext(sounds)
            await this.opened(2)
        assert await sound_of(this.line, SORRY) == said(SORRY)
        assert this.line.session_id == this.qwen.sessions[1].id


@both_modes
async def test_dropping_does_not_wait(mode: Mode) -> None:
    async with scene(plan=lambda text: Plan(speed=1.0), mode=mode) as this:
        sounds = this.line.say(STORY)
        await anext(sounds)
        with pytest.raises(StopIteration):  # it does not wait
            sounds.aclose().send(None)


async def test_cancelling_the_iteration_drops_the_text() -> None:
    async with scene(plan=broken(STORY, Plan(fault="stall"))) as this:
        listening = asyncio.create_task(sound_of(this.line, STORY))
        await this.qwen.until(lambda: len(this.qwen.heard.said) == 1)
        listening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await listening
        assert await sound_of(this.line, SORRY) == said(SORRY)
        await this.qwen.until(lambda: this.qwen.heard.said[0].dropped)


async def test_dropping_a_text_while_its_session_opens_keeps_the_session() -> None:
    async with scene() as this:
        asked = asyncio.create_task(sound_of(this.line, STORY))
        await this.qwen.until(lambda: this.qwen.heard.connections == 1)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert await sound_of(this.line, SORRY) == said(SORRY)
        assert this.line.session_id == this.qwen.sessions[0].id  # its opening was not cancelled
        assert [each.text for each in this.qwen.heard.said] == [SORRY]


async def test_a_stalled_text_is_a_timeout() -> None:
    async with scene(plan=broken(STORY, Plan(fault="stall", fault_after_bytes=800))) as this:
        with pytest.raises(VoiceError, match="more sound"):
            async for _ in with_deadlines(this.line.say(STORY), gap_s=0.05):
                pass
        assert await sound_of(this.line, SORRY) == said(SORRY)


# --- closing --------------------------------------------------------------------------------------


async def test_closing_the_line_ends_the_current_text() -> None:
    async with scene(plan=broken(STORY, Plan(fault="stall"))) as this:
        listening = asyncio.create_task(sound_of(this.line, STORY))
        await this.qwen.until(lambda: len(this.qwen.heard.said) == 1)
        await this.line.aclose()
        with pytest.raises(VoiceError, match="closed"):
            await listening
        await this.qwen.until(lambda: not this.qwen.open_sessions)


async def test_a_closed_line_opens_no_session() -> None:
    async with scene() as this:
        await this.line.prepare()
        await this.line.aclose()
        await this.line.aclose()
        await this.line.prepare()
        with pytest.raises(VoiceError, match="closed"):
            await sound_of(this.line, HELLO)
        assert this.qwen.heard.connections == 1


async def test_a_line_closed_while_it_opens_a_session_leaves_none_open() -> None:
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
        assert 1000 in codes and codes <= {1000, 1006}  # 1006: a session that was not open yet


# --- logging --------------------------------------------------------------------------------------


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
        logged = str(record.__dict__)
        assert KEY not in logged and "Rumpel" not in logged
