"""Tools that ask their caller for digits, and keep secrets to themselves."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from app.errors import ToolFault
from app.tools import CallContext, ToolError, ToolRegistry, tool

CARD = "4111111111111111"


class Caller:
    """Types `typed` when asked, or hangs until the call has no more use for it."""

    def __init__(self, typed: str | None = CARD) -> None:
        self._typed = typed
        self.asked: list[tuple[int, bool, str, float]] = []
        self.is_asked = asyncio.Event()
        self.let_off = asyncio.Event()
        self.context = CallContext("CA1", "+14155550101", "+14155550102", self._ask)

    async def _ask(self, length: int, secret: bool, prompt: str, timeout_s: float) -> str:
        self.asked.append((length, secret, prompt, timeout_s))
        self.is_asked.set()
        if self._typed is None:
            try:
                await asyncio.Event().wait()
            finally:
                self.let_off.set()
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
async def test_a_tool_gets_what_the_caller_types(function: Callable[..., Any]) -> None:
    caller = Caller("4711")
    assert await caller.runs(function) == "4"
    assert caller.asked == [(4, True, "Ask for the PIN.", 20)]


async def test_digits_are_asked_for_until_the_hash_unless_the_tool_says_how_many() -> None:
    @tool
    async def pay(call: CallContext) -> str:
        return await call.ask_digits()

    caller = Caller("42")
    assert await caller.runs(pay) == "42"
    assert caller.asked == [(0, False, "", 30.0)]


@both
async def test_a_caller_who_types_nothing_is_reported_to_the_model(
    function: Callable[..., Any],
) -> None:
    with pytest.raises(ToolError, match="^The caller typed nothing. Ask whether"):
        await Caller("").runs(function)


@both
async def test_without_a_call_there_is_nobody_to_ask(function: Callable[..., Any]) -> None:
    with pytest.raises(ToolError, match="^There is no call"):
        await ToolRegistry([function]).run(function.__name__, "{}")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"length": -1}, "length is -1; expected 0 (until #) to 64"),
        ({"length": 65}, "length is 65; expected 0 (until #) to 64"),
        ({"timeout_s": 0.9}, "timeout_s is 0.9; expected 1 to 120 seconds"),
        ({"timeout_s": 121}, "timeout_s is 121; expected 1 to 120 seconds"),
        ({"timeout_s": float("nan")}, "timeout_s is nan; expected 1 to 120 seconds"),
    ],
)
async def test_a_tool_that_asks_for_the_impossible_is_told(wrong: Any, said: str) -> None:
    caller = Caller()
    with pytest.raises(ValueError) as caught:
        await caller.context.ask_digits(**wrong)
    assert str(caught.value) == said
    assert not caller.asked


# --- secrets --------------------------------------------------------------------------------------


def test_a_context_that_is_logged_gives_nobody_away() -> None:
    async def nobody(*_: object) -> str:
        return ""

    context = CallContext("CA1", "+14155550101", "+14155550102", nobody)
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


async def test_a_secret_at_the_end_of_what_fits_is_not_shown_in_part() -> None:
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


async def test_a_tool_error_on_purpose_is_shown_without_the_secret() -> None:
    @tool
    async def pay(call: CallContext) -> None:
        raise ToolError(f"The bank does not know {await call.ask_digits(secret=True)}. Try cash.")

    with pytest.raises(ToolError, match=r"^The bank does not know \*\*\*\. Try cash\.$"):
        await Caller().runs(pay)


async def test_one_run_does_not_strike_out_the_secrets_of_another() -> None:
    @tool
    async def orders(call: CallContext) -> str:
        return "order 4711"

    caller = Caller("4711")
    assert await caller.runs(ask) == "4"
    assert await caller.runs(orders) == "order 4711"


# --- runs that end while they ask -----------------------------------------------------------------


@both
async def test_nobody_is_asked_any_more_when_the_tool_is_given_up(
    function: Callable[..., Any],
) -> None:
    caller = Caller(None)
    running = asyncio.create_task(caller.runs(function))
    await caller.is_asked.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await caller.let_off.wait()


async def test_a_thread_that_outlives_its_run_cannot_ask() -> None:
    started, given_up, said = asyncio.Event(), threading.Event(), threading.Event()
    loop, told = asyncio.get_running_loop(), []

    @tool
    def late(call: CallContext) -> None:
        loop.call_soon_threadsafe(started.set)
        given_up.wait(10)
        try:
            call.ask_digits_sync()
        except ToolError as error:
            told.append(str(error))
        said.set()

    caller = Caller()
    running = asyncio.create_task(caller.runs(late))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    given_up.set()
    assert await asyncio.to_thread(said.wait, 10)
    assert told == ["The call no longer waits for this tool, so its caller cannot be asked."]
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


async def test_an_async_tool_that_would_stop_the_call_is_told_what_to_write() -> None:
    @tool
    async def wrong(call: CallContext) -> str:
        return call.ask_digits_sync()

    with pytest.raises(ToolFault) as caught:
        await Caller().runs(wrong)
    assert "RuntimeError: in an async tool, write: await call." in caught.value.trace
