"""The stage of the calls: a model that plays their scripts, an external voice, and for each agent a
service with a phone line.
"""

import re
from array import array
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import cache
from math import pi, sin

import aiohttp

from app.simulator.speech import Word
from app.simulator.twilio import PhoneLine
from app.simulator.voices.http import HttpStandIn
from app.simulator.voices.mouth import Mouth, Spoken
from bench.ledger import Ledger
from bench.line import ACCOUNT_SID, AUTH_TOKEN, PUBLIC_URL
from bench.process import AGENT_FILE, SERVICE, free_port, ready, running
from bench.silences.forms import Speaker
from bench.silences.played import Cell, PlayedModel
from bench.silences.proxy import Proxy
from bench.silences.wishes import AGENT, PROFILES, SETTINGS, TOOLS, Phone
from bench.voices.ways import SECRET

TONE_HZ, TONE_MS = 1000, 1200

Agent = tuple[Speaker, str]
"""The speaker, and the profile of the agent's limits."""

_LINE = re.compile(r"Line (\d+) ")


@asynccontextmanager
async def phones(
    cells: Mapping[int, Cell], agents: Iterable[Agent]
) -> AsyncIterator[dict[Agent, Phone]]:
    """Start a service and a phone line for each agent, for the calls of these cells."""
    model = PlayedModel(Ledger(len(cells)), cells)
    port = await model.start()
    try:
        async with AsyncExitStack() as stack:
            voice = await stack.enter_async_context(HttpStandIn(_mouth(cells), token=SECRET))
            http = await stack.enter_async_context(aiohttp.ClientSession())
            yield {
                each: await line_up(stack, http, port, agent_file(*each, voice.url))
                for each in agents
            }
    finally:
        model.stop()


def agent_file(speaker: Speaker, profile: str, voice_url: str = "") -> str:
    """The agent file. `voice_url`: the address of its external voice."""
    voice = f'\n[voice]\nprovider = "http"\nurl = "{voice_url}"\n'
    return AGENT + PROFILES[profile] + (voice if speaker == "external" else "")


async def line_up(
    stack: AsyncExitStack,
    http: aiohttp.ClientSession,
    model_port: int,
    agent: str,
    *,
    proxy: Proxy | None = None,
    say_ms: float = 5.0,
) -> Phone:
    """Start a service for an agent and a phone line to it, on `stack`.

    `proxy`: between the line and the service. `say_ms`: how long a <Say> takes.
    """
    port = free_port()
    url = door = f"http://127.0.0.1:{port}"
    if proxy is not None:
        proxy.to_port = port
        await stack.enter_async_context(proxy)
        door = f"http://127.0.0.1:{proxy.port}"
    line = await stack.enter_async_context(
        PhoneLine(
            f"{door}/incoming-call",
            say_ms=say_ms,
            account_sid=ACCOUNT_SID,
            auth_token=AUTH_TOKEN,
            public_url=PUBLIC_URL,
            status_callback_url="/call-status",
        )
    )
    subject = replace(
        SERVICE,
        files={AGENT_FILE: agent, "tools.py": TOOLS},
        settings={
            **SETTINGS,
            "TWILIO_API_BASE_URL": line.rest_url,
            "HTTP_VOICE_TOKEN": SECRET,
        },
    )
    await ready(stack.enter_context(running(subject, model_port, port)))
    return Phone(line, http, url)


def _mouth(cells: Mapping[int, Cell]) -> Mouth:
    """The external voice: a steady tone, or no sound for a cell whose `deaf` is not 0."""

    def say(text: str, hz: int) -> Spoken:
        found = _LINE.search(text)
        cell = cells.get(int(found[1])) if found else None
        if cell is not None and cell.deaf > 0:
            cell.deaf -= 1
            return Spoken(bytes(2 * hz) if cell.zeros else b"", (Word(text, 0),))
        return Spoken(tone(hz), (Word(text, 0),))

    return say


@cache
def tone(hz: int) -> bytes:
    """The tone of the external voice, as PCM."""
    period = [round(8000 * sin(2 * pi * n * TONE_HZ / hz)) for n in range(hz // TONE_HZ)]
    return array("h", period * TONE_MS).tobytes()
