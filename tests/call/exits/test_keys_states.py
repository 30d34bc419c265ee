"""The rows of the keys' table: keys wait, sound, or are pressed by Twilio."""

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.exits.last_words import LONGEST_MS
from app.call.exits.tones import LONGEST_TONES_MS, SEND_DIGITS
from app.call.exits.transfer import TRANSFER
from app.call.exits.transitions import (
    ORDER_MS,
    UNANSWERED,
    ExitState,
    KeysState,
)
from app.call.prompts import TakenBack
from tests.call.exits.exit_states import (
    FAILED,
    LIMIT_MS,
    OPERATOR,
    REACHED,
    VOICED,
    Moment,
    announcing,
    answer_to,
    assert_state,
    closing,
    exits_of,
    feeds,
    final_goodbye,
    goodbye,
    hanging_up,
    interrupted_call,
    keys_wait,
    passes,
    press_keys,
    with_agent,
)
from tests.call.scene import Scene

MANY_KEYS = "1" * (LONGEST_TONES_MS // 200 + 1)


# --- keys ---------------------------------------------------------------------------------------


def voice_sounds(scene: Scene) -> str:
    """The voice sends a second of audio. Returns the id of what it says."""
    utterance_id = scene.all(do.Synthesize)[-1].utterance_id
    scene.feed(ev.VoiceReceived(utterance_id, "", 8000))
    return utterance_id


def voice_ends(scene: Scene) -> None:
    """The text is complete, and the voice says the rest of it."""
    scene.feed(ev.OutputItemDone("resp_v", "item_v", "message", "completed"))
    said = 0
    while said < len(scene.all(do.Synthesize)):
        said = len(scene.all(do.Synthesize))
        scene.feed(ev.VoiceFinished(voice_sounds(scene)))
        scene.run(1000)


def wait_for_voice(scene: Scene) -> None:
    keys_wait(scene)


def wait_with_many(scene: Scene) -> None:
    keys_wait(scene, MANY_KEYS)


def sounding(scene: Scene) -> None:
    press_keys(scene)


def by_twilio(scene: Scene) -> None:
    press_keys(scene, MANY_KEYS)
    assert scene.all(do.PlayDigits)


def refused_amid_speech(scene: Scene) -> None:
    """The agent speaks when Twilio refuses the redirect."""
    scene.begin()
    scene.audio(2000)
    scene.feed(FAILED)


def more_keys(scene: Scene) -> None:
    scene.call_tool("keys_2", SEND_DIGITS, "resp_v", '{"digits": "2"}')
    assert answer_to(scene, "keys_2") == [prompts.DIGITS_BUSY]


MOVES_OF_KEYS = [
    (with_agent, wait_for_voice, KeysState.WAITING, []),
    (wait_for_voice, more_keys, KeysState.WAITING, []),
    (wait_for_voice, voice_ends, KeysState.SOUNDING, []),
    (wait_with_many, voice_ends, KeysState.BY_TWILIO, []),
    (sounding, more_keys, KeysState.SOUNDING, []),
    (sounding, passes(9600), KeysState.NONE, [prompts.DIGITS_SENT]),
    (by_twilio, more_keys, KeysState.BY_TWILIO, []),
    (by_twilio, feeds(FAILED), KeysState.NONE, [prompts.digits_failed("status 503")]),
    (by_twilio, refused_amid_speech, KeysState.NONE, [prompts.digits_failed("status 503")]),
    (by_twilio, passes(ORDER_MS), KeysState.NONE, [prompts.digits_failed(UNANSWERED)]),
    (with_agent, feeds(REACHED), KeysState.NONE, []),
    (wait_for_voice, feeds(REACHED), KeysState.NONE, [prompts.DIGITS_CUT]),
    (sounding, feeds(REACHED), KeysState.NONE, [prompts.DIGITS_CUT]),
    (sounding, feeds(ev.VoicemailReached()), KeysState.NONE, [prompts.DIGITS_CUT]),
    (by_twilio, feeds(REACHED), KeysState.BY_TWILIO, []),
]


@pytest.mark.parametrize(("moment", "happens", "state", "answers"), MOVES_OF_KEYS)
def test_keys_wait_for_the_voice_then_sound_or_are_left_to_twilio(
    moment: Moment, happens: Moment, state: KeysState, answers: list[str]
) -> None:
    scene = interrupted_call(VOICED)
    moment(scene)
    happens(scene)
    assert answer_to(scene, "keys_1") == answers
    assert_state(scene, state)


@pytest.mark.parametrize("moment", [with_agent, wait_for_voice, sounding])
def test_an_answering_machine_ends_keys_before_what_plays_is_looked_at(moment: Moment) -> None:
    scene = interrupted_call(VOICED)
    moment(scene)
    exits_of(scene).leave_message("Your table is booked.", scene.now_ms)
    assert_state(scene, KeysState.NONE)


def transferred_amid_waiting_keys() -> Scene:
    """The announcement does not end in time, because its voice does not: the keys still wait."""
    scene = interrupted_call(VOICED)
    keys_wait(scene, MANY_KEYS)
    scene.call_tool("call_1", TRANSFER, "resp_v", '{"destination": "Sales"}')
    for _ in range(int(LONGEST_MS / 3000)):
        scene.run(3000)
        scene.feed(ev.TextReceived("item_v", "And more. "))
        voice_sounds(scene)
    assert scene.all(do.TransferCall)
    return scene


def test_keys_that_waited_until_a_redirect_was_ordered_are_not_pressed() -> None:
    """One redirect at a time: the second would take the call away from the human."""
    scene = transferred_amid_waiting_keys()
    voice_ends(scene)
    assert answer_to(scene, "keys_1") == [prompts.DIGITS_BUSY]
    assert not scene.all(do.PlayDigits)
    assert_state(scene, KeysState.NONE)


# --- an operator transfers while keys are pressed -----------------------------------------------


@pytest.mark.parametrize("moment", [with_agent, final_goodbye, announcing, hanging_up, closing])
def test_an_operators_transfer_amid_keys_does_not_begin(moment: Moment) -> None:
    scene = interrupted_call()
    if moment is final_goodbye:
        scene.answers_ms = 100
        scene.run_until(LIMIT_MS - 1000)
        scene.answers_ms = None
        press_keys(scene)
        scene.run(1000)
    else:
        press_keys(scene)
        moment(scene)
    before = exits_of(scene).states
    scene.feed(OPERATOR)
    assert exits_of(scene).states == before
    assert KeysState.NONE not in before and not exits_of(scene).illegal
    assert prompts.announcement("Support") not in scene.asked()


def test_an_operators_second_transfer_changes_nothing_while_keys_still_wait() -> None:
    scene = transferred_amid_waiting_keys()
    scene.feed(OPERATOR)
    assert_state(scene, ExitState.TRANSFERRING)
    assert_state(scene, KeysState.WAITING)


def test_an_operator_who_would_transfer_amid_keys_keeps_the_call_from_ending() -> None:
    scene = interrupted_call()
    press_keys(scene)
    goodbye(scene)
    scene.feed(OPERATOR)
    assert answer_to(scene, "call_1") == [prompts.end_taken_back(TakenBack.OPERATOR)]
    assert_state(scene, ExitState.WITH_AGENT)
    scene.run(20_000)
    assert not scene.all(do.HangUp) and not scene.all(do.TransferCall)
