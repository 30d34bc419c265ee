"""Silences: whoever hears nothing for longer than 4 s does so for one reason, which is reported
with its length; and something is heard within 8 s."""

from dataclasses import replace

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent, Limits
from tests.call.pause_scene import pausing
from tests.call.scene import AGENT, BYTES_PER_MS, Scene, agent
from tests.call.silence_scene import (
    LONGEST_WAIT_MS,
    Measured,
    asking,
    connected,
    longest_ms,
    silences,
)
from tests.call.transfer_scene import SUPPORT
from tests.call.voice_scene import VoiceScene, Way

IDLE = agent(limits=replace(AGENT.limits, idle_ms=15_000))


def quiet(ms: int, item_id: str = "item_1", response_id: str = "resp_1") -> list[ev.Event]:
    """So much digital silence, in deltas of 100 ms."""
    delta = ev.AudioReceived(response_id, item_id, "", 100 * BYTES_PER_MS, quiet=True)
    return [delta] * (ms // 100)


# --- each cause -----------------------------------------------------------------------------------


def test_a_caller_who_is_idle_is_the_cause_of_the_silence() -> None:
    scene = connected(Scene())
    scene.speak()
    scene.fall_silent()
    scene.answer(500)
    scene.run(6500)
    scene.speak("user_2")
    assert silences(scene) == [("caller", pytest.approx(6000, abs=60))]


def test_a_pause_of_a_conversation_is_no_silence() -> None:
    scene = asking(Scene())
    scene.run(1000)
    scene.answer(500)
    scene.run(4000)
    scene.speak("user_2")
    scene.run(30_000)
    assert silences(scene) == []


def test_a_model_that_does_not_react_is_the_cause() -> None:
    scene = asking(Scene())
    asked_ms = scene.now_ms
    scene.run(12_000)
    assert silences(scene) == [("model", pytest.approx(5800, abs=100))]
    assert longest_ms(scene, asked_ms) <= LONGEST_WAIT_MS


def test_a_session_that_cannot_be_opened_is_the_models_silence() -> None:
    scene = asking(Scene())
    scene.feed(ev.ModelLost("it closed"))
    asked_ms = scene.now_ms
    scene.run(15_000)
    assert {cause for cause, _ in silences(scene)} == {"model"}
    assert longest_ms(scene, asked_ms) <= LONGEST_WAIT_MS


def test_a_tool_that_hangs_is_the_cause() -> None:
    scene = asking(Scene())
    scene.tool_response("call_1")
    asked_ms = scene.now_ms
    scene.run(14_000)
    assert {cause for cause, _ in silences(scene)} == {"tool"}
    assert longest_ms(scene, asked_ms) <= LONGEST_WAIT_MS


def test_a_voice_that_sends_nothing_is_the_cause() -> None:
    scene = VoiceScene(AGENT, voices=("first", "second"), way=lambda _: Way(delay_ms=1e9))
    asking(scene)
    scene.write("It is Friday.")
    asked_ms = scene.now_ms
    scene.run(8000)
    assert silences(scene) == [("voice", pytest.approx(5800, abs=100))]
    assert longest_ms(scene, asked_ms) <= LONGEST_WAIT_MS


def test_a_stream_that_takes_nothing_is_the_networks_silence() -> None:
    scene = asking(Scene())
    scene.feed(ev.StreamBlocked())
    scene.answer(800)
    scene.run(6000)
    scene.feed(ev.StreamUnblocked())
    assert silences(scene) == [("network", 6000)]


def test_audio_whose_marks_do_not_come_back_is_the_networks_silence() -> None:
    scene = asking(Scene())
    scene.line.echoes = False
    scene.answer(3000)
    scene.run(9000)
    scene.speak("user_2")
    ((cause, length_ms),) = silences(scene)
    assert cause == "network" and length_ms == pytest.approx(6000, abs=100)


def test_a_short_answer_whose_mark_does_not_come_back_is_the_networks_silence() -> None:
    scene = asking(Scene())
    scene.answer(800)
    scene.run(200)
    scene.line.echoes = False
    scene.run(6800)
    scene.speak("user_2")
    assert silences(scene) == [("network", pytest.approx(6200, abs=60))]


def test_a_line_that_never_echoes_marks_does_not_hide_the_cause() -> None:
    scene = Scene()
    scene.line.echoes = False
    asking(scene).run(12_000)
    assert {cause for cause, _ in silences(scene)} == {"model"}


def test_a_redirect_that_is_not_accepted_is_the_cause() -> None:
    scene = connected(Scene(agent(destinations=(SUPPORT,))))
    scene.feed(ev.TransferRequested(SUPPORT.name))
    scene.respond(500)
    scene.run(6500)
    assert scene.all(do.TransferCall)
    scene.feed(ev.CallRedirected(), ev.StreamEnded("stop"))
    assert silences(scene) == [("redirect", pytest.approx(6000, abs=100))]


# --- audio without loudness -----------------------------------------------------------------------


def test_digital_silence_is_no_answer_and_the_caller_hears_something() -> None:
    scene = asking(Scene(agent(limits=replace(AGENT.limits, first_sound_ms=4500))))
    scene.begin()
    asked_ms = scene.now_ms
    for _ in range(60):
        scene.feed(*quiet(100))
        scene.run(100)
    assert silences(scene) == [("quiet_audio", 4500)]
    assert longest_ms(scene, asked_ms) <= LONGEST_WAIT_MS
    assert len(scene.all(do.CreateResponse)) == 1, "the answer is requested again"
    assert all(item_id == "" for item_id in scene.line.item_ids), "no byte of it was played"


def test_an_answer_of_nothing_but_digital_silence_is_requested_again_at_once() -> None:
    scene = asking(Scene())
    scene.begin()
    scene.feed(*quiet(2000))
    scene.finish()
    assert scene.all(do.CreateResponse)
    assert do.DeleteItem(scene.all(do.DeleteItem)[0].event_id, "item_1") in scene.take()


def test_without_any_sound_the_model_is_given_up() -> None:
    scene = asking(Scene())
    for number in range(3):
        scene.begin(f"item_{number}", f"resp_{number}")
        scene.feed(*quiet(500, f"item_{number}", f"resp_{number}"))
        scene.finish(f"item_{number}", f"resp_{number}")
        scene.run(500)
    assert scene.machine.without_model


def test_an_answer_that_goes_on_as_digital_silence_stalls() -> None:
    scene = asking(Scene())
    scene.begin()
    scene.audio(1000)
    spoken_ms = scene.now_ms
    for _ in range(50):
        scene.feed(*quiet(100))
        scene.run(100)
    assert do.ReportDecision("replace the session", "the answer stopped coming") in scene.decisions
    scene.run(3000)
    assert longest_ms(scene, spoken_ms) <= LONGEST_WAIT_MS
    assert silences(scene) == [("quiet_audio", pytest.approx(6300, abs=200))]


def test_a_pause_within_an_answer_is_played() -> None:
    scene = asking(Scene())
    scene.begin()
    scene.audio(300)
    scene.feed(*quiet(500))
    scene.audio(300)
    scene.finish()
    scene.run(3000)
    assert scene.line.heard_bytes("item_1", scene.now_ms) == 1100 * BYTES_PER_MS


def test_the_digital_silence_at_the_end_of_an_answer_is_a_part_of_the_silence() -> None:
    scene = asking(Scene())
    scene.begin()
    scene.audio(1000)
    scene.feed(*quiet(400))
    scene.finish()
    scene.run(6000)
    scene.speak("user_2")
    assert silences(scene) == [("caller", pytest.approx(5000, abs=60))]


def test_the_pause_at_the_end_of_a_voices_sentence_is_a_part_of_the_silence() -> None:
    scene = VoiceScene(AGENT)
    asking(scene)
    scene.write("It is Friday.")
    scene.run(8000)
    scene.speak("user_2")
    *_, (_, played_until_ms) = scene.line.clock.spans(scene.now_ms)
    silent_ms = scene.now_ms - played_until_ms
    assert silences(scene) == [("caller", pytest.approx(silent_ms + 200, abs=60))]


def test_the_end_of_another_response_does_not_change_where_an_answer_is_truncated() -> None:
    scene = asking(Scene())
    scene.begin()
    scene.audio(300)
    scene.feed(*quiet(2000), ev.ResponseDone("resp_before", "cancelled"))
    scene.audio(2000)
    scene.run(1500)
    scene.speak("user_2")
    (cut,) = scene.all(do.TruncateItem)
    played_ms = scene.line.heard_bytes("item_1", scene.now_ms + 60) / BYTES_PER_MS
    assert cut.audio_end_ms == pytest.approx(played_ms + 1500, abs=80)


def test_a_truncation_counts_the_digital_silence_that_was_not_played() -> None:
    scene = asking(Scene())
    scene.begin()
    scene.feed(*quiet(3000))
    scene.audio(2000)
    scene.run(1000)
    scene.speak("user_2")
    (cut,) = scene.all(do.TruncateItem)
    played_ms = scene.line.heard_bytes("item_1", scene.now_ms + 60) / BYTES_PER_MS
    assert cut.audio_end_ms == pytest.approx(played_ms + 2500, abs=80)


def test_a_voice_that_sends_digital_silence_is_replaced() -> None:
    scene = VoiceScene(AGENT, voices=("first", "second"), way=lambda said: _quiet_first(said))
    asking(scene)
    scene.write("It is Friday.")
    scene.run(1000)
    scene.feed(ev.VoiceQuieted("utterance_1"))
    scene.run(8000)
    assert scene.asked_of(1) == ["It is Friday."]
    assert silences(scene) == [("quiet_audio", pytest.approx(6000, abs=200))]


def _quiet_first(said: do.Synthesize) -> Way:
    return Way(delay_ms=40.0 if said.voice else 1e9)


# --- the caller's frames --------------------------------------------------------------------------


def test_a_silence_begins_with_the_end_of_the_callers_voice() -> None:
    scene = connected(Measured())
    scene.speak()
    scene.voice(1000)
    scene.run(700)
    scene.fall_silent()
    scene.run(3500)
    scene.answer(500)
    scene.run(1000)
    assert silences(scene) == [("model", pytest.approx(4200, abs=5))]


def test_a_silence_after_keys_begins_when_they_are_read() -> None:
    scene = connected(Measured(agent(limits=replace(AGENT.limits, first_sound_ms=6000))))
    scene.press("4071", gap_ms=1500)
    scene.run(6500)
    scene.respond(500)
    assert silences(scene) == [("model", pytest.approx(4500, abs=5))]


def test_the_words_that_end_a_pause_do_not_shorten_the_silence_before_them() -> None:
    scene = connected(Measured(pausing()))
    scene.begin()
    scene.audio(9000)
    scene.run(1000)
    scene.speak("user_2")
    scene.voice(300)
    scene.run(500)
    scene.fall_silent("user_2")
    scene.run(700)
    scene.feed(ev.CallerTranscribed("user_2", "Wait, no."))
    scene.feed(ev.ResponseDone("resp_1", "cancelled"))
    scene.run(3500)
    scene.respond(500)
    assert silences(scene) == [("model", pytest.approx(4700, abs=5))]


def test_a_model_that_never_reports_the_end_of_speech_does_not_leave_the_caller_in_silence() -> (
    None
):
    scene = connected(Measured())
    scene.speak()
    scene.voice(2000)
    spoken_ms = scene.now_ms
    scene.run(20_000)
    assert longest_ms(scene, spoken_ms) <= LONGEST_WAIT_MS
    assert {cause for cause, _ in silences(scene)} == {"model"}
    assert silences(scene)[0] == ("model", pytest.approx(7500, abs=5))


def test_a_caller_who_goes_on_after_a_long_pause_is_not_talked_over() -> None:
    scene = connected(Measured())
    scene.speak()
    for _ in range(5):
        scene.voice(3000)
        scene.run(5000)
    assert not scene.all(do.CreateResponse) and not scene.all(do.PlayAudio)
    scene.voice(30_000)
    assert not scene.all(do.CreateResponse) and not scene.all(do.PlayAudio)


def test_a_caller_too_soft_to_be_measured_is_not_talked_over() -> None:
    scene = connected(Measured())
    scene.run(5000)
    scene.speak()
    scene.run(30_000)
    assert not scene.all(do.CreateResponse) and not scene.all(do.PlayAudio)


def test_a_cough_that_turn_detection_does_not_end_gets_no_answer() -> None:
    scene = connected(Measured(pausing()))
    scene.begin()
    scene.audio(9000)
    scene.finish()
    scene.run(1000)
    scene.speak("user_2")
    scene.voice(200)
    scene.feed(ev.CallerQuieted())
    scene.run(6000)
    scene.feed(ev.SpeechStopped("user_2", 0), ev.CallerTurnCommitted("user_2", None))
    scene.run(2000)
    assert [each.verdict for each in scene.all(do.ReportInterruption)] == ["false"]
    assert not scene.all(do.CreateResponse)


# --- what is reported -----------------------------------------------------------------------------


def test_a_silence_with_two_reasons_has_the_longer_one() -> None:
    scene = asking(Scene())
    scene.run(1000)
    scene.tool_response("call_1")
    scene.run(4000)
    scene.feed(ev.ToolReturned("call_1", "Friday"))
    scene.run(500)
    scene.respond(300)
    assert silences(scene) == [("tool", pytest.approx(5500, abs=60))]


def test_a_silence_at_the_end_of_the_leg_is_reported_before_it_ends() -> None:
    scene = asking(Scene())
    scene.answer(200)
    scene.run(6000)
    scene.feed(ev.StreamEnded("stop"))
    *_, last = scene.commands
    assert silences(scene) == [("caller", pytest.approx(5800, abs=60))]
    assert isinstance(last[1], do.EndLeg)


def test_the_hold_tone_ends_a_silence() -> None:
    scene = asking(Scene())
    scene.tool_response("call_1")
    scene.run(13_900)
    assert [cause for cause, _ in silences(scene)] == ["tool"]


def test_a_caller_who_speaks_is_not_waiting() -> None:
    scene = connected(Scene(IDLE))
    scene.speak()
    scene.run(20_000)
    scene.fall_silent()
    scene.answer(300)
    assert silences(scene) == []


@pytest.mark.parametrize("speaker", [AGENT, agent(limits=Limits(idle_ms=5000))])
def test_a_call_of_an_earlier_version_reports_none(speaker: Agent) -> None:
    scene = Scene(speaker).connect()
    scene.run(20_000)
    assert silences(scene) == []
