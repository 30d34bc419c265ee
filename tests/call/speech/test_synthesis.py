"""An external voice speaks for the agent: sentence by sentence, and only a little ahead."""

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Limits
from tests.call.scene import BYTES_PER_MS, agent
from tests.call.voice_scene import VoiceScene, Way

TWO = "We are open until nine tonight. Shall I book a table for you?"


def test_with_an_external_voice_the_session_produces_text() -> None:
    scene = VoiceScene()
    scene.feed(ev.LegOpened())
    scene.configure()

    assert [each.speaks for each in scene.all(do.ConfigureSession)] == [False]


def test_without_an_external_voice_the_session_produces_audio() -> None:
    scene = VoiceScene(voices=())
    scene.feed(ev.LegOpened())
    scene.configure()

    assert [each.speaks for each in scene.all(do.ConfigureSession)] == [True]


def test_a_sentence_is_requested_with_the_delta_that_completes_it() -> None:
    scene = VoiceScene()
    scene.connect()
    scene.begin()
    assert not scene.feed(ev.TextReceived("item_1", "We are open until nine"))
    ordered = scene.feed(ev.TextReceived("item_1", " tonight. "))

    assert [each.text for each in scene.all(do.Synthesize)] == ["We are open until nine tonight."]
    assert isinstance(ordered[0], do.Synthesize)


def test_a_sentence_that_may_continue_is_requested_when_it_does_not() -> None:
    scene = VoiceScene()
    scene.connect()
    scene.begin()
    scene.feed(ev.TextReceived("item_1", "We are open."))
    assert not scene.all(do.Synthesize)
    scene.run(10)

    assert [each.text for each in scene.all(do.Synthesize)] == ["We are open."]


def test_the_whole_answer_is_heard_in_order_and_stored() -> None:
    scene = VoiceScene()
    scene.connect()
    scene.write(TWO)
    scene.run(20_000)

    assert scene.heard_words() == TWO.split()
    assert scene.heard() == [("assistant", TWO)]


def test_markdown_and_emoji_reach_no_voice() -> None:
    scene = VoiceScene()
    scene.connect()
    scene.write("**Great** choice 🍕! See [our menu](https://example.com/menu).")
    scene.run(20_000)

    assert scene.asked_of(0) == ["Great choice!", "See our menu."]
    assert scene.heard() == [("assistant", "Great choice! See our menu.")]


def test_the_next_sentence_is_synthesized_while_one_plays_but_not_all_of_them() -> None:
    text = " ".join(f"This is sentence number {n} of a rather long answer." for n in range(9))
    scene = VoiceScene()
    scene.connect()
    scene.write(text)
    scene.run(1000)

    assert 2 <= len(scene.said) <= 3
    scene.run(60_000)
    assert scene.heard_words() == text.split()
    first_ms = scene.when(do.PlayAudio)[0]
    silences = scene.line.silences_ms(first_ms + scene.line.up_ms, first_ms + 20_000)
    assert max(silences) == 0, "no gap between two sentences"


def test_the_greeting_is_synthesized_before_the_caller_is_connected() -> None:
    scene = VoiceScene(agent(greeting="Good morning."))
    scene.feed(ev.LegOpened())
    scene.configure()
    scene.write("Good morning. What can I do for you?", "greeting", "resp_greeting")
    scene.run(500)
    scene.feed(ev.StreamStarted("MZ1"))

    assert scene.when(do.PlayAudio)[0] == scene.now_ms
    scene.run(10_000)
    assert scene.heard_words() == "Good morning. What can I do for you?".split()


def test_an_item_is_complete_when_its_last_sentence_is() -> None:
    """Until then the caller gets no nudge, and no goodbye counts as heard."""
    scene = VoiceScene(
        agent(limits=Limits(idle_ms=3000, longest_call_ms=0)), way=lambda _: Way(delay_ms=3500)
    )
    scene.connect()
    scene.write(TWO)
    scene.run(3400)
    assert not scene.asked(), "no nudge before the caller heard anything"
    spoken_ms = (len(scene.said[0].sound) + 0) / BYTES_PER_MS
    scene.run(spoken_ms)
    assert not scene.asked()


def test_the_caller_hears_the_hold_tone_while_a_voice_is_slow() -> None:
    scene = VoiceScene(way=lambda _: Way(delay_ms=9000))
    scene.connect()
    scene.write("One moment. I look it up.")
    scene.run(8000)

    assert [each.item_id for each in scene.all(do.PlayAudio)] == [""], "the hold tone"


def test_a_goodbye_is_heard_to_its_end_before_the_call_is_hung_up() -> None:
    scene = VoiceScene()
    scene.connect()
    scene.begin()
    scene.feed(
        ev.TextReceived("item_1", "Thank you for calling. Have a very nice day, and goodbye!")
    )
    scene.feed(ev.OutputItemDone("resp_1", "item_1", "message", "completed"))
    scene.call_tool("call_1", "end_call")
    scene.feed(ev.ResponseDone("resp_1", "completed"))
    scene.run(20_000)

    assert scene.heard_words(scene.when(do.HangUp)[0])[-1] == "goodbye!"


@pytest.mark.parametrize("interruptible", [True, False])
def test_a_cancelled_response_is_not_spoken_any_further(interruptible: bool) -> None:
    scene = VoiceScene(agent(interruptible=interruptible))
    scene.connect()
    scene.begin()
    scene.feed(ev.TextReceived("item_1", "Let me tell you. "))
    scene.run(300)
    scene.speak()
    scene.feed(ev.TextReceived("item_1", "It all began a while ago. "))
    scene.finish(status="cancelled")
    scene.run(10_000)

    asked = (
        ["Let me tell you."] if interruptible else ["Let me tell you.", "It all began a while ago."]
    )
    assert scene.asked_of(0) == asked


def test_an_answer_is_spoken_after_the_one_before_it() -> None:
    scene = VoiceScene()
    scene.connect()
    scene.write("Let me look.", "item_1", "resp_1")
    scene.write("We have a table at eight.", "item_2", "resp_2")
    scene.run(10_000)

    assert scene.heard_words() == "Let me look. We have a table at eight.".split()
    assert [text for _, text in scene.heard()] == ["Let me look.", "We have a table at eight."]


def test_a_complete_text_of_a_lost_session_is_spoken_to_its_end() -> None:
    scene = VoiceScene()
    scene.connect()
    scene.write(TWO)
    scene.feed(ev.ModelLost("gone"))
    scene.run(10_000)

    assert scene.heard_words() == TWO.split()


def test_late_audio_of_a_dropped_utterance_is_ignored() -> None:
    scene = VoiceScene()
    scene.connect()
    scene.write(TWO)
    scene.run(200)
    dropped = scene.said[0].command.utterance_id
    scene.speak()
    before = len(scene.all(do.PlayAudio))
    scene.feed(ev.VoiceReceived(dropped, "AAAA", 3), ev.VoiceFinished(dropped))
    scene.feed(ev.VoiceFailed(dropped, "late"))

    assert len(scene.all(do.PlayAudio)) == before
