"""Conversations with the embedded model over a real socket, with a fake recognizer."""

import asyncio
import math
import threading
from typing import Any

import pytest

from app.call import prompts
from app.simulator.realtime import Options, RealtimeServer
from app.simulator.receptionist.brain import Receptionist
from tests.simulator.realtime.realtime_client import PhoneSession
from tests.simulator.receptionist.receptionist_caller import (
    ASKS_MENU,
    BY_HAND,
    GOODBYE,
    LINES,
    MENU,
    ORDERS,
    TOOLS,
    Caller,
    Ears,
    Said,
    conversation,
    turn_audio,
)

# --- what it does ---------------------------------------------------------------------------------


async def test_a_question_is_answered_with_what_the_tool_says() -> None:
    async with conversation(ASKS_MENU) as caller:
        assert await caller.says(0) == "Let me see."
        assert caller.calls() == [("menu", {"size": "large"})]
        answer = await caller.answers_tool(MENU)
        assert answer == "A Margherita is eleven euros, a Funghi twelve fifty."
        assert caller.calls() == []
        texts = caller.client.of("response.output_audio_transcript.delta")
        assert [event["delta"] for event in texts][:2] == ["A ", "Margherita "]


async def test_what_the_caller_said_reaches_the_client_as_a_transcript() -> None:
    async with conversation(ORDERS) as caller:
        await caller.client.append(turn_audio(0))
        await caller.client.send("input_audio_buffer.commit")
        event = await caller.client.until("conversation.item.input_audio_transcription.completed")
        assert event["transcript"] == "two funghi for Ada"


async def test_an_order_keeps_its_name_and_its_number() -> None:
    async with conversation(ORDERS) as caller:
        assert await caller.says(0) == "Two funghi for Ada. One moment."
        items = [{"pizza": "funghi", "quantity": 2}]
        assert caller.calls() == [("place_order", {"name": "Ada", "items": items})]
        answer = await caller.answers_tool({"ready_at": "18:05"})
        assert answer == "Done, Ada. Be here at eighteen oh five."


async def test_a_telephone_number_is_read_back_digit_by_digit() -> None:
    said = Said("my number is 555 1234", "my number is {digits}", {"digits": "5551234"})
    async with conversation(said) as caller:
        assert await caller.says(0) == "I heard 5 5 5, 1 2 3 4."


async def test_goodbye_ends_the_call() -> None:
    async with conversation(GOODBYE) as caller:
        assert await caller.says(0) == "See you soon. Goodbye!"
        assert caller.calls() == [("end_call", {"reason": "the caller is done"})]


async def test_a_call_may_end_after_a_tools_answer() -> None:
    async with conversation(Said("that is all", "that is all")) as caller:
        assert await caller.says(0) == ""
        assert caller.calls() == [("menu", {})]
        assert await caller.answers_tool(MENU) == "Remember: Funghi is twelve fifty. Goodbye!"
        assert caller.calls() == [("end_call", {"reason": "the caller is done"})]


async def test_a_keyword_without_what_the_line_needs_asks_for_the_whole_phrase() -> None:
    async with conversation(Said("pizza", "pizza")) as caller:
        answer = await caller.says(0)
        assert answer.endswith("You can say, for example: one margherita for Ada.")
        assert caller.calls() == []


async def test_a_response_before_the_first_turn_is_a_greeting() -> None:
    async with conversation() as caller:
        assert await caller.asks() == "Hello! How can I help you?"


async def test_an_answer_that_was_given_is_not_given_again() -> None:
    async with conversation(ASKS_MENU) as caller:
        await caller.says(0)
        await caller.answers_tool(MENU)
        assert "still here" in await caller.asks()
        assert caller.calls() == []


# --- what it cannot do ----------------------------------------------------------------------------


async def test_noise_gets_a_different_example_each_time() -> None:
    async with conversation(None) as caller:
        answers = [await caller.says(0) for _ in range(5)]
        assert len(set(answers)) == 5
        phrases = ["what is on the menu", "one margherita for Ada", "5 5 5, 1 2 3 4"]
        for phrase in phrases:
            assert any(phrase in answer for answer in answers)
        assert not any("oodbye" in answer for answer in answers)
        assert all("{" not in answer for answer in answers)


@pytest.mark.parametrize("session", [{"tools": []}, {"tools": TOOLS, "tool_choice": "none"}])
async def test_without_its_tool_it_says_that_it_cannot(session: dict[str, Any]) -> None:
    async with conversation(ASKS_MENU, GOODBYE, **session) as caller:
        assert await caller.says(0) == "I am sorry, I cannot do that here."
        assert caller.calls() == []
        assert await caller.says(1) == "See you soon. Goodbye!"
        assert caller.calls() == []


@pytest.mark.parametrize(
    ("said", "output", "answer"),
    [
        (ORDERS, "There is no pizza in this order.", "The kitchen is closed, Ada."),
        (ORDERS, {"ready": "soon"}, "The kitchen is closed, Ada."),
        (ORDERS, "place_order failed: OSError", "The kitchen is closed, Ada."),
        (ASKS_MENU, "null", "I am sorry, that did not work."),
        (ASKS_MENU, {"margherita": "eleven", "funghi": 3}, "I am sorry, that did not work."),
        (Said("what time is it", "what time is it"), "", "I cannot see the clock."),
        (
            Said("what time is it", "what time is it"),
            prompts.tool_overdue("current_time", 10_000),
            "I cannot see the clock.",
        ),
        (
            Said("what time is it", "what time is it"),
            "current_time failed: OSError: no clock",
            "I cannot see the clock.",
        ),
        (Said("what time is it", "what time is it"), "Monday, 9:05", "It is Monday, nine oh five."),
    ],
)
async def test_a_tool_that_failed_is_not_read_out(said: Said, output: Any, answer: str) -> None:
    async with conversation(said) as caller:
        await caller.says(0)
        assert (await caller.answers_tool(output)).startswith(answer)


async def test_an_agent_without_lines_has_the_built_in_ones() -> None:
    lines = [
        Said("my name is Bo", "my name is {name}", {"name": "Bo"}),
        Said("are you a robot", "are you a robot"),
        Said("what time is it", "what time is it"),
        Said("bye", "bye"),
        None,
    ]
    async with conversation(*lines, lines=()) as caller:
        assert await caller.says(0) == "Nice to meet you, Bo."
        honest = await caller.says(1)
        assert "not a person" in honest and "OpenAI key" in honest
        await caller.says(2)
        assert await caller.answers_tool("noon") == "It is noon."
        assert await caller.says(3) == "Goodbye!"
        assert caller.calls()[0][0] == "end_call"
        assert (await caller.says(4)).startswith("Sorry, once more please.")


async def test_every_agent_says_that_it_is_not_a_person() -> None:
    async with conversation(Said("are you a machine", "are you a machine")) as caller:
        assert "I am not a person" in await caller.says(0)


# --- more than one thing at a time ----------------------------------------------------------------


async def test_two_callers_are_not_mixed_up() -> None:
    ears = Ears(
        ORDERS,
        Said("one margherita for Bo", ORDERS.phrase, {**ORDERS.slots, "name": "Bo"}),
    )
    model = Receptionist(LINES, recognizer=ears)
    async with (
        RealtimeServer(
            model.brain, transcribe=model.transcribe, options=Options(speed=math.inf)
        ) as server,
        PhoneSession(server, tools=TOOLS, **BY_HAND) as one,
        PhoneSession(server, tools=TOOLS, **BY_HAND) as two,
    ):
        ada, bo = Caller(one), Caller(two)
        first, second = await asyncio.gather(ada.says(0), bo.says(1))
        assert first.startswith("Two funghi for Ada")
        assert second.startswith("Two funghi for Bo")
        later, sooner = await asyncio.gather(
            ada.answers_tool({"ready_at": "9:15"}), bo.answers_tool({"ready_at": "9:30"})
        )
        assert later == "Done, Ada. Be here at nine fifteen."
        assert sooner == "Done, Bo. Be here at nine thirty."


async def test_while_it_listens_to_one_caller_it_greets_another() -> None:
    heard = threading.Event()

    class Slow(Ears):
        def recognize(self, ulaw: bytes) -> Said | None:
            assert heard.wait(10)
            return super().recognize(ulaw)

    model = Receptionist(LINES, recognizer=Slow(GOODBYE))
    async with (
        RealtimeServer(
            model.brain, transcribe=model.transcribe, options=Options(speed=math.inf)
        ) as server,
        PhoneSession(server, tools=TOOLS, **BY_HAND) as one,
        PhoneSession(server, tools=TOOLS, **BY_HAND) as two,
    ):
        slow = asyncio.create_task(Caller(one).says(0))
        try:
            assert await Caller(two).asks() == "Hello! How can I help you?"
            assert not slow.done()
        finally:
            heard.set()
        assert await slow == "See you soon. Goodbye!"


async def test_a_caller_who_speaks_while_a_tool_works_is_answered_and_told_its_result() -> None:
    number = Said("my number is 911", "my number is {digits}", {"digits": "911"})
    async with conversation(ORDERS, number) as caller:
        await caller.says(0)
        order = list(caller.client.seen)
        assert await caller.says(1) == "I heard 9 1 1."
        caller.client.seen[:] = order
        assert await caller.answers_tool({"ready_at": "9:15"}) == (
            "Done, Ada. Be here at nine fifteen."
        )


async def test_a_result_and_a_question_that_came_together_are_both_answered() -> None:
    number = Said("my number is 911", "my number is {digits}", {"digits": "911"})
    async with conversation(ORDERS, number) as caller:
        await caller.says(0)
        await caller.outputs({"ready_at": "9:15"})
        assert await caller.says(1) == "Done, Ada. Be here at nine fifteen. I heard 9 1 1."


async def test_two_pending_tools_get_their_own_answers() -> None:
    other = Said("one funghi for Bo", ORDERS.phrase, {**ORDERS.slots, "name": "Bo"})
    async with conversation(ORDERS, other) as caller:
        await caller.says(0)
        first = list(caller.client.seen)
        await caller.says(1)
        second = list(caller.client.seen)
        caller.client.seen[:] = first
        assert (await caller.answers_tool({"ready_at": "9:15"})).startswith("Done, Ada.")
        caller.client.seen[:] = second
        assert (await caller.answers_tool({"ready_at": "9:30"})).startswith("Done, Bo.")
