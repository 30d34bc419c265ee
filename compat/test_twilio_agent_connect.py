"""Twilio Agent Connect, Twilio's own bridge, between the simulated phone line and the embedded
model: its FastAPI server, signature check, and OpenAI Realtime provider over Media Streams."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import websockets
from tac import TAC, TACConfig
from tac.channels.voice import CallStatusEvent, VoiceChannel
from tac.channels.voice.media_streams.openai_realtime import (
    TWILIO_AUDIO_FORMAT_FOR_REALTIME,
    OpenAIRealtimeProviderConfig,
)
from tac.models.session import ConversationSession
from tac.server import TACFastAPIServer
from tac.server.config import TACServerConfig
from tac.tools import TACTool
from tac.tools.base import create_tool

from app.audio import rms_dbfs, ulaw_ms
from app.simulator.twilio import PhoneLine
from compat.hosting import LIMIT_S, PUBLIC_HOST, hosted
from compat.pizzeria import (
    ASKS_FOR_THE_MENU,
    INSTRUCTIONS,
    MODEL,
    SAYS_GOODBYE,
    TOOLS,
    Kitchen,
    pizzeria,
    spoken_items,
    understood,
)
from compat.sound import said

AUTH_TOKEN = "a-token"
STATUS_PATH = "/twilio/call-events/status"
OPENAI = "wss://api.openai.com/v1"


def tools_of(kitchen: Kitchen) -> list[TACTool]:
    return [
        create_tool(
            tool["name"], tool["description"], tool["parameters"], getattr(kitchen, tool["name"])
        )
        for tool in TOOLS
    ]


class Agent:
    """An application on TAC."""

    def __init__(self, kitchen: Kitchen, account_sid: str) -> None:
        tools = tools_of(kitchen)
        tac = TAC(
            TACConfig(
                account_sid=account_sid,
                auth_token=AUTH_TOKEN,
                api_key="SK" + "0" * 32,
                api_secret="a-secret",
                phone_number="+15550109999",
                voice_public_domain=PUBLIC_HOST,
                log_level="ERROR",
            )
        )
        channel = VoiceChannel(
            tac,
            config=OpenAIRealtimeProviderConfig(
                openai_api_key="sk-test",
                tools=tools,
                welcome_greeting_response={"instructions": "Greet the caller."},
                default_session_config={
                    "type": "realtime",
                    "model": MODEL,
                    "instructions": INSTRUCTIONS,
                    "audio": {
                        "input": {
                            "format": TWILIO_AUDIO_FORMAT_FOR_REALTIME,
                            "transcription": {"model": "gpt-4o-transcribe", "language": "en"},
                            "turn_detection": {"type": "server_vad"},
                        },
                        "output": {"format": TWILIO_AUDIO_FORMAT_FOR_REALTIME, "voice": "marin"},
                    },
                    "tools": [tool.to_realtime_format() for tool in tools],
                },
            ),
        )
        self.app = TACFastAPIServer(tac, voice_channel=channel, config=TACServerConfig()).app
        #: The conversation, when it has ended.
        self.ended: asyncio.Future[ConversationSession] = asyncio.Future()
        self.statuses: list[CallStatusEvent] = []
        tac.on_conversation_ended(self.ended.set_result)
        channel.on_call_status(self._note)

    async def _note(self, event: CallStatusEvent) -> None:
        self.statuses.append(event)


def redirected(to: str) -> Callable[..., Any]:
    """`websockets.connect` for a client with a hard-coded address of OpenAI."""
    connect = websockets.connect

    def connect_here(url: str, **options: Any) -> Any:
        assert url.startswith(OPENAI)
        return connect(to + url.removeprefix(OPENAI), **options)

    return connect_here


async def test_it_joins_our_line_to_our_model(monkeypatch: pytest.MonkeyPatch) -> None:
    kitchen = Kitchen()
    account_sid = "AC" + "1" * 32
    agent = Agent(kitchen, account_sid)
    async with (
        asyncio.timeout(LIMIT_S),
        pizzeria() as server,
        hosted(agent.app) as url,
        PhoneLine(
            f"{url}/twiml",
            public_url=f"https://{PUBLIC_HOST}",
            account_sid=account_sid,
            auth_token=AUTH_TOKEN,
            status_callback_url=STATUS_PATH,
        ) as line,
    ):
        here = server.base_url.replace("http://", "ws://")
        monkeypatch.setattr(websockets, "connect", redirected(here))
        call = await line.call()
        await call.wait_connected()
        await call.wait_quiet(500)  # greeted
        call.say(said(ASKS_FOR_THE_MENU))
        model = await server.session()
        await understood(model, 1, "menu")
        # "Let me see.", the tool, and then three prices: wait for a second of those
        await model.until(lambda session: len(spoken_items(session)) == 3)
        greeting, let_me_see, prices = spoken_items(model)
        before = len(greeting.audio) + len(let_me_see.audio)
        await call.wait_heard(before + 8 * 1000)
        call.say(said(SAYS_GOODBYE))
        # The first clear was for the question, with an empty buffer.
        await call.wait_for(lambda: len(call.playback.clears) == 2)
        already = len(call.heard)
        await understood(model, 2, "goodbye")
        await model.until(lambda session: len(spoken_items(session)) == 4)
        goodbye = spoken_items(model)[3]
        await call.wait_heard(already + 8 * 1000)
        await call.wait_quiet(500)
        heard = call.heard
        call.hang_up()
        await call.wait_ended()
        conversation = await agent.ended
        assert (call.status, call.errors) == ("completed", [])

    # Byte for byte the model's answers, and of the interrupted one what played before the clear.
    cut = len(heard) - len(greeting.audio + let_me_see.audio + goodbye.audio)
    assert heard == bytes(greeting.audio + let_me_see.audio + prices.audio[:cut] + goodbye.audio)
    assert rms_dbfs(heard) > -35
    assert 1000 <= ulaw_ms(cut) < prices.audio_ms / 2
    assert [each.dropped_bytes for each in call.playback.clears] == [0, len(prices.audio) - cut]

    assert kitchen.calls == [("menu", {"size": "large"})]
    assert prices.status == "incomplete" and "oven" not in (prices.text or "")
    # TAC truncates to all it sent, which is more than the line played.
    assert prices.truncations[0].audio_end_ms == prices.audio_ms > ulaw_ms(cut)
    # The server cancels by itself when the caller speaks; TAC cancels again and ignores the error.
    assert {error["code"] for error in model.errors_sent} <= {"response_cancel_not_active"}
    told = [(each["role"], each["text"]) for each in conversation.metadata["transcript"]]
    assert [text for role, text in told if role == "assistant"] == [
        item.text for item in (greeting, let_me_see, prices, goodbye)
    ]
    asked, parted = [text.lower() for role, text in told if role == "user"]
    assert "menu" in asked and "goodbye" in parted
    assert conversation.call_sid == call.call_sid
    assert [(each.call_sid, each.call_status) for each in agent.statuses] == [
        (call.call_sid, "completed")
    ]


async def test_it_turns_away_a_webhook_that_twilio_did_not_sign() -> None:
    agent = Agent(Kitchen(), "AC" + "1" * 32)
    async with (
        asyncio.timeout(LIMIT_S),
        hosted(agent.app) as url,
        PhoneLine(
            f"{url}/twiml", public_url=f"https://{PUBLIC_HOST}", auth_token="another-token"
        ) as line,
    ):
        call = await line.call()
        await call.wait_ended()
        assert [request.status for request in call.requests] == [403]
        assert call.streams == []
