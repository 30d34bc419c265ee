"""Everything that an agent has to say to a caller, and how a call gets there."""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

import aiohttp

from app.simulator.twilio import Call, Callee, PhoneLine
from app.simulator.twilio.media.stream import CallerVoice
from bench.process import API_TOKEN
from bench.silences.played import Cell, PlayedSession, Step
from bench.stamps import silent_frame

HUMAN = "+14155550111"
OWN_NUMBER = "+14155550100"
BETWEEN_MS = 300.0  # from the end of the greeting to the next step
GREETED_WITHIN_S = 10.0
MACHINE_GREETS_MS = 1500.0
TOOL_S = 11.0  # of the slow tool: longer than the hold clock, shorter than the tools' limit

TOOLS = f"""\
import asyncio
import base64

from app.tools import tool


@tool
async def look_up() -> str:
    \"\"\"Look it up.\"\"\"
    return "eight o'clock"


@tool
async def search() -> str:
    \"\"\"Search for long.\"\"\"
    await asyncio.sleep({TOOL_S:g})
    return "eight o'clock"
"""

AGENT = f"""\
name = "Cells"
instructions = "Tell the caller how things are."
greeting = "Hello."
tools = "tools.py"

[[transfer.destinations]]
name = "human"
number = "{HUMAN}"

[limits]
"""

SETTINGS = {
    "TWILIO_PHONE_NUMBER": OWN_NUMBER,
    "OUTBOUND_PREFIXES": "+1",
    "OUTBOUND_MAX_CALLS": "1000",
    "OUTBOUND_REPEAT_SECONDS": "0",
}

# The [limits] of the agent file, by profile. All clocks but the measured one are off.
PROFILES: Mapping[str, str] = {
    "talk": "idle_seconds = 0\nlongest_call_seconds = 0\n",
    "nudge": "idle_seconds = 3\nidle_nudges = 1\nlongest_call_seconds = 0\n",
    "idle": "idle_seconds = 3\nidle_nudges = 0\nlongest_call_seconds = 0\n",
    "warning": "idle_seconds = 0\nlongest_call_seconds = 60\nwarning_seconds = 55\n",
    "limit": "idle_seconds = 0\nlongest_call_seconds = 6\nwarning_seconds = 0\n",
}


@dataclass(frozen=True, slots=True)
class Phone:
    """A phone line to a service, and the service's HTTP API."""

    line: PhoneLine
    http: aiohttp.ClientSession
    #: The base URL of the HTTP API.
    url: str

    async def order(self, path: str, **body: str) -> dict[str, str]:
        """POST to the HTTP API."""
        headers = {"Authorization": f"Bearer {API_TOKEN}"}
        async with self.http.post(f"{self.url}{path}", json=body, headers=headers) as answer:
            answer.raise_for_status()
            ordered: dict[str, str] = await answer.json()
            return ordered


class StampedVoice(CallerVoice):
    """A silent caller whose silence is stamped."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self._frame = base64.b64encode(silent_frame(index)).decode()

    def next_frame(self, at_ms: float) -> str:
        return super().next_frame(at_ms) if self.queued_bytes else self._frame


Begin = Callable[[Phone, Cell], Awaitable[Call]]


@dataclass(frozen=True, slots=True)
class Wish:
    """Something that an agent has to say."""

    name: str
    #: A key of `PROFILES`.
    profile: str
    #: The responses before the one that counts.
    steps: tuple[Step, ...]
    #: Makes the call, up to where the answer is due.
    begin: Begin
    #: The answer is due as soon as the model has called the tool.
    from_call: bool = False
    #: The caller must hear words: dialling a human alone does not help.
    needs_words: bool = False


async def ring(phone: Phone, cell: Cell) -> Call:
    """Call, and wait until the stream has started."""
    call = phone.line.ring(from_=f"+1415{2_000_000 + cell.index}")
    call.voice = StampedVoice(cell.index)
    await call.wait_connected()
    return call


async def greeted(phone: Phone, cell: Cell) -> Call:
    """Call, and wait until the greeting has played."""
    call = await ring(phone, cell)
    async with asyncio.timeout(GREETED_WITHIN_S):
        await call.wait_quiet(BETWEEN_MS)
    return call


async def spoken_to(phone: Phone, cell: Cell) -> Call:
    """Call, wait until the greeting has played, and say something."""
    call = await greeted(phone, cell)
    cell.sessions[-1].turn()
    return call


async def _told_to_say(phone: Phone, cell: Cell) -> Call:
    call = await greeted(phone, cell)
    await phone.order(f"/calls/{call.call_sid}/say", text="The taxi is here.")
    return call


async def _called(phone: Phone, cell: Cell) -> Call:
    number = f"+1415{2_000_000 + cell.index}"
    phone.line.callees[number] = Callee(machine=True, greeting_ms=MACHINE_GREETS_MS)
    message = f"Call {cell.index}: your pizza is ready."
    placed = await phone.order("/calls", to=number, voicemail=message)
    call = phone.line.calls[placed["call_sid"]]
    call.voice = StampedVoice(cell.index)
    return call


_SPEAK = PlayedSession.speak


def _tool(name: str) -> Step:
    return partial(PlayedSession.call_tool, name=name)


WISHES = (
    Wish("greeting", "talk", (), ring),
    Wish("reply", "talk", (_SPEAK,), spoken_to),
    Wish("after a tool", "talk", (_SPEAK, _tool("look_up")), spoken_to),
    Wish("say", "talk", (_SPEAK,), _told_to_say),
    Wish("hold", "talk", (_SPEAK, _tool("search")), spoken_to),
    Wish("nudge", "nudge", (_SPEAK,), greeted),
    Wish("warning", "warning", (_SPEAK,), greeted),
    Wish(
        "transfer",
        "talk",
        (_SPEAK, _tool("transfer_to_human")),
        spoken_to,
        from_call=True,
        needs_words=True,
    ),
    Wish("goodbye", "talk", (_SPEAK, _tool("end_call")), spoken_to, from_call=True),
    Wish("goodbye, idle", "idle", (_SPEAK,), greeted),
    Wish("goodbye, limit", "limit", (_SPEAK,), greeted),
    Wish("voicemail", "talk", (_SPEAK,), _called, needs_words=True),
)
