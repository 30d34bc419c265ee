"""What tools that compute cost the audio of other calls: as processes, and as threads.

Five calls talk in real time while each of ten other calls runs a tool that computes for two
seconds. The gap in the agent's audio is compared with a window without tools.
"""

import asyncio
import gc
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from picows import WSListener, WSUpgradeRequest

from bench.line import Line
from bench.model import ClientEvent, Model, new_id, now_ms
from bench.process import CORES, SERVICE, Process, pin, ready, running
from bench.strangers.talk import TalkLedger, TalkMetronome, TalkSession, dial

TALKING, COMPUTING = 5, 10
COMPUTE_S = 2.0
SETTLE_S = 2.0
QUIET_S = 10.0
LONGEST_S = 100.0
LOOK_EVERY_S = 0.05
GAP_MS = 40.0  # beyond the window without tools

AGENT = """
name = "Bench"
instructions = "Be brief."
tools = "tools.py"
[limits]
idle_seconds = 0
tool_seconds = 100
"""
TOOLS = f'''
import time

from app.tools import tool


def compute() -> str:
    """CPU time, so that each has the same work however many run."""
    clock = time.thread_time
    until_s, rounds = clock() + {COMPUTE_S}, 0
    while clock() < until_s:
        rounds += sum(number * number for number in range(1000)) > 0
    return "done"


@tool(process=True)
def in_process() -> str:
    return compute()


@tool
def in_thread() -> str:
    return compute()
'''
HEADINGS = (
    "ten tools of 2 s",
    "cores",
    "longest gap ms: without / with",
    "done",
    "first, last after s",
    "load stalled ms",
    "",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Ten tools of one kind, beside calls that talk."""

    tool: str
    #: Cores that the service and its processes may use.
    cores: int
    #: The longest gap in the agent's audio, before and meanwhile.
    without_ms: float
    with_ms: float
    #: How long each tool took to its answer.
    took_s: list[float]
    #: The longest stall of the load itself, which gaps leave out.
    stall_ms: float

    @property
    def kept(self) -> bool | None:
        """Whether the limit is kept; None: there is none for threads."""
        if self.tool != "in_process":
            return None
        return len(self.took_s) == COMPUTING and self.with_ms <= self.without_ms + GAP_MS

    @property
    def row(self) -> tuple[str, ...]:
        """Its line of the table."""
        took = sorted(self.took_s)
        return (
            self.tool,
            str(self.cores),
            f"{self.without_ms:.0f} / {self.with_ms:.0f}",
            f"{len(took)} of {COMPUTING}",
            f"{took[0]:.1f}, {took[-1]:.1f}" if took else "",
            f"{self.stall_ms:.0f}",
            {None: "", True: "PASS", False: "FAIL"}[self.kept],
        )


class ToolSession(TalkSession):
    """The first calls talk; the others are silent until `call_tool`."""

    def __init__(self, ledger: TalkLedger) -> None:
        super().__init__(ledger)
        self._talking = ledger.talking
        self._called_ms = 0.0
        #: How long the tool took to its answer; None: it has not answered.
        self.took_s: float | None = None

    def speech_starts(self) -> None:
        """Only the calls that talk have turns."""
        if self.call is not None and self.call.index < self._talking:
            super().speech_starts()

    def call_tool(self, name: str) -> None:
        """Respond with a call of a tool."""
        self.took_s, self._called_ms, self.response_id = None, now_ms(), new_id("resp")
        item = {
            "id": new_id("item"),
            "object": "realtime.item",
            "type": "function_call",
            "status": "completed",
            "call_id": new_id("call"),
            "name": name,
            "arguments": "{}",
        }
        of_response = {"response_id": self.response_id, "output_index": 0}
        self.send("response.created", response=self.response("in_progress"))
        self.send("response.output_item.added", item=item, **of_response)
        self.send("response.output_item.done", item=item, **of_response)
        self.send("response.done", response=self.response("completed", output=[item]))

    def take(self, event: ClientEvent, at_ms: float) -> None:
        if event.item.get("type") == "function_call_output" and event.item["output"] == "done":
            self.took_s = (at_ms - self._called_ms) / 1000
        super().take(event, at_ms)


class ToolModel(Model):
    def accept(self, request: WSUpgradeRequest) -> WSListener:
        assert isinstance(self.ledger, TalkLedger)
        self.sessions.append(session := ToolSession(self.ledger))
        return session


async def measure(tool: str, *, cores: int) -> Outcome:
    """Measure ten tools on a service of its own. `cores`: 1 or 2, for it and its processes."""
    ledger = TalkLedger(TALKING)
    lines = [Line(call, ledger) for call in ledger.calls[: TALKING + COMPUTING]]
    model, metronome = ToolModel(ledger), TalkMetronome(lines, ledger)
    port = await model.start()
    gc.collect()
    gc.disable()
    try:
        with running(replace(SERVICE, files={"agent.toml": AGENT, "tools.py": TOOLS}), port) as it:
            if cores > 1:
                _unpin(it)
            await ready(it)
            metronome.start()
            await dial(lines, it.port)
            await asyncio.sleep(SETTLE_S)
            return await _compute(tool, cores, model, ledger)
    finally:
        metronome.stop()
        model.stop()
        gc.enable()


async def _compute(tool: str, cores: int, model: ToolModel, ledger: TalkLedger) -> Outcome:
    began_ms = now_ms()
    await asyncio.sleep(QUIET_S)
    without = (began_ms, now_ms())
    computing = [
        each
        for each in model.sessions
        if isinstance(each, ToolSession) and each.call and each.call.index >= TALKING
    ]
    for session in computing:
        session.call_tool(tool)
    began_ms = now_ms()
    for _ in range(round(LONGEST_S / LOOK_EVERY_S)):
        if all(each.took_s is not None for each in computing):
            break
        await asyncio.sleep(LOOK_EVERY_S)
    during = (began_ms, now_ms())
    return Outcome(
        tool,
        cores,
        ledger.longest_gap_ms(without),
        ledger.longest_gap_ms(during),
        [each.took_s for each in computing if each.took_s is not None],
        ledger.stalls.longest_ms(*during),
    )


def _unpin(service: Process) -> None:
    """Let the service and what it starts use every core."""
    if sys.platform == "linux":
        for thread in Path(f"/proc/{service.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), range(os.cpu_count() or 1))


async def run() -> list[Outcome]:
    """All measurements, one after the other."""
    if CORES:
        pin(0, CORES[1])
    ways = (("in_process", 2), ("in_process", 1), ("in_thread", 1))
    return [await measure(tool, cores=cores) for tool, cores in ways]
