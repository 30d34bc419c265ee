"""Running tools: JSON text in, text or a ToolError out; threads, cancellation, registration."""

import asyncio
import concurrent.futures
import contextvars
import enum
import functools
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel

from app.errors import ConfigError, ToolFault
from app.tools import CallContext, ToolError, ToolRegistry, tool
from app.tools.outcome import MAX_RESULT_BYTES

ROOT = Path(__file__).parent.parent.parent


class Table(BaseModel):
    number: int
    day: date


@dataclass
class Bill:
    euros: float


class Colour(enum.StrEnum):
    RED = "red"


async def run(function: Callable[..., Any], arguments: str = "{}") -> str:
    return await ToolRegistry([function]).run(function.__name__, arguments)


# --- arguments ------------------------------------------------------------------------------------


async def test_arguments_arrive_as_the_types_of_the_signature() -> None:
    received: list[object] = []

    @tool
    def book(table: Table, people: int, notes: list[str], vip: bool = True) -> None:
        received.extend([table, people, notes, vip])

    arguments = {"table": {"number": 4, "day": "2030-01-02"}, "people": "3", "notes": ["quiet"]}
    await run(book, json.dumps(arguments))
    assert received == [Table(number=4, day=date(2030, 1, 2)), 3, ["quiet"], True]


async def test_an_omitted_argument_keeps_the_functions_default() -> None:
    sentinel = object()

    @tool
    def look(where: Any = sentinel) -> bool:
        return where is sentinel

    assert await run(look, "") == "true"
    assert await run(look, " {} ") == "true"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("{oops", "Invalid JSON"),
        ('"text"', "Input should be an object"),
        ("{}", "people: Field required"),
        ('{"people": "many"}', "people: Input should be a valid integer"),
        ('{"people": 2, "cake": 1}', "cake: Extra inputs are not permitted"),
    ],
)
async def test_wrong_arguments_name_what_to_correct(arguments: str, message: str) -> None:
    calls: list[int] = []

    @tool
    def book(people: int) -> None:
        calls.append(people)

    with pytest.raises(ToolError) as caught:
        await run(book, arguments)
    assert str(caught.value).startswith("book: wrong arguments: ")
    assert message in str(caught.value)
    assert str(caught.value).endswith("Correct them and call it again.")
    assert calls == []


async def test_the_error_for_an_unknown_tool_names_the_known_ones() -> None:
    @tool
    def menu() -> str:
        return "soup"

    with pytest.raises(ToolError, match=r"no tool named 'manu'. Tools: menu\."):
        await ToolRegistry([menu]).run("manu", "{}")


async def test_the_error_for_an_unknown_tool_names_the_built_in_ones_that_are_offered() -> None:
    with pytest.raises(ToolError, match=r"no tool named 'manu'. Tools: end_call, menu\."):
        await ToolRegistry().run("manu", "{}", offered=["end_call", "menu"])
    with pytest.raises(ToolError, match=r"no tool named 'manu'. Tools: none\."):
        await ToolRegistry().run("manu", "{}")


async def test_a_tool_may_take_the_call_context() -> None:
    @tool
    def who(call: CallContext) -> str:
        return call.caller_number

    @tool
    async def maybe(loud: bool = False, call: CallContext | None = None) -> str:
        return "" if call is None else call.call_sid

    registry = ToolRegistry([who, maybe])
    context = CallContext("CA1", "+15550100", "+15550101")
    assert await registry.run("who", "{}", context) == "+15550100"
    assert await registry.run("maybe", "{}", context) == "CA1"
    assert await registry.run("who", "{}") == ""
    with pytest.raises(ToolError, match="call: Extra inputs"):
        await registry.run("maybe", '{"call": {"call_sid": "CA2"}}', context)


# --- results --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("free text, ünchanged", "free text, ünchanged"),
        (None, "null"),
        ({"a": [1, 2.5, True]}, '{"a":[1,2.5,true]}'),
        (Table(number=1, day=date(2030, 1, 2)), '{"number":1,"day":"2030-01-02"}'),
        ([Bill(9.5)], '[{"euros":9.5}]'),
        (Colour.RED, '"red"'),
        ("\ud800", "?"),
    ],
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_results_become_text(result: object, text: str, is_async: bool) -> None:
    @tool
    def give() -> object:
        return result

    @tool(name="give")
    async def give_async() -> object:
        return result

    registry = ToolRegistry([give_async if is_async else give])
    assert await registry.run("give", "{}") == text


async def test_a_long_result_is_truncated_at_a_character_with_a_note() -> None:
    @tool
    def exact() -> str:
        return "x" * MAX_RESULT_BYTES

    @tool
    def more() -> str:
        return "x" + "€" * MAX_RESULT_BYTES

    assert await run(exact) == "x" * MAX_RESULT_BYTES
    text = await run(more)
    assert MAX_RESULT_BYTES - 3 < len(text.encode()) <= MAX_RESULT_BYTES
    kept, note = text.split("\n")
    assert set(kept) == {"x", "€"}
    assert (
        note
        == f"[cut: the result has {3 * MAX_RESULT_BYTES + 1} bytes, these are the first of them]"
    )


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (KeyError("table 9"), "The tool failed."),
        (RuntimeError(), "The tool failed."),
        (SystemExit(3), "The tool failed."),
        (KeyboardInterrupt("Ctrl-C"), "The tool failed."),
        (GeneratorExit("closed"), "The tool failed."),
        (BaseExceptionGroup("both", [KeyboardInterrupt(), ToolError("no")]), "The tool failed."),
        (StopAsyncIteration("over"), "The tool failed."),
        (asyncio.CancelledError(), "The tool failed."),
        (concurrent.futures.CancelledError(), "The tool failed."),
        (ConfigError("AGENT_FILE: ask sk-1234567"), "The tool failed."),
        (ToolError("Ask for another day."), "Ask for another day."),
    ],
)
async def test_the_model_sees_a_tool_errors_message_and_no_other_exceptions(
    error: BaseException, message: str, is_async: bool
) -> None:
    @tool
    def fail() -> None:
        raise error

    @tool(name="fail")
    async def fail_async() -> None:
        raise error

    with pytest.raises(ToolError) as caught:
        await ToolRegistry([fail_async if is_async else fail]).run("fail", "{}")
    assert str(caught.value) == message
    assert caught.value is error or caught.value.__cause__ is error
    if isinstance(caught.value, ToolFault):  # the traceback is for the log
        assert "raise error" in caught.value.trace
        assert f"{type(error).__name__}" in caught.value.trace and str(error) in caught.value.trace


async def test_a_stop_iteration_in_a_sync_tool_is_a_fault() -> None:
    @tool
    def first() -> str:
        return next(iter([]))

    with pytest.raises(ToolFault) as caught:
        await run(first)
    assert caught.value.trace.endswith("StopIteration\n")


async def test_a_tool_error_that_cannot_be_read_is_a_fault() -> None:
    class Unreadable(ToolError):
        def __str__(self) -> str:
            raise LookupError("no text")

    @tool
    async def fail() -> None:
        raise Unreadable

    with pytest.raises(ToolFault) as caught:
        await run(fail)
    assert caught.value.trace.endswith("LookupError: no text\n")


async def test_a_long_tool_error_is_truncated_like_a_result() -> None:
    @tool
    async def fail() -> None:
        raise ToolError("x" * 2 * MAX_RESULT_BYTES)

    with pytest.raises(ToolError) as caught:
        await run(fail)
    assert len(str(caught.value)) == MAX_RESULT_BYTES


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
@pytest.mark.parametrize("in_group", [False, True])
async def test_a_task_that_a_tool_starts_cannot_end_the_event_loop(
    error: BaseException, in_group: bool
) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise error

    @tool
    async def start() -> None:
        if in_group:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(fail())
        else:
            await asyncio.gather(fail(), asyncio.sleep(0))

    with pytest.raises(ToolFault) as caught:
        await run(start)
    assert f"a task of a tool raised {type(error).__name__}" in caught.value.trace


async def test_a_tool_that_cancels_its_own_task_is_a_fault() -> None:
    @tool
    async def cancel() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    with pytest.raises(ToolFault):
        await run(cancel)


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit(), SystemExit()])
@pytest.mark.parametrize("is_async", [False, True])
async def test_a_validator_may_raise_anything_too(error: BaseException, is_async: bool) -> None:
    def check(value: str) -> str:
        raise error

    @tool
    def find(key: Annotated[str, AfterValidator(check)]) -> str:
        return key

    @tool(name="find")
    async def find_async(key: Annotated[str, AfterValidator(check)]) -> str:
        return key

    with pytest.raises(ToolFault):
        await ToolRegistry([find_async if is_async else find]).run("find", '{"key": "known"}')


async def test_a_validator_that_raises_is_a_tool_error() -> None:
    def look_up(value: str) -> str:
        return {"known": "yes"}[value]

    @tool
    def find(key: Annotated[str, AfterValidator(look_up)]) -> str:
        return key

    assert await run(find, '{"key": "known"}') == "yes"
    with pytest.raises(ToolFault) as caught:
        await run(find, '{"key": "unknown"}')
    assert caught.value.trace.endswith("KeyError: 'unknown'\n")


async def test_a_result_that_has_no_json_form_is_a_tool_error() -> None:
    @tool
    def give() -> object:
        return threading.Lock()

    with pytest.raises(ToolFault):
        await run(give)


# --- threads and cancellation ---------------------------------------------------------------------


async def test_a_sync_tool_does_not_block_the_event_loop() -> None:
    released = threading.Event()
    variable = contextvars.ContextVar("variable", default="unset")
    variable.set("of the call")

    @tool
    def wait() -> str:
        thread = threading.current_thread()
        assert released.wait(10)
        return f"{thread.name} {thread.daemon} {variable.get()}"

    running = asyncio.create_task(run(wait))
    asyncio.get_running_loop().call_soon(released.set)  # never runs if the event loop is blocked
    assert await running == "tool-wait True of the call"


async def test_sync_tools_of_many_calls_run_at_the_same_time() -> None:
    together = threading.Barrier(50, timeout=10)

    @tool
    def meet() -> str:
        together.wait()
        return "met"

    registry = ToolRegistry([meet])
    assert set(await asyncio.gather(*(registry.run("meet", "{}") for _ in range(50)))) == {"met"}


async def test_cancelling_the_run_of_a_sync_tool_drops_its_result() -> None:
    started, release, ended = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    @tool
    def hang() -> str:
        loop.call_soon_threadsafe(started.set)
        release.wait(10)
        ended.set()
        return "too late"

    running = asyncio.create_task(run(hang))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    release.set()
    assert await asyncio.to_thread(ended.wait, 10)


async def test_cancelling_the_run_cancels_an_async_tool() -> None:
    started, cleaned_up = asyncio.Event(), asyncio.Event()

    @tool
    async def hang() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.set()

    running = asyncio.create_task(run(hang))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert cleaned_up.is_set()


async def test_a_sync_wrapper_around_an_async_function_is_awaited() -> None:
    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    @tool
    @logged
    async def greet(name: str) -> str:
        await asyncio.sleep(0)
        return f"hello {name}"

    assert await run(greet, '{"name": "Bo"}') == "hello Bo"


def test_a_tool_that_hangs_does_not_keep_the_process_alive() -> None:
    program = """
import asyncio, threading
from app.tools import ToolRegistry, tool

@tool
def hang() -> None:
    threading.Event().wait()

async def main() -> None:
    try:
        async with asyncio.timeout(0.1):
            await ToolRegistry([hang]).run("hang", "{}")
    except TimeoutError:
        print("timed out")

asyncio.run(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=15
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "timed out\n", "")


# --- the decorator and the registry ---------------------------------------------------------------


def test_the_decorator_returns_the_function_unchanged() -> None:
    @tool
    def plain(size: int) -> int:
        """Double it."""
        return size * 2

    @tool(name="renamed")
    def other() -> None: ...

    assert plain(2) == 4
    assert [spec.name for spec in ToolRegistry([plain, other]).specs] == ["plain", "renamed"]
    with pytest.raises(TypeError, match="expects a function"):
        tool(Table)


@pytest.mark.parametrize("name", ["end_call", "transfer_to_human", "send_digits"])
def test_a_built_in_tools_name_is_reserved(name: str) -> None:
    @tool(name=name)
    def mine() -> None: ...

    with pytest.raises(ConfigError, match=f"{name}: a built-in tool has this name; rename"):
        ToolRegistry([mine])


def test_faults_of_several_tools_are_reported_together() -> None:
    @tool(name="book")
    def first(size) -> None: ...  # type: ignore[no-untyped-def]  # what is tested

    @tool(name="book")
    def second() -> None: ...

    with pytest.raises(ConfigError) as caught:
        ToolRegistry([first, second])
    no_type, clash = caught.value.problems
    assert "parameter 'size' has no type" in no_type
    assert (
        f"book: the tool at {__file__}:{first.__code__.co_firstlineno + 1} has this name" in clash
    )
