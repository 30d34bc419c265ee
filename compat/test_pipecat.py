"""pipecat-ai on the simulated phone line: its Twilio serializer alone, and a pipeline with its
OpenAI Realtime service on the embedded model."""

import asyncio
from typing import Any

from fastapi import FastAPI, Response, WebSocket, WebSocketDisconnect
from pipecat.audio.dtmf.types import KeypadEntry
from pipecat.clocks.system_clock import SystemClock
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
)
from pipecat.processors.frame_processor import FrameProcessorSetup
from pipecat.runner.utils import parse_telephony_websocket
from pipecat.serializers.twilio import TwilioFrameSerializer
from pipecat.utils.asyncio.task_manager import TaskManager

from app.audio import rms_dbfs, ulaw_decode, ulaw_ms
from app.simulator.speech import speak
from app.simulator.twilio import PhoneLine
from compat.hosting import LIMIT_S, PUBLIC_HOST, hosted
from compat.pipecat_pipeline import PipelineBot
from compat.pizzeria import (
    ASKS_FOR_THE_MENU,
    SAYS_GOODBYE,
    Kitchen,
    pizzeria,
    spoken_items,
    understood,
)
from compat.sound import LINE_HZ, likeness, said

TWIML = f"""<?xml version="1.0" encoding="UTF-8"?>
<Response><Connect><Stream url="wss://{PUBLIC_HOST}/media-stream">\
<Parameter name="agent" value="bella"/></Stream></Connect></Response>"""


class SerializerBot:
    """Answers a call through pipecat's serializer; a test drives it."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.app.post("/incoming-call")(self._answer)
        self.app.websocket("/media-stream")(self._take)
        self.frames: list[Frame] = []
        self.call: Any = None
        self.started, self.over = asyncio.Event(), asyncio.Event()
        #: The address and credentials of Twilio's REST API; empty: it does not hang up by itself.
        self.hang_up_with: dict[str, str] = {}
        self._news = asyncio.Event()

    @property
    def heard(self) -> bytes:
        """The caller's audio: PCM at 8000 Hz."""
        return b"".join(f.audio for f in self.frames if isinstance(f, InputAudioRawFrame))

    @property
    def pressed(self) -> list[KeypadEntry]:
        return [frame.button for frame in self.frames if isinstance(frame, InputDTMFFrame)]

    async def until_heard(self, pcm: bytes) -> None:
        while pcm not in self.heard:
            self._news.clear()
            await self._news.wait()

    async def until_pressed(self, count: int) -> None:
        while len(self.pressed) < count:
            self._news.clear()
            await self._news.wait()

    async def say(self, pcm: bytes) -> None:
        """Send PCM of 8000 Hz in frames of 20 ms, at once."""
        size = LINE_HZ // 50 * 2
        for start in range(0, len(pcm), size):
            await self._send(OutputAudioRawFrame(pcm[start : start + size], LINE_HZ, 1))

    async def interrupt(self) -> None:
        await self._send(InterruptionFrame())

    async def hang_up(self) -> None:
        assert await self._serializer.serialize(EndFrame()) is None

    async def _answer(self) -> Response:
        return Response(TWIML, media_type="text/xml")

    async def _take(self, websocket: WebSocket) -> None:
        await websocket.accept()
        self._socket = websocket
        kind, self.call = await parse_telephony_websocket(websocket)
        assert kind == "twilio"
        self._serializer = TwilioFrameSerializer(
            self.call.stream_id,
            self.call.call_id,
            params=TwilioFrameSerializer.InputParams(
                auto_hang_up=bool(self.hang_up_with), sample_rate=LINE_HZ
            ),
            **self.hang_up_with,
        )
        await self._serializer.setup(
            FrameProcessorSetup(
                clock=SystemClock(), task_manager=TaskManager(), pipeline_worker=None
            )
        )
        self.started.set()
        try:
            while True:
                frame = await self._serializer.deserialize(await websocket.receive_text())
                if frame is not None:
                    self.frames.append(frame)
                    self._news.set()
        except WebSocketDisconnect:
            self.over.set()

    async def _send(self, frame: Frame) -> None:
        message = await self._serializer.serialize(frame)
        assert isinstance(message, str)
        await self._socket.send_text(message)


async def test_its_serializer_takes_a_call_is_interrupted_and_hears_the_hang_up() -> None:
    question = said("What do you have on the menu?")
    answer = speak("We have three pizzas, and all of them come from our wood oven.")
    second = speak("Gladly.")
    bot = SerializerBot()
    async with (
        asyncio.timeout(LIMIT_S),
        hosted(bot.app) as url,
        PhoneLine(f"{url}/incoming-call", public_url=f"https://{PUBLIC_HOST}") as line,
    ):
        call = await line.call()
        await call.wait_connected()
        call.say(question)
        await bot.until_heard(ulaw_decode(question))  # to the byte, in one piece
        assert (bot.call.stream_id, bot.call.call_id) == (call.stream_sid, call.call_sid)
        assert bot.call.body == {"agent": "bella"}

        await bot.say(ulaw_decode(answer))
        await call.wait_heard(8 * 600)
        await bot.interrupt()
        await call.wait_for(lambda: bool(call.playback.clears))
        cut = len(call.heard)
        assert 600 <= ulaw_ms(cut) < ulaw_ms(len(answer)) / 2
        assert call.playback.clears[0].dropped_bytes == len(answer) - cut

        call.press("7")
        call.press("#")
        await bot.until_pressed(2)
        assert bot.pressed == [KeypadEntry.SEVEN, KeypadEntry.POUND]

        await bot.say(ulaw_decode(second))
        await call.wait_heard(cut + len(second))
        # µ-law has two zeros: the bytes may differ where the sound does not.
        assert ulaw_decode(call.heard) == ulaw_decode(answer[:cut] + second)
        assert rms_dbfs(call.heard) > -35
        call.hang_up()
        await call.wait_ended()
        await bot.over.wait()
        assert call.status == "completed"
        assert call.errors == []


async def test_its_serializer_hangs_up_over_rest() -> None:
    bot = SerializerBot()
    account = {"account_sid": "AC" + "1" * 32, "auth_token": "a-token"}
    async with (
        asyncio.timeout(LIMIT_S),
        hosted(bot.app) as url,
        PhoneLine(f"{url}/incoming-call", public_url=f"https://{PUBLIC_HOST}", **account) as line,
    ):
        bot.hang_up_with = {"base_url": line.rest_url, **account}
        call = await line.call()
        await bot.started.wait()
        await bot.hang_up()
        await call.wait_ended()
        await bot.over.wait()
        (request,) = line.rest_requests
        assert request.path == f"/2010-04-01/Accounts/{call.account_sid}/Calls/{call.call_sid}.json"
        assert (request.method, request.form) == ("POST", {"Status": "completed"})
        assert (call.status, call.errors) == ("completed", [])


async def test_its_pipeline_and_our_model_hold_a_conversation_on_our_line() -> None:
    kitchen = Kitchen()
    async with asyncio.timeout(LIMIT_S), pizzeria() as server:
        model_url = f"{server.base_url}/realtime".replace("http://", "ws://")
        bot = PipelineBot(model_url, kitchen, TWIML)
        async with (
            hosted(bot.app) as url,
            PhoneLine(f"{url}/incoming-call", public_url=f"https://{PUBLIC_HOST}") as line,
        ):
            call = await line.call()
            await call.wait_connected()
            await call.wait_quiet(500)  # greeted: the pipeline may send with gaps
            call.say(said(ASKS_FOR_THE_MENU))
            model = await server.session()
            await understood(model, 1, "menu")
            # "Let me see.", the tool, and then three prices: wait for a second of those
            await model.until(lambda session: len(spoken_items(session)) == 3)
            await call.wait_heard(len(call.heard) + 8 * 1500)
            call.say(said(SAYS_GOODBYE))
            await understood(model, 2, "goodbye")
            await model.until(lambda session: len(spoken_items(session)) == 4)
            await call.wait_heard(len(call.heard) + 8 * 1000)
            await call.wait_quiet(500)
            heard = call.heard
            call.hang_up()
            await call.wait_ended()
            await bot.over.wait()
            assert call.status == "completed"
            assert call.errors == []

    assert kitchen.calls == [("menu", {"size": "large"})]
    assert bot.errors == []
    assert model.errors_sent == []
    greeting, let_me_see, prices, goodbye = items = spoken_items(model)
    assert prices.status == "incomplete" and "oven" not in (prices.text or "")
    messages = bot.context.get_messages()
    said_by_caller = [each["content"].lower() for each in messages if each["role"] == "user"]
    assert "menu" in said_by_caller[0] and "goodbye" in said_by_caller[1]
    assert messages[-1]["content"] == goodbye.text

    # The caller heard the model's answers, and of the interrupted one what pipecat truncated to.
    for item in (greeting, let_me_see, goodbye):
        assert likeness(heard, item.audio_format.to_ulaw(bytes(item.audio))) > 0.9
    told = prices.audio_format.to_ulaw(bytes(prices.audio))
    assert likeness(heard, told[: 8 * 1000]) > 0.9
    # "with fresh mushrooms": the second before it repeats "a large", which may have been heard
    assert likeness(heard, told[8 * 4000 : 8 * 5000]) < 0.4
    assert abs(ulaw_ms(len(heard)) - sum(item.kept_ms for item in items)) < 250
    assert sum(cleared.dropped_bytes for cleared in call.playback.clears) > 0
