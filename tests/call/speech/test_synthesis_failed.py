"""A voice fails: a retry, another voice, at last the model's own; each word is heard once."""

from random import Random

import pytest

from app.call import commands as do
from app.call import events as ev
from tests.call.scene import BYTES_PER_MS
from tests.call.voice_scene import VoiceScene, Way

STORY = (
    "We are open from nine in the morning until ten at night, every day except Monday. "
    "Would you like to reserve a table for this evening?"
)


def test_a_voice_that_fails_before_its_first_sound_is_retried_once() -> None:
    ways = iter([Way(fails="passing")])
    scene = VoiceScene(voices=("first", "second"), way=lambda _: next(ways, Way()))
    scene.connect()
    scene.write(STORY)
    scene.run(20_000)

    assert [each.command.voice for each in scene.said] == [0, 0, 0, 0]
    assert scene.heard_words() == STORY.split()


def test_then_the_other_voice_speaks_the_same_sentence_and_the_next_ones() -> None:
    def way(command: do.Synthesize) -> Way:
        return Way(fails="passing") if command.voice == 0 else Way()

    scene = VoiceScene(voices=("first", "second"), way=way)
    scene.connect()
    scene.write(STORY)
    scene.run(20_000)

    assert [each.command.voice for each in scene.said] == [0, 0, 1, 1, 1]
    assert scene.heard_words() == STORY.split()


def test_a_voice_that_failed_is_used_again_after_a_minute() -> None:
    broken = True

    def way(command: do.Synthesize) -> Way:
        return Way(fails="passing") if command.voice == 0 and broken else Way()

    scene = VoiceScene(voices=("first", "second"), way=way)
    scene.connect()
    scene.write("Good morning.")
    scene.run(61_000)
    broken = False
    scene.write("Still there?", "item_2", "resp_2")
    scene.run(5000)

    assert [each.command.voice for each in scene.said] == [0, 0, 1, 0]


def test_a_voice_with_wrong_credentials_is_not_used_again() -> None:
    def way(command: do.Synthesize) -> Way:
        return Way(fails="fatal") if command.voice == 0 else Way()

    scene = VoiceScene(voices=("first", "second"), way=way)
    scene.connect()
    scene.write("Good morning.")
    scene.run(600_000)
    scene.write("Still there?", "item_2", "resp_2")
    scene.run(5000)

    assert [each.command.voice for each in scene.said] == [0, 1, 1]


@pytest.mark.parametrize("seed", range(5))
def test_after_a_failure_in_mid_sentence_the_other_voice_continues(seed: int) -> None:
    random = Random(seed)
    for number in range(10):
        after_bytes = int(random.uniform(100, 5200) * BYTES_PER_MS)
        speed = random.choice([1.3, 4.0, 20.0])

        def way(command: do.Synthesize, cut: int = after_bytes, speed: float = speed) -> Way:
            broken = command.voice == 0 and command.utterance_id == "utterance_2"
            return Way(fails="passing", after_bytes=cut, speed=speed) if broken else Way()

        scene = VoiceScene(voices=("first", "second"), way=way, random=random)
        scene.connect()
        scene.write("Good evening, this is the Trattoria. " + STORY)
        scene.run(30_000)

        whole = ("Good evening, this is the Trattoria. " + STORY).split()
        assert scene.heard_words() == whole, (seed, number, after_bytes)
        assert scene.heard() == [("assistant", " ".join(whole))]


def test_a_failure_in_the_very_first_sentence_is_continued_too() -> None:
    """The rate of this voice is not known yet."""
    for after_ms in range(200, 5000, 240):

        def way(command: do.Synthesize, cut: int = after_ms * BYTES_PER_MS) -> Way:
            return Way(fails="passing", after_bytes=cut) if command.voice == 0 else Way()

        scene = VoiceScene(voices=("first", "second"), way=way)
        scene.connect()
        scene.write(STORY)
        scene.run(30_000)

        assert scene.heard_words() == STORY.split(), after_ms


def test_the_record_names_both_voices_though_one_label_begins_with_the_other() -> None:
    def way(command: do.Synthesize) -> Way:
        broken = command.voice == 0 and command.utterance_id == "utterance_2"
        return Way(fails="passing", after_bytes=8000) if broken else Way()

    labels = ("volcengine/BV001_streaming", "volcengine/BV001")
    scene = VoiceScene(voices=labels, way=way)
    scene.connect()
    scene.write(STORY)
    scene.run(30_000)

    (turn,) = [each for each in scene.machine.conversation if each.role == "assistant"]
    assert turn.detail["voice"] == ", ".join(labels)


def test_without_another_voice_the_same_one_continues() -> None:
    ways = iter([Way(fails="passing", after_bytes=1500 * BYTES_PER_MS)])
    scene = VoiceScene(way=lambda _: next(ways, Way()))
    scene.connect()
    scene.write(STORY)
    scene.run(30_000)

    assert scene.heard_words() == STORY.split()


def test_when_all_voices_fail_the_model_speaks_the_rest() -> None:
    ways = iter([Way(), Way(fails="fatal")])
    scene = VoiceScene(way=lambda _: next(ways))
    scene.connect()
    scene.write("Good evening. Our kitchen closes at ten. Shall I book a table?")
    scene.run(4000)

    assert scene.heard_words() == ["Good", "evening."]
    assert [each.speaks for each in scene.all(do.ConfigureSession)] == [False, True]
    (added,) = [each for each in scene.all(do.AddMessage) if each.after]
    assert added.text == "Good evening.", "the model knows what was heard"
    (asked,) = scene.asked()
    assert asked.endswith(": Our kitchen closes at ten. Shall I book a table?")
    order = [type(command) for _, command in scene.commands]
    assert order.index(do.ConfigureSession, order.index(do.Synthesize)) < order.index(
        do.CreateResponse
    )


def test_from_then_on_the_model_speaks() -> None:
    scene = VoiceScene(way=lambda _: Way(fails="fatal"))
    scene.connect()
    scene.write("Good evening. How are you?")
    scene.run(1000)
    scene.answer(2000, "item_rest", "resp_rest", text="Good evening. How are you?")
    scene.run(3000)
    scene.feed(ev.ModelLost("gone"))
    scene.configure()

    assert scene.heard() == [("assistant", "Good evening. How are you?")]
    assert [each.speaks for each in scene.all(do.ConfigureSession)] == [False, True, True]


def test_a_session_that_refuses_to_speak_is_replaced_by_one_that_does() -> None:
    scene = VoiceScene(way=lambda _: Way(fails="fatal"))
    scene.connect()
    scene.write("Good evening. How are you?")
    scene.run(1000)
    refused = scene.all(do.ConfigureSession)[-1]
    scene.take()
    scene.feed(ev.ModelFaulted("invalid_value", "no audio here", refused.event_id))
    scene.run(200)
    assert [type(command) for command in scene.take()] == [do.CloseModel, do.OpenModel]
    assert scene.decisions[-1].reason == "it refused the settings"
    scene.configure()
    assert [each.speaks for each in scene.all(do.ConfigureSession)] == [False, True, True]
    assert scene.asked()[-1].endswith(": Good evening. How are you?")
    scene.answer(2000, "item_rest", "resp_rest", text="Good evening. How are you?")
    scene.run(3000)
    assert scene.heard() == [("assistant", "Good evening. How are you?")]


@pytest.mark.parametrize("taken", [1, 2])
def test_each_of_two_settings_has_an_answer_of_its_own(taken: int) -> None:
    scene = VoiceScene(way=lambda _: Way(fails="fatal"))
    scene.feed(ev.LegOpened(), ev.StreamStarted("MZ1"), ev.ModelOpened())
    scene.write("Good evening.")  # before the first settings are taken
    scene.run(100)
    first, second = scene.all(do.ConfigureSession)
    scene.feed(*[ev.SessionConfigured()] * taken)
    scene.take()
    refused = (second, first)[taken - 1]  # an answered one is not refused any more
    scene.feed(ev.ModelFaulted("invalid_value", "no", refused.event_id))
    assert (do.CloseModel() in scene.take()) == (taken == 1)


def test_text_that_arrives_after_the_voices_failed_is_spoken_as_well() -> None:
    scene = VoiceScene(way=lambda _: Way(fails="fatal"))
    scene.connect()
    scene.begin()
    scene.feed(ev.TextReceived("item_1", "Our kitchen closes at ten. "))
    scene.run(1000)
    scene.feed(ev.TextReceived("item_1", "Shall I book a table?"))
    scene.finish()
    scene.run(100)

    (asked,) = scene.asked()
    assert asked.endswith(": Our kitchen closes at ten. Shall I book a table?")


def test_a_model_that_only_writes_is_given_up_after_three_tries() -> None:
    scene = VoiceScene(way=lambda _: Way(fails="fatal"))
    scene.connect()
    for number in range(9):
        scene.write("Good evening.", f"item_{number}", f"resp_{number}")
        scene.run(100)

    assert len(scene.asked()) <= 3


def test_a_barge_in_drops_the_rest_that_the_model_was_to_speak() -> None:
    scene = VoiceScene(way=lambda _: Way(fails="fatal"))
    scene.connect()
    scene.speak()
    scene.fall_silent()
    scene.speak()
    scene.write("Good evening. How are you?")  # asked for before, cancelled after
    scene.run(1000)
    scene.fall_silent(text="Hello?")
    scene.run(100)

    assert not any("Good evening" in each for each in scene.asked())


def test_a_text_that_every_voice_refuses_is_left_out_and_the_model_knows() -> None:
    def way(command: do.Synthesize) -> Way:
        return Way(fails="text") if "Xyzzy" in command.text else Way()

    scene = VoiceScene(voices=("first", "second"), way=way)
    scene.connect()
    scene.write("Good evening. Xyzzy. How are you?")
    scene.run(10_000)

    assert scene.heard_words() == "Good evening. How are you?".split()
    assert [each.command.voice for each in scene.said] == [0, 0, 1, 0]
    (added,) = [each for each in scene.all(do.AddMessage) if each.after]
    assert added.text == "Good evening. How are you?"


def test_a_barge_in_on_the_second_voice_keeps_the_words_of_both() -> None:
    def way(command: do.Synthesize) -> Way:
        if command.voice == 0:
            return Way(fails="passing", after_bytes=2000 * BYTES_PER_MS)
        return Way()

    scene = VoiceScene(voices=("first", "second"), way=way)
    scene.connect()
    scene.write(STORY)
    scene.run(4000)
    scene.speak()
    scene.run(300)

    told = [each.text for each in scene.all(do.AddMessage) if each.after][-1].split()
    assert told == STORY.split()[: len(told)]
    assert abs(len(told) - len(scene.heard_words())) <= 1


def test_a_voice_that_missed_a_deadline_is_not_retried() -> None:
    def way(command: do.Synthesize) -> Way:
        return Way(delay_ms=3000, fails="late") if command.voice == 0 else Way()

    scene = VoiceScene(voices=("first", "second"), way=way)
    scene.connect()
    scene.write(STORY)
    scene.run(4000)

    assert [each.command.voice for each in scene.said][:2] == [0, 1]
    assert scene.heard_words()


def test_a_voice_that_was_silent_when_the_caller_spoke_is_not_used_next() -> None:
    def way(command: do.Synthesize) -> Way:
        return Way(delay_ms=3000, fails="late") if command.voice == 0 else Way()

    scene = VoiceScene(voices=("first", "second"), way=way)
    scene.connect()
    scene.write(STORY)
    scene.run(2000)
    scene.speak()
    scene.run(500)
    scene.fall_silent(text="Hello?")
    scene.write("I am here.", "item_2", "resp_2")
    scene.run(3000)

    assert [each.command.voice for each in scene.said] == [0, 1]
    assert scene.heard_words() == ["I", "am", "here."]


def test_the_record_names_the_voices_that_spoke() -> None:
    def way(command: do.Synthesize) -> Way:
        if command.voice == 0 and "Monday" in command.text:
            return Way(fails="fatal")
        return Way()

    scene = VoiceScene(voices=("first", "second"), way=way)
    scene.connect()
    scene.write("Good evening to you all. We are closed on Monday.")
    scene.run(20_000)
    (turn,) = scene.machine.transcript(scene.now_ms)

    assert turn.detail == {"voice": "first, second"}


@pytest.mark.parametrize("text", ["Good evening.", "Good evening. How are you? Are you there?"])
def test_voices_that_refuse_every_text_are_given_up(text: str) -> None:
    """Otherwise the caller would hear nothing, and no failure would show."""
    scene = VoiceScene(voices=("first", "second"), way=lambda _: Way(fails="text"))
    scene.connect()
    scene.write(text)
    scene.run(2000)

    (asked,) = scene.asked()
    assert asked.endswith(f": {text}")
    assert [each.speaks for each in scene.all(do.ConfigureSession)] == [False, True]
