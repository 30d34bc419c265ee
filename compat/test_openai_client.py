"""The openai package's own Realtime client in a spoken conversation with the embedded model."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from app.audio import pcm16_dbfs
from app.simulator.speech import speak
from compat.hosting import LIMIT_S
from compat.pizzeria import (
    ASKS_FOR_THE_MENU,
    INSTRUCTIONS,
    MODEL,
    ORDERED,
    ORDERS,
    SAYS_GOODBYE,
    TOOLS,
    VOICE,
    Kitchen,
    pizzeria,
    spoken_items,
    understood,
)
from compat.sound import MODEL_HZ, as_pcm, said
from tests.simulator.realtime.realtime_client import check_server_event

BYTES_PER_MS = MODEL_HZ // 1000 * 2
CHUNK_MS = 100


class Talker:
    """An application on the client: plays audio, runs tools, and truncates when interrupted."""

    def __init__(self, connection: AsyncRealtimeConnection, kitchen: Kitchen) -> None:
        #: All the audio that the caller sent.
        self.appended = b""
        #: PCM by item.
        self.heard: dict[str, bytearray] = {}
        self.caller_said: list[str] = []
        self.agent_said: dict[str, str] = {}
        #: Every response that is done.
        self.done: list[Any] = []
        self.truncated: list[Any] = []
        self._connection = connection
        self._kitchen = kitchen
        self._begun_s: dict[str, float] = {}
        self._news = asyncio.Event()

    async def run(self) -> None:
        """Handle events until the socket is closed, and check each against the package's types,
        which the client itself does not do."""
        while True:
            raw = await self._connection.recv_bytes()
            check_server_event(json.loads(raw))
            await self._take(self._connection.parse_event(raw))
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
            audio = base64.b64encode(pcm[start : start + size]).decode()
            await self._connection.input_audio_buffer.append(audio=audio)

    async def _take(self, event: Any) -> None:
        match event.type:
            case "error":
                raise AssertionError(event.error)
            case "response.output_audio.delta":
                self._begun_s.setdefault(event.item_id, asyncio.get_running_loop().time())
                self.heard.setdefault(event.item_id, bytearray()).extend(
                    base64.b64decode(event.delta)
                )
            case "response.output_audio_transcript.done":
                self.agent_said[event.item_id] = event.transcript
            case "conversation.item.input_audio_transcription.completed":
                self.caller_said.append(event.transcript)
            case "input_audio_buffer.speech_started":
                await self._stop_playing()
            case "conversation.item.truncated":
                self.truncated.append(event)
            case "response.done":
                self.done.append(event.response)
                await self._run_tools(event.response)

    async def _stop_playing(self) -> None:
        """Truncate the item that is playing to what has played."""
        if not self.heard:
            return
        item_id, audio = list(self.heard.items())[-1]
        played_ms = (asyncio.get_running_loop().time() - self._begun_s[item_id]) * 1000
        if played_ms < len(audio) / BYTES_PER_MS:
            await self._connection.conversation.item.truncate(
                item_id=item_id, content_index=0, audio_end_ms=int(played_ms)
            )

    async def _run_tools(self, response: Any) -> None:
        calls = [item for item in response.output if item.type == "function_call"]
        for call in calls:
            result = getattr(self._kitchen, call.name)(**json.loads(call.arguments))
            output: Any = {
                "type": "function_call_output",
                "call_id": call.call_id,
                "output": json.dumps(result),
            }
            await self._connection.conversation.item.create(item=output)
        if calls:
            await self._connection.response.create()


async def test_it_talks_with_the_embedded_model_and_interrupts_it() -> None:
    kitchen = Kitchen()
    async with (
        asyncio.timeout(LIMIT_S),
        pizzeria() as server,
        AsyncOpenAI(api_key="sk-test", base_url=server.base_url) as api,
        api.realtime.connect(model=MODEL) as connection,
        asyncio.TaskGroup() as group,
    ):
        talker = Talker(connection, kitchen)
        reading = group.create_task(talker.run())
        await connection.session.update(
            session={
                "type": "realtime",
                "instructions": INSTRUCTIONS,
                "audio": {
                    "input": {
                        "transcription": {"model": "gpt-4o-transcribe", "language": "en"},
                        "turn_detection": {"type": "server_vad", "silence_duration_ms": 500},
                    },
                    "output": {"voice": "marin"},
                },
                "tools": TOOLS,
            }
        )
        session = await server.session()
        await talker.say(said(ASKS_FOR_THE_MENU))
        await understood(session, 1, "menu")
        # "Let me see.", the tool, and then three prices: wait for a second of those
        await talker.until(
            lambda: (
                len(talker.done) == 1
                and len(talker.heard) == 2
                and len(list(talker.heard.values())[1]) > 1000 * BYTES_PER_MS
            )
        )
        await talker.say(said(ORDERS))
        await understood(session, 2, "margherita")
        await talker.until(lambda: len(talker.done) == 4)
        await talker.say(said(SAYS_GOODBYE))
        await understood(session, 3, "goodbye")
        await talker.until(lambda: len(talker.done) == 5)
        reading.cancel()

    assert kitchen.calls == [("menu", {"size": "large"}), ("place_order", ORDERED)]
    assert [response.status for response in talker.done] == [
        "completed",  # "Let me see.", and the tool
        "cancelled",  # the prices, which the caller interrupted
        "completed",  # "One moment.", and the tool
        "completed",
        "completed",
    ]
    assert talker.done[1].status_details.reason == "turn_detected"
    for text, word in zip(talker.caller_said, ("menu", "margherita", "goodbye"), strict=True):
        assert word in text.lower()
    told = list(talker.agent_said.values())
    assert told[1] and "oven" not in told[1]  # where that answer ends
    assert "seventeen fifty euros" in told[3]
    assert "goodbye" in told[4].lower()

    # The audio arrived unchanged in both directions.
    assert session.heard == talker.appended
    items = spoken_items(session)
    assert [item.text for item in items] == told
    for item in items:
        assert bytes(item.audio) == talker.heard[item.id]
        assert pcm16_dbfs(bytes(item.audio)) > -35
    whole = len(as_pcm(speak(told[3], voice=VOICE)))
    assert abs(len(talker.heard[items[3].id]) / whole - 1) < 0.05

    # The model keeps what the client truncated to.
    assert talker.truncated[0].item_id == items[1].id
    assert items[1].status == "incomplete"
    assert items[1].kept_ms == talker.truncated[0].audio_end_ms < items[1].audio_ms
    assert session.errors_sent == []
