"""CallContext.ask_digits: digits for async and sync tools, and the redaction of secrets."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.errors import ToolFault
from app.tools import CallContext, ToolError, ToolRegistry, tool

CARD = "4111111111111111"


class Caller:
    """Enters `typed` when asked. None: enters nothing until the question is cancelled."""

    def __init__(self, typed: str | None = CARD) -> None:
        self._typed = typed
        self.asked: list[tuple[int, bool, str, float]] = []
        self.is_asked = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.context = CallContext("CA1", "+14155550101", "+14155550102", self._ask)

    async def _ask(self, length: int, secret: bool, prompt: str, timeout_s: float) -> str:
        self.asked.append((length, secret, prompt, timeout_s))
        self.is_asked.set()
        if self._typed is None:
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.set()
        elif not self._typed:
            raise ToolError("The caller typed nothing. Ask whether they have the card at hand.")
        return self._typed or ""

    async def runs(self, function: Callable[..., Any]) -> str:
        return await ToolRegistry([function]).run(function.__name__, "{}", self.context)


@tool
async def ask(call: CallContext) -> int:
    return len(await call.ask_digits(4, secret=True, prompt="Ask for the PIN.", timeout_s=20))


@tool
def ask_in_thread(call: CallContext) -> int:
    return len(call.ask_digits_sync(4, secret=True, prompt="Ask for the PIN.", timeout_s=20))


both = pytest.mark.parametrize("function", [ask, ask_in_thread])


@both
async def test_a_tool_receives_the_callers_digits(function: Callable[..., Any]) -> None:
    caller = Caller("4711")
    assert await caller.runs(function) == "4"
    assert caller.asked == [(4, True, "Ask for the PIN.", 20)]


async def test_without_a_length_the_entry_ends_at_the_hash() -> None:
    @tool
    async def pay(call: CallContext) -> str:
        return await call.ask_digits()

    caller = Caller("42")
    assert await caller.runs(pay) == "42"
    assert caller.asked == [(0, False, "", 30.0)]


@both
async def test_an_empty_entry_is_a_tool_error(
    function: Callable[..., Any],
) -> None:
    with pytest.raises(ToolError, match="^The caller typed nothing. Ask whether"):
        await Caller("").runs(function)


@both
async def test_without_a_call_asking_is_a_tool_error(function: Callable[..., Any]) -> None:
    with pytest.raises(ToolError, match="^There is no call"):
        await ToolRegistry([function]).run(function.__name__, "{}")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"length": -1}, "length is -1; expected 0 (until #) to 64"),
        ({"length": 65}, "length is 65; expected 0 (until #) to 64"),
        ({"timeout_s": 0.9}, "timeout_s is 0.9; expected 1 to 120 seconds"),
        ({"timeout_s": 121}, "timeout_s is 121; expected 1 to 120 seconds"),
        ({"timeout_s": float("nan")}, "timeout_s is nan; expected 1 to 120 seconds"),
    ],
)
async def test_an_invalid_length_or_timeout_is_a_value_error(wrong: Any, message: str) -> None:
    caller = Caller()
    with pytest.raises(ValueError) as caught:
        await caller.context.ask_digits(**wrong)
    assert str(caught.value) == message
    assert not caller.asked


# --- secrets --------------------------------------------------------------------------------------


def test_the_contexts_repr_shows_no_number() -> None:
    async def unused(*_: object) -> str:
        return ""

    context = CallContext("CA1", "+14155550101", "+14155550102", unused)
    assert repr(context) == "CallContext(call_sid='CA1')"
    assert context == CallContext("CA1", "+14155550101", "+14155550102")


@pytest.mark.parametrize("secret", [True, False])
async def test_a_secret_that_a_tool_returns_does_not_reach_the_model(secret: bool) -> None:
    @tool
    async def pay(call: CallContext) -> dict[str, str | int]:
        card = await call.ask_digits(16, secret=secret)
        return {"card": card, "paid": f"with {card}.", "ends": card[-4:], "as_number": int(card)}

    shown = "***" if secret else CARD
    assert await Caller().runs(pay) == (
        f'{{"card":"{shown}","paid":"with {shown}.","ends":"1111","as_number":{shown}}}'
    )


async def test_a_secret_at_the_limit_of_a_result_is_redacted_before_truncation() -> None:
    @tool
    async def pay(call: CallContext) -> str:
        return "x" * (32 * 1024 - 70) + await call.ask_digits(16, secret=True) + "y" * 100

    assert "4111" not in await Caller().runs(pay)


@pytest.mark.parametrize("in_thread", [True, False])
async def test_an_error_does_not_quote_a_secret(in_thread: bool) -> None:
    @tool
    async def pay(call: CallContext) -> int:
        return int((await call.ask_digits(secret=True)).replace("4", "4 "))

    @tool(name="pay")
    def pay_in_thread(call: CallContext) -> int:
        return int(call.ask_digits_sync(secret=True).replace("4", "4 "))

    with pytest.raises(ToolFault) as caught:
        await ToolRegistry([pay_in_thread if in_thread else pay]).run("pay", "{}", Caller().context)
    assert str(caught.value) == "The tool failed."
    assert "in pay" in caught.value.trace and caught.value.trace.endswith("ValueError: …\n")
    assert "4 1" not in caught.value.trace and "invalid literal" not in caught.value.trace


async def test_a_tool_errors_message_is_redacted() -> None:
    @tool
    async def pay(call: CallContext) -> None:
        raise ToolError(f"The bank does not know {await call.ask_digits(secret=True)}. Try cash.")

    with pytest.raises(ToolError, match=r"^The bank does not know \*\*\*\. Try cash\.$"):
        await Caller().runs(pay)


async def test_a_run_does_not_redact_another_runs_secrets() -> None:
    @tool
    async def orders(call: CallContext) -> str:
        return "order 4711"

    caller = Caller("4711")
    assert await caller.runs(ask) == "4"
    assert await caller.runs(orders) == "order 4711"


# --- runs that end during a question --------------------------------------------------------------


@both
async def test_cancelling_the_run_cancels_the_question(
    function: Callable[..., Any],
) -> None:
    caller = Caller(None)
    running = asyncio.create_task(caller.runs(function))
    await caller.is_asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await caller.cancelled.wait()


async def test_a_thread_that_outlives_its_run_cannot_ask() -> None:
    started, given_up, finished = asyncio.Event(), threading.Event(), threading.Event()
    loop, errors = asyncio.get_running_loop(), []

    @tool
    def late(call: CallContext) -> None:
        loop.call_soon_threadsafe(started.set)
        given_up.wait(10)
        try:
            call.ask_digits_sync()
        except ToolError as error:
            errors.append(str(error))
        finished.set()

    caller = Caller()
    running = asyncio.create_task(caller.runs(late))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    given_up.set()
    assert await asyncio.to_thread(finished.wait, 10)
    assert errors == ["The call no longer waits for this tool, so its caller cannot be asked."]
    assert not caller.asked


def test_a_thread_that_outlives_the_service_cannot_ask() -> None:
    kept: list[CallContext] = []

    @tool
    async def keep(call: CallContext) -> None:
        kept.append(call)

    async def serve() -> None:
        await Caller().runs(keep)

    asyncio.run(serve())
    with pytest.raises(ToolError, match="no longer waits"):
        kept[0].ask_digits_sync()


async def test_ask_digits_sync_in_an_async_tool_raises_with_the_fix() -> None:
    @tool
    async def wrong(call: CallContext) -> str:
        return call.ask_digits_sync()

    with pytest.raises(ToolFault) as caught:
        await Caller().runs(wrong)
    assert "RuntimeError: in an async tool, write: await call." in caught.value.trace
