"""Barge-in while an external voice speaks: the model learns what was heard, to the word."""

from functools import partial
from random import Random

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call.timeline import ordered, replay
from tests.call.scene import agent
from tests.call.voice_scene import VoiceScene, Way

STORY = (
    "We are open from nine in the morning until ten at night, every day except Monday. "
    "The last order is taken at half past nine. "
    "Would you like to reserve a table for this evening, or shall I tell you about the menu first? "
    "Our cook comes from Naples, and so do most of the recipes."
)


def _at(way: Way, _: do.Synthesize) -> Way:
    return way


def replaced(scene: VoiceScene) -> list[str]:
    """The texts that replaced interrupted items, in order."""
    return [each.text for each in scene.all(do.AddMessage) if each.after]


def test_a_barge_in_replaces_the_item_by_the_text_that_was_heard() -> None:
    scene = VoiceScene()
    scene.connect()
    scene.write(STORY)
    scene.run(3000)
    scene.take()
    commands = scene.speak()

    clear, drop_or_add, *rest = [
        each for each in commands if not isinstance(each, do.DropSynthesis)
    ]
    assert isinstance(clear, do.ClearAudio)
    assert isinstance(drop_or_add, do.AddMessage)
    assert (drop_or_add.role, drop_or_add.after) == ("assistant", "item_1")
    assert [type(each) for each in rest] == [do.DeleteItem]
    assert STORY.startswith(drop_or_add.text)
    assert not scene.all(do.TruncateItem), "there is no audio to truncate"


def test_an_item_of_which_nothing_was_heard_is_deleted() -> None:
    scene = VoiceScene(way=lambda _: Way(delay_ms=400))
    scene.connect()
    scene.write(STORY)
    scene.run(100)
    scene.take()
    commands = scene.speak()

    assert [type(each) for each in commands] == [do.DropSynthesis, do.DeleteItem]
    assert [text for role, text in scene.heard() if role == "assistant"] == []


def test_an_item_that_was_heard_to_its_end_stays() -> None:
    scene = VoiceScene()
    scene.connect()
    scene.write("We are open until nine.")
    scene.run(10_000)
    scene.take()

    assert scene.speak() == []


@pytest.mark.parametrize("seed", range(4))
def test_the_replacement_is_what_was_heard_within_one_word(seed: int) -> None:
    random = Random(seed)
    for _ in range(25):
        jitter = random.uniform(0.75, 1.25)

        def tempo(
            word: str, jitter: float = jitter, random: Random = random
        ) -> tuple[float, float]:
            letters = sum(map(str.isalnum, word))
            pause = {",": 140.0, ".": 260.0, "?": 260.0}.get(word[-1:], 0.0)
            return (58.0 * letters * random.uniform(0.85, 1.15) + 30) * jitter, pause * jitter

        speed = random.choice([1.4, 3.0, 20.0])
        scene = VoiceScene(
            tempo=tempo,
            way=partial(_at, Way(delay_ms=60, speed=speed)),
            up_ms=random.uniform(5, 80),
            down_ms=random.uniform(5, 80),
            random=random,
        )
        scene.connect()
        scene.write(STORY)
        scene.run(random.uniform(300, 14_000))
        scene.speak()
        told = (replaced(scene) or [STORY if scene.heard()[0][0] == "assistant" else ""])[
            -1
        ].split()
        scene.run(500)  # the clear reaches Twilio
        heard = scene.heard_words()
        assert told == STORY.split()[: len(told)]
        assert heard == STORY.split()[: len(heard)]
        assert abs(len(told) - len(heard)) <= 1, (seed, told[-2:], heard[-2:])
        assert scene.heard()[0] in (("assistant", " ".join(told)), ("user", ""))


@pytest.mark.parametrize("seed", range(2))
def test_the_times_of_the_voice_make_the_replacement_exact(seed: int) -> None:
    """However long each word is."""
    random = Random(seed)
    off = []
    for _ in range(25):
        scene = VoiceScene(
            tempo=lambda word: (random.uniform(80, 900), random.choice([0, 0, 200])),
            way=partial(_at, Way(speed=random.choice([1.4, 20.0]), timed=True)),
            random=random,
        )
        scene.connect()
        scene.write(STORY)
        scene.run(random.uniform(300, 14_000))
        scene.speak()
        role, told = scene.heard()[0]
        told = told if role == "assistant" else ""
        scene.run(500)  # the clear reaches Twilio
        off.append(abs(len(told.split()) - len(scene.heard_words())))
    assert max(off) <= 1 and off.count(0) >= 22, off


def test_the_transcript_and_the_next_session_hold_the_same_text() -> None:
    scene = VoiceScene()
    scene.connect()
    scene.write(STORY)
    scene.run(4000)
    scene.speak()
    scene.feed(ev.ModelLost("gone"))
    scene.take()
    scene.configure()

    said = [text for role, text in scene.messages() if role == "assistant"]
    assert said[-1] == replaced(scene)[-1] == scene.heard()[0][1]


def test_a_key_interrupts_as_speech_does() -> None:
    scene = VoiceScene()
    scene.connect()
    scene.write(STORY)
    scene.run(3000)
    scene.press("4")

    assert len(replaced(scene)) == 1


def test_a_replacement_without_a_place_goes_to_the_end_of_the_conversation() -> None:
    scene = VoiceScene()
    scene.connect()
    scene.write(STORY)
    scene.run(3000)
    scene.speak()
    added = next(each for each in scene.all(do.AddMessage) if each.after)
    again = scene.feed(ev.ModelFaulted("item_not_found", "no such item", added.event_id))

    assert [
        (each.text, each.item_id, each.after) for each in again if isinstance(each, do.AddMessage)
    ] == [(added.text, added.item_id, "")]


def test_the_call_can_be_replayed_from_its_timeline() -> None:
    scene = VoiceScene(agent(greeting="Hello."), voices=("first", "second"))
    scene.connect()
    scene.write(STORY)
    scene.run(3000)
    scene.speak()
    scene.run(500)
    scene.fall_silent(text="No.")
    scene.write("Very well. Goodbye then!", "item_2", "resp_2")
    scene.run(9000)
    scene.feed(ev.StreamEnded("stop"))
    entries = scene.timeline.take()

    assert replay(lambda _: scene.agent, entries) == ordered(entries)


def test_a_new_session_gets_the_whole_text_that_a_voice_still_speaks() -> None:
    scene = VoiceScene()
    scene.connect()
    scene.write(STORY)
    scene.run(2000)
    scene.feed(ev.ModelLost("gone"))
    scene.take()
    scene.configure()

    told = [each for each in scene.all(do.AddMessage) if each.role == "assistant"]
    assert [each.text for each in told] == [STORY]
    scene.run(60_000)
    assert scene.heard_words() == STORY.split()


def test_a_barge_in_corrects_what_a_new_session_got() -> None:
    scene = VoiceScene()
    scene.connect()
    scene.write(STORY)
    scene.run(50)  # nothing was heard yet
    scene.feed(ev.ModelLost("gone"))
    scene.configure()
    told = [each for each in scene.all(do.AddMessage) if each.role == "assistant"][-1]
    scene.run(4000)
    scene.take()
    scene.speak("user_2")
    commands = scene.take()

    (added,) = [each for each in commands if isinstance(each, do.AddMessage)]
    assert added.after == told.item_id
    assert do.DeleteItem in [type(each) for each in commands]
    scene.run(500)
    assert abs(len(added.text.split()) - len(scene.heard_words())) <= 1


def test_a_session_lost_during_an_answer_stops_the_voice() -> None:
    """The next session continues the answer, and would repeat the rest."""
    scene = VoiceScene()
    scene.connect()
    scene.begin()
    scene.feed(ev.TextReceived("item_1", STORY[:200]))
    scene.run(1000)
    scene.feed(ev.ModelLost("gone"))
    asked = len(scene.said)
    scene.configure()
    told = [each.text for each in scene.all(do.AddMessage) if each.role == "assistant"][-1]
    scene.run(20_000)

    assert len(scene.said) == asked
    heard = scene.heard_words()
    assert abs(len(told.split()) - len(heard)) <= 1
    assert set(scene.asked()) == {""}, "the next session continues the answer"


def test_an_answer_that_was_complete_before_is_spoken_to_its_end() -> None:
    scene = VoiceScene()
    scene.connect()
    scene.write(STORY, "item_1", "resp_1")
    scene.begin("item_2", "resp_2")
    scene.feed(ev.TextReceived("item_2", "And then there is more. "))
    scene.run(1000)
    scene.feed(ev.ModelLost("gone"))
    scene.configure()
    scene.run(60_000)

    assert scene.heard_words() == STORY.split()
    assert not any("more" in each.command.text for each in scene.said)
    assert not scene.machine._audio.synthesizing, "nothing is still expected"
