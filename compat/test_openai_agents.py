"""The Realtime runner of openai-agents in a spoken conversation with the embedded model."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from agents import function_tool
from agents.realtime import RealtimeAgent, RealtimeRunner, RealtimeSession
from agents.realtime.items import AssistantMessageItem, UserMessageItem
from typing_extensions import TypedDict

from app.audio import pcm16_dbfs
from compat.hosting import LIMIT_S
from compat.pizzeria import (
    ASKS_FOR_THE_MENU,
    INSTRUCTIONS,
    MODEL,
    ORDERED,
    ORDERS,
    SAYS_GOODBYE,
    Kitchen,
    pizzeria,
    spoken_items,
    understood,
)
from compat.sound import MODEL_HZ, as_pcm, said

BYTES_PER_MS = MODEL_HZ // 1000 * 2
CHUNK_MS = 100


class Pizza(TypedDict):
    pizza: str
    size: str
    quantity: int


def tools_of(kitchen: Kitchen) -> list[Any]:
    """The kitchen's tools, as the package makes them from signatures."""

    @function_tool
    def menu(size: str) -> str:
        """What each pizza costs, in euros."""
        return json.dumps(kitchen.menu(size))

    @function_tool
    def place_order(name: str, items: list[Pizza]) -> str:
        """Send an order to the kitchen."""
        return json.dumps(kitchen.place_order(name, [dict(item) for item in items]))

    return [menu, place_order]


class Listener:
    """Handles a session's events, and sends the caller's speech."""

    def __init__(self, session: RealtimeSession) -> None:
        #: PCM by item.
        self.audio: dict[str, bytearray] = {}
        self.interrupted: list[str] = []
        self.turns_ended = 0
        self.tool_outputs: list[str] = []
        self.appended = b""
        self._session = session
        self._history: list[Any] = []
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Handle events until the session is closed."""
        async for event in self._session:
            match event.type:
                case "error":
                    raise AssertionError(event.error)
                case "audio":
                    self.audio.setdefault(event.item_id, bytearray()).extend(event.audio.data)
                case "audio_interrupted":
                    self.interrupted.append(event.item_id)
                case "history_updated":
                    self._history = event.history
                case "tool_end":
                    self.tool_outputs.append(event.output)
                case "raw_model_event" if event.data.type == "turn_ended":
                    self.turns_ended += 1
                case "raw_model_event" if event.data.type == "exception":
                    raise AssertionError(event.data.exception)
            self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._news.clear()
            await self._news.wait()

    async def say(self, ulaw: bytes) -> None:
        """Send the caller's speech at once: turn detection counts audio, not time."""
        pcm = as_pcm(ulaw)
        self.appended += pcm
        size = CHUNK_MS * BYTES_PER_MS
        for start in range(0, len(pcm), size):
            await self._session.send_audio(pcm[start : start + size])

    def transcripts(self, kind: type[UserMessageItem | AssistantMessageItem]) -> list[str]:
        """The transcripts in the session's own history."""
        return [
            "".join(getattr(part, "transcript", None) or "" for part in item.content)
            for item in self._history
            if isinstance(item, kind)
        ]


async def test_its_runner_talks_with_the_embedded_model_and_is_interrupted() -> None:
    kitchen = Kitchen()
    runner = RealtimeRunner(
        RealtimeAgent(name="Mia", instructions=INSTRUCTIONS, tools=tools_of(kitchen)),
        config={"model_settings": {"model_name": MODEL}, "tracing_disabled": True},
    )
    async with asyncio.timeout(LIMIT_S), pizzeria() as server:
        url = f"{server.base_url}/realtime?model={MODEL}".replace("http://", "ws://")
        starting = await runner.run(model_config={"url": url, "api_key": "sk-test"})
        async with starting as session, asyncio.TaskGroup() as group:
            listener = Listener(session)
            listening = group.create_task(listener.run())
            ours = await server.session()
            await listener.say(said(ASKS_FOR_THE_MENU))
            await understood(ours, 1, "menu")
            # "Let me see.", the tool, and then three prices: wait for a second of those
            await listener.until(
                lambda: (
                    listener.turns_ended == 1
                    and len(listener.audio) == 2
                    and len(list(listener.audio.values())[1]) > 1000 * BYTES_PER_MS
                )
            )
            await listener.say(said(ORDERS))
            await understood(ours, 2, "margherita")
            await listener.until(lambda: listener.turns_ended == 4)
            await listener.say(said(SAYS_GOODBYE))
            await understood(ours, 3, "goodbye")
            await listener.until(lambda: listener.turns_ended == 5)
            caller_said = listener.transcripts(UserMessageItem)
            agent_said = listener.transcripts(AssistantMessageItem)
            listening.cancel()

    assert kitchen.calls == [("menu", {"size": "large"}), ("place_order", ORDERED)]
    assert "17.5" in listener.tool_outputs[0] and "18:20" in listener.tool_outputs[1]
    for text, word in zip(caller_said, ("menu", "margherita", "goodbye"), strict=True):
        assert word in text.lower()
    items = spoken_items(ours)
    assert [item.status for item in items] == [
        "completed",
        "incomplete",  # the prices, which the caller interrupted
        "completed",
        "completed",
        "completed",
    ]
    assert agent_said[1] and "oven" not in agent_said[1]  # where that answer ends
    assert "seventeen fifty euros" in agent_said[3]
    assert "goodbye" in agent_said[4].lower()

    # The audio arrived unchanged in both directions.
    assert ours.heard == listener.appended
    for item in items:
        heard = bytes(listener.audio[item.id])
        assert pcm16_dbfs(heard) > -35
        assert heard == bytes(item.audio) if item is not items[1] else item.audio.startswith(heard)

    # The model keeps what the package truncated to.
    assert listener.interrupted[0] == items[1].id
    assert items[1].kept_ms == items[1].truncations[0].audio_end_ms < items[1].audio_ms
    assert ours.errors_sent == []
