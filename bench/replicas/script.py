"""What the agent and the callers of the replicas' calls say, and the agent's file and tools."""

import random
from collections.abc import Mapping
from math import inf

from app.simulator.realtime import Reply, Turn

DESK, NIGHT, WARM, LATE = "+14155550111", "+14155550112", "+14155550113", "+14155550114"
OWN = "+14155550100"
API_TOKEN = "the-token-of-all-replicas"
TOOL_S = 1.5
NAMED = 40  # callers with a name of their own

AGENT = f"""
name = "Agent"
instructions = "You answer the phone of a restaurant."
greeting = "Hello."
tools = "tools.py"
[turns]
silence_ms = 200
[limits]
idle_seconds = 0
[[transfer.destinations]]
name = "desk"
number = "{DESK}"
[[transfer.destinations]]
name = "night"
number = "{NIGHT}"
[[transfer.destinations]]
name = "late"
number = "{LATE}"
[[transfer.destinations]]
name = "warm"
number = "{WARM}"
warm = true
"""
TOOLS = f'''
import asyncio

from app.tools import tool


@tool
async def free_tables(hour: int) -> str:
    """The free tables at an hour."""
    await asyncio.sleep({TOOL_S})
    return f"Two tables are free at {{hour}}."
'''


def noise(duration_ms: int, seed: object) -> bytes:
    """µ-law, loud enough for turn detection, different for each seed."""
    return random.Random(f"{seed}").randbytes(duration_ms * 8)


def _reply(
    text: str, ms: int, *calls: tuple[str, Mapping[str, object]], speed: float = inf
) -> Reply:
    return Reply(text, audio=noise(ms, text), speed=speed, tool_calls=calls)


def _transfer(destination: str) -> Reply:
    given = {"destination": destination, "reason": "an order", "summary": "Ann wants chairs."}
    return _reply("I am connecting you.", 300, ("transfer_to_human", given))


HELLO = _reply("Hello.", 300)
BACK = _reply("I am here again.", 300)
ORDERED = _reply("This is what the operator says.", 300)
TABLES = _reply("There are two tables at seven.", 300)
KEYED = _reply("Thank you for the number.", 300)
STORY = _reply("Once upon a time there was a very long story about an agent on the phone.", 6000)
#: In real time, so that each delay is heard as a gap.
ENDLESS = _reply("And so on, and so on, without an end.", 200_000, speed=1.0)

REPLIES = {
    "When do you open?": _reply("At seven in the evening.", 300),
    "Tell me a story.": STORY,
    "Please stop that.": _reply("Very well, I stop.", 300),
    "Is a table free at seven?": _reply("One moment.", 300, ("free_tables", {"hour": 7})),
    "The desk, please.": _transfer("desk"),
    "A person at night, please.": _transfer("night"),
    "The late one, please.": _transfer("late"),
    "The warm one, please.": _transfer("warm"),
    "Talk for a long time.": ENDLESS,
} | {f"This is caller {n}.": _reply(f"Good day, caller {n}.", 300) for n in range(NAMED)}
"""What the agent says to each request."""

SOUNDS = {text: noise(400, f"caller: {text}") for text in REPLIES}
"""What each request of a caller sounds like."""
_KEPT = slice(1600, 2400)  # bytes of it that turn detection keeps in any case


def transcribe(ulaw: bytes) -> str:
    """The text of a turn of the caller; empty for any other sound."""
    return next((text for text, sound in SOUNDS.items() if sound[_KEPT] in ulaw), "")


def answer(turn: Turn) -> Reply:
    """The agent's reply, from the turn alone."""
    if turn.kind == "direct":
        if "first time" in turn.instructions:
            return HELLO
        return ORDERED if ORDERED.text in turn.instructions else BACK
    if turn.tool_outputs:
        return TABLES
    return REPLIES.get(turn.transcript, KEYED)
