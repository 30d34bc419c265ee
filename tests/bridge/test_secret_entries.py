"""The digits of secret entries: kept in one place, under the id of their entry."""

import asyncio
import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from app.bridge.bus.local_bus import LocalBus
from app.bridge.leg.secret_entries import SecretEntries
from app.bridge.leg.tool_side import ToolSide
from app.call.caller.keypad import MASK
from app.call.commands import GiveDigits
from app.call.events import DigitPressed, EntryAsked, Event, ToolReturned
from app.tools import CallContext, ToolRegistry, tool
from app.wires.twilio.call import CallInfo

CALL = CallInfo("CA1", "AC1", "inbound", "+14155550101", "+14155550102")


def press(secrets: SecretEntries, keys: str, entry_id: str = "call_1") -> str:
    """What the machine gets of these keys."""
    return "".join(secrets.mask(entry_id, DigitPressed(key)).digit for key in keys)


def test_the_machine_gets_a_mask_for_each_key_and_the_key_that_ends_the_entry() -> None:
    secrets = SecretEntries()
    assert press(secrets, "12*4#") == MASK * 4 + "#"
    assert secrets.take("call_1", 4) == "12*4"


def test_an_entry_is_as_long_as_the_machine_says() -> None:
    secrets = SecretEntries()
    press(secrets, "123456")
    assert secrets.take("call_1", 4) == "1234"
    assert secrets.take("call_1", 4) == ""  # given once


def test_entries_do_not_mix() -> None:
    secrets = SecretEntries()
    press(secrets, "11", "call_1")
    press(secrets, "22", "call_2")
    press(secrets, "99", "")  # the rest of an entry that is over
    assert (secrets.take("call_2", 2), secrets.take("call_1", 2)) == ("22", "11")
    assert secrets.given == {"11", "22"}


def test_what_a_tool_was_given_is_removed_from_texts_on_later_legs_too() -> None:
    first = SecretEntries()
    press(first, "4711")
    first.take("call_1", 4)
    later = SecretEntries(first.given)
    assert later.redacted("The PIN 4711 is wrong.") == "The PIN *** is wrong."


def test_a_dropped_entry_leaves_nothing() -> None:
    secrets = SecretEntries()
    press(secrets, "4711")
    secrets.drop("call_1")
    assert secrets.take("call_1", 4) == "" and secrets.given == set()


# --- the tools that ask ---------------------------------------------------------------------------


class Side(ToolSide):
    """The tools of a leg, with the events that they feed."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.secrets = SecretEntries()
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        services: Any = SimpleNamespace(bus=LocalBus())
        tools = ToolRegistry([function])
        super().__init__(CALL, services, self.events.put_nowait, self.secrets, tools)


@tool
async def pin(call: CallContext) -> str:
    return str(sum(map(int, await call.ask_digits(4, secret=True))))


@tool
async def both_at_once(call: CallContext) -> str:
    answers = await asyncio.gather(
        call.ask_digits(2, secret=True), call.ask_digits(2), return_exceptions=True
    )
    return " / ".join(map(str, answers))


async def test_a_tool_gets_the_digits_and_the_machine_their_number() -> None:
    side = Side(pin)
    running = asyncio.create_task(side.run("call_1", "pin", "{}"))
    assert isinstance(await side.events.get(), EntryAsked)
    press(side.secrets, "47115")
    side.give(GiveDigits("call_1", MASK * 4))
    await running
    assert side.events.get_nowait() == ToolReturned("call_1", "13")


async def test_a_tool_that_asks_twice_at_once_gets_its_first_entry() -> None:
    side = Side(both_at_once)
    running = asyncio.create_task(side.run("call_1", "both_at_once", "{}"))
    await side.events.get()
    await asyncio.sleep(0)
    press(side.secrets, "47")
    side.give(GiveDigits("call_1", MASK * 2))
    await running
    refused = "This tool is asking the caller for digits already."
    assert side.events.get_nowait() == ToolReturned("call_1", f"47 / {refused}")


async def test_a_tool_that_is_cancelled_leaves_no_digits(
    caplog: pytest.LogCaptureFixture,
) -> None:
    side = Side(pin)
    with caplog.at_level(logging.INFO):
        running = asyncio.create_task(side.run("call_1", "pin", "{}"))
        await side.events.get()
        press(side.secrets, "471")
        running.cancel()
        await asyncio.wait({running})
    assert side.secrets.take("call_1", 3) == ""
    side.give(GiveDigits("call_1", MASK * 3))  # too late: no tool waits
    assert side.events.empty() and "471" not in caplog.text
