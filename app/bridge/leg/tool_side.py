"""A leg's side of the tools: runs them, and collects the digits that they ask the caller for.

A tool runs in a task, a plain function in a thread, so the machine never waits for one. Yet tools
share the process: a coroutine that blocks, or a thread that keeps the interpreter busy, delays the
audio of every call.

The digits of a secret entry are masked before the machine, the record and the log see them. They
are kept here, and given to the tool that asked.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from app.call.caller.keypad import END_KEY, MASK
from app.call.commands import GiveDigits
from app.call.events import DigitPressed, EntryAsked, Event, ToolFailed, ToolReturned
from app.errors import ToolError, ToolFault
from app.records.redaction import TRACE
from app.tools import CallContext, ToolRegistry
from app.tools.context import redact
from app.wires.twilio.call import CallInfo

logger = logging.getLogger(__name__)


class ToolSide:
    """`feed`: gives an event to the machine."""

    def __init__(self, call: CallInfo, tools: ToolRegistry, feed: Callable[[Event], None]) -> None:
        self._call = call
        self._tools = tools
        self._feed = feed
        self._typed = ""  # the keys of the secret entry so far
        self._typing_for = ""  # the call_id that this entry is for
        # By call_id: the digits to come, and whether they are secret.
        self._asked: dict[str, tuple[asyncio.Future[str], bool]] = {}
        self._secrets: set[str] = set()  # digits to remove from error texts in the log

    async def run(self, call_id: str, name: str, arguments: str) -> None:
        """Run a tool. The outcome is an event: ToolReturned, or ToolFailed."""
        call = self._call
        ask = partial(self._ask, call_id)
        context = CallContext(call.call_sid, call.from_number, call.to_number, ask)
        extra = {"call_sid": call.call_sid, "tool": name}
        try:
            output = await self._tools.run(name, arguments, context)
        except ToolFault as fault:
            trace = redact(self._secrets, fault.trace)
            logger.error("tool failed", extra={**extra, TRACE: trace})
            self._feed(ToolFailed(call_id, str(fault)))
        except ToolError as error:
            text = redact(self._secrets, str(error))
            logger.warning("tool failed", extra={**extra, "error": text})
            self._feed(ToolFailed(call_id, str(error)))
        else:
            logger.info("tool returned", extra=extra)
            self._feed(ToolReturned(call_id, output))

    async def _ask(
        self, call_id: str, length: int, secret: bool, prompt: str, timeout_s: float
    ) -> str:
        """Ask the caller for digits, and wait for them: `CallContext.ask_digits`. `length`: 0: any.

        Raises:
            ToolError: the caller typed nothing.
        """
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._asked[call_id] = future, secret
        self._feed(EntryAsked(call_id, length, secret, prompt, timeout_s * 1000))
        if not future.done():  # done: another tool's entry is under way
            self._typing_for, self._typed = call_id, ""
        digits = await future
        if not digits:
            raise ToolError("The caller typed nothing. Ask whether they want to try again.")
        return digits

    def masked(self, event: DigitPressed) -> DigitPressed:
        """Keep a key of a secret entry. Returns the event to feed in its place."""
        if event.digit == END_KEY:
            return event
        self._typed += event.digit
        return DigitPressed(MASK)

    def give(self, command: GiveDigits) -> None:
        """The entry is over: give its digits to the tool that asked for them."""
        future, secret = self._asked.pop(command.call_id, (None, False))
        digits = command.digits
        if secret and command.call_id == self._typing_for:
            digits, self._typed = self._typed[: len(digits)], ""
            self._secrets.add(digits)
        if future is not None and not future.done():
            future.set_result(digits)
