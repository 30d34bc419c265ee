"""Calls and transfers go as docs/sequences.py draws them: messages, requests and TwiML in order."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from string import Template
from urllib.parse import urlsplit

import pytest

from app.call import commands as do
from app.call import events as ev
from app.records.watching import Watched
from app.simulator.realtime import Reply, Turn
from app.simulator.twilio import Call, Callee
from app.wires.twilio import twiml
from app.wires.twilio.call import CallInfo
from docs.sequences import ACCEPTED, ANNOUNCED, CALL, DIALLED, RESUMED, Part
from tests.service.world import AGENT, World, noise, world

SALES, SUPPORT = "+14155550112", "+14155550111"
FILE = f"""{AGENT}
[[transfer.destinations]]
name = "sales"
number = "{SALES}"
then = ["support"]
[[transfer.destinations]]
name = "support"
number = "{SUPPORT}"
"""
HELLO, CONNECTING, SORRY = (noise(80, seed) for seed in ("hello", "connecting", "sorry"))
LONG_HELLO = noise(3000, "long hello")
ASKED = {"destination": "sales", "reason": "a price", "summary": "Wants forty chairs."}


@dataclass
class Run:
    """One call, and what the service did for it."""

    w: World
    #: The events and commands of the call, in their order.
    messages: list[type[Watched]] = field(default_factory=list)
    #: The caller asks for a human.
    asked: bool = False
    #: The TwiML templates that were rendered, in their order.
    templates: list[str] = field(default_factory=list)
    #: Set when the caller has a new stream after the transfer.
    resumed: asyncio.Event = field(default_factory=asyncio.Event)

    def watch(self, _call: CallInfo, message: Watched, _now_ms: float) -> None:
        if isinstance(message, ev.SpeechStopped) and self.asked:
            self.messages.clear()  # the transfer begins with the caller's question
        if isinstance(message, ev.StreamStarted) and do.EndLeg in self.messages:
            self.resumed.set()
        if not (isinstance(message, ev.OutputItemDone) and message.kind == "message"):
            self.messages.append(type(message))

    async def asks(self, sales: Callee, support: Callee) -> Call:
        """The caller asks for a human; `sales` and `support` are the destinations' telephones."""
        self.w.line.callees.update({SALES: sales, SUPPORT: support})
        call = await self.w.connected()
        await call.wait_heard(len(HELLO))
        session = await self.w.model.session(0)
        self.asked = True
        session.start_speech()
        session.stop_speech("A human, please.")
        return call

    def routes(self, call: Call) -> list[str]:
        """The routes that Twilio requested for the transfer, for the caller and the callees."""
        exchanges = sorted(
            (each for one in (call, *self.w.line.children.values()) for each in one.requests),
            key=lambda each: each.sent_ms,
        )
        paths = [urlsplit(each.url).path for each in exchanges]
        known = [
            re.sub(r"^/transfers/\w+/\d+/", "/transfers/{call_sid}/{number}/", p) for p in paths
        ]
        return [path for path in known if path.startswith("/transfers/")]


@asynccontextmanager
async def run(monkeypatch: pytest.MonkeyPatch, greeting: bytes = HELLO) -> AsyncIterator[Run]:
    monkeypatch.setattr("app.bridge.switchboard.READY_S", 10.0)  # however slow this machine is
    runs: list[Run] = []

    async def brain(turn: Turn) -> Reply:
        if turn.kind == "reply":
            calls = [("transfer_to_human", ASKED)]
            return Reply("I am connecting you.", audio=CONNECTING, tool_calls=calls)
        if "was to be handed" not in turn.instructions:
            return Reply("Hello.", audio=greeting)
        await runs[0].resumed.wait()
        return Reply("I could not reach anyone.", audio=SORRY)

    quick = {"ring_scale": 0.01, "gather_scale": 0.02}
    async with world(brain, agent=FILE, line=quick) as w:
        runs.append(Run(w))
        w.switchboard._services.watchers.append(runs[0].watch)
        template = twiml._template

        def recorded(name: str) -> Template:
            runs[0].templates.append(name)
            return template(name)

        monkeypatch.setattr(twiml, "_template", recorded)
        yield runs[0]


def messages_of(*parts: Part) -> list[type[ev.Event | do.Command]]:
    return [message for part in parts for step in part.steps for message in step.messages]


def in_order(wanted: Iterable[object], seen: Iterable[object]) -> list[object]:
    """The items of `wanted` that `seen` lacks, or has in another order."""
    rest = iter(seen)
    return [each for each in wanted if each not in rest]


def routes_of(*parts: Part) -> list[str]:
    return [step.route for part in parts for step in part.steps if step.route]


def templates_of(*parts: Part) -> list[str]:
    return [step.template for part in parts for step in part.steps if step.template]


def to_model(*parts: Part) -> list[str]:
    return [step.to_model for part in parts for step in part.steps if step.to_model]


async def test_a_caller_interrupts_the_agent_as_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    async with run(monkeypatch, greeting=LONG_HELLO) as seen:
        call = await seen.w.connected()
        await call.wait_heard(len(LONG_HELLO) // 10)
        session = await seen.w.model.session(0)
        session.start_speech()
        session.stop_speech("Wait.")
        await session.received("conversation.item.truncate")
        assert in_order(messages_of(*CALL), seen.messages) == []
        assert [urlsplit(each.url).path for each in call.requests] == routes_of(*CALL)
        assert seen.templates == templates_of(*CALL)
        sent = [event["type"] for event in session.client_events]
        assert in_order(to_model(*CALL), sent) == []


async def test_a_human_accepts_the_transfer_as_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    async with run(monkeypatch) as seen:
        call = await seen.asks(Callee(goes="no-answer"), Callee(presses="1", talks_ms=20))
        await call.wait_ended()
        parts = (ANNOUNCED, DIALLED, ACCEPTED)
        assert in_order(messages_of(*parts), seen.messages) == []
        assert seen.routes(call) == routes_of(*parts)
        assert seen.templates == ["incoming-call", *templates_of(*parts)]
        first, second = call.dialed
        assert (first.status, second.status) == ("no-answer", "completed")
        assert second.heard[0].text.startswith("A caller is waiting")
        assert second.pressed == ["1"] and second.bridged_ms is not None


async def test_a_call_that_no_human_accepts_resumes_as_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with run(monkeypatch) as seen:
        call = await seen.asks(Callee(goes="no-answer"), Callee(presses=""))
        await call.wait_heard(len(HELLO + CONNECTING + SORRY))
        parts = (ANNOUNCED, DIALLED, RESUMED)
        assert in_order(messages_of(*parts), seen.messages) == []
        assert seen.routes(call) == routes_of(*parts)
        assert seen.templates == ["incoming-call", *templates_of(*parts)]
        session = await seen.w.model.session(1)
        sent = [event["type"] for event in session.client_events]
        assert in_order(to_model(*parts), sent) == []
