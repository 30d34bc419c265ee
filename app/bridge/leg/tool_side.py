"""A leg's side of the tools: runs them, and collects the digits that they ask the caller for.

A tool runs in a task, a plain function in a thread or a process, so the machine never waits for
one. Yet a coroutine that blocks, or a thread that keeps the interpreter busy, delays the audio of
every call; `@tool(process=True)` does not.

The digits of a secret entry come from `SecretEntries`: the machine has only their number.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial

from app.bridge.leg.secret_entries import SecretEntries
from app.bridge.ownership import still_ours
from app.bridge.services import Services
from app.call.agent import ToolSpec
from app.call.commands import GiveDigits
from app.call.events import EntryAsked, Event, ToolFailed, ToolReturned
from app.errors import ToolError, ToolFault
from app.records.redaction import TRACE
from app.tools import CallContext
from app.tools.registry import ToolRegistry
from app.wires.twilio.call import CallInfo

logger = logging.getLogger(__name__)


class ToolSide:
    """The running tools of one leg.

    Args:
        feed: gives an event to the machine.
        secrets: has the digits of secret entries.
        tools: those of the call's agent.
        offered: every tool that the model has, built-in ones included.
    """

    def __init__(
        self,
        call: CallInfo,
        services: Services,
        feed: Callable[[Event], None],
        secrets: SecretEntries,
        tools: ToolRegistry,
        offered: Iterable[ToolSpec] = (),
    ) -> None:
        self._call = call
        self._services = services
        self._feed = feed
        self._secrets = secrets
        self._registry = tools
        self._offered = tuple(each.name for each in offered)
        # By call_id: the digits to come, and whether they are secret.
        self._asked: dict[str, tuple[asyncio.Future[str], bool]] = {}

    async def run(self, call_id: str, name: str, arguments: str) -> None:
        """Run a tool. The outcome is an event: ToolReturned, or ToolFailed."""
        call = self._call
        ask = partial(self._ask, call_id)
        context = CallContext(call.call_sid, call.from_number, call.to_number, ask)
        extra = {"call_sid": call.call_sid, "tool": name}
        services = self._services
        # A process that hung may have lost the call.
        if not (services.bus.renewed or await still_ours(services, call.call_sid)):
            logger.warning("tool not run, another replica has the call", extra=extra)
            return
        try:
            output = await self._registry.run(name, arguments, context, self._offered)
        except ToolFault as fault:
            trace = self._secrets.redacted(fault.trace)
            logger.error("tool failed", extra={**extra, TRACE: trace})
            self._feed(ToolFailed(call_id, str(fault)))
        except ToolError as error:
            text = self._secrets.redacted(str(error))
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
            ToolError: the caller typed nothing or spoke, or the tool is asking already.
        """
        if call_id in self._asked:
            raise ToolError("This tool is asking the caller for digits already.")
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        entry = self._asked[call_id] = future, secret
        try:
            self._feed(EntryAsked(call_id, length, secret, prompt, timeout_s * 1000))
            digits = await future
        finally:
            if self._asked.get(call_id) is entry:  # the tool was cancelled
                del self._asked[call_id]
                self._secrets.drop(call_id)
        if not digits:
            raise ToolError(
                "The caller typed nothing. If they said something, answer it; otherwise ask "
                "whether they want to try again."
            )
        return digits

    def give(self, command: GiveDigits) -> None:
        """The entry is over: give its digits to the tool that asked for them."""
        future, secret = self._asked.pop(command.call_id, (None, False))
        typed = self._secrets.take(command.call_id, len(command.digits))
        if future is not None and not future.done():
            future.set_result(typed if secret else command.digits)
