"""A service whose agent transfers callers, one or by the dozen, and checks of every transfer.

    async with transfer_world(agent, desk(name="desk", number=DESK)) as w:
        (caller,) = await callers(w, agent)
        await caller.transferred()
        await caller.resumed()

On leaving, it checks every TwiML document that Twilio got, and every REST request.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from app.simulator.realtime import RealtimeServer, Reply, Session, Turn
from app.simulator.twilio import Call, Exchange, RestRequest, now_ms
from tests.service.twiml_check import check_twiml
from tests.service.world import AGENT, World, noise, world

INF = float("inf")
TICK_MS = 5.0
LONGEST_INLINE_TWIML = 4000
BACK_WITHIN_MS = 1500.0

DESK, SALES, NIGHT = "+14155550111", "+14155550112", "+14155550113"
SIP = "sip:desk@pbx.example.com"

HELLO = Reply("Hello.", audio=noise(60, "hello"), speed=INF)
ANNOUNCEMENT = Reply("I am connecting you.", audio=noise(150, "connecting"), speed=INF)
BACK = Reply("Nobody is there just now.", audio=noise(60, "back"), speed=INF)
ANSWER = Reply("I see.", audio=noise(60, "answer"), speed=INF)
REASON, SUMMARY = "a price", "Ann wants forty chairs."


def desk(*tables: str, agent: str = AGENT, **one: Any) -> str:
    """The text of an agent file with these destinations, each the text of a table; without any,
    with one destination that has the values `one`."""
    tables = tables or ("\n".join(f"{key} = {json.dumps(value)}" for key, value in one.items()),)
    return agent + "".join(f"\n[[transfer.destinations]]\n{table}\n" for table in tables)


def transfer_reply(announcement: Reply = ANNOUNCEMENT, **arguments: Any) -> Reply:
    """A reply that announces a transfer and calls the tool. `announcement`: its words and audio."""
    given = {"reason": REASON, "summary": SUMMARY, **arguments}
    return Reply(
        announcement.text,
        audio=announcement.audio,
        speed=announcement.speed,
        tool_calls=[("transfer_to_human", given)],
    )


@dataclass
class Agent:
    """What the model says to every caller."""

    #: To a caller who asks for a human; or by the words that the caller says.
    transfer: Reply | Mapping[str, Reply] = field(default_factory=transfer_reply)
    hello: Reply = HELLO
    #: When the call resumes after a transfer.
    back: Reply = BACK
    #: To everything else, and to a tool's output.
    answer: Reply = ANSWER

    def brain(self, turn: Turn) -> Reply:
        if turn.kind == "direct":
            returned = "was to be handed" in turn.instructions
            return self.back if returned else self._direct(turn)
        if turn.tool_outputs:
            return self.answer
        if isinstance(self.transfer, Reply):
            return self.transfer if "human" in turn.transcript else self.answer
        return self.transfer.get(turn.transcript, self.answer)

    def _direct(self, turn: Turn) -> Reply:
        """The greeting, or the announcement of a transfer that the API ordered."""
        return self.hello if "first time" in turn.instructions else ANNOUNCEMENT


def request_of(number: int) -> str:
    """What the caller of this number says to be transferred."""
    return f"This is Caller {number:03}, a human please."


class Caller:
    """One call. `session`: its first model session. `number`: makes the caller's name."""

    def __init__(self, w: World, call: Call, session: Session, number: int, agent: Agent) -> None:
        self.w = w
        self.call = call
        self.session = session
        self.name = f"Caller {number:03}"
        self._agent = agent
        self._heard_bytes = 0  # before the transfer

    @property
    def request(self) -> str:
        """What the caller says to be transferred."""
        return request_of(int(self.name.split()[1]))

    async def greeted(self) -> None:
        await self.call.wait_heard(size(self._agent.hello))
        await self.call.wait_quiet()

    def says(self, text: str) -> None:
        """The model hears the caller say this."""
        session = self.present_session
        session.start_speech()
        session.stop_speech(text)

    async def dialed(self, times: int = 1) -> None:
        """Wait until Twilio has dialled for the caller, this many times in all."""
        await self.call.wait_for(lambda: len(self.call.dialed) >= times)
        self._heard_bytes = len(self.call.heard)

    async def transferred(self) -> None:
        """The caller is greeted, asks for a human, and Twilio dials."""
        await self.greeted()
        self.says(self.request)
        await self.dialed()

    async def resumed(self) -> Session:
        """Wait until the caller hears the agent again. Returns the call's present session."""
        await self.call.wait_heard(self._heard_bytes + 1)
        await self.call.wait_quiet(30)
        return self.present_session

    @property
    def present_session(self) -> Session:
        """The last session whose items name this caller, or the first."""
        knowing = [s for s in self.w.model.sessions if self.name in str(told(s))]
        return knowing[-1] if knowing else self.session

    async def hangs_up(self) -> dict[str, Any]:
        """Hang up. Returns the call's record."""
        self.call.hang_up()
        return await self.ended()

    async def ended(self) -> dict[str, Any]:
        """Wait for the end. Returns the call's record."""
        await self.call.wait_ended()
        await self.w.settled()
        return await self.w.record(self.call.call_sid)

    @property
    def orders(self) -> list[RestRequest]:
        """The REST requests about this call."""
        return [r for r in self.w.line.rest_requests if self.call.call_sid in r.path]

    def asked(self, ending: str) -> list[Exchange]:
        """Twilio's requests for this call whose URL ends like this."""
        return [r for r in self.call.requests if r.url.endswith(ending)]

    def resume_ms(self, ending: str = "/ended") -> float:
        """The time from Twilio's last such request to the agent's first audio, without the time
        that a busy machine added."""
        asked_ms = self.asked(ending)[-1].sent_ms
        heard_ms = min(m.starts_ms for m in self.call.playback.media if m.starts_ms > asked_ms)
        return heard_ms - asked_ms - LATENESS.between_ms(asked_ms, heard_ms)


class Lateness:
    """How late the event loop ran its timers, because of other programs and of its own work."""

    def __init__(self) -> None:
        self._late: list[tuple[float, float]] = []

    async def watch(self) -> None:
        while True:
            began_ms = now_ms()
            await asyncio.sleep(TICK_MS / 1000)
            self._late.append((now_ms(), now_ms() - began_ms - TICK_MS))

    def between_ms(self, from_ms: float, to_ms: float) -> float:
        return sum(late_ms for at_ms, late_ms in self._late if from_ms < at_ms <= to_ms)


LATENESS = Lateness()


async def all_hang_up(everybody: list[Caller]) -> list[dict[str, Any]]:
    """Hang all calls up. Returns their records."""
    for caller in everybody:
        caller.call.hang_up()
    return [await caller.ended() for caller in everybody]


def size(*replies: Reply) -> int:
    return sum(len(reply.audio or b"") for reply in replies)


def told(session: Session) -> list[tuple[str, str]]:
    """The messages that were added to a session: (role, text)."""
    items = [event["item"] for event in session.events_of("conversation.item.create")]
    return [
        (item["role"], item["content"][0]["text"]) for item in items if item["type"] == "message"
    ]


def outputs(session: Session) -> list[str]:
    """The tool outputs that were added to a session."""
    items = [event["item"] for event in session.events_of("conversation.item.create")]
    return [item["output"] for item in items if item["type"] == "function_call_output"]


async def callers(w: World, agent: Agent, count: int = 1, **ring: Any) -> list[Caller]:
    """Ring `count` times, one call after the other, and wait for the session of each."""
    found = []
    for number in range(len(w.model.sessions), len(w.model.sessions) + count):
        call = w.line.ring(**ring)
        found.append(Caller(w, call, await w.model.session(number), number, agent))
    return found


def outcomes(record: Mapping[str, Any]) -> list[str]:
    return [transfer["outcome"] for transfer in record["transfers"]]


@asynccontextmanager
async def transfer_world(
    agent: Agent, file: str, *, line: Mapping[str, Any] | None = None, **more: Any
) -> AsyncIterator[World]:
    """A world that checks all TwiML and REST requests on leaving. `file`: the agent file."""
    quick = {"ring_scale": 0.02, "gather_scale": 0.02, "hold_ms": 20.0, **(line or {})}
    async with world(RealtimeServer(agent.brain), agent=file, line=quick, **more) as w:
        watching = asyncio.create_task(LATENESS.watch())
        try:
            yield w
        finally:
            watching.cancel()
        check_wires(w)


def check_wires(w: World) -> None:
    """Every TwiML document is valid, and short enough where it was sent over REST."""
    for call in (*w.line.calls.values(), *w.line.children.values()):
        for document in call.twiml_history:
            check_twiml(document)
    for request in w.line.rest_requests:
        inline = request.form.get("Twiml", "")
        assert len(inline) <= LONGEST_INLINE_TWIML
        if inline:
            check_twiml(inline)
