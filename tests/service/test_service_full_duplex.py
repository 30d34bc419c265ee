"""Whole calls with a model that has no turns, through the same bridge and core."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from app.simulator.realtime import Script
from app.simulator.twilio import Call
from tests.service.full_duplex import GAP_MS, Calls, FullDuplexModel, FullDuplexWire, Says
from tests.service.world import AGENT, World, noise, world

TOOLS = '''
from app.tools import tool


@tool
def opening_hours(day: str) -> str:
    """When we are open."""
    return f"On {day} from 9 to 5."
'''
HELLO = Says("Hello.", noise(300, "hello"))
ANSWER = Says("We open at nine.", noise(300, 1) + b"\xff" * 800 + noise(300, 2))
GOODBYE = Says("Goodbye.", noise(400, "bye"))
HOURS = Calls("opening_hours", '{"day": "Monday"}')
PAUSE_MS = GAP_MS + 100  # after which the model has ended its utterance
END = Calls("end_call", '{"reason": "the caller is done"}')


@asynccontextmanager
async def talking_to(model: FullDuplexModel) -> AsyncIterator[tuple[World, Call]]:
    """The service with this model, and a call that is connected to it."""
    agent = f'tools = "tools.py"\n{AGENT}'
    wire = partial(FullDuplexWire, model)
    async with world(Script(), agent=agent, tools=TOOLS, open_wire=wire) as w:
        yield w, await w.connected()


async def ended(w: World, call: Call) -> dict[str, Any]:
    await call.wait_ended()
    await w.settled()
    return await w.record(call.call_sid)


def transcript(record: dict[str, Any], *roles: str) -> list[tuple[str, str, bool]]:
    turns = record["transcript"]
    return [(each["role"], each["text"], each["cut"]) for each in turns if each["role"] in roles]


async def test_a_call_with_a_tool_and_a_goodbye() -> None:
    model = FullDuplexModel(
        HELLO, HOURS, ANSWER, END, GOODBYE, hears=("When do you open?", "That was all.")
    )
    async with talking_to(model) as (w, call):
        await call.wait_quiet(PAUSE_MS)
        call.say(noise(400, "question"))
        await call.wait_heard(len(HELLO.ulaw + ANSWER.ulaw))
        await call.wait_quiet(PAUSE_MS)
        call.say(noise(400, "thanks"))
        record = await ended(w, call)

        assert call.heard == HELLO.ulaw + ANSWER.ulaw + GOODBYE.ulaw
        assert record["ended_by"] == "agent" and not w.model.sessions
        assert "On Monday from 9 to 5." in model.told
        assert transcript(record, "assistant", "user") == [
            ("assistant", "Hello.", False),
            ("user", "When do you open?", False),
            ("assistant", "We open at nine.", False),
            ("user", "That was all.", False),
            ("assistant", "Goodbye.", False),
        ]


async def test_a_caller_who_barges_in_hears_the_rest_of_the_answer_no_more() -> None:
    long = Says("We open at nine and close at five, from Monday to Friday.", noise(4000, "long"))
    model = FullDuplexModel(HELLO, long, END, GOODBYE, hears=("When do you open?", "Thanks, bye."))
    async with talking_to(model) as (w, call):
        await call.wait_quiet(PAUSE_MS)
        call.say(noise(400, "question"))
        await call.wait_heard(len(HELLO.ulaw) + 4000)
        call.say(noise(400, "thanks"))
        record = await ended(w, call)

        assert call.heard.endswith(GOODBYE.ulaw) and record["ended_by"] == "agent"
        assert len(call.heard) < len(HELLO.ulaw + long.ulaw + GOODBYE.ulaw) - 8000
        cut = [said for said in transcript(record, "assistant") if said[2]]
        assert len(cut) == 1 and long.text.startswith(cut[0][1])
