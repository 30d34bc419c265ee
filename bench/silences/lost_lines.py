"""Media streams that break between Twilio and the service: whether the caller gets back to an agent
that knows the conversation, or to a human, and what the record says meanwhile."""

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from math import inf

import aiohttp

from app.simulator.twilio import Call, CallEnded
from bench.ledger import Ledger
from bench.model import now_ms
from bench.silences import stage
from bench.silences.calls import LOOK_S, first_words_ms, read_record
from bench.silences.played import Cell, PlayedModel, PlayedSession, words_of
from bench.silences.proxy import Manner, Proxy
from bench.silences.wishes import Phone, spoken_to

ASKS_AFTER_S = (0.5, 2.5, 5.0, 20.0, 62.0)
CUTS, GOOD_S = 7, 62.0  # over a minute apart: a limit counts the failures of a minute
CUT_NOTICED_S = 0.3
BACK_MS = 6000.0
QUIET_MS = 300.0
BEGINS_S = 1.0  # for an answer to begin
FIRST_WORDS_MS = 8000.0
HELP_MS = 30_000.0
WATCHED_MS = 45_000.0
SAY_MS = 2000.0
MANNERS: tuple[Manner, ...] = ("404", "502", "unsigned", "badly signed")
HEADINGS = ("what breaks", "what became of the caller", "the record meanwhile, or why", "")

_PATH = re.compile(r'<Stream url="wss://[^/"]+([^"]+)"')

Story = Callable[[Phone, Cell, Proxy], Coroutine[None, None, "Lost"]]


@dataclass(slots=True)
class Lost:
    """The result of one story."""

    what: str
    #: What the caller got: the agent, a human, silence.
    became: str = ""
    #: The record meanwhile, or its reasons.
    record: str = ""
    #: What is wrong.
    broken: list[str] = field(default_factory=list)

    @property
    def row(self) -> tuple[str, ...]:
        told = "; ".join([self.became, *self.broken])
        return self.what, told, self.record, "FAIL" if self.broken else "PASS"


async def measure() -> list[Lost]:
    """Run all stories at once; each that refuses handshakes has a service of its own."""
    lost: list[Story] = [partial(_lost, after_s=after_s) for after_s in ASKS_AFTER_S]
    stories: list[tuple[Manner, list[Story]]] = [("good", [*lost, _cuts])]
    stories += [(manner, [partial(_refused, manner=manner)]) for manner in MANNERS]
    count = sum(len(each) for _, each in stories)
    speak = [PlayedSession.speak] * 100
    cells = {index: Cell(index, speak[0], False, steps=[*speak]) for index in range(count)}
    model = PlayedModel(Ledger(count), cells)
    port = await model.start()
    try:
        async with AsyncExitStack() as stack:
            http = await stack.enter_async_context(aiohttp.ClientSession())
            running = []
            for manner, tellings in stories:
                proxy, agent = Proxy(manner), stage.agent_file("native", "talk")
                phone = await stage.line_up(stack, http, port, agent, proxy=proxy, say_ms=SAY_MS)
                running += [(story, phone, proxy) for story in tellings]
            return await asyncio.gather(
                *(
                    story(phone, cells[index], proxy)
                    for index, (story, phone, proxy) in enumerate(running)
                )
            )
    finally:
        model.stop()


# --- a stream that breaks -------------------------------------------------------------------------


async def _lost(phone: Phone, cell: Cell, proxy: Proxy, *, after_s: float) -> Lost:
    lost = Lost(f"the line; Twilio asks after {after_s:g} s")
    call = await _talked(phone, cell)
    cut = asyncio.create_task(_cut(call, proxy, after_s))
    await asyncio.sleep(max(0.0, after_s - 2 * LOOK_S))
    record = await read_record(phone, call)
    lost.record = f"{record.get('status')}, ended by {record.get('ended_by')}"
    await cut
    if record.get("status") != "in-progress":
        lost.broken.append("a guess is written as a fact")
    await _judge_return(lost, cell, call)
    await _end(call)
    return lost


async def _talked(phone: Phone, cell: Cell) -> Call:
    """A call in which the caller has heard the greeting and an answer."""
    call = await spoken_to(phone, cell)
    await asyncio.sleep(BEGINS_S)
    await call.wait_quiet(QUIET_MS)
    return call


async def _cut(call: Call, proxy: Proxy, after_s: float) -> None:
    path = _PATH.findall(call.twiml_history[-1])[-1]
    await proxy.cut(path, after_s)


async def _judge_return(lost: Lost, cell: Cell, call: Call) -> None:
    """Judge whether the caller hears the agent again, with the conversation, or gets a human."""
    asked_ms, streams = now_ms(), len(call.streams)
    while now_ms() < asked_ms + BACK_MS and call.is_live and not call.dialed:
        if len(call.streams) > streams and first_words_ms(call, asked_ms) < inf:
            break
        await asyncio.sleep(LOOK_S)
    if call.dialed:
        lost.became = f"a human after {(call.dialed[0].at_ms - asked_ms) / 1000:.1f} s"
        return
    words_ms = first_words_ms(call, asked_ms)
    if words_ms == inf:
        said = f" after {call.said[-1]!r}" if call.said else ", without a word"
        lost.became = "silence" if call.is_live else f"hung up{said}"
        lost.broken.append("neither the agent nor a human")
        return
    lost.became = f"the agent after {(words_ms - asked_ms) / 1000:.1f} s"
    known = " ".join(cell.sessions[-1].texts.values())
    spoken = "".join(words_of(cell.index))
    if known.count(spoken) < 2:  # the greeting, and an answer
        lost.broken.append(f"who knows {known.count(spoken)} of what it said")


async def _cuts(phone: Phone, cell: Cell, proxy: Proxy) -> Lost:
    lost = Lost(f"{CUTS} cuts in one call, {GOOD_S:g} s apart")
    call = await _talked(phone, cell)
    for number in range(CUTS):
        await asyncio.sleep(GOOD_S if number else 0.0)
        if not call.is_live:
            break
        await _cut(call, proxy, CUT_NOTICED_S)
        await _judge_return(lost, cell, call)
        if lost.broken:
            lost.became = f"{lost.became}, at cut {number + 1}"
            break
    record = await read_record(phone, call)
    lost.record = f"{record.get('status')}, ended by {record.get('ended_by')}"
    await _end(call)
    return lost


# --- handshakes that are refused ------------------------------------------------------------------


_MANNERS: Mapping[Manner, str] = {
    "404": "a proxy answers handshakes with 404",
    "502": "a proxy answers handshakes with 502",
    "unsigned": "a proxy takes the signature out",
    "badly signed": "a proxy spoils the signature",
}


async def _refused(phone: Phone, cell: Cell, proxy: Proxy, *, manner: Manner) -> Lost:
    lost = Lost(_MANNERS[manner])
    call = phone.line.ring(from_=f"+1415{2_000_000 + cell.index}")
    await call.wait_answer()
    began_ms = now_ms()
    with suppress(TimeoutError, CallEnded):
        async with asyncio.timeout(WATCHED_MS / 1000):
            await call.wait_for(lambda: bool(call.dialed))
    said_ms = [each.at_ms - began_ms for each in call.spoken_by_twilio if each.verb == "Say"]
    human_ms = call.dialed[0].at_ms - began_ms if call.dialed else inf
    words = f"{min(said_ms) / 1000:.1f} s" if said_ms else "never"
    human = "never" if human_ms == inf else f"{human_ms / 1000:.1f} s"
    lost.became = f"words: {words}, a human: {human}, {proxy.handshakes} handshakes"
    if min(said_ms, default=inf) > FIRST_WORDS_MS:
        lost.broken.append(f"no words by {FIRST_WORDS_MS / 1000:.0f} s")
    if human_ms > HELP_MS:
        lost.broken.append(f"no human by {HELP_MS / 1000:.0f} s")
    await _end(call)
    record = await read_record(phone, call)
    reasons = [
        str(event["data"].get("reason"))
        for event in record.get("events", ())
        if "decision" in event["data"]
    ]
    lost.record = f"ended by {record.get('ended_by')}: {'; '.join(dict.fromkeys(reasons))}"
    if not reasons:
        lost.broken.append("the record names no cause")
    return lost


async def _end(call: Call) -> None:
    call.hang_up()
    with suppress(TimeoutError):
        async with asyncio.timeout(BACK_MS / 1000):
            await call.wait_ended()
