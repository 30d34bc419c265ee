"""Every row of the tables of exits: what happens, what is ordered, and the state that follows."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.agent import Agent, Limits
from app.call.exits.last_words import LONGEST_MS, UNSAID_MS
from app.call.exits.tones import LONGEST_TONES_MS, SEND_DIGITS
from app.call.exits.transfer import TRANSFER
from app.call.exits.transitions import (
    CLOSE_MS,
    DEADLINES,
    EXIT,
    HANG_UP_MS,
    KEYS,
    ORDER_MS,
    REDIRECT,
    STOP_MS,
    UNANSWERED,
    Action,
    ExitState,
    KeysState,
    RedirectState,
    Table,
    Trigger,
)
from app.call.prompts import TakenBack
from tests.call.exits.exit_states import (
    HEARD_MS,
    LIMIT_MS,
    LIMITED,
    VOICED,
    Moment,
    announcing,
    answer_to,
    closing,
    exits_of,
    final_goodbye,
    goodbye,
    hanging_up,
    interrupted_call,
    keys_wait,
    limit_reached,
    ordered,
    press_keys,
    transferring,
    with_agent,
)
from tests.call.scene import Scene, agent
from tests.call.transfer_scene import HUMANS, transfer_scene

MANY_KEYS = "1" * (LONGEST_TONES_MS // 200 + 1)
REACHED = ev.VoicemailReached("Your table is booked.")
OPERATOR = ev.TransferRequested("Support")
FATAL = ev.ModelLost("no money left", fatal=True)


def assert_state(scene: Scene, state: ExitState | RedirectState | KeysState) -> None:
    """The region is in this state, and nothing illegal has happened."""
    assert state in exits_of(scene).states and not exits_of(scene).illegal


def feeds(*events: ev.Event) -> Moment:
    return lambda scene: scene.feed(*events)


def passes(ms: float) -> Moment:
    return lambda scene: scene.run(ms)


# --- a tool at the wrong moment -----------------------------------------------------------------

CALLS = {
    "end_call": ("end_call", "{}", "resp_9"),
    "end_call, cut": ("end_call", "{}", "resp_0"),
    "transfer": (TRANSFER, '{"destination": "Sales"}', "resp_9"),
    "transfer, cut": (TRANSFER, '{"destination": "Sales"}', "resp_0"),
    "transfer, cut and unknown": (TRANSFER, '{"destination": "Unknown"}', "resp_0"),
    "transfer, refused": (TRANSFER, '{"destination": "Unknown"}', "resp_9"),
    "keys": (SEND_DIGITS, '{"digits": "1"}', "resp_9"),
    "keys, cut": (SEND_DIGITS, '{"digits": "1"}', "resp_0"),
    "keys, refused": (SEND_DIGITS, "{}", "resp_9"),
}
BUSY: dict[Moment, tuple[ExitState, str]] = {
    goodbye: (ExitState.GOODBYE, prompts.END_ALREADY),
    final_goodbye: (ExitState.FINAL_GOODBYE, prompts.END_ALREADY),
    announcing: (ExitState.ANNOUNCING, prompts.TRANSFER_ALREADY),
    transferring: (ExitState.TRANSFERRING, prompts.TRANSFER_ALREADY),
    hanging_up: (ExitState.HANGING_UP, prompts.END_ALREADY),
    closing: (ExitState.CLOSING, prompts.END_ALREADY),
}


def call_tool(scene: Scene, call: str) -> None:
    name, arguments, response_id = CALLS[call]
    if response_id == "resp_9":
        scene.feed(ev.ResponseCreated(response_id))
    scene.call_tool("call_9", name, response_id, arguments)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("moment", BUSY)
def test_a_tool_called_during_an_exit_is_answered_and_the_exit_goes_on(
    moment: Moment, call: str
) -> None:
    scene = interrupted_call()
    moment(scene)
    call_tool(scene, call)
    state, answer = BUSY[moment]
    assert answer_to(scene, "call_9") == [answer]
    assert_state(scene, state)
    assert KeysState.NONE in exits_of(scene).states


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ("end_call, cut", prompts.end_taken_back()),
        ("transfer, cut", prompts.transfer_suspended()),
        ("transfer, cut and unknown", prompts.transfer_suspended()),
        ("transfer, refused", prompts.no_destination(["Sales", "Support"])),
        ("keys, refused", prompts.DIGITS_UNREADABLE),
    ],
)
def test_a_tool_that_leads_nowhere_leaves_the_caller_with_the_agent(call: str, answer: str) -> None:
    scene = interrupted_call()
    call_tool(scene, call)
    assert answer_to(scene, "call_9") == [answer]
    assert_state(scene, ExitState.WITH_AGENT)


@pytest.mark.parametrize("call", ["keys", "keys, cut"])
def test_keys_are_pressed_though_a_barge_in_interrupted_their_response(call: str) -> None:
    scene = interrupted_call()
    call_tool(scene, call)
    assert_state(scene, ExitState.WITH_AGENT)
    assert_state(scene, KeysState.SOUNDING)


# --- what moves an exit -------------------------------------------------------------------------

ANSWERED: list[type[do.Command]] = [do.AddToolOutput]
MOVES: list[tuple[Moment, Moment, ExitState, list[type[do.Command]]]] = [
    (with_agent, goodbye, ExitState.GOODBYE, []),
    (with_agent, announcing, ExitState.ANNOUNCING, []),
    (with_agent, feeds(OPERATOR), ExitState.ANNOUNCING, [do.CreateResponse]),
    (with_agent, limit_reached, ExitState.FINAL_GOODBYE, [do.CreateResponse] * 2),
    (with_agent, feeds(REACHED), ExitState.FINAL_GOODBYE, [do.CreateResponse]),
    (with_agent, hanging_up, ExitState.HANGING_UP, [do.HangUp]),
    (with_agent, feeds(ev.VoicemailReached()), ExitState.HANGING_UP, [do.HangUp]),
    (with_agent, feeds(FATAL), ExitState.CLOSING, [do.CloseStream]),
    (with_agent, Scene.speak, ExitState.WITH_AGENT, []),
    #
    (goodbye, Scene.speak, ExitState.WITH_AGENT, ANSWERED),
    (goodbye, feeds(OPERATOR), ExitState.ANNOUNCING, [do.AddToolOutput, do.CreateResponse]),
    (goodbye, feeds(REACHED), ExitState.FINAL_GOODBYE, [do.CreateResponse]),
    (goodbye, hanging_up, ExitState.HANGING_UP, [do.AddToolOutput, do.HangUp]),
    (goodbye, passes(HEARD_MS), ExitState.HANGING_UP, [do.AddToolOutput, do.HangUp]),
    #
    (final_goodbye, Scene.speak, ExitState.FINAL_GOODBYE, []),
    (final_goodbye, feeds(OPERATOR), ExitState.FINAL_GOODBYE, []),
    (final_goodbye, feeds(REACHED), ExitState.FINAL_GOODBYE, [do.CreateResponse]),
    (final_goodbye, hanging_up, ExitState.HANGING_UP, [do.HangUp]),
    (final_goodbye, passes(HEARD_MS), ExitState.HANGING_UP, [do.HangUp]),
    #
    (announcing, Scene.speak, ExitState.WITH_AGENT, ANSWERED),
    (announcing, feeds(OPERATOR), ExitState.ANNOUNCING, []),
    (announcing, feeds(REACHED), ExitState.FINAL_GOODBYE, [do.AddToolOutput, do.CreateResponse]),
    (announcing, hanging_up, ExitState.HANGING_UP, [do.AddToolOutput, do.HangUp]),
    (announcing, passes(HEARD_MS), ExitState.TRANSFERRING, [do.TransferCall]),
    #
    (transferring, feeds(OPERATOR), ExitState.TRANSFERRING, []),
    (transferring, feeds(REACHED), ExitState.FINAL_GOODBYE, [do.CreateResponse]),
    (transferring, hanging_up, ExitState.HANGING_UP, [do.HangUp]),
    (
        transferring,
        feeds(ev.RedirectFailed("status 503")),
        ExitState.WITH_AGENT,
        [do.AddToolOutput, do.CreateResponse],
    ),
    #
    (hanging_up, feeds(OPERATOR), ExitState.HANGING_UP, []),
    (hanging_up, hanging_up, ExitState.HANGING_UP, []),
    (hanging_up, feeds(ev.HangUpFailed("no")), ExitState.CLOSING, [do.CloseStream]),
    (hanging_up, passes(HANG_UP_MS), ExitState.CLOSING, [do.CloseStream]),
    #
    (closing, feeds(OPERATOR), ExitState.CLOSING, []),
    (closing, hanging_up, ExitState.CLOSING, []),
    (closing, feeds(ev.HangUpFailed("no")), ExitState.CLOSING, []),
]


@pytest.mark.parametrize(("moment", "happens", "state", "commands"), MOVES)
def test_what_happens_moves_the_exit_and_orders_what_the_table_says(
    moment: Moment, happens: Moment, state: ExitState, commands: list[type[do.Command]]
) -> None:
    scene = interrupted_call()
    moment(scene)
    scene.take()
    happens(scene)
    assert ordered(scene) == commands
    assert_state(scene, state)


def test_an_idle_caller_hears_a_goodbye_that_a_barge_in_takes_back() -> None:
    scene = transfer_scene(agent(limits=Limits(idle_ms=5000, idle_nudges=0, longest_call_ms=0)))
    scene.run(5000)
    assert scene.asked() == [prompts.GOODBYE_IDLE]
    assert_state(scene, ExitState.GOODBYE)
    scene.speak()
    assert_state(scene, ExitState.WITH_AGENT)


def test_a_goodbye_under_way_when_the_longest_call_is_over_is_final() -> None:
    scene = interrupted_call()
    scene.answers_ms = 100
    scene.run_until(LIMIT_MS - 1000)
    scene.answers_ms = None
    goodbye(scene)
    assert_state(scene, ExitState.GOODBYE)
    scene.run(1000)
    assert_state(scene, ExitState.FINAL_GOODBYE)
    assert prompts.GOODBYE_LIMIT not in scene.asked()


def test_a_message_under_way_when_the_longest_call_is_over_is_heard_to_its_end() -> None:
    scene = interrupted_call()
    scene.answers_ms = 100
    scene.run_until(LIMIT_MS - 1000)
    scene.answers_ms = None
    scene.feed(REACHED)
    scene.respond(2000)
    scene.run(1500)
    assert_state(scene, ExitState.FINAL_GOODBYE)
    scene.run(600 + 200)
    assert scene.all(do.HangUp) == [do.HangUp("voicemail")]


# --- words that are not said --------------------------------------------------------------------


def test_a_goodbye_that_is_not_said_is_requested_and_may_still_be_taken_back() -> None:
    scene = interrupted_call()
    goodbye(scene, 0)
    assert ordered(scene) == [do.AddToolOutput, do.CreateResponse]
    assert answer_to(scene, "call_1") == [prompts.END_UNSPOKEN]
    assert_state(scene, ExitState.GOODBYE)


def test_a_final_goodbye_that_is_not_said_is_requested() -> None:
    scene = interrupted_call()
    scene.answers_ms = 100
    scene.run_until(LIMIT_MS - 10)
    scene.answers_ms = None
    scene.feed(ev.ResponseCreated("resp_1"))
    scene.call_tool("call_1", "end_call")
    scene.run(10)
    assert_state(scene, ExitState.FINAL_GOODBYE)
    scene.feed(ev.ResponseDone("resp_1", "completed"))
    assert scene.asked()[-1] == prompts.GOODBYE
    assert_state(scene, ExitState.FINAL_GOODBYE)


def test_an_announcement_that_is_not_said_is_requested() -> None:
    scene = interrupted_call()
    scene.feed(ev.ResponseCreated("resp_1"))
    scene.call_tool("call_1", TRANSFER, arguments='{"destination": "Sales"}')
    scene.feed(ev.ResponseDone("resp_1", "completed"))
    assert scene.asked()[-1] == prompts.announcement("Sales")
    assert_state(scene, ExitState.ANNOUNCING)


def never_ends(scene: Scene) -> None:
    """What the model says next goes on for longer than the last words may."""
    scene.begin("item_8", "resp_8")
    for _ in range(int(LONGEST_MS / 1000) + 5):
        scene.audio(1500, "item_8", "resp_8")
        scene.run(1000)


@pytest.mark.parametrize(
    ("who", "moment", "reason"),
    [(HUMANS, partial(goodbye, goodbye_ms=0), "agent"), (LIMITED, limit_reached, "limit")],
)
def test_a_goodbye_that_never_ends_is_left_to_the_twiml(
    who: Agent, moment: Moment, reason: str
) -> None:
    scene = interrupted_call(who)
    moment(scene)
    never_ends(scene)
    assert scene.all(do.CloseStream) == [do.CloseStream(reason)] and not scene.all(do.HangUp)
    assert scene.machine.last_words == "Goodbye." and scene.machine.ended_by == reason
    assert [each.reason for each in scene.decisions] == ["the model did not say it in time"]
    assert not exits_of(scene).illegal


@pytest.mark.parametrize(
    ("moment", "reason"), [(partial(goodbye, goodbye_ms=0), "agent"), (limit_reached, "limit")]
)
def test_a_goodbye_of_a_model_that_is_gone_is_left_to_the_twiml(
    moment: Moment, reason: str
) -> None:
    scene = interrupted_call()
    moment(scene)
    scene.feed(FATAL)
    assert scene.all(do.CloseStream) == [do.CloseStream(reason)]
    assert scene.machine.last_words == "Goodbye."
    assert_state(scene, ExitState.CLOSING)
    scene.run(CLOSE_MS)
    assert scene.machine.ended_by == reason


def test_an_announcement_that_never_ends_does_not_keep_the_caller_from_a_human() -> None:
    scene = interrupted_call(HUMANS)
    scene.feed(OPERATOR)
    never_ends(scene)
    assert len(scene.all(do.TransferCall)) == 1
    assert_state(scene, ExitState.TRANSFERRING)


def test_a_silent_response_that_outlasts_the_order_is_followed_by_an_announcement() -> None:
    scene = interrupted_call(HUMANS)
    scene.begin("item_1", "resp_1")
    scene.call_tool("call_1", TRANSFER, arguments='{"destination": "Sales"}')
    for piece in range(int(UNSAID_MS / 1000)):
        scene.run(1000)
        scene.feed(ev.TranscriptReceived("item_1", f"{piece} "))
    assert scene.all(do.TransferCall)
    scene.feed(ev.ResponseDone("resp_1", "completed"))
    assert scene.asked()[-1] == prompts.announcement("Sales")
    assert_state(scene, ExitState.TRANSFERRING)


# --- the redirect -------------------------------------------------------------------------------


def test_a_stream_that_is_not_closed_ends_the_leg() -> None:
    scene = interrupted_call()
    closing(scene)
    scene.run(CLOSE_MS - 1)
    assert not scene.machine.over
    scene.run(1)
    assert scene.machine.ended_by == "operator"
    assert_state(scene, ExitState.CLOSING)


def expired(scene: Scene) -> None:
    """Twilio does not answer the redirect of a transfer."""
    transferring(scene)
    scene.answers_ms = 500  # the hold messages
    scene.run(ORDER_MS)
    scene.answers_ms = None
    scene.run(1000)


def ordered_again(scene: Scene) -> None:
    scene.feed(ev.ModelLost("gone"), OPERATOR)
    scene.run(HEARD_MS)


ACCEPTED, FAILED = ev.CallRedirected(), ev.RedirectFailed("status 503")
REDIRECTS = [
    (with_agent, transferring, RedirectState.ORDERED),
    (transferring, feeds(ACCEPTED), RedirectState.ACCEPTED),
    (transferring, feeds(FAILED), RedirectState.NONE),
    (transferring, passes(ORDER_MS), RedirectState.EXPIRED),
    (transferring, feeds(ACCEPTED, ACCEPTED), RedirectState.ACCEPTED),
    (transferring, feeds(ACCEPTED, FAILED), RedirectState.ACCEPTED),
    (expired, feeds(ACCEPTED), RedirectState.ACCEPTED),
    (expired, feeds(FAILED), RedirectState.NONE),
    (expired, ordered_again, RedirectState.ORDERED),
]


@pytest.mark.parametrize(("moment", "happens", "state"), REDIRECTS)
def test_what_twilio_answers_moves_the_redirect(
    moment: Moment, happens: Moment, state: RedirectState
) -> None:
    scene = interrupted_call(HUMANS)
    moment(scene)
    happens(scene)
    assert_state(scene, state)


def test_a_stream_that_a_redirect_does_not_stop_ends_the_leg() -> None:
    scene = interrupted_call(HUMANS)
    transferring(scene)
    scene.feed(ACCEPTED)
    scene.run(STOP_MS)
    assert scene.machine.over and scene.machine.ended_by == "transfer"
    assert_state(scene, RedirectState.ACCEPTED)


@pytest.mark.parametrize(
    ("then", "state"),
    [
        (feeds(REACHED), ExitState.FINAL_GOODBYE),
        (hanging_up, ExitState.HANGING_UP),
        (closing, ExitState.CLOSING),
    ],
)
def test_a_redirect_that_fails_after_the_call_was_ended_is_still_the_tools_answer(
    then: Moment, state: ExitState
) -> None:
    scene = interrupted_call(HUMANS)
    transferring(scene)
    then(scene)
    scene.feed(FAILED)
    assert answer_to(scene, "call_1") == [prompts.transfer_failed("Sales", "status 503")]
    assert_state(scene, state)


def test_a_redirect_that_expires_is_the_tools_answer() -> None:
    scene = interrupted_call(HUMANS)
    expired(scene)
    assert answer_to(scene, "call_1") == [prompts.transfer_failed("Sales", UNANSWERED)]
    assert_state(scene, ExitState.WITH_AGENT)


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


# --- why a goodbye is taken back, or a transfer suspended ---------------------------------------


def test_a_goodbye_that_the_caller_interrupts_is_answered_with_that() -> None:
    scene = interrupted_call()
    goodbye(scene)
    scene.speak()
    assert "the caller spoke" in answer_to(scene, "call_1")[0]


def test_a_goodbye_that_a_key_interrupts_is_answered_with_that() -> None:
    scene = interrupted_call()
    goodbye(scene)
    scene.press("5")
    (told,) = answer_to(scene, "call_1")
    assert "pressed a key" in told and "spoke" not in told


def test_a_goodbye_that_a_lone_zero_takes_back_is_answered_with_that() -> None:
    """No barge-in comes before it: the caller cannot interrupt this agent."""
    scene = transfer_scene(agent(interruptible=False, destinations=HUMANS.destinations))
    goodbye(scene, 6000)
    scene.press("0")
    scene.run(2500)
    (told,) = answer_to(scene, "call_1")
    assert "pressed 0 to reach a human" in told and "spoke" not in told
    assert_state(scene, ExitState.ANNOUNCING)


def test_a_goodbye_that_an_operator_takes_back_is_answered_with_that() -> None:
    scene = interrupted_call()
    goodbye(scene)
    scene.feed(OPERATOR)
    (told,) = answer_to(scene, "call_1")
    assert "an operator" in told and "caller spoke" not in told


def test_a_transfer_that_an_answering_machine_suspends_is_answered_with_that() -> None:
    scene = interrupted_call()
    announcing(scene)
    scene.feed(REACHED)
    (told,) = answer_to(scene, "call_1")
    assert "an answering machine" in told and "caller spoke" not in told
    assert told == prompts.transfer_suspended(TakenBack.VOICEMAIL)


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("end_call", "{}", prompts.end_taken_back),
        (TRANSFER, json.dumps({"destination": "Sales"}), prompts.transfer_suspended),
    ],
)
@pytest.mark.parametrize("why", [TakenBack.CALLER_SPOKE, TakenBack.KEY_PRESSED])
def test_a_tool_whose_response_was_interrupted_is_answered_with_why(
    name: str, arguments: str, told: Callable[[TakenBack], str], why: TakenBack
) -> None:
    scene = transfer_scene()
    scene.begin()
    scene.audio(2000)
    scene.run(500)
    if why is TakenBack.KEY_PRESSED:
        scene.press("5")
    else:
        scene.speak()
    scene.call_tool("call_1", name, arguments=arguments)
    assert answer_to(scene, "call_1") == [told(why)]


# --- the tables ---------------------------------------------------------------------------------


def test_the_tables_use_every_trigger_and_every_action_and_reach_every_state() -> None:
    tables: list[Table[Any]] = [EXIT, REDIRECT, KEYS]
    rows = [rows for table in tables for rows in table.values()]
    transitions = [transition for each in rows for transition in each.values()]
    assert {trigger for each in rows for trigger in each} == set(Trigger)
    assert {action for each in transitions for action in each.actions} == set(Action)
    states = {*ExitState, *RedirectState, *KeysState}
    assert {state for table in tables for state in table} == states
    assert {each.next for each in transitions} == states
    assert {each.trigger for each in DEADLINES.values()} < set(Trigger)


# --- what is illegal ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "illegal"),
    [
        (ev.CallRedirected(), (RedirectState.NONE, Trigger.REDIRECT_ACCEPTED)),
        (ev.RedirectFailed("no"), (RedirectState.NONE, Trigger.REDIRECT_FAILED)),
        (ev.HangUpFailed("no"), (ExitState.WITH_AGENT, Trigger.HANG_UP_FAILED)),
    ],
)
def test_an_outcome_of_what_was_never_ordered_is_counted_and_changes_nothing(
    event: ev.Event, illegal: tuple[object, Trigger]
) -> None:
    scene = transfer_scene(LIMITED)
    assert scene.feed(event, event) == []
    assert exits_of(scene).illegal == {illegal: 2}
    assert not scene.machine.leaving and not scene.machine.redirecting
    scene.run(20_000)
    assert not scene.machine.over
