"""Conversations with the embedded model over a real socket, with a fake recognizer."""

import asyncio
import json
import math
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from app.call import prompts
from app.call.agent import Agent
from app.simulator.realtime import Options, RealtimeServer, Turn
from app.simulator.realtime.items import Item
from app.simulator.realtime.script import ToolOutput
from app.simulator.receptionist.brain import Hearing, Receptionist, directed
from app.simulator.receptionist.lines import Line
from tests.simulator.realtime.realtime_client import Client, PhoneSession, phone

LINES = (
    Line(
        hears=("what is on the menu",),
        keywords=("menu",),
        says="Let me see.",
        tool="menu",
        arguments={"size": "large"},
        then="A Margherita is {result.margherita:price} euros, a Funghi {result.funghi:price}.",
    ),
    Line(
        hears=("{quantity:one|two} {pizza:margherita|funghi} for {name}",),
        keywords=("pizza",),
        says="{quantity} {pizza} for {name}. One moment.",
        tool="place_order",
        arguments={"name": "{name}", "items": [{"pizza": "{pizza}", "quantity": "{quantity}"}]},
        then="Done, {name}. Be here at {result.ready_at}.",
        otherwise="The kitchen is closed, {name}.",
    ),
    Line(hears=("my number is {digits}",), says="I heard {digits}."),
    Line(
        hears=("what time is it",),
        tool="current_time",
        then="It is {result}.",
        otherwise="I cannot see the clock.",
    ),
    Line(hears=("goodbye",), says="See you soon. Goodbye!", ends_call=True),
    Line(
        hears=("that is all",),
        tool="menu",
        then="Remember: Funghi is {result.funghi:price}. Goodbye!",
        ends_call=True,
    ),
)
TOOLS = [
    {"type": "function", "name": name, "description": name, "parameters": {"type": "object"}}
    for name in ("menu", "place_order", "current_time", "end_call")
]
MENU = {"margherita": 11.0, "funghi": 12.5}
BY_HAND = phone(turn_detection=None)


@dataclass(frozen=True)
class Said:
    text: str
    phrase: str
    slots: dict[str, str] = field(default_factory=dict)


ASKS_MENU = Said("what is on the menu", "what is on the menu")
ORDERS = Said(
    "two funghi for Ada",
    "{quantity:one|two} {pizza:margherita|funghi} for {name}",
    {"quantity": "two", "pizza": "funghi", "name": "Ada"},
)
GOODBYE = Said("goodbye", "goodbye")


class Ears:
    """Recognizes the turn whose number is in the first byte."""

    def __init__(self, *said: Said | None) -> None:
        self._said = said

    def recognize(self, ulaw: bytes) -> Said | None:
        return self._said[ulaw[0]]


def turn_audio(number: int) -> bytes:
    return bytes([number]) * 1600


class Caller:
    """A client's side of a conversation, turn by turn."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def says(self, number: int) -> str:
        """Say the turn with this number. Returns the answer."""
        await self.client.append(turn_audio(number))
        await self.client.send("input_audio_buffer.commit")
        return await self.asks()

    async def asks(self, **response: Any) -> str:
        """Create a response, and wait until it is done. Returns its text."""
        self.client.seen.clear()
        await self.client.send("response.create", **({"response": response} if response else {}))
        done = await self.client.until("response.done")
        assert done["response"]["status"] == "completed", done
        return "".join(
            part.get("transcript", part.get("text", ""))
            for item in done["response"]["output"]
            for part in item.get("content", ())
        )

    def calls(self) -> list[tuple[str, Any]]:
        """The tools that the last response called, with their arguments."""
        return [
            (event["item"]["name"], json.loads(event["item"]["arguments"]))
            for event in self.client.of("response.output_item.done")
            if event["item"]["type"] == "function_call"
        ]

    async def answers_tool(self, output: Any) -> str:
        """Answer the tool that the last response called. Returns the next answer."""
        await self.outputs(output)
        return await self.asks()

    async def outputs(self, output: Any) -> None:
        called = [
            event["item"]
            for event in self.client.of("response.output_item.done")
            if event["item"]["type"] == "function_call"
        ]
        text = output if isinstance(output, str) else json.dumps(output)
        item = {"type": "function_call_output", "call_id": called[-1]["call_id"], "output": text}
        await self.client.send("conversation.item.create", item=item)


@asynccontextmanager
async def conversation(
    *said: Said | None, lines: Sequence[Line] = LINES, ears: Hearing | None = None, **session: Any
) -> AsyncIterator[Caller]:
    model = Receptionist(lines, recognizer=ears or Ears(*said), names=("Ada",))
    async with (
        RealtimeServer(
            model.brain, transcribe=model.transcribe, options=Options(speed=math.inf)
        ) as server,
        PhoneSession(server, **{"tools": TOOLS, **BY_HAND, **session}) as client,
    ):
        yield Caller(client)


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


# --- what a bridge asks for -----------------------------------------------------------------------

INSTRUCTIONS = (
    "You are Mia. Greet warmly, say goodbye at the end, and ask whether they are still there.\n\n"
    "Calls end in about 10 seconds."
)
AGENT = Agent(name="Mia", instructions=INSTRUCTIONS, greeting="Pizzeria Bella, this is Mia.")


@pytest.mark.parametrize(
    ("direction", "said"),
    [
        (prompts.greeting(AGENT), "Pizzeria Bella, this is Mia."),
        (prompts.NUDGE, "still there?"),
        (prompts.HOLD, "still on it"),
        (prompts.warning(45_000), "45 seconds"),
        (prompts.GOODBYE_IDLE, "cannot hear you any more"),
        (prompts.GOODBYE_LIMIT, "our time is up"),
        (prompts.GOODBYE, "Goodbye!"),
        (prompts.back_again(""), "the line was gone"),
        (prompts.announcement("shift manager"), "I am connecting you."),
        (prompts.back_again("transfer_to_human"), "no one could take your call"),
        ("Greet the caller.", "Hello!"),
        ("Do something else.", "What else can I do for you?"),
    ],
)
async def test_a_direction_is_followed_whatever_the_agents_instructions(
    direction: str, said: str
) -> None:
    async with conversation() as caller:
        assert said in await caller.asks(instructions=f"{INSTRUCTIONS}\n\n{direction}")
        assert said in await caller.asks(instructions=direction)


def test_a_greeting_of_two_paragraphs_is_said_whole() -> None:
    agent = Agent(name="Mia", instructions="x", greeting="Good day.\n\nI am Mia.")
    assert directed("Be nice.\n\n" + prompts.greeting(agent)) == "Good day.\n\nI am Mia."


async def test_an_end_call_without_words_is_followed_by_a_goodbye_on_request() -> None:
    lines = (Line(hears=("goodbye",), ends_call=True),)
    async with conversation(GOODBYE, lines=lines) as caller:
        assert await caller.says(0) == ""
        assert caller.calls()[0][0] == "end_call"
        assert await caller.answers_tool(prompts.END_UNSPOKEN) == "Goodbye!"


async def test_an_interrupted_goodbye_continues_the_call() -> None:
    async with conversation(GOODBYE, ASKS_MENU) as caller:
        await caller.says(0)
        await caller.outputs(prompts.END_TAKEN_BACK)
        assert await caller.says(1) == "Let me see."
        assert caller.calls() == [("menu", {"size": "large"})]
    async with conversation(GOODBYE) as caller:
        await caller.says(0)
        assert "still here" in await caller.answers_tool(prompts.END_TAKEN_BACK)


async def test_an_out_of_band_response_is_plain_and_calls_no_tool() -> None:
    async with conversation(ASKS_MENU) as caller:
        await caller.client.append(turn_audio(0))
        await caller.client.send("input_audio_buffer.commit")
        text = await caller.asks(conversation="none", output_modalities=["text"])
        assert "I only talk with callers" in text
        assert caller.calls() == []


async def message(caller: Caller, role: str, text: str) -> None:
    kind = "output_text" if role == "assistant" else "input_text"
    item = {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
    await caller.client.send("conversation.item.create", item=item)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("What is on the menu?", "Let me see."),
        ("Well, tell me about the menu!", "Let me see."),
        ("Two Funghi for Ada.", "Two funghi for Ada. One moment."),
        ("2 funghi for Ada", "Two funghi for Ada. One moment."),
        ("My number is 555-1234.", "I heard 5 5 5, 1 2 3 4."),
    ],
)
async def test_typed_text_is_understood_like_speech(text: str, answer: str) -> None:
    async with conversation() as caller:
        await message(caller, "user", text)
        assert await caller.asks() == answer


async def test_a_restored_conversation_does_not_order_twice() -> None:
    model = Receptionist(LINES, recognizer=Ears(ORDERS))
    async with RealtimeServer(
        model.brain, transcribe=model.transcribe, options=Options(speed=math.inf)
    ) as server:
        async with PhoneSession(server, tools=TOOLS, **BY_HAND) as client:
            caller = Caller(client)
            await caller.says(0)
            assert caller.calls()[0][0] == "place_order"
        async with PhoneSession(server, tools=TOOLS, **BY_HAND) as client:
            caller = Caller(client)
            await message(caller, "user", "two funghi for Ada")
            await message(caller, "system", prompts.tool_running("place_order"))
            await message(caller, "system", prompts.SESSION_RENEWED)
            assert "still on it" in await caller.asks()
            assert caller.calls() == []
        async with PhoneSession(server, tools=TOOLS, **BY_HAND) as client:
            caller = Caller(client)
            await message(caller, "user", "two funghi for Ada")
            result = prompts.tool_result("place_order", '{"ready_at": "9:15"}')
            await message(caller, "system", result)
            await message(caller, "system", prompts.SESSION_RENEWED)
            assert await caller.asks() == "Done, Ada. Be here at nine fifteen."
            assert caller.calls() == []


async def test_the_memory_of_old_sessions_is_bounded() -> None:
    model = Receptionist(LINES, recognizer=Ears(ORDERS))
    heard = await model.transcribe(turn_audio(0))

    def turn(session_id: str, *outputs: ToolOutput, news: tuple[Item, ...] = ()) -> Turn:
        return Turn(
            kind="reply",
            instructions="",
            transcript=heard,
            items=(Item("u", "message", role="user", text=heard), *news),
            tool_outputs=outputs,
            tools=({"name": "place_order"},),
            tool_choice="auto",
            metadata=None,
            in_conversation=True,
            session_id=session_id,
        )

    for number in range(1100):
        reply = model._answer(turn(f"s{number}"))
        assert reply.tool_calls[0][0] == "place_order"
    assert len(model._called) == 1000
    for _ in range(20):
        model._answer(turn("s1099"))
    assert len(model._called["s1099"]) == 8
    # A dropped call is still answered: the caller's words have its meaning.
    call = Item("c", "function_call", name="place_order", call_id="c", arguments="{}")
    output = ToolOutput("c", "place_order", '{"ready_at": "9:15"}')
    assert model._answer(turn("s0", output, news=(call,))).text == (
        "Done, Ada. Be here at nine fifteen."
    )
    for number in range(8):
        assert model._answer(turn("s1099", output, news=(call,))).text, number
    assert "s1099" not in model._called
