"""Tools that misbehave, in whole calls: the model gets an answer to each, and the call goes on."""

import asyncio
import os
import sys

import pytest

from app.call import prompts
from app.call.model.tool_limits import MOST_CALLS
from app.simulator.realtime import Reply, Script, Turn
from app.simulator.twilio import Call
from tests.service.world import AGENT, World, noise, world

INF = float("inf")
HELLO = Reply("Hello.", audio=noise(40, "hello"), speed=INF)
SMALL_TALK = Reply("That is all.", audio=noise(80, "talk"), speed=INF)
TOOLS = """
import asyncio
import os
import time

from app.tools import tool


@tool(process=True)
def pid() -> int:
    return os.getpid()


@tool
async def interrupt() -> None:
    raise KeyboardInterrupt


@tool
async def exit_in_a_task() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    await asyncio.create_task(leave())


@tool
def close() -> None:
    raise GeneratorExit


@tool
async def block() -> str:
    time.sleep(0.12)
    return "done"


@tool
def quick() -> str:
    return "quick"
"""


async def ask(w: World, call: Call) -> None:
    """The caller says something, and hears the answer that follows the tools."""
    await call.wait_quiet()
    session = await w.model.session()
    session.start_speech()
    session.stop_speech("Try them.")
    await call.wait_heard(len((HELLO.audio or b"") + (SMALL_TALK.audio or b"")))


@pytest.mark.timeout(60)  # the process of a tool starts at a low priority
async def test_whatever_a_tool_raises_the_call_goes_on_and_no_process_is_left() -> None:
    names = ["pid", "interrupt", "exit_in_a_task", "close", "block", "unheard_of"]
    calls = Reply(tool_calls=[(name, {}) for name in names])
    answered = asyncio.Event()

    class Watched(Script):
        def brain(self, turn: Turn) -> Reply:
            if len(turn.tool_outputs) == len(names):
                answered.set()
            return super().brain(turn)

    script = Watched(HELLO, calls, *[SMALL_TALK] * 20)  # it may say that it is still working
    patient = f'tools = "tools.py"\n{AGENT}[limits]\ntool_seconds = 50\n'
    async with world(script, agent=patient, tools=TOOLS) as w:
        call = await w.connected()
        await ask(w, call)
        await answered.wait()
        outputs = {each.name: each.output for each in script.turns[-1].tool_outputs}
        assert [outputs[name] for name in names[1:5]] == ["The tool failed."] * 3 + ["done"]
        assert outputs["unheard_of"] == (
            "There is no tool named 'unheard_of'. Tools: end_call, send_digits, pid, interrupt, "
            "exit_in_a_task, close, block, quick."
        )
        traces = {line["tool"]: line.get("trace", "") for line in w.log.of("tool failed")}
        assert traces["interrupt"].endswith("KeyboardInterrupt\n")
        assert "SystemExit: 3" in traces["exit_in_a_task"]
        assert traces["close"].endswith("GeneratorExit\n")
        held = w.log.of("a tool held the event loop")
        assert "block" in {line["tool"] for line in held}
        pid = int(outputs["pid"])
        os.kill(pid, 0)  # it is kept for the next call
    if sys.platform != "win32":
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_each_of_200_calls_in_one_answer_gets_an_output() -> None:
    script = Script(HELLO, Reply(tool_calls=[("quick", {})] * 200), SMALL_TALK)
    async with world(script, agent=f'tools = "tools.py"\n{AGENT}', tools=TOOLS) as w:
        call = await w.connected()
        await ask(w, call)
        outputs = [each.output for each in script.turns[-1].tool_outputs]
        assert outputs.count("quick") == MOST_CALLS
        assert outputs.count(prompts.too_many_calls("quick", MOST_CALLS)) == 200 - MOST_CALLS
