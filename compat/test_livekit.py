"""LiveKit's agent session with its OpenAI plugin talks with the embedded model."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import aiohttp
from livekit import rtc
from livekit.agents import Agent, AgentSession, function_tool
from livekit.agents.voice import io
from livekit.plugins.openai.realtime import RealtimeModel
from openai.types.realtime import AudioTranscription
from openai.types.realtime.realtime_audio_input_turn_detection import ServerVad
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

FRAME_BYTES = MODEL_HZ // 10 * 2
PLAYS = 3
"""How many times faster than real time both sides speak; the model generates faster still."""


class Pizza(TypedDict):
    pizza: str
    size: str
    quantity: int


class Waiter(Agent):
    """An agent with the kitchen's tools, as the package makes them from methods."""

    def __init__(self, kitchen: Kitchen) -> None:
        super().__init__(instructions=INSTRUCTIONS)
        self._kitchen = kitchen

    @function_tool
    async def menu(self, size: str) -> str:
        """What each pizza costs, in euros."""
        return json.dumps(self._kitchen.menu(size))

    @function_tool
    async def place_order(self, name: str, items: list[Pizza]) -> str:
        """Send an order to the kitchen."""
        return json.dumps(self._kitchen.place_order(name, [dict(item) for item in items]))


class Microphone(io.AudioInput):  # type: ignore[misc]
    """The caller's speech. Speech that came at once would be over before the session hears of the
    interruption, and cancels what is active then: the next answer."""

    def __init__(self) -> None:
        super().__init__(label="test")
        #: All the audio that the session took.
        self.taken = b""
        self._frames: asyncio.Queue[bytes] = asyncio.Queue()

    def say(self, ulaw: bytes) -> None:
        pcm = as_pcm(ulaw)
        for start in range(0, len(pcm), FRAME_BYTES):
            self._frames.put_nowait(pcm[start : start + FRAME_BYTES])

    async def __anext__(self) -> Any:
        pcm = await self._frames.get()
        await asyncio.sleep(_length_s(pcm) / PLAYS)
        self.taken += pcm
        return rtc.AudioFrame(pcm, MODEL_HZ, 1, len(pcm) // 2)


class Loudspeaker(io.AudioOutput):  # type: ignore[misc]
    """Plays one segment after the other, as a phone line does."""

    def __init__(self) -> None:
        capabilities = io.AudioOutputCapabilities(pause=False)
        super().__init__(label="test", capabilities=capabilities, sample_rate=MODEL_HZ)
        #: PCM of each segment that was played or cut.
        self.segments: list[bytes] = []
        #: Where segments were cut, in seconds.
        self.cut_s: list[float] = []
        self._pcm = b""
        self._begun_s = 0.0
        self._end: asyncio.TimerHandle | None = None

    async def capture_frame(self, frame: Any) -> None:
        await super().capture_frame(frame)
        if not self._pcm:
            self._begun_s = asyncio.get_running_loop().time()
            self.on_playback_started(created_at=self._begun_s)
        self._pcm += bytes(frame.data)

    def flush(self) -> None:
        super().flush()
        if self._pcm:
            length_s = _length_s(self._pcm)
            end_s = self._begun_s + length_s / PLAYS
            loop = asyncio.get_running_loop()
            self._end = loop.call_at(end_s, self._finish, length_s, False)

    def clear_buffer(self) -> None:
        if self._pcm:
            played_s = (asyncio.get_running_loop().time() - self._begun_s) * PLAYS
            self.cut_s.append(min(played_s, _length_s(self._pcm)))
            self._finish(self.cut_s[-1], True)

    def _finish(self, position_s: float, interrupted: bool) -> None:
        if self._end is not None:
            self._end.cancel()
            self._end = None
        self.segments.append(self._pcm)
        self._pcm = b""
        self.on_playback_finished(playback_position=position_s, interrupted=interrupted)


def _length_s(pcm: bytes) -> float:
    return len(pcm) / 2 / MODEL_HZ


class History:
    """What the session says was said."""

    def __init__(self, session: Any) -> None:
        self.said: dict[str, list[str]] = {"user": [], "assistant": []}
        self.errors: list[Any] = []
        self._news = asyncio.Event()
        session.on("conversation_item_added", self._add)
        session.on("error", lambda event: self.errors.append(event.error))

    def _add(self, event: Any) -> None:
        if event.item.type == "message":
            self.said[event.item.role].append(event.item.text_content or "")
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._news.clear()
            await self._news.wait()


async def test_its_session_talks_with_the_embedded_model_and_is_interrupted() -> None:
    kitchen = Kitchen()
    async with (
        asyncio.timeout(LIMIT_S),
        pizzeria() as server,
        aiohttp.ClientSession() as http_session,
    ):
        model = RealtimeModel(
            model=MODEL,
            voice="marin",
            base_url=server.base_url,
            api_key="sk-test",
            http_session=http_session,
            input_audio_transcription=AudioTranscription(model="gpt-4o-transcribe", language="en"),
            turn_detection=ServerVad(type="server_vad", silence_duration_ms=500),
        )
        session: Any = AgentSession(
            llm=model,
            vad=None,
            turn_handling={"turn_detection": "realtime_llm"},
            aec_warmup_duration=None,
        )
        microphone, loudspeaker, history = Microphone(), Loudspeaker(), History(session)
        session.input.audio, session.output.audio = microphone, loudspeaker
        await session.start(Waiter(kitchen))
        ours = await server.session()
        microphone.say(said(ASKS_FOR_THE_MENU))
        await understood(ours, 1, "menu")
        # "Let me see.", the tool, and then three prices: wait for a second of those
        await ours.until(
            lambda _: len(spoken_items(ours)) == 2 and spoken_items(ours)[1].audio_ms > 1500
        )
        microphone.say(said(ORDERS))
        await understood(ours, 2, "margherita")
        await history.until(lambda: len(history.said["assistant"]) == 4)
        microphone.say(said(SAYS_GOODBYE))
        await understood(ours, 3, "goodbye")
        await history.until(lambda: len(history.said["assistant"]) == 5)
        await session.aclose()

    assert kitchen.calls == [("menu", {"size": "large"}), ("place_order", ORDERED)]
    # It cancels the interrupted response, which turn detection has cancelled, and knows the answer.
    assert [error["code"] for error in ours.errors_sent] == ["response_cancel_not_active"]
    assert history.errors == []
    for text, word in zip(history.said["user"], ("menu", "margherita", "goodbye"), strict=True):
        assert word in text.lower()
    items = spoken_items(ours)
    assert [item.status for item in items] == [
        "completed",
        "incomplete",  # the prices, which the caller interrupted
        "completed",
        "completed",
        "completed",
    ]
    told = history.said["assistant"]
    assert told[1] and "oven" not in told[1]  # where that answer ends
    assert "seventeen fifty euros" in told[3]
    assert "goodbye" in told[4].lower()

    # The audio arrived unchanged in both directions, but for the end of what was interrupted.
    assert microphone.taken.startswith(ours.heard)
    assert len(microphone.taken) - len(ours.heard) < FRAME_BYTES  # kept for a whole frame
    for item, heard in zip(items, loudspeaker.segments, strict=True):
        assert pcm16_dbfs(heard) > -35
        assert heard == bytes(item.audio) if item is not items[1] else item.audio.startswith(heard)

    # The model keeps what the package truncated to: what was played.
    (cut_s,) = loudspeaker.cut_s
    assert abs(items[1].kept_ms - cut_s * 1000) <= 1
    assert items[1].kept_ms < items[1].audio_ms
