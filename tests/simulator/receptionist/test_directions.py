"""The embedded model with what a bridge sends: directions, typed text, restored conversations."""

import math

import pytest

from app.call import prompts
from app.call.agent import Agent
from app.call.exits import built_in_tools
from app.simulator.realtime import Options, RealtimeServer, Turn
from app.simulator.realtime.items import Item
from app.simulator.realtime.script import ToolOutput
from app.simulator.receptionist.brain import Receptionist, directed
from app.simulator.receptionist.lines import Line
from tests.simulator.realtime.realtime_client import PhoneSession
from tests.simulator.receptionist.receptionist_caller import (
    ASKS_MENU,
    BY_HAND,
    GOODBYE,
    LINES,
    ORDERS,
    TOOLS,
    Caller,
    Ears,
    conversation,
    turn_audio,
)

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
        (built_in_tools.resumed(""), "the line was gone"),
        (prompts.announcement("shift manager"), "I am connecting you."),
        (built_in_tools.resumed("transfer_to_human"), "no one could take your call"),
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
        await caller.outputs(prompts.end_taken_back())
        assert await caller.says(1) == "Let me see."
        assert caller.calls() == [("menu", {"size": "large"})]
    async with conversation(GOODBYE) as caller:
        await caller.says(0)
        assert "still here" in await caller.answers_tool(prompts.end_taken_back())


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
