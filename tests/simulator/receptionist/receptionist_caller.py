"""A caller of the embedded model over a real socket, with a fake recognizer."""

import json
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from app.simulator.realtime import Options, RealtimeServer
from app.simulator.receptionist.brain import Hearing, Receptionist
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
