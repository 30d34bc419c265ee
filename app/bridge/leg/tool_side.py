"""Tools at work on a call, and the digits that they ask its caller for.

This is the one place where the digits of a secret entry are not masked.
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


class ToolRuns:
    """`feed` tells the machine what happened."""

    def __init__(self, call: CallInfo, tools: ToolRegistry, feed: Callable[[Event], None]) -> None:
        self._call = call
        self._tools = tools
        self._feed = feed
        self._typed = ""
        self._typing_for = ""  # the tool call whose entry it is
        self._waiting: dict[str, tuple[asyncio.Future[str], bool]] = {}
        self._secrets: set[str] = set()  # digits that the log never shows

    async def run(self, call_id: str, name: str, arguments: str) -> None:
        """Run a tool, and feed what it answers."""
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
            error_told = redact(self._secrets, str(error))
            logger.warning("tool failed", extra={**extra, "error": error_told})
            self._feed(ToolFailed(call_id, str(error)))
        else:
            logger.info("tool returned", extra=extra)
            self._feed(ToolReturned(call_id, output))

    async def _ask(
        self, call_id: str, length: int, secret: bool, prompt: str, timeout_s: float
    ) -> str:
        """What the caller types.

        Raises:
            ToolError: nothing came.
        """
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[call_id] = future, secret
        self._feed(EntryAsked(call_id, length, secret, prompt, timeout_s * 1000))
        if not future.done():  # else another tool's entry goes on
            self._typing_for, self._typed = call_id, ""
        digits = await future
        if not digits:
            raise ToolError("The caller typed nothing. Ask whether they want to try again.")
        return digits

    def masked(self, event: DigitPressed) -> DigitPressed:
        """A key of a secret entry, as everybody else may know it."""
        if event.digit == END_KEY:
            return event
        self._typed += event.digit
        return DigitPressed(MASK)

    def give(self, command: GiveDigits) -> None:
        """The entry is over: its digits go to the tool that waits for them."""
        future, secret = self._waiting.pop(command.call_id, (None, False))
        digits = command.digits
        if secret and command.call_id == self._typing_for:
            digits, self._typed = self._typed[: len(digits)], ""
            self._secrets.add(digits)
        if future is not None and not future.done():
            future.set_result(digits)
