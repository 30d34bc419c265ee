"""A response without audible sound is no answer: it is retried, then the caller gets help."""

from collections.abc import Callable

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call.agent import Agent, Limits
from tests.call.model_scene import (
    EMPTY_NATIVE,
    EMPTY_VOICED,
    SILENT,
    SPOKEN,
    STALLING,
    UNANNOUNCED,
    WRITTEN,
    Form,
    ModelScene,
)
from tests.call.scene import agent
from tests.call.transfer_scene import SUPPORT
from tests.call.voice_scene import Way

MESSAGE = "Your table is booked."
CALM = Limits(idle_ms=0, longest_call_ms=0)


def someone(**changes: int) -> Agent:
    limits = {"idle_ms": 0, "longest_call_ms": 0} | changes
    return agent(limits=Limits(**limits), destinations=(SUPPORT,))


def connect(scene: ModelScene) -> None:
    scene.feed(ev.LegOpened())
    scene.run(300)
    scene.feed(ev.StreamStarted("MZ1"))
    scene.run(200)


def greeting(scene: ModelScene) -> None:
    connect(scene)


def reply(scene: ModelScene) -> None:
    connect(scene)
    scene.turn()


def reply_to_tool(scene: ModelScene) -> None:
    connect(scene)
    scene.tool_response("call_1", response_id="resp_tool")
    scene.feed(ev.ToolReturned("call_1", "42"))


def say(scene: ModelScene) -> None:
    connect(scene)
    scene.feed(ev.SayRequested("The taxi is there."))


def until_asked(scene: ModelScene) -> None:
    """Let time pass until a response is requested."""
    connect(scene)
    while not scene.asked_ms:
        scene.run(100)


def announcement(scene: ModelScene) -> None:
    connect(scene)
    scene.feed(ev.TransferRequested("Support"))


def goodbye(scene: ModelScene) -> None:
    connect(scene)
    scene.feed(ev.ResponseCreated("resp_end"))
    scene.call_tool("call_1", "end_call", "resp_end")
    scene.feed(ev.ResponseDone("resp_end", "completed"))


def voicemail(scene: ModelScene) -> None:
    connect(scene)
    scene.feed(ev.VoicemailReached(MESSAGE))


Wish = tuple[Agent, Callable[[ModelScene], None]]
WISHES: dict[str, Wish] = {
    "greeting": (agent(greeting="Hello.", limits=CALM), greeting),
    "reply": (someone(), reply),
    "reply to a tool": (someone(), reply_to_tool),
    "say": (someone(), say),
    "nudge": (someone(idle_ms=3000), until_asked),
    "warning": (someone(longest_call_ms=90_000, warning_ms=85_000), until_asked),
    "announcement": (someone(), announcement),
    "goodbye": (someone(), goodbye),
    "goodbye of an idle call": (someone(idle_ms=3000, idle_nudges=0), until_asked),
    "goodbye of the longest call": (someone(longest_call_ms=3000, warning_ms=0), until_asked),
    "voicemail": (someone(), voicemail),
}
LAST = {
    "goodbye": "Goodbye.",
    "goodbye of an idle call": "Goodbye.",
    "goodbye of the longest call": "Goodbye.",
    "voicemail": MESSAGE,
}
FORMS = [
    *((name, form, ()) for name, form in (EMPTY_NATIVE | SILENT).items()),
    *((name, form, ("first",)) for name, form in (EMPTY_VOICED | SILENT).items()),
]
NAMES = [f"{'voice' if voices else 'native'}: {name}" for name, _, voices in FORMS]


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize(("name", "form", "voices"), FORMS, ids=NAMES)
def test_an_answer_without_sound_is_requested_again_and_the_second_is_heard(
    wish: str, name: str, form: Form, voices: tuple[str, ...]
) -> None:
    who, begin = WISHES[wish]
    good = WRITTEN if voices else SPOKEN
    scene = ModelScene(who, lambda number: good if number else form, voices=voices)
    begin(scene)
    scene.run(6000)
    assert scene.first_words_ms() - scene.asked_ms[0] <= 6000
    assert len(scene.asked_ms) == 2 or wish in ("nudge", "goodbye of an idle call", "warning")
    assert scene.unheard() == []
    assert scene.decisions[0].decision == "ask again"
    assert not scene.all(do.CloseStream) and not scene.machine.last_words


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize(("name", "form", "voices"), FORMS, ids=NAMES)
def test_a_caller_of_a_model_without_sound_hears_something_and_is_helped(
    wish: str, name: str, form: Form, voices: tuple[str, ...]
) -> None:
    who, begin = WISHES[wish]
    scene = ModelScene(who, lambda number: form, voices=voices)
    begin(scene)
    asked_ms = scene.asked_ms[0]
    while not scene.all(do.CloseStream) and not scene.all(do.TransferCall):
        scene.run(100)
        assert scene.now_ms - asked_ms < 14_000, "the caller gets no help"
    assert max(scene.line.silences_ms(asked_ms, scene.now_ms)) <= 8000
    assert scene.unheard() == [] and not scene.all(do.HangUp)
    if wish == "announcement":
        assert [order.announced for order in scene.all(do.TransferCall)] == [False]
    else:
        assert scene.machine.last_words == LAST.get(wish, "")
        assert scene.machine.without_model == (wish not in LAST)


@pytest.mark.parametrize("wish", WISHES)
def test_a_voice_that_sends_no_audio_is_replaced_by_the_models_own(wish: str) -> None:
    """It reports success and sends no audio."""
    who, begin = WISHES[wish]

    def form(number: int) -> Form:
        return SPOKEN if scene.all(do.ConfigureSession)[-1].speaks else WRITTEN

    scene = ModelScene(who, form, voices=("first", "second"), way=lambda _: Way(mute=True))
    begin(scene)
    scene.run(6000)
    assert scene.first_words_ms() - scene.asked_ms[0] <= 6000
    assert scene.unheard() == [] and not scene.all(do.CloseStream)


@pytest.mark.parametrize("wish", WISHES)
def test_without_sound_of_a_voice_or_of_the_model_the_caller_is_helped(wish: str) -> None:
    """The text counted as an answer while the voice was working on it."""
    who, begin = WISHES[wish]

    def form(number: int) -> Form:
        return EMPTY_NATIVE["no output"] if number else WRITTEN

    scene = ModelScene(who, form, voices=("first",), way=lambda _: Way(mute=True))
    begin(scene)
    scene.run(10_000)
    assert not scene.all(do.HangUp)
    if wish == "announcement":
        assert [order.announced for order in scene.all(do.TransferCall)] == [False]
    else:
        assert scene.all(do.CloseStream) and scene.machine.last_words == LAST.get(wish, "")


@pytest.mark.parametrize("voices", [(), ("first",)], ids=["native", "voice"])
def test_responses_that_stall_again_and_again_lead_to_help(voices: tuple[str, ...]) -> None:
    broken_off = Form(lambda r, i: WRITTEN.events(r, i)[:3], ends=False) if voices else STALLING
    scene = ModelScene(someone(), lambda _: broken_off, voices=voices)
    reply(scene)
    scene.run(15_000)
    assert scene.when(do.CloseStream)[0] - scene.asked_ms[0] < 12_000
    assert scene.machine.without_model


def test_an_answer_that_was_not_announced_is_an_answer() -> None:
    scene = ModelScene(someone(), lambda _: UNANNOUNCED)
    reply(scene)
    scene.run(60_000)
    assert len(scene.asked_ms) == 1 and scene.first_words_ms() - scene.asked_ms[0] < 500
    assert scene.decisions == []


@pytest.mark.parametrize("wish", WISHES)
def test_a_response_that_stalls_is_requested_again_in_a_fresh_session(wish: str) -> None:
    who, begin = WISHES[wish]
    scene = ModelScene(who, lambda number: SPOKEN if number else STALLING)
    begin(scene)
    scene.run(6000)
    assert 4000 <= scene.asked_ms[1] - scene.asked_ms[0] <= 5500
    assert [each.decision for each in scene.decisions] == ["replace the session"]
    assert not scene.all(do.CloseStream)


def test_an_answer_that_stalls_in_mid_sentence_is_continued_in_a_fresh_session() -> None:
    scene = ModelScene(someone(), lambda number: SPOKEN if number else STALLING)
    reply(scene)
    scene.run(12_000)
    assert [each.decision for each in scene.decisions] == ["replace the session"]
    assert len(scene.asked_ms) == 2 and len(scene.all(do.OpenModel)) == 2
    assert max(scene.line.silences_ms(scene.asked_ms[0], scene.now_ms - 2000)) <= 8000


def test_a_second_try_that_brings_nothing_is_followed_by_a_fresh_session() -> None:
    silent = SILENT["created, then nothing"]
    scene = ModelScene(someone(), lambda number: SPOKEN if number == 2 else silent)
    reply(scene)
    scene.run(9000)
    assert [each.decision for each in scene.decisions] == ["ask again", "replace the session"]
    assert 7000 <= scene.first_words_ms() - scene.asked_ms[0] <= 8000


@pytest.mark.parametrize(
    ("every_ms", "act"),
    [
        (2500, lambda scene: scene.turn(f"user_hello_{scene.now_ms:g}")),
        (3000, lambda scene: scene.press("7")),
    ],
    ids=["asks hello", "presses a key"],
)
def test_a_caller_who_acts_while_waiting_does_not_restart_the_deadline_for_an_answer(
    every_ms: float, act: Callable[[ModelScene], object]
) -> None:
    scene = ModelScene(someone(), lambda _: SILENT["nothing"])
    reply(scene)
    asked_ms = scene.asked_ms[0]
    for _ in range(6):
        if not scene.all(do.CloseStream):
            scene.run(every_ms)
            act(scene)
    assert scene.when(do.CloseStream)[0] - asked_ms < 20_000


def test_a_late_tool_call_of_an_abandoned_response_is_not_run() -> None:
    """The second try calls the tool as well: it would run twice."""
    scene = ModelScene(someone(), lambda number: SILENT["created, then nothing"])
    reply(scene)
    scene.run(4500)
    scene.call_tool("call_late", "book", "resp_0")
    assert scene.all(do.RunTool) == []
    scene.call_tool("call_again", "book", "resp_1")
    assert [run.call_id for run in scene.all(do.RunTool)] == ["call_again"]


def test_an_interrupted_answer_is_not_requested_again() -> None:
    scene = ModelScene(someone(), lambda _: SPOKEN)
    reply(scene)
    scene.run(300)
    scene.speak("user_2")
    scene.run(30_000)
    assert len(scene.asked_ms) == 1 and scene.decisions == []


def test_noise_of_an_answering_machine_does_not_prevent_a_retry_of_the_message() -> None:
    scene = ModelScene(someone(), lambda number: SPOKEN if number else SILENT["nothing"])
    voicemail(scene)
    scene.run(1000)
    scene.speak("beep")
    scene.run(5000)
    assert scene.first_words_ms() - scene.asked_ms[0] <= 6000


def test_a_greeting_is_retried_without_a_hold_tone_before_the_caller_is_connected() -> None:
    who, _ = WISHES["greeting"]
    scene = ModelScene(who, lambda number: SPOKEN if number else SILENT["nothing"])
    scene.feed(ev.LegOpened())
    scene.run(8000)  # Twilio speaks an announcement meanwhile
    scene.feed(ev.StreamStarted("MZ1"))
    scene.run(2000)
    assert scene.line.item_ids == ["item_1"]
