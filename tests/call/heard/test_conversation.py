"""The turns in the order of the conversation, cut to what was heard."""

import pytest

from app.call import events as ev
from app.call.heard.conversation import SETTLED_BEFORE, Conversation, whole_words
from app.call.heard.ledger import PlaybackLedger
from app.call.words.utterance import Utterance
from tests.call.scene import Scene


@pytest.mark.parametrize(
    ("text", "share", "heard"),
    [
        ("one two three", 1.0, "one two three"),
        ("one two three", 1.2, "one two three"),
        ("one two three", 0.99, "one two"),
        ("one two three", 0.54, "one two"),  # exactly up to the gap
        ("one two three", 0.5, "one"),
        ("one two three", 0.1, ""),
        ("one two three", 0.0, ""),
        ("", 0.5, ""),
        ("您好欢迎致电本店", 0.5, "您好欢迎"),
        ("Donaudampfschiff", 0.5, "Donaudam"),
    ],
)
def test_a_text_is_cut_down_to_whole_words(text: str, share: float, heard: str) -> None:
    assert whole_words(text, int(len(text) * share)) == heard


def test_a_turn_has_its_place_by_what_came_before_it() -> None:
    conversation = Conversation()
    conversation.turn("user", "user_1", 0)
    conversation.turn("assistant", "item_1", 10)
    conversation.turn("assistant", "item_2", 20)
    conversation.turn("user", "user_2", 30)
    conversation.committed("user_2", "item_1", 40)
    conversation.committed("user_1", None, 50)
    assert [turn.item_id for turn in conversation] == ["user_1", "item_1", "user_2", "item_2"]
    assert len(conversation) == 4


def test_a_turn_that_follows_itself_or_an_unknown_item_stays_where_it_is() -> None:
    conversation = Conversation()
    for item_id in ("user_1", "user_2"):
        conversation.turn("user", item_id, 0)
    conversation.committed("user_1", "user_1", 0)
    conversation.committed("user_1", "unknown", 0)
    assert [turn.item_id for turn in conversation] == ["user_1", "user_2"]


def test_a_transcription_that_comes_after_the_response_is_placed_before_it() -> None:
    scene = Scene().connect()
    scene.speak()
    scene.fall_silent()
    scene.answer(500, text="At seven then.")
    scene.run(1000)
    scene.feed(ev.CallerTranscribed("user_1", " A table at seven. "))
    assert scene.heard() == [("user", "A table at seven."), ("assistant", "At seven then.")]


def test_words_of_a_turn_that_was_never_announced_are_kept() -> None:
    scene = Scene().connect()
    scene.feed(ev.CallerTranscribed("user_9", "Hello?"))
    assert scene.heard() == [("user", "Hello?")]


def test_the_final_text_replaces_its_pieces() -> None:
    scene = Scene().connect()
    scene.answer(500, text="Hel")
    scene.feed(ev.TranscriptReceived("item_1", "lo"), ev.TranscriptCompleted("item_1", "Hello! "))
    scene.run(1000)
    assert scene.heard() == [("assistant", "Hello!")]


def test_what_still_plays_is_heard_as_far_as_it_played() -> None:
    scene = Scene().connect()
    scene.answer(4000, text="one two three four")
    scene.run(2000)
    turn = scene.machine.transcript(scene.now_ms)[0]
    assert (turn.heard_text, turn.cut, turn.heard_ms) == ("one two", True, 2000)
    scene.run(5000)
    turn = scene.machine.transcript(scene.now_ms)[0]
    assert (turn.heard_text, turn.cut, turn.heard_ms) == ("one two three four", False, 4000)


@pytest.mark.parametrize(
    ("text", "heard"),
    [("483920 is your code.", ""), ("That makes 250 €, all in all.", "That makes")],
)
def test_digits_take_their_time_in_native_speech_too(text: str, heard: str) -> None:
    scene = Scene().connect()
    scene.answer(3200, text=text)
    scene.run(1600)
    assert scene.heard() == [("assistant", heard)]


def test_an_interrupted_turn_keeps_what_was_heard_whatever_comes_later() -> None:
    scene = Scene().connect()
    scene.begin()
    scene.feed(ev.TranscriptReceived("item_1", "one two three four five six seven"))
    scene.audio(2000)
    scene.run(1000)
    scene.speak()
    scene.audio(2000)  # deltas that were on their way: a half of the text is a quarter now
    scene.feed(ev.TranscriptCompleted("item_1", "one two three four five six seven eight"))
    scene.finish(status="cancelled")
    scene.run(5000)
    turn = scene.machine.transcript(scene.now_ms)[0]
    assert (turn.heard_text, turn.heard_ms, turn.generated_bytes) == ("one two", 1000, 32_000)


def test_a_turn_heard_to_its_end_long_ago_stays_heard() -> None:
    scene = Scene().connect()
    scene.answer(1000, text="Hello.")
    scene.run(3000)
    scene.answer(1000, "item_2", "resp_2", "Who is there?")
    scene.run(3000)
    scene.feed(ev.OutputItemDone("resp_1", "item_1", "message", "completed"))
    assert scene.heard() == [("assistant", "Hello."), ("assistant", "Who is there?")]


def test_a_turn_that_was_not_heard_is_left_out() -> None:
    scene = Scene().connect()
    scene.answer(5000, text="Hello.")
    scene.speak()
    assert scene.heard() == [("user", "")]


def test_the_end_of_the_call_cuts_what_still_played() -> None:
    scene = Scene().connect()
    scene.begin()
    scene.feed(ev.TranscriptReceived("item_1", "one two three four"))
    scene.audio(4000)
    scene.begin("item_2", "resp_2")
    scene.feed(ev.TranscriptReceived("item_2", "never spoken"))
    scene.run(2000)
    scene.feed(ev.StreamEnded("stop"))
    assert scene.heard() == [("assistant", "one two")]


def test_the_end_of_the_call_keeps_what_was_heard_of_an_unfinished_turn() -> None:
    scene = Scene().connect()
    scene.begin()
    scene.feed(ev.TranscriptReceived("item_1", "one two"))
    scene.audio(1000)
    scene.run(3000)
    scene.feed(ev.StreamEnded("stop"))
    assert scene.heard() == [("assistant", "one two")]


def test_every_change_worth_storing_is_counted() -> None:
    conversation = Conversation()
    before = conversation.revision
    conversation.turn("assistant", "item_1", 0)
    conversation.was_finished("item_1", 800)
    conversation.was_finished("item_1", 0)  # said twice: nothing new
    conversation.was_cut("unknown", 0, 0)
    conversation.tool_answered("call_1", "look_up", "42", 0)
    assert conversation.revision == before + 2
    assert conversation.find("item_1") is not None and conversation.find("unknown") is None
    assert [turn.role for turn in conversation.heard(PlaybackLedger(), 0)] == ["tool"]


def say_word_by_word(
    scene: Scene, words: list[tuple[str, int]], item_id: str, *, ahead: bool = False
) -> None:
    """An answer whose words come with their sound, or all before it. `words`: text and ms."""
    response_id = f"resp_{item_id}"
    scene.begin(item_id, response_id)
    if ahead:
        scene.feed(*(ev.TranscriptReceived(item_id, text) for text, _ in words))
    for text, ms in words:
        if not ahead:
            scene.feed(ev.TranscriptReceived(item_id, text))
        scene.audio(ms, item_id, response_id)
    text = "".join(text for text, _ in words)
    scene.feed(ev.TranscriptCompleted(item_id, text))
    scene.finish(item_id, response_id)


GREETING = [("Good ", 400), ("morning, ", 1200), ("how ", 300), ("are ", 250), ("you?", 550)]
ANSWER = [("A ", 100), ("strength ", 900), ("is ", 1500), ("I ", 1900), ("am.", 600)]


def test_text_in_step_with_its_audio_is_cut_at_the_very_word() -> None:
    scene = Scene().connect()
    say_word_by_word(scene, GREETING, "item_1")
    scene.run(5000)
    say_word_by_word(scene, ANSWER, "item_2")
    scene.run(2600)  # past "is", which is short to write and long to say
    scene.speak()
    assert scene.heard()[1] == ("assistant", "A strength is")


def test_a_word_that_was_heard_in_part_is_not_heard() -> None:
    scene = Scene().connect()
    say_word_by_word(scene, GREETING, "item_1")
    scene.run(5000)
    say_word_by_word(scene, ANSWER, "item_2")
    scene.run(2400)
    assert scene.heard()[1] == ("assistant", "A strength")


def test_text_that_runs_ahead_of_its_audio_says_nothing_about_where_it_sounds() -> None:
    scene = Scene().connect()
    say_word_by_word(scene, GREETING, "item_1", ahead=True)
    scene.run(5000)
    say_word_by_word(scene, ANSWER, "item_2")
    scene.run(2600)
    scene.speak()
    assert scene.heard()[1] == ("assistant", "A")  # by proportion: 9 of 19 characters


def test_one_item_whose_text_ran_ahead_is_proof_enough() -> None:
    scene = Scene().connect()
    say_word_by_word(scene, GREETING, "item_1")
    scene.run(5000)
    say_word_by_word(scene, GREETING, "item_2", ahead=True)
    scene.run(5000)
    say_word_by_word(scene, ANSWER, "item_3")
    scene.run(2600)
    scene.speak()
    assert scene.heard()[2] == ("assistant", "A")


def test_the_first_item_is_cut_by_proportion_for_nothing_is_known_yet() -> None:
    scene = Scene().connect()
    scene.begin()
    for text, ms in ANSWER:
        scene.feed(ev.TranscriptReceived("item_1", text))
        scene.audio(ms)
    scene.run(2600)
    scene.speak()
    assert scene.heard()[0] == ("assistant", "A")


def test_a_final_text_that_differs_is_cut_by_proportion() -> None:
    scene = Scene().connect()
    say_word_by_word(scene, GREETING, "item_1")
    scene.run(5000)
    say_word_by_word(scene, ANSWER, "item_2")
    scene.feed(ev.TranscriptCompleted("item_2", "A strength is what I am."))
    scene.run(2400)
    assert scene.heard()[1] == ("assistant", "A strength")


def test_a_short_greeting_proves_nothing() -> None:
    scene = Scene().connect()
    short = [("Hi, ", 200), ("how ", 100), ("can ", 100), ("I ", 100), ("help?", 300)]
    say_word_by_word(scene, short, "item_1")
    scene.run(5000)
    scene.begin("item_2", "resp_2")
    for text, ms in ANSWER:
        scene.feed(ev.TranscriptReceived("item_2", text))
        scene.audio(ms, "item_2", "resp_2")
    scene.run(2600)
    scene.speak()
    assert scene.heard()[1] == ("assistant", "A")


def test_of_an_answer_that_still_comes_no_more_is_claimed_than_its_share() -> None:
    scene = Scene().connect()
    say_word_by_word(scene, GREETING, "item_1")
    scene.run(5000)
    scene.begin("item_2", "resp_2")
    scene.audio(500, "item_2", "resp_2")
    text = "one two three four five six seven eight nine ten"
    scene.feed(ev.TranscriptReceived("item_2", text))  # far ahead of its sound, for once
    scene.audio(1500, "item_2", "resp_2")
    scene.run(450)
    scene.feed(ev.TranscriptReceived("item_2", " eleven"))
    scene.audio(100, "item_2", "resp_2")
    scene.run(150)
    scene.speak()
    assert len(scene.heard()[1][1]) <= len(text) * 600 / 2000


def test_text_that_comes_long_after_its_sound_is_not_in_step() -> None:
    scene = Scene().connect()
    scene.begin()
    scene.audio(3000)
    for word in ("late ", "words ", "come ", "one ", "by ", "one"):
        scene.feed(ev.TranscriptReceived("item_1", word))
        scene.audio(100)
    scene.finish()
    scene.run(5000)
    say_word_by_word(scene, ANSWER, "item_2")
    scene.run(2600)
    scene.speak()
    assert scene.heard()[1] == ("assistant", "A")


def test_an_empty_transcript_at_the_end_takes_back_no_word_that_was_heard() -> None:
    scene = Scene().connect()
    scene.answer(1000, text="We open at nine.")
    scene.run(2000)
    scene.feed(ev.TranscriptCompleted("item_1", " "))
    assert scene.heard() == [("assistant", "We open at nine.")]


def test_of_a_turn_long_ago_what_was_heard_is_kept_and_not_where_each_word_sounded() -> None:
    conversation = Conversation()
    for item_id in ("cut", "whole", "unfinished"):
        turn = conversation.turn("assistant", item_id, 0)
        for number in range(10):
            turn.append(f"word{number} ", number * 4000)
    conversation.was_finished("whole", 40_000)
    conversation.was_cut("cut", 18_000, 40_000)
    cut, whole, unfinished = conversation
    heard = cut.heard_text
    assert heard.startswith("word0 word1 word2") and "word8" not in heard
    for number in range(SETTLED_BEFORE + 3):
        conversation.turn("user", f"user_{number}", 0)
    assert (cut.heard_text, whole.heard_text) == (heard, whole.text)
    assert not cut.knots and not whole.knots and len(unfinished.knots) == 2 * 10


def test_an_external_voices_turn_long_ago_keeps_no_utterances() -> None:
    conversation = Conversation()
    turn = conversation.turn("assistant", "item_1", 0)
    turn.text = "One two three."
    turn.utterances = [Utterance("utterance_1", "item_1", turn.text, size_bytes=24_000)]
    turn.utterances[0].released_bytes, turn.utterances[0].complete = 24_000, True
    conversation.was_cut("item_1", 14_000, 24_000)
    heard = turn.heard_text
    assert heard and heard != turn.text
    for number in range(SETTLED_BEFORE + 1):
        conversation.turn("user", f"user_{number}", 0)
    assert turn.utterances == [] and turn.heard_text == heard
