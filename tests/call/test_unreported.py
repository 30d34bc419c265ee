"""Speech of the caller that the model does not report: it gets an answer, once."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent
from app.call.caller.floor import UNREPORTED_TURNS
from app.call.exits.tones import SEND_DIGITS
from tests.call.pause_scene import pausing
from tests.call.scene import AGENT, agent
from tests.call.silence_scene import LONGEST_WAIT_MS, Measured, longest_ms, silences
from tests.call.transfer_scene import SUPPORT

IDLE = agent(limits=replace(AGENT.limits, idle_ms=15_000))
REASONING = agent(limits=replace(AGENT.limits, first_sound_ms=7000))


class Deaf(Measured):
    """The bridge passes `CallerVoiced` when it is awaited; the model reports nothing."""

    def __init__(self, agent: Agent = AGENT, *, answers_unreported: bool = True) -> None:
        super().__init__(agent)
        opened = ev.LegOpened(reports_silences=True, answers_unreported=answers_unreported)
        self.feed(opened)
        self.configure()
        self.feed(ev.StreamStarted("MZ1"))
        self.run(1000)

    @property
    def awaits_voice(self) -> bool:
        return self.now_ms >= self.machine.voice_awaited_ms

    def voice(self, ms: float) -> None:
        super().voice(min(ms, 600))
        if ms >= 600 and self.awaits_voice:
            self.feed(ev.CallerVoiced())
        if ms > 600:
            super().voice(ms - 600)

    def run_out(self) -> None:
        """Let time pass until the model is given up: then the caller gets help without it."""
        until_ms = self.now_ms + 40_000
        while not self.machine.without_model:
            assert self.now_ms < until_ms
            self.run(100)

    def respond_at_once(self) -> None:
        """The model answers each request."""
        self.answers_ms = 500


# --- the answer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [AGENT, pausing(), agent(interruptible=False), IDLE])
def test_a_deaf_model_is_asked_for_an_answer_after_the_callers_voice(who: Agent) -> None:
    scene = Deaf(who)
    scene.respond_at_once()
    scene.voice(2000)
    spoken_ms = scene.now_ms
    scene.run(9000)
    assert scene.asked() == [""]
    assert scene.when(do.CreateResponse) == [spoken_ms + 7500]
    assert longest_ms(scene, spoken_ms) <= LONGEST_WAIT_MS
    assert silences(scene) == [("model", pytest.approx(7500, abs=5))]


@pytest.mark.parametrize("who", [AGENT, REASONING])
def test_a_model_that_is_deaf_and_mute_leaves_the_caller_in_silence_for_8_s_at_most(
    who: Agent,
) -> None:
    scene = Deaf(who)
    scene.voice(2000)
    spoken_ms = scene.now_ms
    scene.run_out()
    assert longest_ms(scene, spoken_ms) <= LONGEST_WAIT_MS
    assert silences(scene)[0] == ("model", pytest.approx(7500, abs=5))
    assert {cause for cause, _ in silences(scene)} == {"model"}


@pytest.mark.parametrize("who", [AGENT, REASONING])
def test_a_model_that_reports_the_beginning_alone_leaves_no_longer_silence(who: Agent) -> None:
    scene = Deaf(who)
    scene.speak()
    scene.voice(2000)
    spoken_ms = scene.now_ms
    scene.run_out()
    assert longest_ms(scene, spoken_ms) <= LONGEST_WAIT_MS
    assert {cause for cause, _ in silences(scene)} == {"model"}


@pytest.mark.parametrize("who", [AGENT, REASONING, pausing()])
@pytest.mark.parametrize("commits", [False, True])
def test_a_model_that_reports_speech_and_does_not_answer_leaves_no_longer_silence(
    who: Agent, commits: bool
) -> None:
    scene = Deaf(who)
    scene.speak()
    scene.voice(2000)
    spoken_ms = scene.now_ms
    scene.run(500)
    scene.feed(ev.SpeechStopped("user_1", 0))
    if commits:
        scene.feed(ev.CallerTurnCommitted("user_1", None))
    scene.run_out()
    assert longest_ms(scene, spoken_ms) <= LONGEST_WAIT_MS
    assert {cause for cause, _ in silences(scene)} == {"model"}


def test_the_callers_own_pause_before_they_speak_is_no_silence_of_the_models() -> None:
    scene = Deaf()
    scene.run(6000)
    scene.voice(1000)
    scene.run(9000)
    assert [cause for cause, _ in silences(scene)] == ["caller", "model"]


def test_a_caller_who_still_speaks_is_not_asked_whether_they_are_there() -> None:
    scene = Deaf(IDLE)
    scene.run(10_000)
    scene.voice(20_000)
    assert not scene.all(do.CreateResponse)


# --- once -----------------------------------------------------------------------------------------


def test_a_model_that_stays_deaf_is_asked_for_an_answer_each_time_and_noise_only_so_often() -> None:
    scene = Deaf()
    scene.respond_at_once()
    for turns in (1, 2, UNREPORTED_TURNS, UNREPORTED_TURNS):
        scene.voice(2000)
        spoken_ms = scene.now_ms
        scene.run(12_000)
        assert scene.asked() == [""] * turns
        assert turns == UNREPORTED_TURNS or longest_ms(scene, spoken_ms) <= LONGEST_WAIT_MS
    assert not scene.awaits_voice


def test_noise_with_pauses_does_not_take_the_answer_back() -> None:
    scene = Deaf()
    scene.respond_at_once()
    scene.voice(2000)
    spoken_ms = scene.now_ms
    scene.run(5000)
    scene.voice(2000)
    scene.run(5000)
    assert scene.when(do.CreateResponse) == [spoken_ms + 7500]


def test_music_without_a_pause_holds_the_agent_up_for_a_minute_at_most() -> None:
    scene = Deaf(IDLE)
    scene.respond_at_once()
    scene.voice(150_000)
    assert 1 < len(scene.asked()) and scene.when(do.CreateResponse)[0] < 70_000


def test_speech_that_the_model_reports_makes_the_next_one_count_again() -> None:
    scene = Deaf()
    scene.respond_at_once()
    scene.voice(2000)
    scene.run(12_000)
    scene.speak()
    scene.voice(1000)
    scene.fall_silent()
    scene.run(500)
    scene.answer(300)
    scene.run(3000)
    assert scene.asked() == [""]
    for turn in range(UNREPORTED_TURNS):
        scene.voice(2000)
        scene.run(12_000)
        assert scene.asked() == [""] * (turn + 2)


def test_speech_that_the_model_reports_late_is_a_turn_as_any_other() -> None:
    scene = Deaf()
    scene.voice(1000)
    scene.speak()
    scene.voice(1000)
    scene.run(500)
    scene.fall_silent()
    scene.run(300)
    scene.answer(500)
    scene.run(10_000)
    assert not scene.all(do.CreateResponse)
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 500 * 8


def test_an_answer_that_the_model_begins_by_itself_is_heard() -> None:
    scene = Deaf()
    scene.voice(2000)
    scene.run(500)
    scene.answer(500)
    scene.run(10_000)
    assert not scene.all(do.CreateResponse)
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 500 * 8


# --- when it does not count -----------------------------------------------------------------------


def speaks(scene: Deaf) -> None:
    scene.begin()
    scene.audio(3000)
    scene.finish()
    scene.run(1000)


def generates(scene: Deaf) -> None:
    scene.begin()


def has_just_spoken(scene: Deaf) -> None:
    scene.answer(500)
    scene.run(700)


def is_asked(scene: Deaf) -> None:
    scene.feed(ev.SayRequested("Hello."))


def is_paused(scene: Deaf) -> None:
    speaks(scene)
    scene.speak()


def owes_an_answer(scene: Deaf) -> None:
    scene.speak()
    scene.fall_silent()


def hears(scene: Deaf) -> None:
    scene.speak()


def runs_a_tool(scene: Deaf) -> None:
    scene.tool_response("call_1")


def waits_for_digits(scene: Deaf, *, secret: bool = False) -> None:
    scene.tool_response("call_1")
    scene.feed(ev.EntryAsked("call_1", 4, secret, "", 20_000))


def waits_for_secret_digits(scene: Deaf) -> None:
    waits_for_digits(scene, secret=True)


def gets_keys(scene: Deaf) -> None:
    scene.press("1")


def presses_keys(scene: Deaf) -> None:
    scene.begin()
    scene.call_tool("call_1", SEND_DIGITS, arguments='{"digits": "wwww1"}')
    scene.finish()
    scene.run(1500)


def announces_a_transfer(scene: Deaf) -> None:
    scene.feed(ev.TransferRequested(SUPPORT.name))
    scene.respond(300)
    scene.run(1500)


def hangs_up(scene: Deaf) -> None:
    scene.feed(ev.HangUpRequested("operator"))


def leaves_a_message(scene: Deaf) -> None:
    scene.feed(ev.VoicemailReached("Call back."))


def lost_its_session(scene: Deaf) -> None:
    scene.feed(ev.ModelLost("gone"))


@pytest.mark.parametrize(
    "state",
    [
        speaks,
        generates,
        has_just_spoken,
        is_asked,
        is_paused,
        owes_an_answer,
        hears,
        runs_a_tool,
        waits_for_digits,
        waits_for_secret_digits,
        gets_keys,
        presses_keys,
        announces_a_transfer,
        hangs_up,
        leaves_a_message,
        lost_its_session,
    ],
)
def test_voice_is_not_awaited_while_the_agent(state: Callable[[Deaf], None]) -> None:
    scene = Deaf(pausing(agent(destinations=(SUPPORT,))))
    assert scene.awaits_voice
    state(scene)
    assert not scene.awaits_voice


def test_voice_is_awaited_a_little_after_the_agent_was_heard() -> None:
    scene = Deaf()
    scene.answer(500)
    scene.run(1000)
    assert not scene.awaits_voice
    scene.run(200)
    assert scene.awaits_voice


def test_voice_that_comes_at_a_wrong_moment_changes_nothing() -> None:
    scene = Deaf()
    speaks(scene)
    scene.voice_ended_ms = None
    assert scene.feed(ev.CallerVoiced()) == []
    scene.voice_ended_ms = scene.now_ms
    scene.run(20_000)
    assert not scene.all(do.CreateResponse)
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 3000 * 8


def test_a_short_sound_gets_no_answer() -> None:
    scene = Deaf()
    scene.voice(580)
    scene.run(20_000)
    assert not scene.all(do.CreateResponse)


def test_an_exit_that_begins_meanwhile_is_not_answered_over() -> None:
    scene = Deaf(agent(destinations=(SUPPORT,)))
    scene.voice(2000)
    scene.feed(ev.TransferRequested(SUPPORT.name))
    scene.run(8000)
    assert len(scene.asked()) == 1 and scene.asked()[0]
    scene.respond(300)
    scene.run(2000)
    assert scene.all(do.TransferCall)


def test_a_call_of_an_earlier_version_answers_none() -> None:
    scene = Deaf(answers_unreported=False)
    assert not scene.awaits_voice
    scene.voice(2000)
    scene.feed(ev.CallerVoiced())
    scene.run(12_000)
    assert not scene.all(do.CreateResponse)
    scene.speak()
    scene.fall_silent()
    scene.answer(300)
    scene.run(1500)
    assert not scene.awaits_voice
