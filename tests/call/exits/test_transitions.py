"""The rows of the table of exits: what happens, what is ordered, and the state that follows."""

from functools import partial
from typing import Any

import pytest

from app.call import commands as do
from app.call import events as ev
from app.call import prompts
from app.call.agent import Agent, Limits
from app.call.exits.last_words import LONGEST_MS, UNSAID_MS
from app.call.exits.tones import SEND_DIGITS
from app.call.exits.transfer import TRANSFER
from app.call.exits.transitions import (
    CLOSE_MS,
    DEADLINES,
    EXIT,
    HANG_UP_MS,
    KEYS,
    REDIRECT,
    Action,
    ExitState,
    KeysState,
    RedirectState,
    Table,
    Trigger,
)
from tests.call.exits.exit_states import (
    FATAL,
    HEARD_MS,
    LIMIT_MS,
    LIMITED,
    OPERATOR,
    REACHED,
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
    limit_reached,
    ordered,
    passes,
    transferring,
    with_agent,
)
from tests.call.scene import Scene, agent
from tests.call.transfer_scene import HUMANS, transfer_scene

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
    (goodbye, feeds(REACHED), ExitState.FINAL_GOODBYE, [do.AddToolOutput, do.CreateResponse]),
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
