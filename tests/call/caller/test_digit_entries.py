"""Keys that no tool asked for: text for the agent, which answers it once."""

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.caller.keypad import CONTINUE_MS, PAUSE_MS
from app.call.prompts import TakenBack
from app.records.turn_rows import TurnRows
from tests.call.scene import Scene, agent


@pytest.fixture
def scene() -> Scene:
    return Scene(up_ms=0, down_ms=0).connect()


def keys(digits: str) -> tuple[str, str]:
    return ("user", prompts.keys_pressed(digits))


def taken(scene: Scene) -> ev.MessageTaken:
    """The model has the text of the keys."""
    return ev.MessageTaken(scene.all(do.AddMessage)[-1].item_id)


# --- text for the agent -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "told"), [("12", "12"), ("12#", "12"), ("0#", "0"), ("*7", "*7")]
)
def test_keys_reach_the_agent_as_one_text_and_are_answered_once(
    scene: Scene, typed: str, told: str
) -> None:
    scene.press(typed, 500)
    scene.run(PAUSE_MS)
    assert scene.messages() == [keys(told)] and scene.asked() == [""]
    scene.feed(taken(scene))
    scene.respond(500)
    scene.run(60_000)
    assert scene.messages() == [keys(told)] and scene.asked() == [""]


def test_what_was_typed_is_a_turn_of_the_caller(scene: Scene) -> None:
    scene.press("42#")
    (turn,) = scene.machine.transcript(scene.now_ms)
    assert (turn.role, turn.text, turn.finished) == ("user", keys("42")[1], True)
    assert turn.detail == {"by": "keypad"}
    assert turn.item_id == scene.all(do.AddMessage)[0].item_id


def test_two_entries_have_ids_of_their_own(scene: Scene) -> None:
    scene.press("1#2#")
    first, second = scene.all(do.AddMessage)
    assert first.item_id != second.item_id and all(
        len(message.item_id) <= 32 for message in (first, second)
    )


def test_a_key_is_a_barge_in(scene: Scene) -> None:
    scene.begin()
    scene.audio(3000)
    scene.run(1000)
    cut = scene.press("1")
    assert [type(command) for command in cut] == [
        do.CancelResponse,
        do.ClearAudio,
        do.TruncateItem,
    ]
    assert scene.audio(500) == []  # it may go on until its cancellation arrives
    scene.finish(status="cancelled")
    scene.run(PAUSE_MS)
    assert scene.messages() == [keys("1")] and scene.asked() == [""]


def test_a_key_interrupts_an_answer_that_is_complete_but_still_plays(scene: Scene) -> None:
    scene.answer(3000)
    scene.run(1000)
    cut = scene.press("1")
    assert [type(command) for command in cut] == [do.ClearAudio, do.TruncateItem]


def test_the_next_keys_are_no_further_barge_in(scene: Scene) -> None:
    scene.begin()
    scene.audio(3000)
    scene.run(1000)
    scene.press("1")
    assert scene.press("23") == []


def test_a_response_asked_for_before_the_first_key_is_not_heard(scene: Scene) -> None:
    scene.tool_response("call_1")
    scene.feed(ev.ToolReturned("call_1", "42"))
    assert scene.asked() == [""]
    scene.press("1")
    stopped = scene.begin("item_2", "resp_2")
    assert [type(c) for c in stopped] == [do.CancelResponse, do.DeleteItem]
    assert scene.audio(500, "item_2", "resp_2") == []
    scene.finish("item_2", "resp_2", "cancelled")
    scene.run(PAUSE_MS)
    assert scene.asked() == ["", ""]  # one reply to both


def test_nothing_is_said_while_the_caller_types(scene: Scene) -> None:
    scene.press("1")
    scene.feed(ev.SayRequested("Hello?"))
    for _ in range(4):
        scene.run(1900)
        scene.press("1")
    assert scene.asked() == []
    scene.press("#")
    scene.respond(100)
    assert sorted(scene.asked()) == ["", prompts.say("Hello?")]


def test_an_agent_that_is_not_interrupted_hears_of_the_keys_afterwards() -> None:
    scene = Scene(agent(interruptible=False), up_ms=0, down_ms=0).connect()
    scene.begin()
    scene.audio(3000)
    assert scene.press("12#")[-1:] == scene.all(do.AddMessage)
    assert not scene.all(do.ClearAudio) and not scene.all(do.CancelResponse)
    scene.finish()
    assert scene.asked() == [""]


def test_a_key_takes_the_agents_goodbye_back(scene: Scene) -> None:
    scene.begin()
    scene.audio(2000)
    scene.call_tool("call_1", "end_call")
    scene.finish()
    scene.run(500)
    scene.answers_ms = 300
    scene.press("1")
    assert scene.outputs() == [prompts.end_taken_back(TakenBack.KEY_PRESSED)]
    scene.run(60_000)
    assert not scene.all(do.HangUp) and scene.asked() == [""]


def test_keys_after_the_hang_up_are_dropped(scene: Scene) -> None:
    scene.feed(ev.HangUpRequested("operator"))
    assert scene.press("0123") == []
    scene.run(5000)
    assert scene.messages() == []


def test_a_key_after_the_pause_is_a_new_entry_though_the_timer_was_late(scene: Scene) -> None:
    """Under load the event loop may deliver the key before the timer that was due earlier."""
    scene.press("4#")
    scene.press("0")
    scene.now_ms += CONTINUE_MS + 5
    scene.press("7#")
    assert scene.messages() == [keys("4"), keys("0"), keys("7")]


# --- an entry that more keys replace -----------------------------------------------------------


def entries(scene: Scene) -> list[str]:
    """The texts of the caller's that the session contains now."""
    kept: dict[str, str] = {}
    for _, command in scene.commands:
        if isinstance(command, do.CloseModel):
            kept.clear()
        elif isinstance(command, do.AddMessage) and command.role == "user":
            kept[command.item_id] = command.text
        elif isinstance(command, do.DeleteItem):
            kept.pop(command.item_id, None)  # else an item of the agent's
    return list(kept.values())


def typed(scene: Scene) -> list[str]:
    """What the caller typed, by the transcript."""
    return [turn.text for turn in scene.machine.transcript(scene.now_ms) if turn.role == "user"]


def test_an_entry_that_goes_on_is_one_entry_in_the_end(scene: Scene) -> None:
    scene.press("40")
    scene.run(PAUSE_MS)
    (first,) = scene.all(do.AddMessage)
    scene.run(600)
    scene.press("71")
    scene.run(PAUSE_MS)
    assert scene.messages() == [keys("40"), keys("4071")]
    assert [each.item_id for each in scene.all(do.DeleteItem)] == [first.item_id]
    assert entries(scene) == typed(scene) == [keys("4071")[1]]


def test_the_record_learns_that_the_first_part_is_replaced(scene: Scene) -> None:
    rows = TurnRows(0)
    shown: dict[int, str] = {}
    scene.answers_ms = 500
    for key in "407":
        scene.press(key)
        scene.run(2600)
        changed = rows.take_changed(scene.machine, scene.now_ms)
        shown |= {row.position: row.text for row in changed.rows if row.role == "user"}
        for position in changed.removed:
            shown.pop(position, None)
    assert [text for text in shown.values() if text] == [keys("407")[1]]


def test_a_key_interrupts_the_answer_to_the_first_part(scene: Scene) -> None:
    scene.press("40")
    scene.run(PAUSE_MS)
    scene.begin()
    scene.audio(4000)
    scene.run(500)
    cut = scene.press("7")
    assert [type(command) for command in cut] == [
        do.CancelResponse, do.ClearAudio, do.TruncateItem,
    ]  # fmt: skip
    scene.finish(status="cancelled")
    scene.press("1#")
    scene.answer(500, "item_2", "resp_2")
    scene.run(10_000)
    assert entries(scene) == [keys("4071")[1]] and scene.asked() == ["", ""]


def test_an_answer_to_the_first_part_that_is_in_flight_is_not_heard(scene: Scene) -> None:
    """The response was requested, and is created when the longer entry is complete already."""
    scene.press("40")
    scene.run(PAUSE_MS)
    scene.press("71#")
    begun = scene.begin()
    assert [type(command) for command in begun] == [do.CancelResponse, do.DeleteItem]
    assert scene.audio(500) == []
    scene.finish(status="cancelled")
    scene.respond()
    scene.run(10_000)
    assert entries(scene) == [keys("4071")[1]] and scene.asked() == ["", ""]
    assert scene.line.heard_bytes("said_1", scene.now_ms) == 4000


def test_a_late_hash_is_the_end_of_the_entry_and_interrupts_nothing(scene: Scene) -> None:
    scene.press("40")
    scene.run(PAUSE_MS)
    scene.begin()
    scene.audio(3000)
    scene.run(500)
    assert scene.press("#") == []
    scene.finish()
    scene.run(10_000)
    assert scene.messages() == [keys("40")] and scene.asked() == [""]


def test_a_session_that_was_lost_between_the_parts_has_one_entry(scene: Scene) -> None:
    scene.press("40")
    scene.run(PAUSE_MS)
    scene.feed(ev.ModelLost("gone"))
    scene.configure()
    assert entries(scene) == [keys("40")[1]]
    scene.press("71#")
    assert entries(scene) == typed(scene) == [keys("4071")[1]]


def test_parts_typed_without_a_session_are_one_entry_of_the_next(scene: Scene) -> None:
    scene.feed(ev.ModelLost("gone"))
    scene.press("40")
    scene.run(PAUSE_MS)
    scene.press("71#")
    assert scene.messages() == []
    scene.configure()
    assert entries(scene) == [keys("4071")[1]]


def next_leg(scene: Scene, after_ms: float = 1000.0) -> Scene:
    """The leg after a stream that was lost."""
    entry, history = scene.machine.open_entry, scene.machine.history(scene.now_ms)
    following = Scene(up_ms=0, down_ms=0)
    following.now_ms = scene.now_ms + after_ms
    following.feed(ev.LegOpened(history, entry=entry))
    following.configure()
    following.feed(ev.StreamStarted("MZ2"))
    following.respond()
    following.run(600)
    return following


def test_an_entry_that_a_lost_stream_cut_goes_on_in_the_next(scene: Scene) -> None:
    scene.press("40")
    scene.feed(ev.StreamEnded("closed", lost=True))
    scene = next_leg(scene)
    scene.press("71#")
    assert scene.messages()[-1:] == [keys("4071")] == [("user", typed(scene)[0])]


def test_an_entry_told_before_the_stream_was_lost_is_replaced_in_words(scene: Scene) -> None:
    """The new session has the first part in its history, under an id that is not known."""
    scene.press("40")
    scene.run(PAUSE_MS)
    scene.feed(ev.StreamEnded("closed", lost=True))
    scene = next_leg(scene)
    assert scene.messages()[0] == keys("40")
    scene.press("71#")
    (_, text) = scene.messages()[-1]
    assert text == f"{keys('4071')[1]} {prompts.replaces_keys('40')}"
    assert scene.all(do.DeleteItem) == []


def test_keys_without_a_lost_entry_are_an_entry_of_the_next_leg(scene: Scene) -> None:
    scene.press("40#")
    scene.feed(ev.StreamEnded("closed", lost=True))
    scene = next_leg(scene)
    scene.press("71#")
    assert scene.messages()[-1] == keys("71")


# --- answered once, whatever turn detection makes of the tones --------------------------------


def test_turn_detection_that_answers_once_the_text_is_known_serves_it(scene: Scene) -> None:
    """The tones were taken for speech, as they are now and then."""
    scene.speak()
    scene.press("42#")
    assert scene.messages() == [keys("42")]
    scene.feed(taken(scene))
    scene.fall_silent()
    scene.answer(500)
    scene.run(60_000)
    assert scene.asked() == []


def test_turn_detection_that_was_too_early_is_followed_by_a_reply(scene: Scene) -> None:
    scene.speak()
    scene.fall_silent()
    scene.press("42#")
    scene.begin()
    scene.feed(taken(scene))
    scene.audio(500)
    scene.answers_ms = 300
    scene.finish()
    scene.run(60_000)
    assert scene.asked() == [""]


def test_a_reply_that_turn_detection_was_faster_than_is_not_given_twice(scene: Scene) -> None:
    scene.press("42#")
    request = scene.all(do.CreateResponse)[-1]
    scene.feed(taken(scene))
    scene.begin()  # turn detection's, which knows the text
    scene.feed(
        ev.ModelFaulted("conversation_already_has_active_response", "", request.event_id, "busy")
    )
    scene.audio(500)
    scene.finish()
    scene.run(60_000)
    assert len(scene.asked()) == 1


def test_a_reply_that_turn_detection_was_faster_than_without_the_text_is_given(
    scene: Scene,
) -> None:
    scene.press("42#")
    request = scene.all(do.CreateResponse)[-1]
    scene.begin()
    scene.feed(
        taken(scene),
        ev.ModelFaulted("conversation_already_has_active_response", "", request.event_id, "busy"),
    )
    scene.audio(500)
    scene.answers_ms = 300
    scene.finish()
    scene.run(60_000)
    assert len(scene.asked()) == 2


def test_a_lost_model_gets_the_keys_when_it_reconnects(scene: Scene) -> None:
    scene.feed(ev.ModelLost("gone"))
    scene.press("42#")
    assert scene.messages() == [] and scene.asked() == []
    scene.configure()
    assert scene.messages()[0] == keys("42") and scene.asked() == [""]


def test_a_session_lost_after_the_keys_tells_the_next_one(scene: Scene) -> None:
    scene.press("42#")
    scene.feed(ev.ModelLost("gone"))
    scene.configure()
    assert scene.messages().count(keys("42")) == 2 and scene.asked() == ["", ""]
